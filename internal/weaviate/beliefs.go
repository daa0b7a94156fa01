package weaviate

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// A belief is the verdicts of one person that the properties outside reflect,
// as it is stored: eight bytes that name the rule, then per purpose eight bytes
// that name it and its verdict. The empty belief is under change.
type belief string

const nameLen = 8

func shortName(b []byte) string {
	sum := sha256.Sum256(b)
	return string(sum[:nameLen])
}

func ruleName(r consent.Rule) string { return shortName(ruleBytes(r)) }

// verdict returns what is believed for a purpose; false when a change is under
// way or it was another rule's. A purpose that was not there then permits nobody.
func (b belief) verdict(rule, purpose string) (consent.Verdict, bool) {
	if len(b) < nameLen || string(b[:nameLen]) != rule {
		return 0, false
	}
	for rest := b[nameLen:]; len(rest) > nameLen; rest = rest[nameLen+1:] {
		if string(rest[:nameLen]) == purpose {
			return consent.Verdict(rest[nameLen]), true
		}
	}
	return 0, true
}

// mind is what is believed of a tenant's people, as of a sequence number.
type mind struct {
	mu  sync.Mutex
	seq uint64
	of  map[retrieval.CollectionID]*believed
}

// believed is what is believed in one collection, with the changes since start.
type believed struct {
	people map[consent.SubjectNum]belief
	log    []consent.SubjectNum
}

// mind returns a tenant's mind, brought up to what is stored now, and locked.
func (x *Index) mind(ctx context.Context, t consent.TenantID) (*mind, error) {
	x.mu.Lock()
	m := x.minds[t]
	if m == nil {
		m = &mind{of: map[retrieval.CollectionID]*believed{}}
		x.minds[t] = m
	}
	x.mu.Unlock()
	// Read after the call began, never one already in flight.
	m.mu.Lock()
	changed, err := x.outside.Beliefs(ctx, t, m.seq)
	if err != nil {
		m.mu.Unlock()
		return nil, err
	}
	for _, b := range changed {
		in := m.in(b.Collection)
		if len(in.log) >= maxBookLog { // those who follow it start anew
			in = &believed{people: in.people}
			m.of[b.Collection] = in
		}
		in.people[b.Subject] = belief(b.Verdicts)
		in.log = append(in.log, b.Subject)
		m.seq = b.Seq
	}
	return m, nil
}

func (m *mind) in(c retrieval.CollectionID) *believed {
	in := m.of[c]
	if in == nil {
		in = &believed{people: map[consent.SubjectNum]belief{}}
		m.of[c] = in
	}
	return in
}
