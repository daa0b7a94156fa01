package gateway_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// The same history, drawn at random, on one gateway over a directory and on two
// that share a Postgres: every answer is the same, scores and positions
// included.
func TestDirectoryAndPostgresAnswerTheSame(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h, _ := newTwins(t, seed, nil)
			h.modes = []retrieval.Mode{retrieval.ModeDefault, retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid}
			h.run(400)
		})
	}
}

// The same with two gateways on a Postgres and a Weaviate, by vectors, which
// both indexes rank alike; an applier of either does a round now and then.
func TestDirectoryAndWeaviateAnswerTheSame(t *testing.T) {
	o := onWeaviate(t)
	o.Idle = true // the clock jumps: a lease would not hold
	h, rng := newTwins(t, 1, o)
	h.modes = []retrieval.Mode{retrieval.ModeVector}
	h.between = func() {
		if rng.IntN(6) == 0 {
			must(t, pick(h, h.many...).ApplyVerdicts(t.Context(), gateway.DefaultTenant))
		}
	}
	h.run(800)
}

func newTwins(t *testing.T, seed uint64, o *weaviate.Options) (*twins, *rand.Rand) {
	t.Helper()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	c := newCluster(t, server(t))
	rng := rand.New(rand.NewPCG(seed, 77))
	h := &twins{t: t, rng: rng, clock: &clock, cluster: c, between: func() {}, one: openGateway(t, gateway.Config{Now: now, AdminKey: adminKey})}
	for range 2 {
		h.many = append(h.many, c.open(gateway.Config{Now: now, Deaf: true, Weaviate: o}))
	}
	return h, rng
}

// run does so many things, until two answers differ.
func (h *twins) run(steps int) {
	h.t.Helper()
	everyone := []string{"p0", "p1", "p2", "p3", "p4", "p5"}
	for _, g := range []*gateway.Gateway{h.one, h.many[0]} {
		say(h.t, g, consent.Granted, everyone, rag, emb)
		for n := range 3 {
			makeCollection(h.t, g, fmt.Sprint("c", n), retrieval.Spec{})
		}
	}
	for range steps {
		h.between()
		h.step()
		if h.t.Failed() {
			break
		}
	}
	h.t.Logf("%d operations, %d answers with hits", h.steps, h.hits)
	if h.hits < 30 {
		h.t.Error("hardly any search found anything: the history says little")
	}
	h.cluster.wantWholeJournal(h.t, h.many[0])
}

// twins do the same with one gateway and with many.
type twins struct {
	t     *testing.T
	rng   *rand.Rand
	clock *atomic.Int64
	one   *gateway.Gateway
	many  []*gateway.Gateway
	steps int
	hits  int

	cluster *cluster // of the many
	modes   []retrieval.Mode
	between func() // two steps
}

func pick[T any](h *twins, from ...T) T { return from[h.rng.IntN(len(from))] }

func (h *twins) person() string     { return fmt.Sprint("p", h.rng.IntN(6)) }
func (h *twins) collection() string { return fmt.Sprint("c", h.rng.IntN(3)) }
func (h *twins) document() string   { return fmt.Sprint("d", h.rng.IntN(12)) }

func (h *twins) words(n int) string {
	var out []string
	for range n {
		out = append(out, pick(h, "server", "error", "disk", "night", "ada", "log", "the", "Paris", "café", "naïve", "42"))
	}
	return strings.Join(out, " ")
}

// both does something at the one and at any of the many, and compares.
func (h *twins) both(what string, do func(*gateway.Gateway) any) {
	h.t.Helper()
	a, b := do(h.one), do(pick(h, h.many...))
	if diff := cmp.Diff(a, b); diff != "" {
		h.t.Errorf("step %d, %s: directory (-) and Postgres (+) differ:\n%s", h.steps, what, diff)
	}
}

// kindOf is what a caller can tell of an error.
func kindOf(err error) string {
	for _, is := range []error{retrieval.ErrNotFound, retrieval.ErrConflict, retrieval.ErrModeUnavailable, consent.ErrKeyMismatch, consent.ErrPurposeUnknown, consent.ErrUnavailable} {
		if errors.Is(err, is) {
			return is.Error()
		}
	}
	return fmt.Sprint(err)
}

func (h *twins) step() {
	h.t.Helper()
	h.steps++
	h.clock.Add(int64(h.rng.IntN(3)) * int64(time.Minute))
	switch n := h.rng.IntN(20); {
	case n < 6:
		h.record()
	case n < 11:
		h.ingest()
	case n < 16:
		h.search()
	case n < 17:
		h.read()
	case n < 18:
		h.remove()
	case n < 19:
		h.put()
	default:
		h.ask()
	}
}

func (h *twins) record() {
	ct, err := consent.ParseType(pick(h, rag, rag, emb))
	if err != nil {
		h.t.Fatal(err)
	}
	e := consent.Entry{Subject: subject(h.t, h.person()), Type: ct, Jurisdiction: pick(h, consent.Jurisdiction(""), "DE", "US-CA"),
		Status: pick(h, consent.Granted, consent.Granted, consent.Granted, consent.Revoked, consent.Denied, consent.Objected, consent.Restricted, consent.Unrestricted)}
	now := h.clock.Load()
	if e.Status == consent.Granted && h.rng.IntN(4) == 0 {
		e.ExpiresAt = consent.Time(now + int64(h.rng.IntN(30)+1)*int64(time.Minute))
	}
	if h.rng.IntN(4) == 0 {
		e.ActedAt = consent.Time(now - int64(h.rng.IntN(60))*int64(time.Minute))
	}
	key, body := fmt.Sprint("k", h.rng.IntN(40)), fmt.Sprint(e)
	remembered := h.rng.IntN(3) == 0
	h.both("a consent entry", func(g *gateway.Gateway) any {
		var once consent.Once
		if remembered {
			var err error
			if once, err = g.Ledger.OnceOf(h.t.Context(), gateway.DefaultTenant, "k", "r", key, []byte(body)); err != nil {
				return kindOf(err)
			}
		}
		out, err := g.Ledger.Record(h.t.Context(), gateway.DefaultTenant, []consent.Entry{e}, once)
		if err != nil {
			return kindOf(err)
		}
		return []any{out[0].Recorded, kindOf(out[0].Err)}
	})
}

func (h *twins) ingest() {
	var docs []retrieval.Submission
	for range h.rng.IntN(3) + 1 {
		d := retrieval.Document{ID: h.document(), Title: pick(h, "", "a title"), Text: h.words(h.rng.IntN(30) + 1), Owners: []consent.Subject{subject(h.t, h.person())}}
		if h.rng.IntN(3) == 0 {
			d.Mentions = []consent.Subject{subject(h.t, h.person())}
		}
		if h.rng.IntN(5) == 0 {
			d.RetainUntil = time.Unix(0, h.clock.Load()).Add(time.Duration(h.rng.IntN(40)+1) * time.Minute)
		}
		docs = append(docs, retrieval.Submission{Document: d})
	}
	who := caller
	who.Rights |= pick(h, retrieval.MayChangeOwners, 0)
	into := h.collection()
	h.both("an ingest", func(g *gateway.Gateway) any {
		out, err := g.Retrieval.Ingest(h.t.Context(), who, into, docs, consent.Once{})
		if err != nil {
			return kindOf(err)
		}
		return out
	})
}

func (h *twins) search() {
	r := retrieval.SearchRequest{Query: h.words(h.rng.IntN(3) + 1), K: h.rng.IntN(8) + 1, Purpose: pick(h, "rag_retrieval", "rag_retrieval", "embedding", "nonsense"),
		Mode: pick(h, h.modes...)}
	who, in := caller, h.collection()
	if h.rng.IntN(2) == 0 {
		who.Principal = retrieval.Principal{Subject: subject(h.t, h.person())}
	}
	h.both("a search", func(g *gateway.Gateway) any {
		a, err := g.Retrieval.Search(h.t.Context(), who, in, r)
		if err != nil {
			return kindOf(err)
		}
		h.hits += min(1, len(a.Hits))
		for i := range a.Hits {
			a.Hits[i].PassageID = "" // random
		}
		a.Privacy.DecisionID, a.Privacy.PolicyDigest = "", ""
		return fmt.Sprintf("%+v", a) // scores to the last digit
	})
}

func (h *twins) read() {
	in, id := h.collection(), h.document()
	h.both("a document", func(g *gateway.Gateway) any {
		d, err := g.Retrieval.Document(h.t.Context(), caller, in, id, "rag_retrieval")
		if err != nil {
			return kindOf(err)
		}
		return []any{d.Text, d.Title, d.StoredAt, len(d.Passages), d.Privacy.Position}
	})
}

func (h *twins) remove() {
	in, id, all := h.collection(), h.document(), h.rng.IntN(6) == 0
	h.both("a deletion", func(g *gateway.Gateway) any {
		if all {
			return kindOf(g.Retrieval.DropCollection(h.t.Context(), caller, in))
		}
		return kindOf(g.Retrieval.Delete(h.t.Context(), caller, in, id))
	})
}

func (h *twins) put() {
	name := h.collection()
	spec := retrieval.Spec{DefaultVisibility: pick(h, retrieval.TenantWide, retrieval.TenantWide, retrieval.Private), Jurisdiction: pick(h, consent.Jurisdiction(""), "US-CA")}
	h.both("a collection", func(g *gateway.Gateway) any {
		col, created, err := g.Retrieval.PutCollection(h.t.Context(), caller, name, spec)
		return []any{col.Name, col.Spec, col.Embedder, created, kindOf(err)}
	})
}

func (h *twins) ask() {
	who := []consent.Subject{subject(h.t, h.person()), subject(h.t, "nobody"), {}}
	q := consent.Question{Purpose: pick(h, "rag_retrieval", "embedding", "nonsense"), Default: pick(h, consent.Jurisdiction(""), "US-CA")}
	h.both("a decision", func(g *gateway.Gateway) any {
		a, err := g.Ledger.Decide(h.t.Context(), gateway.DefaultTenant, who, q)
		if err != nil {
			return kindOf(err)
		}
		at, standings, err := g.Ledger.Standings(h.t.Context(), gateway.DefaultTenant, who[0])
		return []any{a.Position, fmt.Sprintf("%+v", a.Decisions), at, fmt.Sprintf("%+v", standings), kindOf(err)}
	})
}
