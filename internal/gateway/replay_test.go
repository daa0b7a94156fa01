package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

var verifier struct {
	once sync.Once
	path string
	err  error
}

// assentVerify runs the real binary on a log; its status and what it said.
func assentVerify(t *testing.T, args ...string) (int, string) {
	t.Helper()
	verifier.once.Do(func() {
		dir, err := os.MkdirTemp("", "assent-verify")
		if err == nil {
			verifier.path = filepath.Join(dir, "assent-verify")
			var out []byte
			out, err = exec.Command("go", "build", "-buildvcs=false", "-o", verifier.path, "../../cmd/assent-verify").CombinedOutput()
			err = errors.Join(err, errorText(err, out))
		}
		verifier.err = err
	})
	if verifier.err != nil {
		t.Fatal(verifier.err)
	}
	cmd := exec.Command(verifier.path, args...)
	cmd.Env = append(os.Environ(), "ASSENT_KEY="+adminKey)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func errorText(err error, out []byte) error {
	if err == nil {
		return nil
	}
	return errors.New(string(out))
}

// restored is a site whose data was lost and put back from an older copy. What
// happened after the copy:
type restored struct {
	*site
	vkey        string
	checkpoints []string // ever served, in files
	key         string   // of an API key that was revoked
	tenant      string   // made
	entries     uint64
	corpus      retrieval.CorpusPosition
}

// putBack makes a restored site. Before the copy everyone granted. After it Ada
// revokes; Bob's key is destroyed; Cyd's grant is renewed, with an end; Dan is
// restricted; Fay, new, refuses; Gus, new, grants; and 1 200 others grant, so
// that a replay takes several transactions. Eve says nothing.
func putBack(t *testing.T) *restored {
	t.Helper()
	root := t.TempDir()
	return putBackAt(t, &site{t: t, root: root, dir: filepath.Join(root, "data")})
}

func putBackAt(t *testing.T, s *site) *restored {
	t.Helper()
	r := &restored{site: s}
	everyone := []string{"ada", "bob", "cyd", "dan", "eve"}
	var made map[string]any
	r.during(func(g *gateway.Gateway) {
		h := g.Handler()
		_, r.vkey, _ = get(t, h, adminKey, "/v1/log/key")
		say(t, g, consent.Granted, everyone, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		ingest(t, g, "c", invented(everyone...))
		made = post(t, h, adminKey, "/v1/keys", map[string]any{"name": "k", "scopes": []string{"search", "audit"}, "purposes": []string{"rag_retrieval"}})
		r.serve(g)
	})
	r.key = made["key"].(string)
	r.keepData()
	r.during(func(g *gateway.Gateway) {
		h := g.Handler()
		say(t, g, consent.Revoked, []string{"ada"}, rag)
		if err := g.DestroyPersonsKey(t.Context(), subject(t, "bob")); err != nil {
			t.Fatal(err)
		}
		post(t, h, adminKey, "/v1/consent", map[string]any{"user_id": "cyd", "consent_type": rag, "status": "granted", "source": "s", "expires_at": "2090-01-01T00:00:00Z"})
		say(t, g, consent.Restricted, []string{"dan"}, rag)
		say(t, g, consent.Denied, []string{"fay"}, rag)
		say(t, g, consent.Granted, []string{"gus"}, rag, emb)
		var others []string
		for i := range 1200 {
			others = append(others, fmt.Sprint("other", i))
		}
		say(t, g, consent.Granted, others, rag)
		ingest(t, g, "c", invented("gus"))
		req := httptest.NewRequest("DELETE", "/v1/keys/"+made["id"].(string), nil)
		req.Header.Set("Authorization", "Bearer "+adminKey)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, req); w.Code != 204 {
			t.Fatal(w.Code)
		}
		r.tenant = post(t, h, adminKey, "/v1/tenants", map[string]any{"name": "t"})["id"].(string)
		r.serve(g)
		head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		r.entries = uint64(head.Position)
		r.corpus = g.CorpusHead(t.Context())
	})
	r.putDataBack()
	return r
}

// serve keeps the newest checkpoint, over everything there is.
func (r *restored) serve(g *gateway.Gateway) {
	r.t.Helper()
	head, err := g.Ledger.Head(r.t.Context(), gateway.DefaultTenant)
	if err != nil {
		r.t.Fatal(err)
	}
	h := g.Handler()
	covered(r.t, h, uint64(head.Position))
	_, text, _ := get(r.t, h, adminKey, "/log/default/checkpoint")
	path := filepath.Join(r.root, fmt.Sprintf("checkpoint-%d", len(r.checkpoints)))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.checkpoints = append(r.checkpoints, path)
}

// replayed is what must hold once a start follows the replay.
func (r *restored) replayed() {
	t := r.t
	t.Helper()
	r.during(func(g *gateway.Gateway) {
		if err := g.Ready(t.Context()); err != nil {
			t.Fatalf("not ready after the replay: %v", err)
		}
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits, want Eve's two", n)
		}
		for who, want := range map[string]consent.Reason{
			"ada": consent.ReasonRevoked, "cyd": consent.ReasonNoRecord, "dan": consent.ReasonRestricted,
			"eve": consent.ReasonGranted, "fay": consent.ReasonDenied, "gus": consent.ReasonNoRecord,
		} {
			a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, []consent.Subject{subject(t, who)}, consent.Question{Purpose: "rag_retrieval", Default: "US-CA"})
			if err != nil || a.Decisions[0].Reason != want {
				t.Errorf("%s: %v %v, want %v", who, a.Decisions, err, want)
			}
		}
		if code, _, _ := get(t, g.Handler(), r.key, "/log/default/checkpoint"); code != 401 {
			t.Errorf("the revoked API key answers %d", code)
		}
		restores := 0
		err := g.Ledger.Notes(t.Context(), gateway.DefaultTenant, consent.KindRestore, func(p consent.Position, plain []byte) error {
			var e struct {
				Event string
				Gap   struct {
					From, To      uint64
					Lost, Unknown int
				}
			}
			if err := json.Unmarshal(plain, &e); err != nil {
				t.Error(err)
			}
			if e.Event != "ledger_replayed" || e.Gap.To != r.entries || e.Gap.Lost != 1203 || e.Gap.Unknown != 0 || p != consent.Position(r.entries+1) {
				t.Errorf("the restore's entry, at %d of %d: %s", p, r.entries, plain)
			}
			restores++
			return nil
		})
		if err != nil || restores != 1 {
			t.Errorf("%d entries of a restore, %v", restores, err)
		}
		if _, err := g.Ledger.Head(t.Context(), consent.TenantID(r.tenant)); err != nil {
			t.Errorf("the tenant made after the backup: %v", err)
		}
		// A repeat of what was lost is not one: Cyd is asked again, and found.
		say(t, g, consent.Granted, []string{"cyd"}, rag)
		if n := hits(t, g); n != 4 {
			t.Errorf("%d hits after Cyd was asked again, want 4", n)
		}
		if got := ingest(t, g, "c", invented("eve2")); got[retrieval.Refused] != 2 {
			t.Errorf("ingest: %v", got)
		}
		say(t, g, consent.Granted, []string{"hal"}, rag, emb)
		ingest(t, g, "c", invented("hal"))
		if p := g.CorpusHead(t.Context()); p <= r.corpus || p < 1<<32 {
			t.Errorf("corpus position %d after %d was given out", p, r.corpus)
		}
		r.verified(g)
	})
}

// verified has the log checked by the real verifier, through HTTP, against
// every checkpoint ever served.
func (r *restored) verified(g *gateway.Gateway) {
	t := r.t
	t.Helper()
	r.serve(g)
	web := httptest.NewServer(g.Handler())
	defer web.Close()
	log := web.URL + "/log/default"
	for _, old := range r.checkpoints {
		code, said := assentVerify(t, "log", "--key", strings.TrimSpace(r.vkey), "--lost", "--old", old, log)
		if code != 0 || !strings.Contains(said, "of 1203 entries only the leaf is left") {
			t.Errorf("status %d: %s", code, said)
		}
	}
	if code, said := assentVerify(t, "log", "--key", strings.TrimSpace(r.vkey), log); code != 1 || !strings.Contains(said, "only its leaf remains") {
		t.Errorf("without --lost: status %d: %s", code, said)
	}
}

// DESIGN §6: a ledger behind the journal answers 503 until replayed at the
// original positions; grants lost with the tail stay as leaves only.
func TestOldDataIsReplayedFromTheJournal(t *testing.T) {
	r := putBack(t)
	r.during(func(g *gateway.Gateway) {
		code, body, _ := get(t, g.Handler(), "", "/readyz")
		if code != 503 || !strings.Contains(body, "assent vault replay") {
			t.Errorf("readyz: %d %s", code, body)
		}
		if code, _, _ := get(t, g.Handler(), adminKey, "/v1/consent/ada"); code != 503 {
			t.Errorf("consent: %d", code)
		}
		// Which keys are revoked, a ledger that is behind does not say.
		if code, _, _ := get(t, g.Handler(), r.key, "/v1/consent-types"); code != 503 {
			t.Errorf("a key that was revoked since: %d", code)
		}
		if _, err := gateway.Replay(t.Context(), gateway.Config{DataDir: r.dir}); err == nil {
			t.Error("replayed under a running gateway")
		}
	})
	gaps, err := gateway.Replay(t.Context(), gateway.Config{DataDir: r.dir})
	if err != nil || gaps[gateway.DefaultTenant].Lost != 1203 || gaps[consent.TenantID(r.tenant)].From != 1 {
		t.Fatalf("%v %v", gaps, err)
	}
	if again, err := gateway.Replay(t.Context(), gateway.Config{DataDir: r.dir}); err != nil || len(again) != 0 {
		t.Errorf("nothing was missing: %v %v", again, err)
	}
	r.replayed()
	r.during(func(g *gateway.Gateway) { r.verified(g) })
}

// kill -9 between any two durable steps of a replay, and of the start after it:
// run again, it comes to the same end, and the restore is entered once.
func TestKilledReplayGoesOn(t *testing.T) {
	for _, crash := range []string{
		"state.write:1", "state.renamed:1", "replay.begun:1", "tx.commit:1", "tx.committed:1", "state.renamed:2",
		"replay.advanced:1", "tx.commit:4", "replay.batch:1", "replay.batch:2", "replay.batch:3",
	} {
		t.Run(crash, func(t *testing.T) {
			r := putBack(t)
			if replayIn(t, r.site, crash) {
				t.Fatal("the step was never reached")
			}
			r.during(func(g *gateway.Gateway) {
				// Not ready, or, where only the other tenant is missing still, right.
				if n, err := ask(t, g); err == nil && n != 2 || g.Ready(t.Context()) == nil {
					t.Errorf("between two replays: %d hits, %v", n, err)
				}
			})
			for !replayIn(t, r.site, "replay.batch:1") {
			}
			r.replayed()
		})
	}
	for _, crash := range []string{"event.entered:1", "event.entered:2", "journal.write:1", "state.write:1", "state.renamed:2", "applied:1"} {
		t.Run("start "+crash, func(t *testing.T) {
			r := putBack(t)
			if !replayIn(t, r.site, "") {
				t.Fatal("killed")
			}
			startChild(t, r.dir, crash, r.env()...).kill()
			r.replayed()
		})
	}
}

// ask searches, and gives up where the gateway does.
func ask(t *testing.T, g *gateway.Gateway) (int, error) {
	t.Helper()
	a, err := g.Retrieval.Search(context.Background(), caller, "c", retrieval.SearchRequest{Query: "server", K: 20, Purpose: "rag_retrieval"})
	return len(a.Hits), err
}

// Data from before the newest start whose ledger lacks nothing, and a copy made
// within the run whose ledger lacks something: no position of the corpus is given
// out twice.
func TestCorpusPositionsAreNotGivenOutTwice(t *testing.T) {
	lose := func(g *gateway.Gateway) retrieval.CorpusPosition {
		for _, text := range []string{"another text", "and another"} {
			changed := invented("ada")
			changed[0].Text = text
			ingest(t, g, "c", changed)
		}
		return g.CorpusHead(t.Context())
	}
	later := func(s *site, lost retrieval.CorpusPosition) {
		s.during(func(g *gateway.Gateway) {
			if err := g.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := g.CorpusHead(t.Context()); p <= lost {
				t.Errorf("the corpus goes on at %d; %d was given out", p, lost)
			}
		})
	}
	t.Run("from before a start", func(t *testing.T) {
		s := newSite(t)
		copyDir(t, s.dir, filepath.Join(s.root, "old"))
		var lost retrieval.CorpusPosition
		s.during(func(g *gateway.Gateway) { lost = lose(g) })
		s.putDataBack()
		later(s, lost)
	})
	t.Run("from within the run", func(t *testing.T) {
		s := newSite(t)
		var lost retrieval.CorpusPosition
		s.during(func(g *gateway.Gateway) {
			copyDir(t, s.dir, filepath.Join(s.root, "old"))
			lost = lose(g)
			say(t, g, consent.Revoked, []string{"bob"}, rag)
		})
		s.putDataBack()
		if gaps, err := gateway.Replay(t.Context(), gateway.Config{DataDir: s.dir}); err != nil || len(gaps) != 1 {
			t.Fatal(gaps, err)
		}
		later(s, lost)
	})
}

// keepData makes a copy of the data, named old.
func (s *site) keepData() {
	s.t.Helper()
	if s.pg == nil {
		copyDir(s.t, s.dir, filepath.Join(s.root, "old"))
		return
	}
	name := databaseIn(s.t, s.pg.data)
	server(s.t).Exec(s.t, "postgres", "CREATE DATABASE "+name+"_old TEMPLATE "+name)
}

// putDataBack puts the copy named old in the place of the data.
func (s *site) putDataBack() {
	s.t.Helper()
	if s.pg != nil {
		name := databaseIn(s.t, s.pg.data)
		server(s.t).Exec(s.t, "postgres", "DROP DATABASE "+name+" WITH (FORCE)", "CREATE DATABASE "+name+" TEMPLATE "+name+"_old")
		return
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.Rename(filepath.Join(s.root, "old"), s.dir)); err != nil {
		s.t.Fatal(err)
	}
}

// databaseIn is the name of the database that a URL names.
func databaseIn(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
