package vault

import (
	"bytes"
	"errors"
	"math"
	"sync"
)

// What is known of a slot. A slot is given out only when it is free, and
// becomes free only when its zeros are known to be durable.
const (
	free     byte = iota // durably empty
	reserved             // given to a Put that has not ended
	used                 // holds a key, or what a crash left of one
	limbo                // a Put or Destroy of it failed: content unknown until wiped
)

// space is the map of all slots. Its lock is held for memory only, never
// during I/O or cryptography.
type space struct {
	mu    sync.Mutex
	state []byte // by slot number
	free  int
	used  int
	low   int // no slot below it is free
}

const (
	growth  = 4096 // slots; half a megabyte of zeros at a time
	maxRuns = 64   // how many free runs are looked at for one that is long enough
)

var errFull = errors.New("vault: no slot numbers left")

// reserve takes n slots in ascending order: one run where there is one (among
// the first maxRuns, so that a fragmented vault costs no long search), else the
// lowest free ones, else new ones at the end.
func (s *space) reserve(n int) ([]uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := bytes.IndexByte(s.state[s.low:], free); next >= 0 {
		s.low += next
	} else {
		s.low = len(s.state)
	}
	from, ok := s.run(n)
	if !ok && s.free < n {
		from = len(s.state)
		for from > 0 && s.state[from-1] == free {
			from--
		}
		grown := (from + n + growth - 1) / growth * growth
		if int64(grown) > math.MaxUint32 {
			return nil, errFull
		}
		s.free += grown - len(s.state)
		s.state = append(s.state, make([]byte, grown-len(s.state))...)
	} else if !ok {
		from = s.low
	}
	out := make([]uint32, 0, n)
	for i := from; len(out) < n; i++ {
		i += bytes.IndexByte(s.state[i:], free) // there are n from here on
		s.state[i] = reserved
		out = append(out, uint32(i))
	}
	s.free -= n
	if from == s.low { // every free slot from there to the last one is taken
		s.low = int(out[n-1]) + 1
	}
	return out, nil
}

// run finds n free slots in a row.
func (s *space) run(n int) (from int, ok bool) {
	at := s.low
	for range maxRuns {
		next := bytes.IndexByte(s.state[at:], free)
		if next < 0 {
			return 0, false
		}
		from = at + next
		for at = from; at < len(s.state) && s.state[at] == free; at++ {
			if at-from+1 == n {
				return from, true
			}
		}
	}
	return 0, false
}

// settle records how a batch ended: the slots it put, and those it wiped.
func (s *space) settle(put, wiped []uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range put {
		if err != nil {
			s.state[n] = limbo
			continue
		}
		s.state[n] = used
		s.used++
	}
	for _, n := range wiped {
		// Zeros over a free or reserved slot change nothing that is known.
		if s.state[n] != used && s.state[n] != limbo {
			continue
		}
		if s.state[n] == used {
			s.used--
		}
		if err != nil {
			s.state[n] = limbo
			continue
		}
		s.state[n] = free
		s.free++
		s.low = min(s.low, int(n))
	}
}

// adopt takes a slot out of limbo that turned out to hold a key that is named.
func (s *space) adopt(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state[n] == limbo {
		s.state[n] = used
		s.used++
	}
}

func (s *space) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.state)
}

func (s *space) at(n int) byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state[n]
}

func (s *space) counts() (inUse, unused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.free
}
