package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// What each construction is for stands first in its info, so that none of them
// can be made to compute another's output.
const (
	infoDerive  = "assent/derive/v1"
	infoPair    = "assent/derive-pair/v1"
	infoCombine = "assent/combine/v1"
	infoSeal    = "assent/seal/v1"
)

// Derive returns the child of parent for label and context: HKDF-SHA256 (RFC
// 5869), without salt, info = label and context, each length-prefixed.
func Derive(parent Key, label string, context ...[]byte) Key {
	var buf [192]byte
	info := appendParts(append(buf[:0], infoDerive...), label, context)
	var out Key
	expand(out[:], extract(nil, parent[:]), info)
	return out
}

// DerivePair returns two keys that are independent of each other and of what
// Derive returns; it costs less than two calls of Derive.
func DerivePair(parent Key, label string, context ...[]byte) (Key, Key) {
	var buf [192]byte
	info := appendParts(append(buf[:0], infoPair...), label, context)
	var out [64]byte
	expand(out[:], extract(nil, parent[:]), info)
	return Key(out[:32]), Key(out[32:])
}

// Combine returns one key made of all of keys: without any one of them it
// cannot be computed. Their order counts, and the caller fixes it. HKDF-SHA256
// with the concatenated keys as input, info = label and their number.
//
// Combine of no keys would be a constant that anybody can compute, and so is a
// programmer's error: it panics.
func Combine(label string, keys ...Key) Key {
	if len(keys) == 0 {
		panic("seal: Combine of no keys")
	}
	var ikmBuf [4 * 32]byte
	ikm := ikmBuf[:0]
	for i := range keys {
		ikm = append(ikm, keys[i][:]...)
	}
	var buf [96]byte
	info := appendParts(append(buf[:0], infoCombine...), label, nil)
	info = binary.BigEndian.AppendUint32(info, uint32(len(keys)))
	var out Key
	expand(out[:], extract(nil, ikm), info)
	return out
}

// MAC returns HMAC-SHA256 of label and parts, each length-prefixed, so that
// MAC(k, "ab", "c") and MAC(k, "a", "bc") differ.
func MAC(k Key, label string, parts ...[]byte) [32]byte {
	var stack [blockSize + 448]byte
	return outer(k[:], sha256.Sum256(appendParts(inner(stack[:0], k[:]), label, parts)))
}

// appendParts appends label and parts, each behind its length as a big-endian
// uint32: an encoding that can be read back in one way only.
func appendParts(dst []byte, label string, parts [][]byte) []byte {
	dst = append(binary.BigEndian.AppendUint32(dst, length(len(label))), label...)
	for _, p := range parts {
		dst = append(binary.BigEndian.AppendUint32(dst, length(len(p))), p...)
	}
	return dst
}

func length(n int) uint32 {
	if n > math.MaxUint32 {
		panic(fmt.Sprintf("seal: part of %d bytes", n))
	}
	return uint32(n)
}
