package gateway_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

var vaultPassphrase = []byte("correct horse battery")

// site is a data directory and its vault, between starts.
type site struct {
	t    *testing.T
	root string
	dir  string
	pg   *cluster // nil: it is a directory
}

// newSite has Ada and Bob, who granted, with two documents each.
func newSite(t *testing.T) *site {
	t.Helper()
	root := t.TempDir()
	s := &site{t: t, root: root, dir: filepath.Join(root, "data")}
	s.during(func(g *gateway.Gateway) {
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		ingest(t, g, "c", invented("ada", "bob"))
	})
	return s
}

func (s *site) open() (*gateway.Gateway, error) {
	s.t.Helper()
	return gateway.Open(s.t.Context(), s.config())
}

func (s *site) config() gateway.Config {
	if s.pg != nil {
		return gateway.Config{PostgresURL: s.pg.data, VaultURL: s.pg.vault, VaultDir: s.dir, AdminKey: adminKey}
	}
	return gateway.Config{DataDir: s.dir, AdminKey: adminKey}
}

// env is what a gateway in a process of its own needs besides dir.
func (s *site) env() []string {
	if s.pg == nil {
		return nil
	}
	return []string{"ASSENT_TEST_POSTGRES=" + s.pg.data, "ASSENT_TEST_VAULT=" + s.pg.vault}
}

// during does something with the gateway running.
func (s *site) during(f func(*gateway.Gateway)) {
	s.t.Helper()
	g, err := s.open()
	if err != nil {
		s.t.Fatal(err)
	}
	defer g.Close()
	f(g)
}

// withVault does something with the vault of the stopped gateway.
func (s *site) withVault(f func(*vault.Vault)) {
	s.t.Helper()
	v, err := vault.Open(s.dir+".vault", vault.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer v.Close()
	f(v)
}

func (s *site) backup() []byte {
	s.t.Helper()
	var w bytes.Buffer
	s.withVault(func(v *vault.Vault) {
		if _, err := v.Backup(&w, vaultPassphrase); err != nil {
			s.t.Fatal(err)
		}
	})
	return w.Bytes()
}

// restore loses the vault and puts a backup in its place.
func (s *site) restore(b []byte) {
	s.t.Helper()
	if err := os.RemoveAll(s.dir + ".vault"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := vault.Restore(bytes.NewReader(b), s.dir+".vault", vaultPassphrase, vault.Options{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) refused(why string) {
	s.t.Helper()
	g, err := s.open()
	if err == nil {
		g.Close()
	}
	if !errors.Is(err, gateway.ErrOldVault) || !strings.Contains(err.Error(), why) {
		s.t.Errorf("got %v, want a refusal because %q", err, why)
	}
}

func (s *site) accept() {
	s.t.Helper()
	s.withVault(func(v *vault.Vault) {
		if err := v.Accept(); err != nil {
			s.t.Fatal(err)
		}
	})
}

// hits is how many passages a search finds.
func hits(t *testing.T, g *gateway.Gateway) int {
	t.Helper()
	a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "server", K: 20, Purpose: "rag_retrieval"})
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Hits)
}

// Nothing happened since the backup: it serves, and the mark goes.
func TestRestoredVaultThatIsCurrentServes(t *testing.T) {
	s := newSite(t)
	b := s.backup()
	s.during(func(*gateway.Gateway) {}) // a start alone makes it no older
	s.restore(b)
	s.during(func(g *gateway.Gateway) {
		if n := hits(t, g); n != 4 {
			t.Errorf("%d hits, want 4", n)
		}
	})
	s.withVault(func(v *vault.Vault) {
		if _, marked := v.Restored(); marked {
			t.Error("it is still marked as restored")
		}
	})
}

// People revoked after the backup: refused, since nothing says that the data is
// the newest. Accepted, the revocation holds: the journal is completed from the
// ledger.
func TestRestoredVaultBehindItsLedgerIsRefused(t *testing.T) {
	s := newSite(t)
	b := s.backup()
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Revoked, []string{"ada"}, rag) })
	s.restore(b)
	s.refused("journal lacks entries")
	s.refused("journal lacks entries") // a refusal changes nothing
	s.accept()
	s.during(func(g *gateway.Gateway) {
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits, want Bob's 2", n)
		}
	})
	s.during(func(g *gateway.Gateway) { // and from then on as any other
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits, want Bob's 2", n)
		}
	})
	s.withVault(func(v *vault.Vault) {
		if _, marked := v.Restored(); marked || v.Accepted() {
			t.Error("it is still marked")
		}
	})
}

// Documents came after the backup, and no consent: the ledger is equal, keys are
// missing. Accepted, the documents whose keys are lost are dropped, the others stay.
func TestRestoredVaultThatLacksKeysIsRefused(t *testing.T) {
	s := newSite(t)
	b := s.backup()
	more := []eval.Doc{{ID: "bob-late", Owners: []string{"bob"}, Text: "The server is late."}}
	s.during(func(g *gateway.Gateway) { ingest(t, g, "c", more) })
	s.restore(b)
	s.refused("rows name keys")
	s.accept()
	s.during(func(g *gateway.Gateway) {
		if n := hits(t, g); n != 4 {
			t.Errorf("%d hits, want the 4 from before", n)
		}
	})
}

// A key destroyed after the backup is back in the restored vault, and is wiped
// by the first start, before anybody is served.
func TestRestoredVaultLosesKeysDestroyedSince(t *testing.T) {
	s := newSite(t)
	slots := func() map[string]bool {
		raw, err := os.ReadFile(filepath.Join(s.dir+".vault", "slots"))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for b := raw[4096:]; len(b) >= 128; b = b[128:] {
			if id := string(b[:16]); id != strings.Repeat("\x00", 16) {
				out[id] = true
			}
		}
		return out
	}
	b := s.backup()
	keys := slots()
	// Stored again with another text: the old text's key is destroyed.
	changed := []eval.Doc{{ID: "ada-0", Owners: []string{"ada"}, Text: "The server was replaced."}}
	s.during(func(g *gateway.Gateway) {
		if got := ingest(t, g, "c", changed); got[retrieval.Stored] != 1 {
			t.Fatalf("not stored: %v", got)
		}
	})
	now := slots()
	destroyed := ""
	for id := range keys {
		if !now[id] {
			destroyed = id
		}
	}
	if destroyed == "" {
		t.Fatal("no key was destroyed")
	}
	s.restore(b)
	if !slots()[destroyed] {
		t.Fatal("the backup did not bring it back")
	}
	s.refused("rows name keys")
	if !slots()[destroyed] {
		t.Error("a refusal wiped something")
	}
	s.accept()
	s.during(func(*gateway.Gateway) {
		if slots()[destroyed] {
			t.Error("the destroyed key is back")
		}
	})
}

// A copy of the vault's directory, made and put back by other means, carries no
// mark. Its generation tells, or the journal does.
func TestCopiedVaultIsRefused(t *testing.T) {
	t.Run("from before an earlier start", func(t *testing.T) {
		s := newSite(t)
		copyDir(t, s.dir+".vault", s.root+"/copy")
		s.during(func(*gateway.Gateway) {}) // nothing but a start
		s.swap("copy")
		s.refused("later generation")
		s.accept()
		s.during(func(g *gateway.Gateway) {
			if n := hits(t, g); n != 4 {
				t.Errorf("%d hits", n)
			}
		})
		s.during(func(*gateway.Gateway) {})
	})
	t.Run("from within the run", func(t *testing.T) {
		s := newSite(t)
		s.during(func(g *gateway.Gateway) {
			copyDir(t, s.dir+".vault", s.root+"/copy")
			say(t, g, consent.Revoked, []string{"ada"}, rag)
			say(t, g, consent.Revoked, []string{"bob"}, rag)
		})
		s.swap("copy")
		s.refused("journal lacks entries")
	})
}

func (s *site) swap(copied string) {
	s.t.Helper()
	if err := errors.Join(os.RemoveAll(s.dir+".vault"), os.Rename(filepath.Join(s.root, copied), s.dir+".vault")); err != nil {
		s.t.Fatal(err)
	}
}

// Data older than the vault stays what it was: 503, whatever was accepted.
func TestAcceptDoesNotExcuseOldData(t *testing.T) {
	s := newSite(t)
	copyDir(t, s.dir, filepath.Join(s.root, "old"))
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Revoked, []string{"ada"}, rag) })
	s.restore(s.backup())
	if err := errors.Join(os.RemoveAll(s.dir), os.Rename(filepath.Join(s.root, "old"), s.dir)); err != nil {
		t.Fatal(err)
	}
	s.accept()
	s.during(func(g *gateway.Gateway) {
		if err := g.Ready(t.Context()); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
			t.Errorf("ready: %v", err)
		}
	})
	s.withVault(func(v *vault.Vault) {
		if _, marked := v.Restored(); !marked {
			t.Error("the mark is gone, and nothing was settled")
		}
	})
}

// The limit, so that nobody claims more: a vault and data of the same old day
// agree with each other, and no test on this machine can tell.
func TestVaultAndDataOfTheSameOldDayAgree(t *testing.T) {
	s := newSite(t)
	b := s.backup()
	copyDir(t, s.dir, filepath.Join(s.root, "old"))
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Revoked, []string{"ada"}, rag) })
	s.restore(b)
	if err := errors.Join(os.RemoveAll(s.dir), os.Rename(filepath.Join(s.root, "old"), s.dir)); err != nil {
		t.Fatal(err)
	}
	s.during(func(g *gateway.Gateway) {
		if n := hits(t, g); n != 4 {
			t.Errorf("%d hits: the limit is no longer what the package says; say so there", n)
		}
	})
}

// A rotation of the stopped gateway's vault, or one that was killed, is no
// business of the data.
func TestGatewayServesAfterARotation(t *testing.T) {
	s := newSite(t)
	for range 2 {
		s.withVault(func(v *vault.Vault) {
			if err := v.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		s.during(func(g *gateway.Gateway) {
			if n := hits(t, g); n != 4 {
				t.Errorf("%d hits", n)
			}
		})
	}
}

// One batch that a crash kept out of the journal is no sign of an old vault.
func TestOneBatchBehindIsACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := startChild(t, dir, "journal.write:4")
	for i := range 6 {
		c.call("POST", "/v1/consent", map[string]any{"user_id": "p" + string(rune('0'+i)), "consent_type": rag, "status": "granted", "source": "t"})
	}
	<-c.dead
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	if err := g.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
