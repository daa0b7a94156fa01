package training

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// maxRecord bounds a record: a passage of the longest text with the most people.
const maxRecord = 32 << 20

// A spool writes length-prefixed records to a sealed file.
type spool struct {
	f   File
	w   *bufio.Writer
	len [binary.MaxVarintLen64]byte
}

func newSpool(files Files, name string, key seal.Key) (*spool, error) {
	f, err := files.Create(name, key)
	return spoolOf(f), err
}

func spoolOf(f File) *spool {
	if f == nil {
		return nil
	}
	return &spool{f: f, w: bufio.NewWriterSize(f, 64<<10)}
}

func (s *spool) write(rec []byte) error {
	if _, err := s.w.Write(s.len[:binary.PutUvarint(s.len[:], uint64(len(rec)))]); err != nil {
		return err
	}
	_, err := s.w.Write(rec)
	return err
}

func (s *spool) close() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	return s.f.Commit()
}

// A reel reads what a spool wrote.
type reel struct {
	c    io.Closer
	r    *bufio.Reader
	rec  []byte // the record in hand; valid until the next
	pass int    // bytes of it that the reader still holds
	own  []byte // room for a record that the reader cannot hold
}

const reelBuffer = 64 << 10

func openReel(files Files, name string, key seal.Key) (*reel, error) {
	f, err := files.Open(name, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it is missing", ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	return &reel{c: f, r: bufio.NewReaderSize(f, reelBuffer)}, nil
}

// next reads a record; false at the end.
func (r *reel) next() (bool, error) {
	if r.pass > 0 {
		if _, err := r.r.Discard(r.pass); err != nil {
			return false, err
		}
		r.pass = 0
	}
	n, err := binary.ReadUvarint(r.r)
	switch {
	case err == io.EOF:
		return false, nil
	case err != nil:
		return false, err
	case n > maxRecord:
		return false, ErrDamaged
	case n <= reelBuffer: // where it lies
		if r.rec, err = r.r.Peek(int(n)); err == nil {
			r.pass = int(n)
		}
	default:
		r.own = slices.Grow(r.own[:0], int(n))[:n]
		r.rec = r.own
		_, err = io.ReadFull(r.r, r.rec)
	}
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = ErrDamaged
	}
	return err == nil, err
}

func (r *reel) close() { _ = r.c.Close() }
