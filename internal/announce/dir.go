package announce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Dir is a directory that gets one file for each checkpoint, named for its
// log's origin (with "_" for "/") and size: "assent_default-42.checkpoint".
// Files appear whole and are never changed or removed: a checkpoint of a size
// that another one was dropped for is a fork of the log, and gets a name of its
// own beside it.
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
	if err := d.place(tmp, name, checkpoint); err != nil {
		return err
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

// ErrForked: a checkpoint of the same size and another content was dropped
// before. Vault and data may have been put back together from an older day.
var ErrForked = errors.New("announce: another checkpoint of this size was dropped before: the log is forked; both are kept")

// place gives the file tmp its name, unless a file has it: one with the same
// content is the same checkpoint, sent again.
func (d *Dir) place(tmp, name string, checkpoint []byte) error {
	path := filepath.Join(d.path, name)
	err := os.Link(tmp, path)
	if err == nil {
		err = os.Remove(tmp)
	} else if there, readErr := os.ReadFile(path); readErr == nil && bytes.Equal(there, checkpoint) {
		err = os.Remove(tmp)
	} else if readErr == nil {
		sum := sha256.Sum256(checkpoint)
		fork := fmt.Sprintf("%s.fork-%x", path, sum[:8])
		return errors.Join(ErrForked, os.Rename(tmp, fork))
	} else {
		err = os.Rename(tmp, path) // a file system without links, or what is there cannot be read
	}
	if err != nil {
		return errors.New("announce: move a checkpoint into place")
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
