package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// times is how often a test does something: all of it when its variable says how
// often, else less, so that the suite stays short. It says so.
func times(t *testing.T, variable string, usually, short int) int {
	t.Helper()
	n := usually
	if testing.Short() {
		n = short
	}
	if s := os.Getenv(variable); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("%s is not a number", variable)
		}
	}
	t.Logf("%d times (%s says how often)", n, variable)
	return n
}

// A backend is a place for one erasure whose gateways are killed.
type backend struct {
	open   func(ahead time.Duration) *gateway.Gateway // erasures by hand
	start  func(crash string, ahead time.Duration) *child
	steps  []string // of an erasure there
	keys   int      // of Bob and his two documents, when all is over
	wanted func(testing.TB, erasure.Erasure)
}

// The steps of an erasure, in their order; each back-end has some of its own.
func cascadeSteps(gathering, outside, arriving []string) []string {
	return slices.Concat([]string{"erasure.suppressed", "erasure.key"}, gathering, []string{"erasure.gathered", "erasure.before.resolve", "erasure.after.resolve", "erasure.before.documents", "erase.keys", "erase.committed"},
		outside, []string{"erasure.after.documents", "erasure.before.manifests", "erasure.after.manifests", "erasure.before.person_key", "erasure.after.person_key",
			"erasure.before.person_row", "erasure.after.person_row"}, arriving,
		[]string{"erasure.before.files", "erasure.after.files", "erasure.verified", "erasure.entered", "erasure.receipt"})
}

// A hundred seeds: in each a gateway is killed in the middle of an erasure, at any
// of its steps, and the one that goes on is killed as well, once or twice. The last
// one ends it: there is one receipt, one completion, nothing half erased without an
// open job, and nothing of the person.
func TestErasureSurvivesKillsAtAnyStep(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		seeds(t, times(t, "ASSENT_SHOW_KILLS", 8, 2), func(t *testing.T) backend {
			dir := filepath.Join(t.TempDir(), "data")
			return backend{
				open: func(ahead time.Duration) *gateway.Gateway {
					return openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true, Now: func() time.Time { return time.Now().Add(ahead) }})
				},
				start: func(crash string, ahead time.Duration) *child {
					return startChild(t, dir, crash, "ASSENT_TEST_AHEAD="+ahead.String())
				},
				steps: cascadeSteps([]string{"probe.write", "probe.renamed"}, nil, nil), keys: 3, wanted: wantPurged,
			}
		})
	})
	t.Run("postgres and weaviate", func(t *testing.T) {
		seeds(t, times(t, "ASSENT_SHOW_KILLS", 3, 1), func(t *testing.T) backend {
			c, w := newCluster(t, server(t)), onWeaviate(t)
			return backend{
				open: func(ahead time.Duration) *gateway.Gateway {
					return c.open(gateway.Config{ErasuresByHand: true, Weaviate: w, Now: func() time.Time { return time.Now().Add(ahead) }})
				},
				start: func(crash string, ahead time.Duration) *child {
					cfg := c.config(gateway.Config{})
					return startChild(t, cfg.VaultDir, crash, "ASSENT_TEST_POSTGRES="+cfg.PostgresURL, "ASSENT_TEST_VAULT="+cfg.VaultURL,
						"ASSENT_TEST_WEAVIATE="+w.URL, "ASSENT_TEST_WEAVIATE_GRPC="+w.GRPC, "ASSENT_TEST_AHEAD="+ahead.String())
				},
				steps: cascadeSteps(nil, []string{"outside.withdrawn"}, []string{"erasure.before.arrivals", "erasure.after.arrivals"}), keys: -1, wanted: wantAbsent,
			}
		})
	})
}

func seeds(t *testing.T, n int, at func(*testing.T) backend) {
	var kills, first atomic.Int64
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			b, rng := at(t), rand.New(rand.NewPCG(uint64(seed), 5))
			g := b.open(0)
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			ingest(t, g, "c", invented("ada", "bob"))
			must(t, g.Close())

			// Each later gateway's clock is further ahead: the killed one's lease has
			// ended then, and whatever was on its way into an index outside has arrived.
			ahead, at := time.Duration(0), []int{seed % len(b.steps)}
			for range rng.IntN(3) {
				at = append(at, rng.IntN(len(b.steps)))
			}
			slices.Sort(at)
			for i, n := range at {
				step := b.steps[n]
				died := b.killed(t, step, ahead, i == 0)
				if died {
					kills.Add(1)
				}
				t.Logf("%s: killed %v", step, died)
				ahead += 3 * time.Minute
			}
			g = b.open(ahead)
			rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 10})
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d erasures, %v; want the one that was asked for", len(rows), err)
			}
			if rows[0].State == erasure.Completed {
				first.Add(1)
			}
			if n := hits(t, g); n != 2 {
				t.Errorf("%d hits before it goes on, want Bob's 2", n)
			}
			e := ended(t, g, rows[0].ID)
			b.wanted(t, e)
			wantReceipt(t, g, e.ID)
			if n := completions(t, g); n != 1 {
				t.Errorf("%d completions in the ledger", n)
			}
			if n := hits(t, g); n != 2 {
				t.Errorf("%d hits, want Bob's 2", n)
			}
			if n := g.LiveDocuments(t); n != 2 {
				t.Errorf("%d documents, want Bob's 2", n)
			}
			if left := g.Leftovers(t); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if used := g.KeySlots(); b.keys >= 0 && used != b.keys {
				t.Errorf("%d keys are left, want %d", used, b.keys)
			}
			if open, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 10}); err != nil || len(open) != 0 {
				t.Errorf("%d open erasures, %v", len(open), err)
			}
			if n, err := g.Erasure.Reconcile(t.Context(), gateway.DefaultTenant); err != nil || n != 0 {
				t.Errorf("the reconciler found %d people, %v", n, err)
			}
			if found, err := g.Look(t.Context()); err != nil || len(found) != 0 || g.Alarms() != nil {
				t.Errorf("a look found %v, %v; alarms %v", found, err, g.Alarms())
			}
		})
	}
	t.Logf("%d seeds, %d kills; in %d the last but one gateway had ended it", n, kills.Load(), first.Load())
}

// killed runs a gateway that dies at a step, and asks it for the erasure when
// nobody has yet. It reports false when the erasure ended, or waits for a later
// clock, without coming to that step; then the gateway is killed all the same.
func (b backend) killed(t *testing.T, step string, ahead time.Duration, asks bool) bool {
	c := b.start(step+":1", ahead)
	if c.url == "" {
		return true // on its way up
	}
	if asks {
		// Nobody may have been answered.
		_, _, _ = c.call("POST", "/v1/erasures", map[string]any{"scope": "subject", "subject": "ada"})
	}
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case <-c.dead:
			return true
		case <-time.After(20 * time.Millisecond):
		}
		status, answer, err := c.call("GET", "/v1/erasures", nil)
		if err != nil || status != 200 {
			continue // it died, or is about to
		}
		if e := only(answer); e != nil && (e["state"] == "completed" || ahead == 0 && waits(e)) {
			c.kill()
			return false
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: neither reached nor passed: %v", step, answer)
		}
	}
}

// only is the only erasure of a list.
func only(answer map[string]any) map[string]any {
	list, _ := answer["erasures"].([]any)
	if len(list) != 1 {
		return nil
	}
	e, _ := list[0].(map[string]any)
	return e
}

// waits reports whether all that is left to do needs what was on its way into an
// index outside to have arrived.
func waits(e map[string]any) bool {
	state := map[any]any{}
	targets, _ := e["targets"].([]any)
	for _, x := range targets {
		if target, _ := x.(map[string]any); target != nil {
			state[target["name"]] = target["state"]
		}
	}
	return e["state"] == "running" && state["record_keys"] == "erased" && state["manifests"] == "erased" && state["index"] == "pending"
}

// Ingests at three gateways race an erasure of the same person at any of them:
// never is a passage left, whoever comes first and wherever one looks.
func TestIngestRacesErasureOnThreeGateways(t *testing.T) {
	rounds := times(t, "ASSENT_SHOW_RACES", 60, 15)
	c := newCluster(t, server(t))
	var gs []*gateway.Gateway
	for range 3 {
		gs = append(gs, c.open(gateway.Config{ErasuresByHand: true}))
	}
	makeCollection(t, gs[0], "c", retrieval.Spec{})
	var stored atomic.Int64
	for round := range rounds {
		who := fmt.Sprint("p", round%7)
		say(t, gs[round%3], consent.Granted, []string{who}, rag, emb)
		var wg sync.WaitGroup
		for i, g := range gs {
			wg.Go(func() {
				docs := []retrieval.Submission{{Document: retrieval.Document{
					ID: fmt.Sprint("d", round, "-", i), Owners: []consent.Subject{subject(t, who)}, Text: fmt.Sprint("The server of round ", round, " by ", i),
				}}}
				out, err := g.Retrieval.Ingest(t.Context(), caller, "c", docs, consent.Once{})
				if err != nil {
					t.Error(err)
					return
				}
				if out.Results[0].Status == retrieval.Stored {
					stored.Add(1)
				}
			})
		}
		var id string
		wg.Go(func() { id = erase(t, gs[(round+1)%3], who).ID })
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		carrier := gs[(round+2)%3]
		must(t, carrier.Cascade(t.Context(), id))
		for i, g := range gs {
			if n := len(find(t, g, "c", "server")); n != 0 {
				t.Fatalf("round %d: %d passages are found at gateway %d", round, n, i)
			}
		}
		if n := carrier.LiveDocuments(t); n != 0 {
			t.Fatalf("round %d: %d documents are left", round, n)
		}
		_, err := carrier.Erasure.Hold(t.Context(), gateway.DefaultTenant, id, "test")
		must(t, err)
		must(t, carrier.EndErasure(t.Context(), id))
	}
	for i, g := range gs {
		if found, err := g.Look(t.Context()); err != nil || len(found) != 0 || g.Alarms() != nil {
			t.Errorf("gateway %d: a look found %v, %v; alarms %v", i, found, err, g.Alarms())
		}
	}
	t.Logf("of %d ingests %d came first", 3*rounds, stored.Load())
}

// One key asks for the erasure of very many people: up to the limit they are
// carried out, all others wait for another key, and are suppressed meanwhile. The
// list gives each once, in pages; what waits takes no work and no memory worth
// speaking of.
func TestMassErasureByOneKey(t *testing.T) {
	n := times(t, "ASSENT_SHOW_MASS", 600, 120)
	limit := min(1000, n/3)
	g := openGateway(t, gateway.Config{AdminKey: adminKey, ErasuresByHand: true, MassLimit: limit})
	ctx, id := t.Context(), gateway.DefaultTenant
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, began := heap(), time.Now()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				if _, err := g.Erasure.Request(ctx, id, erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(t, fmt.Sprint("p", i)), By: "one"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	took := time.Since(began)
	h := g.Handler()
	states, seen, pages := map[string]int{}, map[string]bool{}, 0
	for cursor := ""; ; pages++ {
		code, body, _ := get(t, h, adminKey, "/v1/erasures?limit=100"+cursor)
		var page struct {
			Erasures []struct{ ID, State string }
			Next     string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); code != 200 || err != nil {
			t.Fatalf("%d, %v", code, err)
		}
		if len(page.Erasures) > 100 {
			t.Fatalf("a page of %d", len(page.Erasures))
		}
		for _, e := range page.Erasures {
			if seen[e.ID] {
				t.Fatal("an erasure is listed twice")
			}
			seen[e.ID] = true
			states[e.State]++
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + page.Next
	}
	if len(seen) != n || states["suppressed"] != limit || states["received"] != n-limit {
		t.Fatalf("of %d: %v", n, states)
	}
	listed := time.Since(began) - took
	a, err := g.Ledger.Decide(ctx, id, []consent.Subject{subject(t, fmt.Sprint("p", n-1))}, consent.Question{Purpose: "rag_retrieval"})
	if err != nil || a.Decisions[0].Reason != consent.ReasonSuppressed {
		t.Errorf("one that waits: %v, %v", a.Decisions, err)
	}
	waiting, err := g.Erasure.List(ctx, id, erasure.Page{State: erasure.Received, Limit: 1})
	must(t, err)
	if e, err := g.Erasure.Carry(ctx, id, waiting[0].ID); err != nil || e.State != erasure.Received {
		t.Errorf("it went on without a second key: %v, %v", e.State, err)
	}
	if _, err := g.Erasure.Decide(ctx, id, waiting[0].ID, "one", erasure.Approve, ""); !errors.Is(err, erasure.ErrSameKey) {
		t.Errorf("the key that asked approved: %v", err)
	}
	if e, err := g.Erasure.Decide(ctx, id, waiting[0].ID, "two", erasure.Approve, ""); err != nil || e.State != erasure.Suppressed {
		t.Errorf("another key: %v, %v", e.State, err)
	}
	wantPurged(t, ended(t, g, waiting[0].ID))
	grown := int64(heap()) - int64(before)
	t.Logf("%d requests in %v (%.0f/s), listed in %d pages in %v; heap grown by %d KiB, %d bytes each", n, took, float64(n)/took.Seconds(), pages+1, listed, grown>>10, grown/int64(n))
	if grown > 16<<20+int64(n)*8<<10 {
		t.Error("memory grows with what waits")
	}
	runtime.KeepAlive(g)
}

// An erasure is under way while the vault's wrapping key, or the log's key, is
// changed: its receipt verifies, also when the statement was frozen before.
func TestAReceiptOfAnErasureDuringARotation(t *testing.T) {
	for _, crash := range []string{"erasure.suppressed", "erasure.gathered", "erasure.after.documents", "erasure.entered", "erasure.receipt"} {
		for _, rotate := range []string{"vault", "log"} {
			t.Run(rotate+" key, after "+crash, func(t *testing.T) {
				s := newSite(t)
				var keys []*verify.Key
				learn := func(g *gateway.Gateway) {
					vkey, err := g.Tree.Key(gateway.DefaultTenant)
					must(t, err)
					key, err := verify.ParseKey(strings.TrimSpace(vkey))
					must(t, err)
					keys = append(keys, key)
				}
				s.during(learn)
				c := startChild(t, s.dir, crash+":1")
				if c.url != "" {
					_, _, _ = c.call("POST", "/v1/erasures", map[string]any{"scope": "subject", "subject": "ada"})
					select {
					case <-c.dead:
					case <-time.After(time.Minute):
						t.Fatal("the step was never reached")
					}
				}
				s.withVault(func(v *vault.Vault) {
					if rotate == "log" {
						must(t, v.RotateLogKey("default"))
						return
					}
					must(t, v.Rotate(context.Background()))
				})
				g := openGateway(t, gateway.Config{DataDir: s.dir, AdminKey: adminKey, ErasuresByHand: true})
				learn(g)
				rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 10})
				if err != nil || len(rows) != 1 {
					t.Fatalf("%d erasures, %v", len(rows), err)
				}
				wantPurged(t, ended(t, g, rows[0].ID))
				file, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, rows[0].ID)
				must(t, err)
				if _, err := (verify.Trust{Keys: keys}).Erasure(file); err != nil {
					t.Errorf("the receipt: %v", err)
				}
				if n := completions(t, g); n != 1 {
					t.Errorf("%d completions", n)
				}
				if n := len(find(t, g, "c", "server")); n != 2 {
					t.Errorf("%d hits, want Bob's 2", n)
				}
			})
		}
	}
}
