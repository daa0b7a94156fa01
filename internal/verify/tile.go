package verify

import (
	"encoding/binary"
	"fmt"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	hashSize   = len(Hash{})
	maxBundle  = tileWidth * (2 + maxEntry)
)

// A tile names a tile of c2sp.org/tlog-tiles: at a level, the n-th, of a width
// of 1 to 256 hashes. The bundle of the same n and width as a tile of level 0
// holds its entries.
type tile struct {
	level int
	n     uint64
	width int
}

func (t tile) path() string   { return fmt.Sprintf("tile/%d/%s", t.level, t.suffix()) }
func (t tile) bundle() string { return "tile/entries/" + t.suffix() }

// suffix is <N>[.p/<W>]: three digits an element, all but the last behind x.
func (t tile) suffix() string {
	s := fmt.Sprintf("%03d", t.n%1000)
	for n := t.n / 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if t.width < tileWidth {
		s += fmt.Sprintf(".p/%d", t.width)
	}
	return s
}

func (t tile) full() tile { return tile{t.level, t.n, tileWidth} }

// edge is the partial tile at a level of a tree of that size; its width may
// be 0, then there is none.
func edge(level int, size uint64) tile {
	nodes := size >> (tileHeight * level)
	return tile{level, nodes >> tileHeight, int(nodes % tileWidth)}
}

// parseTile reads a tile's hashes.
func parseTile(t tile, b []byte) ([]Hash, error) {
	switch want := t.width * hashSize; {
	case len(b) < want:
		return nil, refuse(ErrTruncated, "%s", t.path())
	case len(b) > want:
		return nil, refuse(ErrTrailing, "%s", t.path())
	}
	out := make([]Hash, t.width)
	for i := range out {
		out[i] = Hash(b[i*hashSize:])
	}
	return out, nil
}

// parseBundle reads a bundle's entries, each behind its length in two bytes.
// They share b.
func parseBundle(t tile, b []byte) ([][]byte, error) {
	out := make([][]byte, 0, t.width)
	for range t.width {
		if len(b) < 2 {
			return nil, refuse(ErrTruncated, "%s", t.bundle())
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			return nil, refuse(ErrTruncated, "%s", t.bundle())
		}
		out = append(out, b[:n])
		b = b[n:]
	}
	if len(b) > 0 {
		return nil, refuse(ErrTrailing, "%s", t.bundle())
	}
	return out, nil
}

// firstOf is the beginning of a full tile or bundle that a partial one is.
func (t tile) firstOf(full []byte, bundle bool) []byte {
	if !bundle {
		return full[:min(len(full), t.width*hashSize)]
	}
	end := 0
	for range t.width {
		if len(full)-end < 2 {
			return full
		}
		end += 2 + int(binary.BigEndian.Uint16(full[end:]))
		if end > len(full) {
			return full
		}
	}
	return full[:end]
}
