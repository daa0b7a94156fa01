package announce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Dir is a directory that gets one file for each checkpoint, named for its
// log's origin (with "_" for "/") and size: "assent_default-42.checkpoint".
// Files appear whole and are never changed or removed.
type Dir struct{ path string }

// NewDir makes the directory where it is absent.
func NewDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, errors.New("announce: make the directory of checkpoints")
	}
	return &Dir{path}, nil
}

// Send writes a file durably. A crash before its rename leaves a file whose
// name begins with "." and ends in ".tmp", which the next Send replaces.
func (d *Dir) Send(_ context.Context, origin string, size uint64, checkpoint []byte) error {
	name := fmt.Sprintf("%s-%d.checkpoint", strings.ReplaceAll(origin, "/", "_"), size)
	tmp := filepath.Join(d.path, "."+name+".tmp")
	if err := writeSynced(tmp, checkpoint); err != nil {
		return errors.New("announce: write a checkpoint")
	}
	if err := os.Rename(tmp, filepath.Join(d.path, name)); err != nil {
		return errors.New("announce: move a checkpoint into place")
	}
	dir, err := os.Open(d.path)
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return errors.New("announce: sync the directory of checkpoints")
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
