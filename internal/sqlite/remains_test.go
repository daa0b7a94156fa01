package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// marked is a needle long enough not to occur by chance.
func marked(what string) []byte { return bytes.Repeat([]byte("<"+what+">"), 40) }

func TestNothingOfARetiredVersionRestsInTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	db := open(t, path, Options{})
	prepare(t, db)
	doc := retrieval.DocRow{Num: 9, Collection: 1, Passages: 1, Sealed: marked("sealed"), Key: seal.Ref{Slot: 77},
		Lookup: [32]byte(marked("lookup")), Digest: [32]byte(marked("digest")), Source: [32]byte(marked("source")),
		RetainUntil: 99, DecidedAt: 3, Personal: true, Owners: []consent.SubjectNum{5}, Mentions: []consent.SubjectNum{6}}
	copy(doc.Key.ID[:], marked("keyid"))
	at := retrieval.PassageRef{Doc: 9}
	in := retrieval.Intake{Docs: []retrieval.DocRow{doc},
		Heads:  []retrieval.PartRow{{Ref: at, Sealed: marked("head")}},
		Bodies: []retrieval.PartRow{{Ref: at, Sealed: bytes.Repeat(marked("body"), 500)}}} // overflow pages
	needles := map[string][]byte{"sealed": marked("sealed"), "lookup": doc.Lookup[:], "digest": doc.Digest[:],
		"source": doc.Source[:], "key id": doc.Key.ID[:], "head": marked("head"), "body": marked("body")}
	found := func() (names []string) {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			for name, needle := range needles {
				if bytes.Contains(b, needle) {
					names = append(names, name+suffix)
				}
			}
		}
		return names
	}
	if err := commit(db, in); err != nil {
		t.Fatal(err)
	}
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := found(); len(got) != len(needles) { // the scan's power
		t.Fatalf("of the planted, only %v was found", got)
	}
	if err := commit(db, retrieval.Intake{Retire: []retrieval.DocNum{9}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := found(); len(got) != 0 {
		t.Errorf("%v still rests in the files", got)
	}

	// Numbers and positions stay, and who owned it.
	var num, collection, from, to, decided, retain, subjects int64
	_, err := one(t.Context(), db.readers, "test", `SELECT num, collection, from_pos, to_pos, decided_at, retain_until,
		(SELECT sum(subject) FROM document_subjects WHERE doc = documents.id) FROM documents WHERE to_pos <> 0`, nil,
		&num, &collection, &from, &to, &decided, &retain, &subjects)
	if err != nil {
		t.Fatal(err)
	}
	if num != 9 || collection != 1 || from != 2 || to != 3 || decided != 3 || retain != 0 || subjects != 11 {
		t.Errorf("num %d, collection %d, from %d, to %d, decided %d, retain %d, subjects %d", num, collection, from, to, decided, retain, subjects)
	}
}

func TestACheckpointHeldBackIsToldAndDoneLater(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "db"), Options{})
	prepare(t, db)
	if err := db.writer.run("PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	err := db.Rows(t.Context(), "t", 0, func(consent.Row) error {
		if err := appendOne(db); err != nil { // a stream does not hold a write back
			t.Error(err)
		}
		return db.Checkpoint(context.Background())
	})
	if !errors.Is(err, ErrBusy) {
		t.Errorf("error is %v, want ErrBusy", err)
	}
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "db-wal")); err != nil || st.Size() != 0 {
		t.Errorf("the log has %d bytes, error %v", st.Size(), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left after Close, want the database alone", len(files))
	}
}

// sorting needs far more than a cache of 4 MB holds; on a connection that may,
// SQLite sorts in a temporary file.
const sorting = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
	SELECT -i AS k, zeroblob(100000) FROM n ORDER BY k`

func TestNothingSpillsIntoTemporaryFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Options{})
	control, err := openPool(path, 1, "cache_size(-4000)")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if _, err := control.Exec("PRAGMA temp_store = FILE"); err != nil {
		t.Fatal(err)
	}
	if got := temporaryFiles(t, &pool{db: control}); got == 0 {
		t.Fatal("the control made no temporary file: this test shows nothing")
	}
	if got := temporaryFiles(t, db.readers); got != 0 {
		t.Errorf("a reader has %d temporary files open", got)
	}
	if err := db.writer.run("PRAGMA cache_size = -4000"); err != nil {
		t.Fatal(err)
	}
	if got := temporaryFiles(t, &tx{c: db.writer}); got != 0 {
		t.Errorf("the writer has %d temporary files open", got)
	}
}

// temporaryFiles counts SQLite's temporary files, which have no name any more,
// while a sort is in progress.
func temporaryFiles(t *testing.T, on source) (n int) {
	t.Helper()
	rows, err := on.query(t.Context(), sorting, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Next()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasSuffix(name, " (deleted)") {
			n++
		}
	}
	return n
}

func TestOldOutcomesAreClearedAwayInBoundedSteps(t *testing.T) {
	now := consent.Time(1 << 60)
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{Now: func() time.Time { return now.Time() }})
	prepare(t, db)
	var many []consent.Remembered
	for i := range 100 {
		many = append(many, consent.Remembered{Key: [32]byte{byte(i), 1}, At: now})
	}
	if err := appendBatch(db, func(consent.Head) consent.Batch { return consent.Batch{Remember: many} }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{100, 100 - pruneLimit, 0} {
		var left int
		if _, err := one(t.Context(), db.readers, "test", `SELECT count(*) FROM remembered`, nil, &left); err != nil || left != want {
			t.Fatalf("%d outcomes are left, want %d, error %v", left, want, err)
		}
		now += 2 * remembering
		if err := appendOne(db); err != nil {
			t.Fatal(err)
		}
	}
}
