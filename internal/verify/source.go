package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A Source is where a log's files are, under the paths of tlog-tiles:
// "checkpoint", "tile/…". It is not trusted with anything.
type Source interface {
	// Read returns the whole of a file; more than limit bytes are ErrTrailing,
	// a file that is not there is ErrMissing. It may be called from many
	// goroutines.
	Read(ctx context.Context, path string, limit int) ([]byte, error)
}

// A Mirror is a directory with a copy of a log.
type Mirror struct{ root *os.Root }

// OpenMirror opens a directory; nothing outside it will be read, whatever
// symbolic links it holds.
func OpenMirror(dir string) (*Mirror, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	return &Mirror{root}, nil
}

// Close lets go of the directory.
func (m *Mirror) Close() error { return m.root.Close() }

// Read reads a file of the mirror.
func (m *Mirror) Read(ctx context.Context, path string, limit int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Without waiting: what is no file, such as a pipe that nobody writes to,
	// must not hold the walk up.
	f, err := m.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(ErrMissing, "%s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, refuse(ErrMalformed, "%s is not a file", path)
	}
	return readAll(f, path, limit)
}

func readAll(r io.Reader, path string, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > limit {
		return nil, refuse(ErrTrailing, "%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

// readTile reads a tile, or a bundle. A log may drop a partial one when the
// full one exists: then that one's beginning is it.
func readTile(ctx context.Context, src Source, t tile, bundle bool) ([]byte, error) {
	path, limit := tile.path, tileWidth*hashSize
	if bundle {
		path, limit = tile.bundle, maxBundle
	}
	b, err := src.Read(ctx, path(t), limit)
	if t.width < tileWidth && errors.Is(err, ErrMissing) {
		full, fullErr := src.Read(ctx, path(t.full()), limit)
		if errors.Is(fullErr, ErrMissing) {
			return nil, err
		}
		return t.firstOf(full, bundle), fullErr
	}
	return b, err
}

func readHashes(ctx context.Context, src Source, t tile) ([]Hash, error) {
	b, err := readTile(ctx, src, t, false)
	if err != nil {
		return nil, err
	}
	return parseTile(t, b)
}
