package sealedfile

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// A reading is a file being read.
type reading struct {
	name string
	key  func() seal.Key
	f    *os.File
	r    *bufio.Reader
	n    uint64
	box  []byte
	open []byte // room for what a box holds
	left []byte
	last bool
}

// Open implements training.Files.
func (d *Dir) Open(name string, key seal.Key) (io.ReadCloser, error) {
	const doing = "open a file"
	path, err := d.path(name)
	if err != nil {
		return nil, fail(doing, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(doing, err)
	}
	r := &reading{name: name, key: seal.Hold(key), f: f, r: bufio.NewReaderSize(f, chunkSize+seal.Overhead+4)}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r.r, head); err != nil || string(head) != magic {
		f.Close()
		return nil, damaged("its head")
	}
	return r, nil
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.last {
			return 0, io.EOF
		}
		if err := r.chunk(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *reading) chunk() error {
	var size [4]byte
	if _, err := io.ReadFull(r.r, size[:]); err != nil {
		return r.broken(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > chunkSize+seal.Overhead {
		return damaged("a chunk's length")
	}
	r.box = slices.Grow(r.box[:0], int(n))[:n]
	if _, err := io.ReadFull(r.r, r.box); err != nil {
		return r.broken(err)
	}
	_, err := r.r.Peek(1)
	if err != nil && err != io.EOF {
		return r.broken(err)
	}
	last := byte(0)
	if r.last = err == io.EOF; r.last {
		last = 1
	}
	if r.left, err = seal.AppendOpen(r.open[:0], r.key(), r.box, chunkAAD(r.name, r.n, last)); err != nil {
		return damaged("a chunk does not open")
	}
	r.open = r.left
	r.n++
	return nil
}

func (r *reading) broken(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return damaged("it ends too early")
	}
	return fail("read a file", err)
}

// Close implements io.Closer.
func (r *reading) Close() error { return r.f.Close() }
