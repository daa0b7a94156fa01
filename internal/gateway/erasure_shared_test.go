package gateway_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// ahead is a clock that a test sets forward.
type ahead struct{ by atomic.Int64 }

func (a *ahead) Now() time.Time { return time.Now().Add(time.Duration(a.by.Load())) }

// wantAbsent checks that an erasure reached every goal, the weakest of which is
// absence, and that each target which goes no further says why.
func wantAbsent(t testing.TB, e erasure.Erasure) {
	t.Helper()
	if e.State != erasure.Completed || e.Level != erasure.Absent {
		t.Fatalf("state %v, level %v, want completed and absent: %+v", e.State, e.Level, e)
	}
	for _, r := range e.Targets {
		if r.Level < r.Goal || r.State() != "verified" || r.Level < erasure.Purged != (r.Exception != "") {
			t.Errorf("target %s: %v of %v, %s, exception %q", r.Name, r.Level, r.Goal, r.State(), r.Exception)
		}
	}
	for _, p := range e.Probes {
		if p.Found != 0 || !p.Control || strings.HasPrefix(p.Name, "files") {
			t.Errorf("probe %q found %d of %d, control %v", p.Name, p.Found, p.Asked, p.Control)
		}
	}
}

func wantReceipt(t testing.TB, g *gateway.Gateway, id string) {
	t.Helper()
	file, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := g.Tree.Key(gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (verify.Trust{Keys: []*verify.Key{key}}).Erasure(file); err != nil {
		t.Errorf("the receipt: %v", err)
	}
}

// completions counts the entries that say that an erasure ended.
func completions(t *testing.T, g *gateway.Gateway) (n int) {
	t.Helper()
	for _, row := range allEntries(t, g) {
		if row.Kind == consent.KindErased {
			n++
		}
	}
	return n
}

// Two gateways share data and vault. What one acknowledged the other never
// returns; both carry the erasure out at once, and one does; the receipt says
// absent, and why no more.
func TestErasureInACluster(t *testing.T) {
	c := newCluster(t, server(t))
	cfg := gateway.Config{ErasuresByHand: true, Deaf: true}
	a, b := c.open(cfg), c.open(cfg)
	say(t, a, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, a, "c", retrieval.Spec{})
	ingest(t, a, "c", invented("ada", "bob"))
	if n := hits(t, b); n != 4 {
		t.Fatalf("%d hits before", n)
	}
	e := erase(t, a, "ada")
	if n := hits(t, b); n != 2 {
		t.Errorf("%d hits at the other gateway at acknowledgement, want Bob's 2", n)
	}
	var wg sync.WaitGroup
	for _, g := range []*gateway.Gateway{a, b} {
		wg.Go(func() { wantAbsent(t, ended(t, g, e.ID)) })
	}
	wg.Wait()
	if n := completions(t, b); n != 1 {
		t.Errorf("%d completions in the ledger", n)
	}
	for i, g := range []*gateway.Gateway{a, b} {
		wantReceipt(t, g, e.ID)
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits at gateway %d", n, i)
		}
		if left := g.Leftovers(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		if got := ingest(t, g, "c", invented("ada")); got[retrieval.Refused] != 2 {
			t.Errorf("ingest for an erased person: %v", got)
		}
	}
	c.wantWholeJournal(t, a)
}

// A gateway is killed with an erasure half done. Within its lease nobody else
// touches it; then another finishes it, with the probe material of the first.
func TestAnErasureOfAKilledGatewayIsFinishedByAnother(t *testing.T) {
	for _, crash := range []string{"erasure.suppressed:1", "erasure.gathered:1", "erase.keys:1", "erase.committed:1", "erasure.after.person_key:1", "erasure.verified:1", "erasure.entered:1"} {
		t.Run(crash, func(t *testing.T) {
			c := newCluster(t, server(t))
			var clock ahead
			stays := c.open(gateway.Config{ErasuresByHand: true, Now: clock.Now})
			say(t, stays, consent.Granted, []string{"ada", "bob"}, rag, emb)
			makeCollection(t, stays, "c", retrieval.Spec{})
			ingest(t, stays, "c", invented("ada", "bob"))
			dies := c.child(t, crash)
			req, err := http.NewRequest("POST", dies.url+"/v1/erasures", bytes.NewReader([]byte(`{"scope":"subject","subject":"user:ada"}`)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+adminKey)
			req.Header.Set("Content-Type", "application/json")
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
			select {
			case <-dies.dead:
			case <-time.After(time.Minute):
				t.Fatal("the step was never reached")
			}
			rows, err := stays.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 10})
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d open erasures, %v", len(rows), err)
			}
			if n := hits(t, stays); n != 2 {
				t.Errorf("%d hits after the crash, want Bob's 2", n)
			}
			if crash != "erasure.suppressed:1" { // then nobody held it yet
				e, err := stays.Erasure.Carry(t.Context(), gateway.DefaultTenant, rows[0].ID)
				if err != nil || e.State != rows[0].State {
					t.Errorf("within the lease of the killed: %v was %v, %v", e.State, rows[0].State, err)
				}
			}
			clock.by.Store(int64(2 * time.Minute))
			wantAbsent(t, ended(t, stays, rows[0].ID))
			wantReceipt(t, stays, rows[0].ID)
			if n := completions(t, stays); n != 1 {
				t.Errorf("%d completions in the ledger", n)
			}
			if n := hits(t, stays); n != 2 {
				t.Errorf("%d hits in the end", n)
			}
		})
	}
}

// With vectors in Weaviate: absent is not said before everything that was on its
// way has arrived and was swept, and not while anything of the person is there.
func TestErasureInWeaviate(t *testing.T) {
	var clock ahead
	var g *gateway.Gateway
	var num consent.SubjectNum
	rounds, strays := 0, 0
	stray := func() {
		strays++
		if err := g.StrayInWeaviate(t.Context(), "erased", num); err != nil {
			t.Error(err)
		}
	}
	g = openGateway(t, gateway.Config{Weaviate: onWeaviate(t), ErasuresByHand: true, Now: clock.Now, Log: debugLog(), Step: func(at string) {
		switch at {
		case "erasure.before.documents":
			rounds++
		case "erasure.after.arrivals":
			if rounds == 1 { // behind the sweep's back: verification has to find it
				stray()
			}
		}
	}})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "erased", retrieval.Spec{})
	ingest(t, g, "erased", invented("ada", "bob"))
	var err error
	if num, err = g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, "ada")); err != nil {
		t.Fatal(err)
	}
	objects := func() int {
		t.Helper()
		n, err := g.ObjectsInWeaviate(t.Context(), "erased")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	e := erase(t, g, "ada")
	if n := len(find(t, g, "erased", "server")); n != 2 || objects() != 4 {
		t.Errorf("%d hits at acknowledgement of %d objects, want Bob's 2 of 4", n, objects())
	}
	for range 3 {
		if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil || e.State != erasure.Running || e.Attempts != 0 {
			t.Fatalf("before what was on its way has arrived: %v after %d attempts, %v", e.State, e.Attempts, err)
		}
	}
	if n := objects(); n != 2 {
		t.Errorf("%d objects, want Bob's 2", n)
	}
	stray() // arrives within its lease: the sweep finds it
	clock.by.Store(int64(61 * time.Second))
	e = ended(t, g, e.ID)
	if e.State != erasure.Completed || e.Level != erasure.Absent {
		t.Fatalf("state %v, level %v: %+v", e.State, e.Level, e)
	}
	if rounds != 2 || strays != 2 {
		t.Errorf("%d rounds of the cascade with %d strays, want 2: verification did not find what came behind the sweep's back", rounds, strays)
	}
	if n := objects(); n != 2 {
		t.Errorf("%d objects, want Bob's 2", n)
	}
	for _, r := range e.Targets {
		want := erasure.Purged
		if r.Name == "index" {
			want = erasure.Absent
		}
		if r.Level != want || r.Goal != want || r.Kind == "weaviate" != (r.Exception != "") {
			t.Errorf("target %+v", r)
		}
	}
	wantReceipt(t, g, e.ID)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	if got := ingest(t, g, "erased", invented("ada")); got[retrieval.Stored] != 2 {
		t.Errorf("ingest after she came back: %v", got)
	}
	if n := len(find(t, g, "erased", "server")); n != 4 {
		t.Errorf("%d hits after she came back, want 4", n)
	}
}

// Copies of training manifests that hold the person go with their key; the
// manifest says so, and which rows to drop. Another's manifest stays.
func TestErasureReachesManifests(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	for _, who := range []string{"ada", "bob"} {
		makeCollection(t, g, who, retrieval.Spec{})
		ingest(t, g, who, invented(who))
	}
	both, bobs := manifest(t, g, spec("ada", "bob")), manifest(t, g, spec("bob"))
	e := ended(t, g, erase(t, g, "ada").ID)
	wantPurged(t, e)
	for _, r := range e.Targets {
		if r.Name == "manifests" && (r.Deleted != 1 || r.Level != erasure.Purged) {
			t.Errorf("target %+v", r)
		}
	}
	got, err := g.Training.Check(t.Context(), trainer, both.ID)
	if err != nil || got.Status != training.Revoked || len(got.Drop) != 2 {
		t.Errorf("check: %v, %d rows to drop, %v", got.Status, len(got.Drop), err)
	}
	for _, f := range both.Files {
		if _, _, err := g.Training.OpenFile(t.Context(), trainer, both.ID, f.Name); !errors.Is(err, training.ErrErased) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if _, err := os.Lstat(g.FilesOf(both.ID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("files of the manifest: %v", err)
	}
	if got, err := g.Training.Check(t.Context(), trainer, bobs.ID); err != nil || got.Status != training.Valid {
		t.Errorf("Bob's manifest: %v, %v", got.Status, err)
	}
	f, _, err := g.Training.OpenFile(t.Context(), trainer, bobs.ID, bobs.Files[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
