package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"github.com/assent-gateway/assent/internal/seal"
)

// A slot:
//
//	  0  key id      16  random, never all zeros, never used again
//	 16  epoch       u32 whose key wraps the outer layer
//	 20  kind        u8  wrapped by the epoch only, or by a parent too
//	 21  zeros        3
//	 24  wrapped     96  outer layer
//	120  crc32c      u32 of the slot's number (u32) and bytes 0 to 119
//	124  zeros        4
//
// An empty slot is all zeros. The checksum is against tearing and copying, not
// against an attacker; that is what the two layers are for:
//
//	inner = commitment 32 ‖ AES-256-GCM(key)   under the parent, 80 bytes
//	outer = AES-256-GCM(inner)                 under the epoch key, 96 bytes
//
// so that a rotation of the epoch opens and renews the outer layer without
// knowing a parent, and so that a slot is worth nothing once either is gone.
//
// Both nonces are all zeros. That is safe because each AES key encrypts one
// message only: it is derived from the key id, which is random and never used
// again, and from the parent (inner) or the epoch key (outer); a new epoch
// wraps the same inner layer under another AES key. GCM does not commit to its
// key (FACTS §3), hence the commitment in the inner layer.
const (
	slotSize   = 128
	wrapSize   = 96
	commitSize = 32

	kindEpoch  = 1 // wrapped by the epoch only
	kindParent = 2 // and under a key derived from a parent
)

type slot struct {
	id      [16]byte
	epoch   uint32
	kind    byte
	wrapped [wrapSize]byte
}

// noParent stands for the parent where there is none. Anybody knows it: then
// the inner layer protects nothing, and the outer one does.
var noParent seal.Key

func parentOf(parent *seal.Key) (seal.Key, byte) {
	if parent == nil {
		return noParent, kindEpoch
	}
	return *parent, kindParent
}

func (s *slot) wrap(epochKey, key seal.Key, parent *seal.Key) {
	var p seal.Key
	p, s.kind = parentOf(parent)
	enc, commitment := seal.DerivePair(p, "vault/slot/inner", s.id[:])
	var buf [wrapSize]byte
	inner := aead(enc).Seal(append(buf[:0], commitment[:]...), zeroNonce[:], key[:], s.aad())
	outer := seal.Derive(epochKey, "vault/slot/outer", s.id[:])
	aead(outer).Seal(s.wrapped[:0], zeroNonce[:], inner, s.aad())
}

// unwrap returns ErrKeyGone when the slot is not what the epoch key wrapped,
// and ErrWrongParent when it is but the parent does not fit.
func (s *slot) unwrap(epochKey seal.Key, parent *seal.Key) (seal.Key, error) {
	outer := seal.Derive(epochKey, "vault/slot/outer", s.id[:])
	var buf [wrapSize]byte
	inner, err := aead(outer).Open(buf[:0], zeroNonce[:], s.wrapped[:], s.aad())
	if err != nil {
		return seal.Key{}, ErrKeyGone
	}
	p, kind := parentOf(parent)
	enc, commitment := seal.DerivePair(p, "vault/slot/inner", s.id[:])
	if kind != s.kind || subtle.ConstantTimeCompare(commitment[:], inner[:commitSize]) != 1 {
		return seal.Key{}, ErrWrongParent
	}
	var key seal.Key
	if _, err := aead(enc).Open(key[:0], zeroNonce[:], inner[commitSize:], s.aad()); err != nil {
		return seal.Key{}, ErrWrongParent
	}
	return key, nil
}

// rewrap puts the outer layer under the key of another epoch, without knowing a
// parent. False when it does not open under the old one: then it is worth
// nothing already.
func (s *slot) rewrap(old, next seal.Key, epoch uint32) bool {
	var buf [wrapSize]byte
	outer := seal.Derive(old, "vault/slot/outer", s.id[:])
	inner, err := aead(outer).Open(buf[:0], zeroNonce[:], s.wrapped[:], s.aad())
	if err != nil {
		return false
	}
	s.epoch = epoch
	outer = seal.Derive(next, "vault/slot/outer", s.id[:])
	aead(outer).Seal(s.wrapped[:0], zeroNonce[:], inner, s.aad())
	return true
}

// aad binds the kind; id and epoch are bound by the derivations.
func (s *slot) aad() []byte { return []byte{s.kind} }

func (s *slot) encode(n uint32, b []byte) {
	clear(b[:slotSize])
	copy(b, s.id[:])
	binary.BigEndian.PutUint32(b[16:], s.epoch)
	b[20] = s.kind
	copy(b[24:], s.wrapped[:])
	binary.BigEndian.PutUint32(b[120:], slotChecksum(n, b))
}

// decode reads slot number n; false when it is empty, torn, or from elsewhere.
func (s *slot) decode(n uint32, b []byte) bool {
	if binary.BigEndian.Uint32(b[120:]) != slotChecksum(n, b) {
		return false
	}
	s.id = [16]byte(b)
	s.epoch = binary.BigEndian.Uint32(b[16:])
	s.kind = b[20]
	s.wrapped = [wrapSize]byte(b[24:])
	return s.id != [16]byte{} && (s.kind == kindEpoch || s.kind == kindParent)
}

func slotChecksum(n uint32, b []byte) uint32 {
	var buf [4 + 120]byte
	binary.BigEndian.PutUint32(buf[:], n)
	copy(buf[4:], b[:120])
	return checksum(buf[:])
}

var zeroNonce [12]byte // read only

func aead(key seal.Key) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("vault: " + err.Error()) // 32 bytes are always a key
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("vault: " + err.Error()) // AES always has 16-byte blocks
	}
	return gcm
}
