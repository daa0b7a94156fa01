package embedded

import (
	"cmp"
	"slices"
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

// apply makes a change visible, all at once.
func (c *collection) apply(remove []retrieval.DocNum, add [][]retrieval.IndexPassage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		if len(add) == 0 {
			return nil
		}
		return errUnknown
	}
	var gone []uint32
	out := func(num retrieval.DocNum) {
		if ord, ok := c.byNum[num]; ok {
			delete(c.byNum, num)
			gone = append(gone, ord)
		}
	}
	for _, num := range remove {
		out(num)
	}
	for _, v := range add {
		out(v[0].Head.Ref.Doc)
	}
	c.remove(gone)
	c.add(add)
	return nil
}

// add stores versions that are not there.
func (c *collection) add(add [][]retrieval.IndexPassage) {
	var late []mention
	var fresh []uint32
	for _, v := range add {
		ord := c.addDocument(&v[0])
		fresh = append(fresh, ord)
		d := &c.docs[ord]
		for i := range v {
			p := c.put(ord, &v[i])
			d.passages = append(d.passages, p)
			terms := make([]uint32, len(v[i].Head.Terms))
			for j, t := range v[i].Head.Terms {
				terms[j] = c.terms.number(t.Hash)
				m := mention{terms[j], posting{p, t.Count}}
				if !c.terms.add(m) {
					late = append(late, m)
				}
			}
			c.slab.terms[p] = terms
		}
	}
	c.terms.merge(late)
	for _, m := range c.masks {
		m.expect(fresh, len(c.docs))
	}
}

func (c *collection) addDocument(p *retrieval.IndexPassage) uint32 {
	var ord uint32
	if n := len(c.freeDocs); n > 0 {
		ord, c.freeDocs = c.freeDocs[n-1], c.freeDocs[:n-1]
	} else {
		ord = uint32(len(c.docs))
		c.docs = append(c.docs, document{})
	}
	h := &p.Head
	d := &c.docs[ord]
	*d = document{
		num: h.Ref.Doc, id: h.DocID, personal: h.Personal, visibility: h.Visibility,
		owners: slices.Clone(p.Owners), mentions: slices.Clone(p.Mentions), retain: p.RetainUntil, values: h.Values,
	}
	c.byNum[d.num] = ord
	c.alive.set(ord)
	if d.retain != 0 {
		c.retained.set(ord)
	}
	insert(c.owned, d.owners, ord)
	insert(c.mentioned, d.mentions, ord)
	switch d.visibility.Level {
	case retrieval.TenantWide:
		c.everyone.set(ord)
	case retrieval.Listed:
		insert(c.users, d.visibility.Users, ord)
		insert(c.groups, d.visibility.Groups, ord)
	}
	return ord
}

// remove wipes documents from everything.
func (c *collection) remove(gone []uint32) {
	var mentions []mention
	var set bitset
	owners, mentioned := map[consent.SubjectNum]bool{}, map[consent.SubjectNum]bool{}
	users, groups := map[consent.Subject]bool{}, map[string]bool{}
	for _, ord := range gone {
		d := &c.docs[ord]
		set.set(ord)
		for _, p := range d.passages {
			for _, t := range c.slab.terms[p] {
				mentions = append(mentions, mention{t, posting{passage: p}})
			}
			c.wipe(p)
		}
		touch(owners, d.owners)
		touch(mentioned, d.mentions)
		touch(users, d.visibility.Users)
		touch(groups, d.visibility.Groups)
		clear(d.passages)
		clear(d.owners)
		clear(d.mentions)
		*d = document{}
		c.alive.unset(ord)
		c.everyone.unset(ord)
		c.retained.unset(ord)
		for _, m := range c.masks {
			m.permitted.unset(ord)
		}
		c.freeDocs = append(c.freeDocs, ord)
	}
	c.terms.remove(mentions)
	prune(c.owned, owners, set)
	prune(c.mentioned, mentioned, set)
	prune(c.users, users, set)
	prune(c.groups, groups, set)
}

// insert adds ord to the list of each key, once.
func insert[K comparable](lists map[K][]uint32, keys []K, ord uint32) {
	for _, k := range keys {
		if l := lists[k]; len(l) == 0 || l[len(l)-1] != ord {
			lists[k] = append(l, ord)
		}
	}
}

func touch[K comparable](set map[K]bool, keys []K) {
	for _, k := range keys {
		set[k] = true
	}
}

// prune takes the documents in gone out of the lists of keys.
func prune[K comparable](lists map[K][]uint32, keys map[K]bool, gone bitset) {
	for k := range keys {
		if l := slices.DeleteFunc(lists[k], gone.has); len(l) > 0 { // zeroes the tail
			lists[k] = l
		} else {
			delete(lists, k)
		}
	}
}

// versions checks passages to add and sorts them by version and number.
func (c *collection) versions(add []retrieval.IndexPassage) ([][]retrieval.IndexPassage, error) {
	add = slices.Clone(add)
	slices.SortStableFunc(add, func(a, b retrieval.IndexPassage) int {
		if d := cmp.Compare(a.Head.Ref.Doc, b.Head.Ref.Doc); d != 0 {
			return d
		}
		return cmp.Compare(a.Head.Ref.N, b.Head.Ref.N)
	})
	var out [][]retrieval.IndexPassage
	for i := range add {
		if !c.fits(&add[i]) {
			return nil, errChange
		}
		if i == 0 || add[i].Head.Ref.Doc != add[i-1].Head.Ref.Doc {
			out = append(out, add[i:i+1:i+1])
			continue
		}
		if !agree(&add[i-1], &add[i]) {
			return nil, errChange
		}
		last := &out[len(out)-1]
		*last = add[i-len(*last) : i+1 : i+1]
	}
	return out, nil
}

// fits reports whether a passage has the collection's shape.
func (c *collection) fits(p *retrieval.IndexPassage) bool {
	h := &p.Head
	ok := len(h.Codes.Code) == c.dimensions && bound(h.Codes.Scale) && bound(h.Codes.Residual) &&
		(p.Vector == nil || len(p.Vector) == c.dimensions && finite(p.Vector))
	for i, t := range h.Terms {
		ok = ok && t.Count > 0 && (i == 0 || t.Hash > h.Terms[i-1].Hash)
	}
	return ok
}

// agree reports whether two passages of a version say the same of it.
func agree(p, q *retrieval.IndexPassage) bool {
	a, b := &p.Head, &q.Head
	return a.Ref.N != b.Ref.N && a.DocID == b.DocID && a.Personal == b.Personal && p.RetainUntil == q.RetainUntil &&
		slices.Equal(p.Owners, q.Owners) && slices.Equal(p.Mentions, q.Mentions) &&
		a.Visibility.Level == b.Visibility.Level && slices.Equal(a.Visibility.Users, b.Visibility.Users) &&
		slices.Equal(a.Visibility.Groups, b.Visibility.Groups)
}

func bound(f float32) bool { return f >= 0 && f-f == 0 }

func finite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
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
