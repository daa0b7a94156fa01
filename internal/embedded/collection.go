package embedded

import (
	"cmp"
	"strings"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// A document is one version. Its zero value is a free slot.
type document struct {
	num              retrieval.DocNum
	id               string
	personal         bool
	visibility       retrieval.Visibility
	owners, mentions []consent.SubjectNum
	retain           consent.Time
	values           map[string]retrieval.Value
	passages         []uint32 // ordinals, ascending by number in the version
}

// A collection is what the index knows of one collection. mu guards all but
// the masks' insides.
type collection struct {
	slab
	dot kernel

	mu        sync.RWMutex
	dropped   bool
	canary    retrieval.DocNum // 0: none
	docs      []document
	freeDocs  []uint32
	byNum     map[retrieval.DocNum]uint32
	alive     bitset
	everyone  bitset // visible to the whole tenant
	retained  bitset // documents with an end
	owned     map[consent.SubjectNum][]uint32
	mentioned map[consent.SubjectNum][]uint32
	users     map[consent.Subject][]uint32 // of listed documents
	groups    map[string][]uint32          // of listed documents
	terms     dictionary

	masksMu sync.Mutex // guards the map for searches, which hold mu for reading
	masks   map[maskKey]*mask

	scratch sync.Pool // *scratch
}

func newCollection(dimensions int, b *budget) *collection {
	c := &collection{slab: newSlab(dimensions, b), dot: pickKernel()}
	c.reset()
	c.scratch.New = func() any { return new(scratch) }
	return c
}

func (c *collection) reset() {
	c.docs, c.freeDocs = nil, nil
	c.alive, c.everyone, c.retained = nil, nil, nil
	c.byNum = map[retrieval.DocNum]uint32{}
	c.owned = map[consent.SubjectNum][]uint32{}
	c.mentioned = map[consent.SubjectNum][]uint32{}
	c.users = map[consent.Subject][]uint32{}
	c.groups = map[string][]uint32{}
	c.terms = dictionary{ord: map[uint64]uint32{}}
	c.masks = map[maskKey]*mask{}
}

// drop empties the collection for good; searches that hold it find nothing.
func (c *collection) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	for ord := range c.passages {
		c.forget(uint32(ord))
		clear(c.slab.terms[ord])
	}
	for _, b := range c.blocks {
		clear(b)
	}
	for _, list := range c.terms.postings {
		clear(list)
	}
	// Not the whole slab: its dimensions are read without a lock.
	c.blocks, c.passages, c.slab.terms, c.vectors, c.slab.free = nil, nil, nil, nil, nil
	c.reset()
}

// less orders passages with equal scores: by document id bytewise, then number.
func (c *collection) less(a, b uint32) int {
	p, q := &c.passages[a], &c.passages[b]
	if d := strings.Compare(c.docs[p.doc].id, c.docs[q.doc].id); d != 0 {
		return d
	}
	if d := cmp.Compare(p.n, q.n); d != 0 {
		return d
	}
	return cmp.Compare(c.docs[p.doc].num, c.docs[q.doc].num)
}

func (c *collection) ref(ord uint32) retrieval.PassageRef {
	p := &c.passages[ord]
	return retrieval.PassageRef{Doc: c.docs[p.doc].num, N: p.n}
}
