package postgres

import (
	"errors"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// changed is what the feed tells after a position.
func changed(t *testing.T, db *DB, after retrieval.CorpusPosition) (came map[retrieval.DocNum]int, ended map[retrieval.DocNum]bool, head retrieval.CorpusPosition) {
	t.Helper()
	came, ended = map[retrieval.DocNum]int{}, map[retrieval.DocNum]bool{}
	head, err := db.Changed(t.Context(), "t", after, func(d retrieval.DocRow, heads []retrieval.PartRow) error {
		switch {
		case d.To == 0 && (came[d.Num] > 0 || d.From <= after || len(d.Owners) != 1 || d.Sealed == nil && d.Key.IsZero() && d.Lookup == [32]byte{}):
			t.Errorf("came: %+v", d)
		case d.To != 0 && (ended[d.Num] || d.To <= after || d.Collection != 1 || len(heads) != 0 || d.Lookup != [32]byte{}):
			t.Errorf("ended: %+v", d)
		case d.To == 0:
			came[d.Num] = len(heads)
		default:
			ended[d.Num] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return came, ended, head
}

// The feed tells what came and what ended after a position, over page
// boundaries, and up to where that is everything.
func TestTheFeedTellsWhatChanged(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db) // one document, at position 1
	var docs []retrieval.DocNum
	var in retrieval.Intake
	for range livePage + 3 {
		d := newDocument()
		docs = append(docs, d.Docs[0].Num)
		in.Docs, in.Heads, in.Bodies = append(in.Docs, d.Docs...), append(in.Heads, d.Heads...), append(in.Bodies, d.Bodies...)
	}
	if err := commit(db, in); err != nil {
		t.Fatal(err)
	}
	full := retrieval.CorpusPosition(1 + len(docs))
	came, ended, head := changed(t, db, 1)
	if len(came) != len(docs) || len(ended) != 0 || head != full {
		t.Errorf("%d came, %d ended, up to %d", len(came), len(ended), head)
	}
	for _, num := range docs {
		if came[num] != 1 {
			t.Errorf("a version came with %d heads", came[num])
		}
	}
	if err := commit(db, retrieval.Intake{Retire: docs[:2]}); err != nil {
		t.Fatal(err)
	}
	came, ended, head = changed(t, db, full)
	if len(came) != 0 || len(ended) != 2 || !ended[docs[0]] || !ended[docs[1]] || head != full+2 {
		t.Errorf("%d came, %d ended, up to %d", len(came), len(ended), head)
	}
	// Who is further behind hears of them once, as ended.
	if came, ended, _ = changed(t, db, 0); len(came) != len(docs)-1 || len(ended) != 2 {
		t.Errorf("from the beginning: %d came, %d ended", len(came), len(ended))
	}
	if came, ended, head = changed(t, db, full+2); len(came)+len(ended) != 0 || head != full+2 {
		t.Errorf("up to date: %d came, %d ended, up to %d", len(came), len(ended), head)
	}
	stop := errors.New("enough")
	if _, err := db.Changed(t.Context(), "t", 0, func(retrieval.DocRow, []retrieval.PartRow) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
	if _, err := db.Changed(t.Context(), "nowhere", 0, nil); !errors.Is(err, consent.ErrUnknownTenant) {
		t.Errorf("of an unknown tenant: %v", err)
	}
}

// The head tells of every change of documents and collections.
func TestTheHeadTellsWhatElseChanged(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	last, err := db.Head(t.Context(), "t")
	if err != nil || last.Corpus != 1 || last.Shelf == 0 {
		t.Fatalf("%+v, %v", last, err)
	}
	row := retrieval.CollectionRow{ID: 1, Lookup: [32]byte{1}, Sealed: []byte("new")}
	second := retrieval.CollectionRow{ID: 2, Lookup: [32]byte{2}, Sealed: []byte("second")}
	for name, c := range map[string]struct {
		do            func() error
		corpus, shelf bool
	}{
		"a document":             {func() error { return commitOne(db) }, true, false},
		"a collection":           {func() error { return db.PutCollection(t.Context(), "t", second, nil, nil) }, false, true},
		"a pin with a document":  {func() error { in := newDocument(); in.Collection = &row; return commit(db, in) }, true, true},
		"a refused change":       {func() error { _ = db.PutCollection(t.Context(), "t", second, []byte("other"), nil); return nil }, false, false},
		"a collection that goes": {func() error { _, err := db.DropCollection(t.Context(), "t", 3, 10); return err }, false, true},
		"an entry":               {func() error { return appendOne(db) }, false, false},
	} {
		if err := c.do(); err != nil && !errors.Is(err, retrieval.ErrConflict) {
			t.Fatalf("%s: %v", name, err)
		}
		head, err := db.Head(t.Context(), "t")
		if err != nil || (head.Corpus > last.Corpus) != c.corpus || (head.Shelf > last.Shelf) != c.shelf {
			t.Errorf("%s: from %+v to %+v, %v", name, last, head, err)
		}
		last = head
	}
}
