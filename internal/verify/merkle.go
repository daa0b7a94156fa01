package verify

import (
	"crypto/sha256"
	"math/bits"
)

// A Hash is a node of the tree: SHA-256, domain-separated as in RFC 6962 §2.1.
type Hash [sha256.Size]byte

// EmptyRoot is the root of a tree without leaves: the hash of nothing.
var EmptyRoot = Hash(sha256.Sum256(nil))

// LeafHash is SHA-256(0x00 ‖ entry).
func LeafHash(entry []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(entry)
	return Hash(h.Sum(nil))
}

// NodeHash is SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Inclusion checks that leaf stands at index in the tree of that size and
// root (RFC 9162 §2.1.3.2). Errors: ErrIndex, ErrTruncated, ErrTrailing,
// ErrPath.
func Inclusion(leaf Hash, index, size uint64, root Hash, path []Hash) error {
	if index >= size {
		return refuse(ErrIndex, "entry %d of a tree of %d", index, size)
	}
	fn, sn, r := index, size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return refuse(ErrTrailing, "an inclusion proof of %d hashes", len(path))
		}
		if fn&1 == 1 || fn == sn {
			r = NodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = NodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return refuse(ErrTruncated, "an inclusion proof of %d hashes", len(path))
	}
	if r != root {
		return ErrPath
	}
	return nil
}

// Consistency checks that the tree of size1 and root1 is how the tree of size2
// and root2 begins (RFC 9162 §2.1.4.2). An empty first tree is the beginning
// of every tree and nothing can prove it: such a call is refused, unless both
// are empty. Errors: ErrReplayed, ErrForked, ErrIndex, ErrTruncated,
// ErrTrailing, ErrRewritten, ErrNode (the proof does not lead to root2).
func Consistency(size1, size2 uint64, root1, root2 Hash, proof []Hash) error {
	switch {
	case size1 > size2:
		return refuse(ErrReplayed, "a tree of %d after one of %d", size2, size1)
	case size1 == size2 && len(proof) > 0:
		return refuse(ErrTrailing, "a consistency proof of a tree with itself")
	case size1 == size2 && root1 != root2:
		return ErrForked
	case size1 == 0 && size2 == 0 && root1 != EmptyRoot:
		return refuse(ErrNode, "the root of an empty tree")
	case size1 == size2:
		return nil
	case size1 == 0:
		return refuse(ErrIndex, "a consistency proof from an empty tree")
	case len(proof) == 0:
		return refuse(ErrTruncated, "an empty consistency proof")
	}
	if size1&(size1-1) == 0 {
		proof = append([]Hash{root1}, proof...)
	}
	fn, sn := size1-1, size2-1
	drop := bits.TrailingZeros64(^fn)
	fn, sn = fn>>drop, sn>>drop
	fr, sr := proof[0], proof[0]
	for _, c := range proof[1:] {
		if sn == 0 {
			return refuse(ErrTrailing, "a consistency proof")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = NodeHash(c, fr), NodeHash(c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = NodeHash(sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	switch {
	case sn != 0:
		return refuse(ErrTruncated, "a consistency proof")
	case fr != root1:
		return ErrRewritten
	case sr != root2:
		return refuse(ErrNode, "a consistency proof")
	}
	return nil
}

// consistencyProof is PROOF(m, D[n]) of RFC 6962 §2.1.2 for 0 < m <= n; mth
// gives the hash of the leaves [lo, hi).
func consistencyProof(m, n uint64, mth func(lo, hi uint64) (Hash, error)) ([]Hash, error) {
	var proof []Hash
	add := func(lo, hi uint64) error {
		h, err := mth(lo, hi)
		proof = append(proof, h)
		return err
	}
	// whole: the m leaves from lo are those of the first tree, whose root the
	// reader of the proof has already.
	var sub func(m, lo, hi uint64, whole bool) error
	sub = func(m, lo, hi uint64, whole bool) error {
		if m == hi-lo {
			if whole {
				return nil
			}
			return add(lo, hi)
		}
		k := splitPoint(hi - lo)
		if m <= k {
			if err := sub(m, lo, lo+k, whole); err != nil {
				return err
			}
			return add(lo+k, hi)
		}
		if err := sub(m-k, lo+k, hi, false); err != nil {
			return err
		}
		return add(lo, lo+k)
	}
	err := sub(m, 0, n, true)
	return proof, err
}

// splitPoint is the largest power of two below n, for n > 1.
func splitPoint(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// perfect is the hash over a power of two of nodes; it overwrites h.
func perfect(h []Hash) Hash {
	for len(h) > 1 {
		for i := 0; i < len(h)/2; i++ {
			h[i] = NodeHash(h[2*i], h[2*i+1])
		}
		h = h[:len(h)/2]
	}
	return h[0]
}
