package verify

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// rest looks at the files of a mirror that a walk has no use for. Partial
// tiles and bundles of earlier checkpoints must be the beginning of what they
// grew into; files that the tree does not cover are counted.
func (m *Mirror) rest(ctx context.Context, t *tree) (uncovered int, err error) {
	err = fs.WalkDir(m.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read the mirror: %w", err)
		}
		if d.IsDir() || path == "checkpoint" {
			return nil
		}
		at, bundle, ok := parsePath(path)
		grown, covered := t.grown(at)
		switch {
		case !ok || !covered:
			uncovered++
			return nil
		case grown == at:
			return nil // the walk read it
		}
		return m.begins(ctx, t, at, grown, bundle)
	})
	return uncovered, err
}

// grown is the tile at this place in the tree; covered says that the tree has
// it, at least as wide.
func (t *tree) grown(at tile) (grown tile, covered bool) {
	if at.level >= len(t.edges) {
		return tile{}, false
	}
	grown = tile{at.level, at.n, tileWidth}
	if e := edge(at.level, t.size); at.n >= e.n {
		grown = e
	}
	return grown, grown.n == at.n && at.width <= grown.width
}

// begins compares a partial tile or bundle with the beginning of what it grew
// into.
func (m *Mirror) begins(ctx context.Context, t *tree, at, grown tile, bundle bool) error {
	path, limit := at.path(), tileWidth*hashSize
	if bundle {
		path, limit = at.bundle(), maxBundle
	}
	have, err := m.Read(ctx, path, limit)
	if err != nil {
		return err
	}
	if bundle {
		full, err := readTile(ctx, m, grown, true)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, at.firstOf(full, true)) {
			return refuse(ErrLeaf, "%s", path)
		}
		return nil
	}
	want, err := t.hashes(ctx, at.level, at.n)
	if err != nil {
		return err
	}
	got, err := parseTile(at, have)
	if err != nil {
		return err
	}
	for i := range got {
		if got[i] != want[i] {
			return refuse(ErrNode, "%s", path)
		}
	}
	return nil
}

// parsePath is the inverse of tile.path and tile.bundle.
func parsePath(path string) (t tile, bundle, ok bool) {
	rest, _ := strings.CutPrefix(path, "tile/")
	level, rest, _ := strings.Cut(rest, "/")
	if bundle = level == "entries"; !bundle {
		n, ok := parseDecimal(level)
		if !ok || n > 63 {
			return tile{}, false, false
		}
		t.level = int(n)
	}
	rest, width, partial := strings.Cut(rest, ".p/")
	t.width = tileWidth
	if partial {
		n, ok := parseDecimal(width)
		if !ok || n == 0 || n >= tileWidth {
			return tile{}, false, false
		}
		t.width = int(n)
	}
	digits := strings.ReplaceAll(strings.ReplaceAll(rest, "x", ""), "/", "")
	n, err := strconv.ParseUint(digits, 10, 63)
	t.n = n
	return t, bundle, err == nil && (path == t.path() || bundle && path == t.bundle())
}
