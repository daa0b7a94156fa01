package translog

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/assent-gateway/assent/consent"
)

// awaitStep is how often Await looks for what another gateway signed.
const awaitStep = 50 * time.Millisecond

// awaitOthers is after how many steps Await no longer leaves it to the gateway
// that entered what is waited for: it may have died before it signed.
const awaitOthers = 20

// Checkpoint returns the newest checkpoint; ErrPending when none was signed.
func (l *Log) Checkpoint(ctx context.Context, id consent.TenantID) (Checkpoint, error) {
	t, err := l.tree(id)
	if err != nil {
		return Checkpoint{}, err
	}
	t.mu.Lock()
	c := t.published
	t.mu.Unlock()
	// Another gateway may have signed since. What is older than ours, or not
	// ours at all, is somebody's doing: ours stands.
	text, err := l.store.LogCheckpoint(ctx, id)
	if err != nil {
		return Checkpoint{}, unavailable(err)
	}
	if !bytes.Equal(text, c.Text) {
		if other, err := t.parseBy(text, t.active); err == nil && other.Size > c.Size {
			c = other
		}
	}
	if c.Size == 0 {
		return c, ErrPending
	}
	return c, nil
}

// Await returns a checkpoint that covers a position; ErrPending when ctx ends
// before there is one.
func (l *Log) Await(ctx context.Context, id consent.TenantID, p consent.Position) (Checkpoint, error) {
	tick := time.NewTicker(awaitStep)
	defer tick.Stop()
	for steps := 1; ; steps++ {
		t, err := l.tree(id)
		if err != nil {
			return Checkpoint{}, err
		}
		t.mu.Lock()
		c, changed := t.published, t.changed
		t.mu.Unlock()
		if c.Size > 0 && c.Size >= uint64(p) {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, ErrPending
		case <-changed: // ours
		case <-tick.C: // perhaps another gateway's
			c, err := l.Checkpoint(context.WithoutCancel(ctx), id)
			if err == nil && c.Size >= uint64(p) || err != nil && err != ErrPending {
				return c, err
			}
			if steps%awaitOthers == 0 { // or one's that was killed before it signed, and then it is ours
				t.Wake()
			}
		}
	}
}

// A Proof shows that an entry is in the log.
type Proof struct {
	Index      uint64
	Entry      []byte // canonical: its leaf hash is what is proved; empty when it is lost
	Hashes     [][]byte
	Checkpoint []byte
}

// Proof returns the proof of the entry at a position that a checkpoint covers.
// What it returns verifies: anything else is ErrTampered.
func (l *Log) Proof(ctx context.Context, id consent.TenantID, p consent.Position, c Checkpoint) (Proof, error) {
	if p == 0 || uint64(p) > c.Size {
		return Proof{}, ErrNotFound
	}
	rows, err := l.store.LogEntries(ctx, id, p-1, 1)
	if err != nil {
		return Proof{}, unavailable(err)
	}
	if len(rows) != 1 || rows[0].Position != p {
		return Proof{}, fmt.Errorf("%w: an entry is missing", consent.ErrTampered)
	}
	out := Proof{Index: uint64(p) - 1, Entry: rows[0].AppendEntry(nil), Checkpoint: c.Text}
	if out.Hashes, err = l.inclusion(ctx, id, out.Index, c.Size); err != nil {
		return Proof{}, err
	}
	leaf := rows[0].Leaf[:]
	if rows[0].Kind != consent.KindLost {
		leaf = rfc6962.DefaultHasher.HashLeaf(out.Entry)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, out.Index, c.Size, leaf, out.Hashes, c.Root[:]); err != nil {
		return Proof{}, consent.ErrTampered
	}
	return out, nil
}

// inclusion gathers the hashes of an inclusion proof from the tiles.
func (l *Log) inclusion(ctx context.Context, id consent.TenantID, index, size uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, ErrNotFound
	}
	r := tileReader{l, id, size, map[Tile][]Hash{}}
	hashes := make([][]byte, len(nodes.IDs))
	for i, n := range nodes.IDs {
		if hashes[i], err = r.node(ctx, n); err != nil {
			return nil, err
		}
	}
	if hashes, err = nodes.Rehash(hashes, hashChildren); err != nil {
		return nil, consent.ErrTampered
	}
	return hashes, nil
}

// tileReader reads nodes of a tree of a size, each tile once.
type tileReader struct {
	log   *Log
	id    consent.TenantID
	size  uint64
	tiles map[Tile][]Hash
}

// node returns the hash of a complete subtree.
func (r tileReader) node(ctx context.Context, n compact.NodeID) ([]byte, error) {
	level, above := n.Level/tileHeight, n.Level%tileHeight
	first := n.Index << above
	index := first / tileWidth
	width := min(tileWidth, r.size>>(tileHeight*level)-index*tileWidth)
	tile := Tile{Level: uint8(level), Index: index, Width: int(width)}
	hashes, ok := r.tiles[tile]
	if !ok {
		var err error
		if hashes, err = r.log.hashes(ctx, r.id, tile); err != nil {
			return nil, err
		}
		r.tiles[tile] = hashes
	}
	first %= tileWidth
	return fold(hashes[first : first+1<<above]), nil
}

// Text is the proof as a .tlog-proof, c2sp.org/tlog-proof@v1. Its extra data is
// the entry, which a verifier hashes: 0x00 and the entry are the leaf. Of a lost
// entry there is none; who has it, from a receipt, can still show that it is it.
func (p *Proof) Text() []byte {
	b := []byte("c2sp.org/tlog-proof@v1\n")
	if len(p.Entry) > 0 {
		b = append(base64.StdEncoding.AppendEncode(append(b, "extra "...), p.Entry), '\n')
	}
	b = fmt.Appendf(b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h), '\n')
	}
	return append(append(b, '\n'), p.Checkpoint...)
}
