package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
)

const (
	saltSize   = 24
	commitSize = 32
	tagSize    = 16

	// Overhead is how much longer a box is than its plaintext.
	Overhead = saltSize + commitSize + tagSize
)

// ErrOpen is returned when a box does not open: wrong key, wrong additional
// data, changed, cut or never a box. Which of these, it does not say.
var ErrOpen = errors.New("seal: cannot open")

// Seal encrypts plaintext and authenticates it together with aad, which the
// opener must present again. Sealing the same twice gives different boxes.
//
// A box is salt ‖ commitment ‖ AES-256-GCM. HKDF-SHA256 of the key and the
// random salt gives the AES key and the commitment; since with 192 random bits
// of salt the AES key is fresh for every box, the nonce is all zeros and no
// number of boxes under one k wears it out.
func Seal(k Key, plaintext, aad []byte) []byte {
	return AppendSeal(nil, k, plaintext, aad)
}

// AppendSeal is Seal, appending the box to dst. plaintext must not overlap the
// free capacity of dst.
func AppendSeal(dst []byte, k Key, plaintext, aad []byte) []byte {
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	salt := dst[len(dst) : len(dst)+saltSize]
	rand.Read(salt)
	gcm, commitment := open(k, salt)
	dst = append(dst[:len(dst)+saltSize], commitment[:]...)
	return gcm.Seal(dst, zeroNonce[:], plaintext, aad)
}

// Open returns the plaintext of a box made by Seal with the same key and
// additional data, or ErrOpen.
func Open(k Key, box, aad []byte) ([]byte, error) {
	return AppendOpen(make([]byte, 0, max(len(box)-Overhead, 0)), k, box, aad)
}

// AppendOpen is Open, appending the plaintext to dst. box must not overlap the
// free capacity of dst.
func AppendOpen(dst []byte, k Key, box, aad []byte) ([]byte, error) {
	if len(box) < Overhead {
		return nil, ErrOpen
	}
	gcm, commitment := open(k, box[:saltSize])
	box = box[saltSize:]
	// Before decrypting: a box made for another key is refused even when its
	// tag would fit this one.
	if subtle.ConstantTimeCompare(commitment[:], box[:commitSize]) != 1 {
		return nil, ErrOpen
	}
	box = box[commitSize:]
	plaintext, err := gcm.Open(dst, zeroNonce[:], box, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

var zeroNonce [12]byte // read only

// open returns the cipher and the commitment of one box.
func open(k Key, salt []byte) (cipher.AEAD, [commitSize]byte) {
	var out [32 + commitSize]byte
	expand(out[:], extract(salt, k[:]), []byte(infoSeal))
	block, err := aes.NewCipher(out[:32])
	if err != nil {
		panic("seal: " + err.Error()) // 32 bytes are always a key
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("seal: " + err.Error()) // AES always has 16-byte blocks
	}
	return gcm, [commitSize]byte(out[32:])
}
