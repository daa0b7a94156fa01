package translog

import (
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// tileHeight is how many levels of the tree a tile spans.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

func hashChildren(l, r []byte) []byte { return rfc6962.DefaultHasher.HashChildren(l, r) }

// growth is a tree that leaves are appended to, and the nodes of tiles that
// appending them completed.
type growth struct {
	factory *compact.RangeFactory
	rng     *compact.Range
	nodes   []Node
}

func newGrowth() *growth {
	f := &compact.RangeFactory{Hash: hashChildren}
	return &growth{factory: f, rng: f.NewEmptyRange(0)}
}

// fork returns the same tree without its nodes, to be grown by itself.
func (g *growth) fork() (*growth, error) {
	rng, err := g.factory.NewRange(0, g.rng.End(), slices.Clone(g.rng.Hashes()))
	return &growth{factory: g.factory, rng: rng}, err
}

func (g *growth) size() uint64 { return g.rng.End() }

func (g *growth) append(leaf Hash) error {
	return g.rng.Append(leaf[:], func(id compact.NodeID, hash []byte) {
		if id.Level > 0 && id.Level%tileHeight == 0 {
			g.nodes = append(g.nodes, Node{uint8(id.Level / tileHeight), id.Index, Hash(hash)})
		}
	})
}

// root is that of a tree which is not empty.
func (g *growth) root() (Hash, error) {
	root, err := g.rng.GetRootHash(nil)
	if err != nil {
		return Hash{}, err
	}
	return Hash(root), nil
}

// fold is the root over a power of two of hashes.
func fold(hashes []Hash) []byte {
	if len(hashes) == 1 {
		return hashes[0][:]
	}
	half := len(hashes) / 2
	return hashChildren(fold(hashes[:half]), fold(hashes[half:]))
}
