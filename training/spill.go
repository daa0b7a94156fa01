package training

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

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
	s.grow()
	from := len(s.arena)
	s.arena = r.append(s.arena)
	s.at = append(s.at, span{keyOf(s.arena[from:]), uint32(from), uint32(len(s.arena))})
	if len(s.arena) < s.limit {
		return nil
	}
	return s.flush()
}

// grow makes room towards the limit, and no further: left to itself, the arena
// would be copied once more, to a fourth more than it may hold.
func (s *sorter) grow() {
	const record = 1 << 10 // most are shorter
	if room := cap(s.arena) - len(s.arena); room < record && cap(s.arena) < s.limit {
		s.arena = slices.Grow(s.arena, min(max(len(s.arena), 64<<10), s.limit+record-len(s.arena)))
	}
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
