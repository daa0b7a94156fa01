package sqlite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// Many documents are deleted here and there, so that SQLite moves those that
// stay; then these are deleted, too. Checkpoint alone leaves old copies of
// records; Purge leaves none, and what stays is whole.
func TestPurgeLeavesNoCopyThatAMoveLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Options{})
	prepare(t, db)
	rng := rand.New(rand.NewPCG(3, 3))
	const docs = 2000
	salt := func(kind string, i int) []byte { return fmt.Appendf(nil, "<%s %d>", kind, i) }
	for i := range docs {
		d := retrieval.DocRow{Num: retrieval.DocNum(i + 1), Collection: 1, Passages: 1, Key: seal.Ref{Slot: uint32(i)}, Owners: []consent.SubjectNum{5}, Personal: true}
		for _, b := range [][]byte{d.Lookup[:], d.Digest[:], d.Source[:], d.Key.ID[:]} {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		d.Sealed = append(salt("meta", i), make([]byte, 200)...)
		at := retrieval.PassageRef{Doc: d.Num}
		in := retrieval.Intake{Docs: []retrieval.DocRow{d},
			Heads:  []retrieval.PartRow{{Ref: at, Sealed: append(salt("head", i), make([]byte, 300+rng.IntN(400))...)}},
			Bodies: []retrieval.PartRow{{Ref: at, Sealed: append(salt("body", i), make([]byte, 900+rng.IntN(1500))...)}}}
		if err := commit(db, in); err != nil {
			t.Fatal(err)
		}
	}
	gone := rng.Perm(docs)[:docs*9/10]
	for _, i := range gone {
		if err := commit(db, retrieval.Intake{Retire: []retrieval.DocNum{retrieval.DocNum(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		t.Helper()
		var all []byte
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		for _, i := range gone {
			for _, kind := range []string{"meta", "head", "body"} {
				if bytes.Contains(all, salt(kind, i)) {
					n++
				}
			}
		}
		return n
	}
	live := func() (n int) {
		t.Helper()
		if err := db.Live(t.Context(), "t", func(_ retrieval.DocRow, heads []retrieval.PartRow) error { n += 1 + len(heads); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := live()
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := left()
	if before == 0 {
		t.Fatal("a checkpoint alone left nothing, so that this shows nothing")
	}
	if err := db.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d remains after Purge, %d after a checkpoint", n, before)
	}
	t.Logf("%d remains after a checkpoint alone", before)
	var check string
	if _, err := one(t.Context(), db.readers, "test", "PRAGMA integrity_check", nil, &check); err != nil || check != "ok" {
		t.Errorf("integrity: %s, %v", check, err)
	}
	if n := live(); n != want || n < 2*(docs-len(gone)) {
		t.Errorf("%d live documents and heads, want %d", n, want)
	}
	if err := db.Purge(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}
