package sealedfile

import (
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/training"
)

const (
	magic     = "assent sealed file 1\n"
	chunkSize = 64 << 10
)

// chunkAAD binds a chunk to its place.
func chunkAAD(name string, n uint64, last byte) []byte {
	b := append([]byte("assent sealed file\x00"), name...)
	b = binary.BigEndian.AppendUint64(append(b, 0), n)
	return append(b, last)
}

// A file is being written.
type file struct {
	d    *Dir
	name string
	path string
	key  func() seal.Key
	f    *os.File // nil once it is closed
	n    uint64
	buf  []byte
	box  []byte
	err  error
	once bool // it need not outlive a crash
}

// Create implements training.Files.
func (d *Dir) Create(name string, key seal.Key) (training.File, error) {
	return d.create(name, key, false)
}

// Scratch implements training.Files: nothing of it is synced.
func (d *Dir) Scratch(name string, key seal.Key) (training.File, error) {
	return d.create(name, key, true)
}

func (d *Dir) create(name string, key seal.Key, once bool) (training.File, error) {
	const doing = "create a file"
	path, err := d.path(name)
	if err != nil {
		return nil, fail(doing, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fail(doing, err)
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fail(doing, err)
	}
	w := &file{d: d, name: name, path: path, key: seal.Hold(key), f: f, buf: make([]byte, 0, chunkSize), once: once}
	if err := w.put([]byte(magic)); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

func (w *file) put(b []byte) error {
	err := w.d.fault("file.write")
	if err == nil {
		_, err = w.f.Write(b)
	}
	return fail("write a file", err)
}

// Write implements io.Writer. After an error nothing more is written.
func (w *file) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if w.err != nil {
			return 0, w.err
		}
		if len(w.buf) == chunkSize { // only now is it known not to be the last
			w.err = w.chunk(0)
			continue
		}
		n := min(len(p), chunkSize-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
	}
	return total, nil
}

func (w *file) chunk(last byte) error {
	w.box = append(w.box[:0], 0, 0, 0, 0)
	w.box = seal.AppendSeal(w.box, w.key(), w.buf, chunkAAD(w.name, w.n, last))
	binary.BigEndian.PutUint32(w.box, uint32(len(w.box)-4))
	w.n++
	w.buf = w.buf[:0]
	return w.put(w.box)
}

// Commit implements training.File.
func (w *file) Commit() error {
	const doing = "finish a file"
	if w.err == nil {
		w.err = w.chunk(1)
	}
	if w.err != nil {
		return w.err
	}
	var err error
	if !w.once {
		if err = w.d.fault("file.sync"); err == nil {
			err = w.f.Sync()
		}
	}
	if closed := w.f.Close(); err == nil {
		err = closed
	}
	w.f = nil
	if err == nil {
		err = w.d.fault("file.rename")
	}
	if err == nil {
		err = os.Rename(w.path+".new", w.path)
	}
	if err == nil && !w.once {
		err = syncDir(filepath.Dir(w.path))
	}
	if err != nil {
		os.Remove(w.path + ".new")
	}
	return fail(doing, err)
}

// Abort implements training.File.
func (w *file) Abort() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
		os.Remove(w.path + ".new")
	}
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
