package seal

import (
	"crypto/sha256"
	"encoding/binary"
)

// HMAC (RFC 2104) and HKDF (RFC 5869) over SHA-256, written out because one
// call of crypto/hkdf allocates a dozen times and a gateway that starts makes
// millions; sha256.Sum256 over a stack buffer allocates nothing.
// TestDerivationsMatchTheStandardLibrary holds them to crypto/hmac and
// crypto/hkdf.

const blockSize = 64

// hmac256 returns HMAC-SHA256. key is at most one block long: longer ones
// would have to be hashed first, and no caller has one.
func hmac256(key, msg []byte) [32]byte {
	var stack [blockSize + 256]byte
	return outer(key, sha256.Sum256(append(inner(stack[:0], key), msg...)))
}

// inner begins what the inner hash is over: a caller that appends its message
// to it saves a copy.
func inner(dst, key []byte) []byte {
	if len(key) > blockSize {
		panic("seal: HMAC key longer than a block")
	}
	return pad(dst, key, 0x3636363636363636)
}

func outer(key []byte, sum [32]byte) [32]byte {
	var stack [blockSize + 32]byte
	b := pad(stack[:0], key, 0x5c5c5c5c5c5c5c5c)
	return sha256.Sum256(append(b, sum[:]...))
}

// pad appends the key's block, eight bytes at a time.
func pad(dst, key []byte, with uint64) []byte {
	var block [blockSize]byte
	copy(block[:], key)
	for i := 0; i < blockSize; i += 8 {
		dst = binary.LittleEndian.AppendUint64(dst, binary.LittleEndian.Uint64(block[i:])^with)
	}
	return dst
}

// extract is HKDF-Extract; a nil salt is a block of zeros (RFC 5869 §2.2).
func extract(salt, ikm []byte) [32]byte { return hmac256(salt, ikm) }

// expand is HKDF-Expand into out, at most 255 blocks of 32 bytes.
func expand(out []byte, prk [32]byte, info []byte) {
	var stack [32 + 256 + 1]byte
	var block [32]byte
	for i, n := byte(1), 0; len(out) > 0; i++ {
		msg := append(append(append(stack[:0], block[:n]...), info...), i)
		block = hmac256(prk[:], msg)
		out, n = out[copy(out, block[:]):], len(block)
	}
}
