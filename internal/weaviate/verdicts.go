package weaviate

import (
	"sync"

	"github.com/assent-gateway/assent/consent"
)

type bookKey struct {
	tenant  consent.TenantID
	purpose string
	def     consent.Jurisdiction
}

// maxBookLog bounds the changes that a book remembers; a reader further behind
// starts anew.
const maxBookLog = 1 << 16

// A book is a copy of everyone's verdicts for one key, with the changes since
// its generation began.
type book struct {
	mu         sync.Mutex
	cursor     consent.Cursor
	generation uint64
	unknown    consent.Verdict
	verdicts   map[consent.SubjectNum]consent.Verdict
	log        []consent.SubjectNum
}

// book returns the book of a key, brought up to the permit's newest state and
// locked.
func (x *Index) book(p consent.Permit, def consent.Jurisdiction) *book {
	k := bookKey{p.Tenant(), p.Purpose(), def}
	x.mu.Lock()
	b := x.books[k]
	if b == nil {
		b = &book{verdicts: map[consent.SubjectNum]consent.Verdict{}}
		x.books[k] = b
	}
	x.mu.Unlock()
	b.mu.Lock()
	b.sync(p, def)
	return b
}

func (b *book) sync(p consent.Permit, def consent.Jurisdiction) {
	anew := len(b.log) >= maxBookLog
	p.Sync(def, &b.cursor, func(unknown consent.Verdict) {
		anew = true
		b.unknown = unknown
		clear(b.verdicts)
	}, func(s consent.SubjectNum, v consent.Verdict) {
		if b.of(s) == v {
			return
		}
		b.verdicts[s] = v
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
