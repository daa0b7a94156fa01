package training

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
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
	if err != nil {
		return nil, err
	}
	return &spool{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
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
	c   io.Closer
	r   *bufio.Reader
	rec []byte // the record in hand; valid until the next
}

func openReel(files Files, name string, key seal.Key) (*reel, error) {
	f, err := files.Open(name, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it is missing", ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	return &reel{c: f, r: bufio.NewReaderSize(f, 64<<10)}, nil
}

// next reads a record; false at the end.
func (r *reel) next() (bool, error) {
	n, err := binary.ReadUvarint(r.r)
	switch {
	case err == io.EOF:
		return false, nil
	case err != nil:
		return false, err
	case n > maxRecord:
		return false, ErrDamaged
	}
	r.rec = slices.Grow(r.rec[:0], int(n))[:n]
	if _, err := io.ReadFull(r.r, r.rec); err != nil {
		if err == io.ErrUnexpectedEOF || err == io.EOF {
			err = ErrDamaged
		}
		return false, err
	}
	return true, nil
}

func (r *reel) close() { _ = r.c.Close() }

// A sorter orders any number of records by their first keyLen bytes in a
// bounded piece of memory: what does not fit goes into sealed runs.
type sorter struct {
	files Files
	dir   string
	key   func() seal.Key
	limit int

	arena []byte
	at    []span
	runs  int
}

type span struct{ from, to int }

func (s *sorter) add(append func([]byte) []byte) error {
	from := len(s.arena)
	s.arena = append(s.arena)
	s.at = slices.Grow(s.at, 1)[:len(s.at)+1]
	s.at[len(s.at)-1] = span{from, len(s.arena)}
	if len(s.arena) < s.limit {
		return nil
	}
	return s.flush()
}

func (s *sorter) flush() error {
	if len(s.at) == 0 {
		return nil
	}
	slices.SortFunc(s.at, func(a, b span) int {
		return bytes.Compare(s.arena[a.from:a.from+keyLen], s.arena[b.from:b.from+keyLen])
	})
	w, err := newSpool(s.files, s.run(s.runs), s.key())
	if err != nil {
		return err
	}
	defer w.f.Abort()
	for _, a := range s.at {
		if err := w.write(s.arena[a.from:a.to]); err != nil {
			return err
		}
	}
	if err := w.close(); err != nil {
		return err
	}
	s.runs++
	s.arena, s.at = s.arena[:0], s.at[:0]
	return nil
}

func (s *sorter) run(i int) string { return fmt.Sprintf("%s/run-%05d", s.dir, i) }

// merge calls f with every record in order. The sorter is of no use afterwards.
func (s *sorter) merge(f func(rec []byte) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.arena, s.at = nil, nil
	var h reels
	defer func() {
		for _, r := range h {
			r.close()
		}
	}()
	for i := range s.runs {
		r, err := openReel(s.files, s.run(i), s.key())
		if err != nil {
			return err
		}
		ok, err := r.next()
		if err != nil || !ok {
			r.close()
			return cmp.Or(err, ErrDamaged)
		}
		h = append(h, r)
	}
	heap.Init(&h)
	for len(h) > 0 {
		if err := f(h[0].rec); err != nil {
			return err
		}
		ok, err := h[0].next()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&h, 0)
		default:
			heap.Pop(&h).(*reel).close()
		}
	}
	return nil
}

// reels are a heap by the record in hand.
type reels []*reel

func (h reels) Len() int           { return len(h) }
func (h reels) Less(i, j int) bool { return bytes.Compare(h[i].rec[:keyLen], h[j].rec[:keyLen]) < 0 }
func (h reels) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *reels) Push(x any)        { *h = append(*h, x.(*reel)) }
func (h *reels) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
