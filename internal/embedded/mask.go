package embedded

import (
	"sync"

	"github.com/assent-gateway/assent/consent"
)

// verdicts is what the index asks of a consent.Permit.
type verdicts interface {
	Tenant() consent.TenantID
	Purpose() string
	Now() consent.Time
	Sync(def consent.Jurisdiction, c *consent.Cursor, reset func(consent.Verdict), visit func(consent.SubjectNum, consent.Verdict))
}

// Limits of what is remembered; beyond them the least recently used goes.
const (
	maxMasks   = 32 // of a collection
	maxBooks   = 64
	maxBookLog = 1 << 16
)

type bookKey struct {
	tenant  consent.TenantID
	purpose string
	def     consent.Jurisdiction
}

// A book is a copy of everyone's verdicts for one key, shared by all
// collections, with a log of the changes since its generation began.
type book struct {
	used uint64 // guarded by Index.mu

	mu         sync.Mutex
	cursor     consent.Cursor
	generation uint64
	unknown    consent.Verdict
	verdicts   map[consent.SubjectNum]consent.Verdict
	log        []consent.SubjectNum
}

// book returns the book of a key. An evicted book may still be in use; the
// masks that used it then start anew from another.
func (x *Index) book(k bookKey) *book {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.books[k]
	if b == nil {
		if len(x.books) >= maxBooks {
			evict(x.books, func(b *book) uint64 { return b.used })
		}
		b = &book{verdicts: map[consent.SubjectNum]consent.Verdict{}}
		x.books[k] = b
	}
	b.used = x.ticks.Add(1)
	return b
}

// evict removes the entry that was used least recently.
func evict[K comparable, V any](m map[K]V, used func(V) uint64) {
	var oldest K
	least := ^uint64(0)
	for k, v := range m {
		if u := used(v); u < least {
			oldest, least = k, u
		}
	}
	delete(m, oldest)
}

// sync brings the book up to the permit's newest state. The caller holds mu.
func (b *book) sync(v verdicts, def consent.Jurisdiction) {
	anew := len(b.log) >= maxBookLog // readers that lag start anew
	v.Sync(def, &b.cursor, func(unknown consent.Verdict) {
		anew = true
		b.unknown = unknown
		clear(b.verdicts)
	}, func(s consent.SubjectNum, now consent.Verdict) {
		if b.of(s) == now {
			return
		}
		if now == b.unknown {
			delete(b.verdicts, s)
		} else {
			b.verdicts[s] = now
		}
		b.log = append(b.log, s)
	})
	if anew {
		b.generation++
		b.log = b.log[:0]
	}
}

func (b *book) of(s consent.SubjectNum) consent.Verdict {
	if v, ok := b.verdicts[s]; ok {
		return v
	}
	return b.unknown
}

func (b *book) all(people []consent.SubjectNum, dst []consent.Verdict) []consent.Verdict {
	for _, s := range people {
		dst = append(dst, b.of(s))
	}
	return dst
}

type maskKey struct {
	tenant  consent.TenantID
	purpose string
	rule    consent.Rule
}

// A mask is the set of a collection's documents that one purpose and rule
// permit, as of the last search that used it. Its own mu guards it, held
// inside the collection's read lock; the collection's write lock does as well.
type mask struct {
	used uint64 // guarded by collection.masksMu

	mu         sync.Mutex
	permitted  bitset
	from       *book // whose verdicts it holds; nil: of none
	generation uint64
	seen       int      // of from.log
	fresh      []uint32 // documents added since
}

// mask returns the mask of a key. The caller holds c.mu for reading, so that
// no change can miss a mask in use.
func (c *collection) mask(k maskKey, tick uint64) *mask {
	c.masksMu.Lock()
	defer c.masksMu.Unlock()
	m := c.masks[k]
	if m == nil {
		if len(c.masks) >= maxMasks {
			evict(c.masks, func(m *mask) uint64 { return m.used })
		}
		m = &mask{}
		c.masks[k] = m
	}
	m.used = tick
	return m
}

// expect tells a mask of added documents, which are not permitted until a
// search judged them. The caller holds the collection's write lock.
func (m *mask) expect(fresh []uint32, docs int) {
	if m.fresh = append(m.fresh, fresh...); len(m.fresh) > docs {
		m.fresh, m.from = nil, nil
	}
}

// permitted leaves in set what purpose and rule permit now.
func (x *Index) permitted(c *collection, v verdicts, r consent.Rule, set bitset) {
	b := x.book(bookKey{v.Tenant(), v.Purpose(), r.Default})
	m := c.mask(maskKey{v.Tenant(), v.Purpose(), r}, x.ticks.Add(1))
	m.mu.Lock()
	defer m.mu.Unlock()
	b.mu.Lock()
	b.sync(v, r.Default)
	m.follow(c, b, r)
	b.mu.Unlock()
	set.and(m.permitted)
}

// follow brings a mask up to its book: only documents of people whose verdict
// changed, and new documents, are judged. The caller holds both locks.
func (m *mask) follow(c *collection, b *book, r consent.Rule) {
	var owners, mentions []consent.Verdict
	judge := func(ord uint32) {
		d := &c.docs[ord]
		owners, mentions = b.all(d.owners, owners[:0]), b.all(d.mentions, mentions[:0])
		if c.alive.has(ord) && (!d.personal || r.Permits(owners, mentions)) {
			m.permitted.set(ord)
		} else {
			m.permitted.unset(ord)
		}
	}
	if m.from != b || m.generation != b.generation {
		m.permitted = m.permitted.empty(len(c.alive))
		c.alive.each(judge)
	} else {
		for _, s := range b.log[m.seen:] {
			for _, ord := range c.owned[s] {
				judge(ord)
			}
			for _, ord := range c.mentioned[s] {
				judge(ord)
			}
		}
		for _, ord := range m.fresh {
			judge(ord)
		}
	}
	m.from, m.generation, m.seen, m.fresh = b, b.generation, len(b.log), m.fresh[:0]
}
