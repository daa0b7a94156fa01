package verify

import (
	"context"
	"math/bits"
)

// A tree reads a log's tiles, each compared with the tile above it and, at the
// right edge, with the signed root before anything of it is used. It keeps one
// tile a level: cheap for who goes from left to right. One goroutine at a time.
type tree struct {
	src   Source
	size  uint64
	edges [][]Hash // by level; what the partial tiles hold, from level 0 up
	last  []*node  // by level; the newest full tile
}

type node struct {
	n      uint64
	hashes []Hash
}

// openTree reads the right edge and compares it with the checkpoint.
func openTree(ctx context.Context, src Source, c Checkpoint) (*tree, error) {
	t := &tree{src: src, size: c.Size}
	for level := 0; c.Size>>(tileHeight*level) > 0; level++ {
		var hashes []Hash
		if e := edge(level, c.Size); e.width > 0 {
			var err error
			if hashes, err = readHashes(ctx, src, e); err != nil {
				return nil, err
			}
		}
		t.edges = append(t.edges, hashes)
		t.last = append(t.last, nil)
	}
	if c.Size == 0 {
		return t, nil
	}
	root, err := t.mth(ctx, 0, c.Size)
	if err != nil {
		return nil, err
	}
	if root != c.Root {
		return nil, refuse(ErrNode, "the root of size %d", c.Size)
	}
	return t, nil
}

// hashes returns the tile n of a level, as far as the tree reaches. The caller
// must not change them.
func (t *tree) hashes(ctx context.Context, level int, n uint64) ([]Hash, error) {
	if n == edge(level, t.size).n {
		return t.edges[level], nil
	}
	if have := t.last[level]; have != nil && have.n == n {
		return have.hashes, nil
	}
	above, err := t.above(ctx, level, n)
	if err != nil {
		return nil, err
	}
	hashes, err := readFull(ctx, t.src, tile{level, n, tileWidth}, above)
	if err != nil {
		return nil, err
	}
	t.last[level] = &node{n, hashes}
	return hashes, nil
}

// above is the hash that the full tile n of a level must have.
func (t *tree) above(ctx context.Context, level int, n uint64) (Hash, error) {
	hashes, err := t.hashes(ctx, level+1, n>>tileHeight)
	if err != nil {
		return Hash{}, err
	}
	return hashes[n%tileWidth], nil
}

// readFull reads a full tile and compares it with its node above.
func readFull(ctx context.Context, src Source, at tile, above Hash) ([]Hash, error) {
	hashes, err := readHashes(ctx, src, at)
	if err != nil {
		return nil, err
	}
	if perfect(append([]Hash(nil), hashes...)) != above {
		return nil, refuse(ErrNode, "%s", at.path())
	}
	return hashes, nil
}

// mth is MTH(D[lo:hi]) of RFC 6962 §2.1; lo and hi as its recursion makes them.
func (t *tree) mth(ctx context.Context, lo, hi uint64) (Hash, error) {
	if n := hi - lo; n&(n-1) == 0 {
		return t.subtree(ctx, bits.TrailingZeros64(n), lo)
	}
	k := splitPoint(hi - lo)
	left, err := t.mth(ctx, lo, lo+k)
	if err != nil {
		return Hash{}, err
	}
	right, err := t.mth(ctx, lo+k, hi)
	return NodeHash(left, right), err
}

// subtree is the hash of the 2^height leaves from lo, a multiple of that.
func (t *tree) subtree(ctx context.Context, height int, lo uint64) (Hash, error) {
	level, width := height/tileHeight, 1<<(height%tileHeight)
	first := lo >> (tileHeight * level) // among the nodes of that level
	hashes, err := t.hashes(ctx, level, first>>tileHeight)
	if err != nil {
		return Hash{}, err
	}
	i := int(first % tileWidth)
	return perfect(append([]Hash(nil), hashes[i:i+width]...)), nil
}

// extends checks that the tree begins with that of an earlier checkpoint.
func (t *tree) extends(ctx context.Context, old, now Checkpoint) error {
	switch {
	case old.Size > now.Size || old.Size == now.Size:
		return Consistency(old.Size, now.Size, old.Root, now.Root, nil)
	case old.Size == 0:
		return nil // every tree begins with the empty one
	}
	proof, err := consistencyProof(old.Size, now.Size, func(lo, hi uint64) (Hash, error) {
		return t.mth(ctx, lo, hi)
	})
	if err != nil {
		return err
	}
	if Consistency(old.Size, now.Size, old.Root, now.Root, proof) != nil {
		// The hashes of the proof are nodes of the newer tree, compared with
		// its root: what does not fit is the older root.
		return refuse(ErrRewritten, "the tree of size %d against the checkpoint of size %d", now.Size, old.Size)
	}
	return nil
}

// Extends checks that the log, as newer signs it, begins with what older
// signs. Equal sizes need no log: src may then be nil. Errors: ErrReplayed,
// ErrForked, ErrRewritten, and those of reading tiles.
func Extends(ctx context.Context, src Source, older, newer Checkpoint) error {
	if older.Size >= newer.Size || older.Size == 0 {
		return (*tree)(nil).extends(ctx, older, newer)
	}
	t, err := openTree(ctx, src, newer)
	if err != nil {
		return err
	}
	return t.extends(ctx, older, newer)
}
