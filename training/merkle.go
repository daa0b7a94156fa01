package training

import "crypto/sha256"

// A tree is RFC 6962's Merkle tree over leaves as they come: it keeps one hash
// a level.
type tree struct {
	size  uint64
	stack [][32]byte // roots of complete subtrees, the largest first
}

func (t *tree) add(leaf [32]byte) {
	t.stack = append(t.stack, leaf)
	t.size++
	for n := t.size; n&1 == 0; n >>= 1 {
		last := len(t.stack) - 1
		t.stack[last-1] = node(t.stack[last-1], t.stack[last])
		t.stack = t.stack[:last]
	}
}

func (t *tree) root() [32]byte {
	if len(t.stack) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.stack[len(t.stack)-1]
	for i := len(t.stack) - 2; i >= 0; i-- {
		root = node(t.stack[i], root)
	}
	return root
}

func node(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}
