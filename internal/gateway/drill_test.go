package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// digests are of every file below some directories.
func digests(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			sum := sha256.Sum256(b)
			out[path] = hex.EncodeToString(sum[:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// A drillSite has a backup from before Ada was erased and Bob withdrew.
type drillSite struct {
	dir, backup string
	ada         consent.SubjectNum
	trust       verify.Trust
}

func newDrillSite(t *testing.T) *drillSite {
	root := t.TempDir()
	s := &drillSite{dir: filepath.Join(root, "data"), backup: filepath.Join(root, "backup")}
	cfg := gateway.Config{DataDir: s.dir, AdminKey: adminKey, ErasuresByHand: true}
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada", "bob", "cy"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada", "bob", "cy"))
	g.Close()
	copyDir(t, s.dir, s.backup)
	g = openGateway(t, cfg)
	var err error
	if s.ada, err = g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, "ada")); err != nil {
		t.Fatal(err)
	}
	_, _, s.trust = receiptOf(t, g, "ada")
	say(t, g, consent.Revoked, []string{"bob"}, rag)
	g.Close()
	return s
}

func (s *drillSite) drill(t *testing.T, data string, step func(work string) func(string)) gateway.DrillReport {
	t.Helper()
	work := filepath.Join(t.TempDir(), "work")
	cfg := gateway.Config{DataDir: data, VaultDir: s.dir + ".vault"}
	if step != nil {
		cfg.Step = step(work)
	}
	reports, err := gateway.Drill(t.Context(), cfg, work)
	if err != nil || len(reports) != 1 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	if _, err := os.Stat(work); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the copies are left")
	}
	return reports[0]
}

// A backup is taken, a person erased, the backup restored: a drill shows on copies
// that nothing is served before the replay and that nothing of hers comes back, and
// its report verifies, as long as no byte of it is another. The originals stay as
// they were, byte for byte.
func TestARestoreDrillShowsThatTheErasedStayErased(t *testing.T) {
	s := newDrillSite(t)
	before := digests(t, s.backup, s.dir, s.dir+".vault")
	r := s.drill(t, s.backup, nil)
	if after := digests(t, s.backup, s.dir, s.dir+".vault"); len(after) != len(before) {
		t.Errorf("%d files of %d", len(after), len(before))
	} else {
		for path, sum := range before {
			if after[path] != sum {
				t.Errorf("%s was changed", filepath.Base(path))
			}
		}
	}
	st := &r.Statement
	if !st.Passed || st.ReadyBefore || !st.ReadyAfter || st.Replayed == 0 || st.Erased != 1 || st.RowsInBackup != 2 || st.KeysInBackup != 0 ||
		st.Passages == 0 || st.Searches == 0 || st.Hits == 0 || st.CanarySearches == 0 {
		t.Errorf("the drill found %+v", st)
	}
	d, err := s.trust.Drill(r.File)
	if err != nil || d.Erased != 1 || d.RowsInBackup != 2 {
		t.Fatalf("the report: %+v, %v", d, err)
	}
	for i := range r.File {
		for _, x := range []byte{1, 0x20, 0x80} {
			edited := bytes.Clone(r.File)
			edited[i] ^= x
			if _, err := s.trust.Drill(edited); err == nil {
				t.Fatalf("byte %d may be another", i)
			}
		}
	}
	for n := range len(r.File) {
		if _, err := s.trust.Drill(r.File[:n]); err == nil {
			t.Fatalf("cut after %d bytes it verifies", n)
		}
	}
	other := newDrillSite(t)
	if _, err := other.trust.Drill(r.File); !errors.Is(err, verify.ErrAltered) {
		t.Errorf("under another log's key: %v", err)
	}
}

// The data as it is, with a gateway running on it: a copy of one moment, with
// nothing to replay.
func TestARestoreDrillOfTheDataInUse(t *testing.T) {
	s := newDrillSite(t)
	g := openGateway(t, gateway.Config{DataDir: s.dir, AdminKey: adminKey})
	say(t, g, consent.Granted, []string{"dee"}, rag, emb)
	ingest(t, g, "c", invented("dee")) // not yet in the main file
	r := s.drill(t, s.dir, nil)
	if st := &r.Statement; !st.Passed || st.Replayed != 0 || !st.ReadyBefore || st.Erased != 1 || st.RowsInBackup != 0 || st.Hits == 0 {
		t.Errorf("the drill found %+v", st)
	}
	if _, err := s.trust.Drill(r.File); err != nil {
		t.Error(err)
	}
	if n := len(find(t, g, "c", "server")); n != 4 { // Cy's and Dee's
		t.Errorf("%d hits in the gateway that ran meanwhile", n)
	}
}

// A row of an erased person that came back, with a key that opens something, fails
// the drill: the report says so under its signature, and nobody can make of it one
// that says otherwise.
func TestARestoreDrillFailsWhenSomethingIsLeft(t *testing.T) {
	s := newDrillSite(t)
	r := s.drill(t, s.backup, func(work string) func(string) {
		return func(step string) {
			if step != "drill.swept" {
				return
			}
			db, err := sql.Open("sqlite", "file:"+filepath.Join(work, "data", "assent.db")+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, statement := range []string{
				`INSERT INTO documents (id, tenant, num, collection, lookup, digest, source, key_slot, key_id, personal, retain_until, passages, decided_at, from_pos, sealed)
					SELECT 9999, tenant, 4242, collection, randomblob(32), digest, source, key_slot, key_id, personal, 0, passages, decided_at, 1 << 40, sealed
					FROM documents WHERE to_pos = 0 LIMIT 1`,
				`INSERT INTO document_subjects (doc, role, ordinal, subject) VALUES (9999, 0, 0, ?1)`,
			} {
				if _, err := db.ExecContext(t.Context(), statement, int64(s.ada)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if st := &r.Statement; st.Passed || st.RowsAfter != 1 || st.KeysAfter != 1 {
		t.Errorf("the drill found %+v", st)
	}
	if _, err := s.trust.Drill(r.File); !errors.Is(err, verify.ErrFailed) {
		t.Errorf("the report: %v", err)
	}
	lie := bytes.Replace(r.File, []byte(`"passed": false`), []byte(`"passed": true`), 1)
	if _, err := s.trust.Drill(lie); !errors.Is(err, verify.ErrAltered) {
		t.Errorf("made into one that was passed: %v", err)
	}
}

// What a drill cannot do it says, and makes nothing.
func TestARestoreDrillThatCannotBe(t *testing.T) {
	work := filepath.Join(t.TempDir(), "work")
	for name, c := range map[string]struct {
		cfg  gateway.Config
		want error
	}{
		"a Postgres": {gateway.Config{PostgresURL: "postgres://x", VaultDir: t.TempDir()}, gateway.ErrDrillShared},
		"no data":    {gateway.Config{DataDir: t.TempDir(), VaultDir: t.TempDir()}, gateway.ErrNoData},
	} {
		if _, err := gateway.Drill(t.Context(), c.cfg, work); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(work); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something is left", name)
		}
	}
}
