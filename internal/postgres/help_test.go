package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/retrieval"
)

var (
	tenant   = credential.TenantRow{ID: "t", CreatedAt: 1}
	errFault = errors.New("fault")
)

// prepare makes tenant t with one entry, a collection and one document.
func prepare(t testing.TB, db *DB) {
	t.Helper()
	err := db.AddTenant(t.Context(), tenant, nil, nil)
	if err == nil {
		err = db.PutCollection(t.Context(), "t", retrieval.CollectionRow{ID: 1, Lookup: [32]byte{1}}, nil, nil)
	}
	if err == nil {
		err = appendOne(db)
	}
	if err == nil {
		err = commitOne(db)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func appendBatch(db *DB, make func(consent.Head) consent.Batch) error {
	return db.Append(context.Background(), "t", func(h consent.Head) (consent.Batch, error) { return make(h), nil })
}

// appendOne appends an entry about person 5.
func appendOne(db *DB) error {
	return appendBatch(db, func(h consent.Head) consent.Batch {
		return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1, RecordedAt: h.Now, Subject: 5, Kind: consent.KindConsent}}}
	})
}

// commitOne commits a document of one passage, owned by person 5.
func commitOne(db *DB) error { return commit(db, newDocument()) }

func newDocument() retrieval.Intake {
	d := retrieval.DocRow{Num: retrieval.DocNum(rand.Int64()), Collection: 1, Lookup: random32(), Passages: 1, Owners: []consent.SubjectNum{5}}
	parts := []retrieval.PartRow{{Ref: retrieval.PassageRef{Doc: d.Num}, Sealed: []byte("part")}}
	return retrieval.Intake{Docs: []retrieval.DocRow{d}, Heads: parts, Bodies: parts}
}

func commit(db *DB, in retrieval.Intake) error {
	_, _, err := db.Commit(context.Background(), "t", nil, func(consent.Head) (retrieval.Intake, error) { return in, nil })
	return err
}

func ledgerHead(t testing.TB, db *DB) consent.Position {
	t.Helper()
	h, err := db.Head(context.Background(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return h.Position
}

func corpusHead(t testing.TB, db *DB) retrieval.CorpusPosition {
	t.Helper()
	p, err := db.CorpusHead(context.Background(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
