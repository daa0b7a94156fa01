package translog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/assent-gateway/assent/consent"
)

// A Tile names a tile of hashes or a bundle of entries.
type Tile struct {
	Entries bool  // then Level is 0
	Level   uint8 // 0 to 63
	Index   uint64
	Width   int // 1 to 256; less than 256 is a partial tile
}

// ParseTile reads what stands behind "/tile/" in a path of tlog-tiles. The
// form is exact: there is one path for every tile.
func ParseTile(path string) (Tile, bool) {
	t := Tile{Width: tileWidth}
	level, rest, ok := strings.Cut(path, "/")
	if !ok {
		return t, false
	}
	if level == "entries" {
		t.Entries = true
	} else {
		n, ok := decimal(level, 63)
		if !ok {
			return t, false
		}
		t.Level = uint8(n)
	}
	if index, width, partial := strings.Cut(rest, ".p/"); partial {
		n, ok := decimal(width, tileWidth-1)
		if !ok || n == 0 {
			return t, false
		}
		t.Width, rest = int(n), index
	}
	t.Index, ok = parseIndex(rest)
	return t, ok
}

// decimal reads an integer without leading zeros.
func decimal(s string, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= most && strconv.FormatUint(n, 10) == s
}

// parseIndex reads groups of three digits, all but the last behind an "x".
func parseIndex(s string) (uint64, bool) {
	var n uint64
	parts := strings.Split(s, "/")
	for i, p := range parts {
		if i < len(parts)-1 {
			if !strings.HasPrefix(p, "x") {
				return 0, false
			}
			p = p[1:]
		}
		d, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(p) != 3 || p[0] == '+' || n > math.MaxInt64/1000-1 {
			return 0, false
		}
		if n = n*1000 + d; n == 0 && i < len(parts)-1 {
			return 0, false // a group of zeros in front
		}
	}
	return n, true
}

// within reports whether a tree of a size has the tile.
func (t Tile) within(size uint64) bool {
	if shift := tileHeight * uint(t.Level); shift < 64 {
		have := size >> shift
		return t.Index <= have/tileWidth && t.Index*tileWidth+uint64(t.Width) <= have
	}
	return false
}

// Tile returns a tile or bundle of the tree that the newest checkpoint is for;
// ErrNotFound when that has none such. Its bytes never change.
func (l *Log) Tile(ctx context.Context, id consent.TenantID, tile Tile) ([]byte, error) {
	c, err := l.Checkpoint(ctx, id)
	if err != nil && !errors.Is(err, ErrPending) {
		return nil, err
	}
	if !tile.within(c.Size) {
		return nil, ErrNotFound
	}
	if tile.Entries {
		return l.bundle(ctx, id, tile)
	}
	hashes, err := l.hashes(ctx, id, tile)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(hashes)*len(Hash{}))
	for i := range hashes {
		out = append(out, hashes[i][:]...)
	}
	return out, nil
}

// hashes reads a tile that the tree has.
func (l *Log) hashes(ctx context.Context, id consent.TenantID, tile Tile) ([]Hash, error) {
	hashes, err := l.store.LogHashes(ctx, id, tile.Level, tile.Index*tileWidth, tile.Width)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(hashes) != tile.Width {
		return nil, fmt.Errorf("%w: a node of the tree is missing", consent.ErrTampered)
	}
	return hashes, nil
}

// bundle is entries with their length, 16 bits big-endian, in front of each; of
// a lost entry no bytes. An entry that is not that of its leaf is not given out.
func (l *Log) bundle(ctx context.Context, id consent.TenantID, tile Tile) ([]byte, error) {
	rows, err := l.store.LogEntries(ctx, id, consent.Position(tile.Index*tileWidth), tile.Width)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(rows) != tile.Width {
		return nil, fmt.Errorf("%w: an entry is missing", consent.ErrTampered)
	}
	var out []byte
	for i := range rows {
		at := len(out)
		out = rows[i].AppendEntry(append(out, 0, 0))
		n := len(out) - at - 2
		if rows[i].Kind != consent.KindLost && Hash(rfc6962.DefaultHasher.HashLeaf(out[at+2:])) != rows[i].Leaf {
			return nil, consent.ErrTampered
		}
		if n > math.MaxUint16 {
			return nil, fmt.Errorf("%w: an entry is larger than any that was made", consent.ErrTampered)
		}
		binary.BigEndian.PutUint16(out[at:], uint16(n))
	}
	return out, nil
}
