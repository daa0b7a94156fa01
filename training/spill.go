package training

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

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

// runs are sorted records in sealed files, of any number of sorters. They need
// not outlive a crash: what makes them begins anew then.
type runs struct {
	files Files
	dir   string
	key   func() seal.Key

	mu sync.Mutex
	n  int
}

func (r *runs) name(i int) string { return fmt.Sprintf("%s/run-%05d", r.dir, i) }

func (r *runs) next() (*spool, error) {
	r.mu.Lock()
	i := r.n
	r.n++
	r.mu.Unlock()
	f, err := r.files.Scratch(r.name(i), r.key())
	return spoolOf(f), err
}

// A sorter orders any number of records by their first keyLen bytes in a
// bounded piece of memory: what does not fit goes into runs.
type sorter struct {
	runs  *runs
	limit int
	arena []byte
	at    []span
}

// span is a record in the arena, and the beginning of its key: few comparisons
// have to look into the arena, where nothing is in a cache.
type span struct {
	key      uint64
	from, to uint32
}

func keyOf(rec []byte) uint64 { return binary.BigEndian.Uint64(rec) }

func (s *sorter) add(r *record) error {
	from := len(s.arena)
	s.arena = r.append(s.arena)
	s.at = append(s.at, span{keyOf(s.arena[from:]), uint32(from), uint32(len(s.arena))})
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
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return bytes.Compare(s.arena[a.from:a.from+keyLen], s.arena[b.from:b.from+keyLen])
	})
	w, err := s.runs.next()
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
	s.arena, s.at = s.arena[:0], s.at[:0]
	return nil
}

// merge calls f with every record in order.
func (r *runs) merge(f func(rec []byte) error) error {
	h := make(reels, 0, r.n)
	defer func() {
		for _, r := range h {
			r.close()
		}
	}()
	for i := range r.n {
		in, err := openReel(r.files, r.name(i), r.key())
		if err != nil {
			return err
		}
		ok, err := in.next()
		if err != nil || !ok || len(in.rec) < keyLen {
			in.close()
			return cmp.Or(err, ErrDamaged)
		}
		h = append(h, in)
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	for len(h) > 0 {
		if err := f(h[0].rec); err != nil {
			return err
		}
		ok, err := h[0].next()
		switch {
		case err != nil:
			return err
		case ok && len(h[0].rec) < keyLen:
			return ErrDamaged
		case !ok:
			last := len(h) - 1
			h[0].close()
			h[0] = h[last]
			h = h[:last]
		}
		h.down(0)
	}
	return nil
}

// reels are a heap by the record in hand.
type reels []*reel

func (h reels) less(i, j int) bool {
	a, b := h[i].rec[:keyLen], h[j].rec[:keyLen]
	if x, y := keyOf(a), keyOf(b); x != y {
		return x < y
	}
	return bytes.Compare(a, b) < 0
}

// down moves a reel to where it belongs below.
func (h reels) down(i int) {
	for {
		least, child := i, 2*i+1
		for c := child; c < min(child+2, len(h)); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
