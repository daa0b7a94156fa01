package sealedfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/assent-gateway/assent/training"
)

// A Dir is a directory of sealed files. Its methods are safe for concurrent
// use on different names.
type Dir struct {
	root   string
	holder string
	fault  func(op string) error
}

var _ training.Files = (*Dir)(nil)

const holderFile = "holder"

// Open opens or makes a directory. fault, when not nil, is called before
// durable steps ("file.write", "file.sync", "file.rename"); an error there
// fails the step. It is for tests.
func Open(root string, fault func(op string) error) (*Dir, error) {
	if fault == nil {
		fault = func(string) error { return nil }
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fail("make the directory of manifests", err)
	}
	d := &Dir{root: root, fault: fault}
	path := filepath.Join(root, holderFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var id [12]byte
		rand.Read(id[:])
		b = []byte(hex.EncodeToString(id[:]))
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			return nil, fail("name the directory of manifests", err)
		}
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return nil, fail("name the directory of manifests", err)
	}
	d.holder = string(b)
	return d, nil
}

// Holder implements training.Files.
func (d *Dir) Holder() string { return d.holder }

// path is where a name rests. Names come from the domain and hold nothing of a
// request but what it checked; one that would lead elsewhere is absent.
func (d *Dir) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || name == holderFile {
		return "", fs.ErrNotExist
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// Remove implements training.Files.
func (d *Dir) Remove(name string) error {
	path, err := d.path(name)
	if err != nil {
		return nil
	}
	return fail("remove files of a manifest", os.RemoveAll(path))
}

// A failure is an error of the file system without its text, which holds names.
type failure struct {
	doing string
	kind  error
}

func (f *failure) Error() string { return "sealedfile: " + f.doing + ": " + f.kind.Error() }
func (f *failure) Unwrap() error { return f.kind }

// ErrDisk: the file system failed.
var ErrDisk = errors.New("the file system failed")

func fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	kind := ErrDisk
	switch {
	case errors.Is(err, training.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = training.ErrFull
	case errors.Is(err, fs.ErrNotExist):
		kind = fs.ErrNotExist
	}
	return &failure{doing, kind}
}

func damaged(why string) error {
	return fmt.Errorf("%w: %s", training.ErrDamaged, strings.TrimSpace(why))
}
