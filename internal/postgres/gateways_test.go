package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// gateways opens one database twice, as two gateways do, with tenant t in it.
func gateways(t *testing.T, second Options) (*DB, *DB) {
	t.Helper()
	url := database(t)
	a := open(t, url, Options{})
	prepare(t, a)
	return a, open(t, url, second)
}

func TestGatewaysTakeTurnsWithoutGaps(t *testing.T) {
	a, b := gateways(t, Options{})
	const writers, each = 4, 15
	var wg sync.WaitGroup
	for i, pair := range [][2]*DB{{a, b}, {b, a}} {
		for range writers {
			wg.Go(func() {
				for range each {
					var mine consent.Position
					err := appendBatch(pair[0], func(h consent.Head) consent.Batch {
						mine = h.Position + 2
						return consent.Batch{Rows: []consent.Row{
							{Position: mine - 1, Subject: 5, RecordedAt: h.Now}, {Position: mine, Subject: 6, RecordedAt: h.Now}}}
					})
					if err != nil {
						t.Error(err)
					}
					// P2: what one acknowledged, the other knows.
					if got := ledgerHead(t, pair[1]); got < mine {
						t.Errorf("gateway %d: head %d after %d was acknowledged by the other", i, got, mine)
					}
					if err := commitOne(pair[0]); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	const want = 1 + 2*2*writers*each
	var last consent.Row
	for _, db := range []*DB{a, b} {
		n := consent.Position(0)
		err := db.Rows(t.Context(), "t", 0, func(r consent.Row) error {
			if n++; r.Position != n || r.RecordedAt < last.RecordedAt && n > 1 {
				t.Errorf("entry %d has position %d, recorded at %d after %d", n, r.Position, r.RecordedAt, last.RecordedAt)
			}
			last = r
			return nil
		})
		if err != nil || n != want || ledgerHead(t, db) != want || corpusHead(t, db) != 1+2*writers*each {
			t.Errorf("%d entries, heads %d and %d, error %v; want %d", n, ledgerHead(t, db), corpusHead(t, db), err, want)
		}
	}
}

// A while is long enough for what does not wait to have ended, most of the
// time; a patience, always.
const (
	while    = 150 * time.Millisecond
	patience = time.Minute
)

// waits reports whether f is still waiting after a while.
func waits(f func()) (still bool, done chan struct{}) { return waitsFor(while, f) }

func waitsFor(d time.Duration, f func()) (still bool, done chan struct{}) {
	done = make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
		return false, done
	case <-time.After(d):
		return true, done
	}
}

// What an entry must wait for while an ingest about person 5 has decided and
// not yet committed; it is written by another gateway.
func TestAnEntryWaitsForTheIngestsItGoverns(t *testing.T) {
	for name, c := range map[string]struct {
		row   consent.Row
		waits bool
		made  consent.SubjectNum // and suppressed at once
		free  bool               // of a lookup that nobody shall have
	}{
		"of the person":             {row: consent.Row{Kind: consent.KindConsent, Subject: 5, Status: consent.Revoked}, waits: true},
		"erasing the person":        {row: consent.Row{Kind: consent.KindErasure, Subject: 5}, waits: true},
		"erasing whom nobody knows": {row: consent.Row{Kind: consent.KindErasure, Subject: 6}, waits: true, made: 8},
		"of a further identifier":   {row: consent.Row{Kind: consent.KindIdentifier, Subject: 6}, waits: true, free: true},
		"of everyone's policy":      {row: consent.Row{Kind: consent.KindPolicy}, waits: true},
		"of a consent type":         {row: consent.Row{Kind: consent.KindType}, waits: true},
		"of another person":         {row: consent.Row{Kind: consent.KindConsent, Subject: 6}},
		"attesting a document's":    {row: consent.Row{Kind: consent.KindAttestation}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := gateways(t, Options{})
			addPeople(t, a, 5, 6)
			var done chan struct{}
			_, _, err := a.Commit(t.Context(), "t", []consent.SubjectNum{5}, func(consent.Head) (retrieval.Intake, error) {
				long, still := patience, false
				if c.waits {
					long = while
				}
				still, done = waitsFor(long, func() {
					err := appendBatch(b, func(h consent.Head) consent.Batch {
						r := c.row
						r.Position = h.Position + 1
						out := consent.Batch{Rows: []consent.Row{r}}
						if c.free {
							out.Free = [][32]byte{{101}}
						}
						if c.made != 0 {
							out.Subjects = []consent.SubjectRow{{Num: c.made, Lookup: [32]byte{byte(c.made)}}}
							out.Rekey = []consent.SubjectRow{{Num: c.made, Lookup: [32]byte{100}}}
						}
						return out
					})
					if err != nil {
						t.Error(err)
					}
					if got := corpusHead(t, b); c.waits && got != 2 {
						t.Errorf("acknowledged at corpus head %d: a document it overtook comes later", got)
					}
				})
				if still != c.waits {
					t.Errorf("waits: %v, want %v", still, c.waits)
				}
				return newDocument(), nil
			})
			if err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

// addPeople makes rows for persons.
func addPeople(t *testing.T, db *DB, nums ...consent.SubjectNum) {
	t.Helper()
	err := appendBatch(db, func(consent.Head) (b consent.Batch) {
		for _, n := range nums {
			b.Subjects = append(b.Subjects, consent.SubjectRow{Num: n, Lookup: [32]byte{byte(n)}})
		}
		return b
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnIngestDecidesByTheRevocationThatOvertookIt(t *testing.T) {
	inCommit, goOn := make(chan bool), make(chan bool)
	armed := false
	a, b := gateways(t, Options{Fault: func(op string) error {
		if armed && op == "tx.commit" { // its locks are held
			armed = false
			inCommit <- true
			<-goOn
		}
		return nil
	}})
	addPeople(t, a, 5)
	armed = true
	go func() {
		if err := appendOne(b); err != nil {
			t.Error(err)
		}
	}()
	<-inCommit
	var seen consent.Position
	still, done := waits(func() {
		_, _, err := a.Commit(t.Context(), "t", []consent.SubjectNum{7, 5}, func(h consent.Head) (retrieval.Intake, error) {
			seen = h.Position
			return retrieval.Intake{}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	if !still {
		t.Error("the ingest decided before the revocation was committed")
	}
	goOn <- true
	<-done
	if seen != 2 {
		t.Errorf("the ingest decided at %d, the revocation has position 2", seen)
	}
}

// Two that make the same person meet at the lookup.
func TestOneOfTwoGatewaysMakesAPerson(t *testing.T) {
	a, b := gateways(t, Options{})
	var done chan struct{}
	var late error
	in := retrieval.Intake{Subjects: []consent.SubjectRow{{Num: 8, Lookup: [32]byte{8}}}}
	a.fault = func(op string) error {
		if op == "tx.commit" {
			_, done = waits(func() {
				late = appendBatch(b, func(h consent.Head) consent.Batch {
					return consent.Batch{Subjects: []consent.SubjectRow{{Num: 9, Lookup: [32]byte{8}}}, Rows: []consent.Row{{Position: h.Position + 1, Subject: 9}}}
				})
			})
		}
		return nil
	}
	if err := commit(a, in); err != nil {
		t.Fatal(err)
	}
	<-done
	if late != consent.ErrSubjectExists || ledgerHead(t, b) != 1 {
		t.Errorf("error %v, head %d", late, ledgerHead(t, b))
	}
}

// Prepare reads while every connection for writing is taken.
func TestManyWritersThatReadDoNotBlockEachOther(t *testing.T) {
	db := open(t, database(t), Options{Writers: 2, Readers: 2})
	prepare(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			err := db.Append(ctx, "t", func(h consent.Head) (consent.Batch, error) {
				if got, err := db.Head(ctx, "t"); err != nil || got.Position != h.Position {
					return consent.Batch{}, fmt.Errorf("head %d, want %d, error %w", got.Position, h.Position, err)
				}
				err := db.Rows(ctx, "t", 0, func(consent.Row) error { return nil })
				return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1}}}, err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestHeadsAreHeardOf(t *testing.T) {
	a, b := gateways(t, Options{})
	heard := make(chan consent.Position, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- b.Listen(ctx, func(id consent.TenantID, p consent.Position) {
			if id == "t" {
				heard <- p
			}
		})
	}()
	for want := consent.Position(1); want <= 5; want++ { // 1 was there before
		for got := consent.Position(0); got < want; { // one may be heard of twice: when listening begins, and by its own notice
			select {
			case got = <-heard:
				if got > want {
					t.Errorf("heard %d, want %d", got, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%d was not heard of", want)
			}
		}
		if err := appendOne(a); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestHeadsArePackedWhole(t *testing.T) {
	heads := map[consent.TenantID]consent.Position{}
	for i := range 1000 {
		heads[consent.TenantID(fmt.Sprintf("tenant-%d", i))] = consent.Position(i)
	}
	for _, p := range payloads(heads) {
		if len(p) > maxPayload {
			t.Errorf("a payload of %d bytes", len(p))
		}
		eachHead(p+"x y\n7\n", func(id consent.TenantID, p consent.Position) {
			if got, there := heads[id]; !there || got != p {
				t.Errorf("%q at %d", id, p)
			}
			delete(heads, id)
		})
	}
	if len(heads) != 0 {
		t.Errorf("%d heads were lost", len(heads))
	}
}
