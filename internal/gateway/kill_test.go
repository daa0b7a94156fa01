package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// said is what was asked for and what was acknowledged, across every life of
// a gateway.
type said struct {
	mu       sync.Mutex
	status   map[string]string // person → newest acknowledged status
	flying   map[string]string // person → status asked for, not answered
	texts    map[string]string // document → newest acknowledged text
	inFlight map[string]string
	position uint64 // newest acknowledged ledger position
}

// drive writes consents and documents until the gateway is gone.
func (s *said) drive(c *child, round int) {
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				person := fmt.Sprintf("w%dp%d", w, i%5)
				status := []string{"granted", "revoked"}[(i/5+round)%2]
				s.mu.Lock()
				s.flying[person] = status
				s.mu.Unlock()
				code, answer, err := c.call("POST", "/v1/consent", map[string]any{"user_id": person, "consent_type": rag, "status": status, "source": "kill test"})
				if err != nil || code/100 != 2 {
					return
				}
				s.mu.Lock()
				s.status[person] = status
				s.position = max(s.position, uint64(answer["ledger_position"].(float64)))
				delete(s.flying, person)
				s.mu.Unlock()
			}
		})
	}
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				var docs []map[string]any
				s.mu.Lock()
				for d := range 3 {
					id := fmt.Sprintf("d%d-%d", w, (i*3+d)%12)
					text := fmt.Sprintf("text of round %d number %d in document %s", round, i, id)
					docs = append(docs, map[string]any{"id": id, "owners": []string{"owner"}, "text": text})
					s.inFlight[id] = text
				}
				s.mu.Unlock()
				code, answer, err := c.call("POST", "/v1/collections/kill/documents", map[string]any{"documents": docs})
				if err != nil || code != 200 {
					return
				}
				s.mu.Lock()
				for n, r := range answer["results"].([]any) {
					id := docs[n]["id"].(string)
					if got := r.(map[string]any)["status"]; got != "stored" && got != "unchanged" {
						panic(fmt.Sprint("document was ", got))
					}
					s.texts[id] = docs[n]["text"].(string)
					delete(s.inFlight, id)
				}
				s.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// check opens the data directory and compares it with what was acknowledged.
func (s *said) check(t *testing.T, dir string) {
	t.Helper()
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	s.slots(t, g, s.checkGateway(t, g))
}

// checkGateway compares what a gateway says with what was acknowledged.
func (s *said) checkGateway(t *testing.T, g *gateway.Gateway) (documents int) {
	t.Helper()
	if err := g.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for person, status := range s.status {
		_, standings, err := g.Ledger.Standings(t.Context(), gateway.DefaultTenant, subject(t, person))
		if err != nil || len(standings) != 1 {
			t.Fatalf("%d standings, %v", len(standings), err)
		}
		if got := standings[0].Status.String(); got != status && got != s.flying[person] {
			t.Errorf("acknowledged as %s, found as %s", status, got)
		}
	}
	all, err := g.Retrieval.Search(t.Context(), caller, "kill", retrieval.SearchRequest{Query: "text of round", K: 1000, Purpose: "rag_retrieval", Mode: retrieval.ModeKeyword})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, h := range all.Hits {
		if _, twice := found[h.DocumentID]; twice {
			t.Errorf("document found twice")
		}
		found[h.DocumentID] = h.Text
	}
	for id, text := range s.texts {
		if got := found[id]; got != text && got != s.inFlight[id] {
			t.Errorf("document %s: found %q, acknowledged %q", id, got, text)
		}
		doc, err := g.Retrieval.Document(t.Context(), caller, "kill", id, "rag_retrieval")
		if err != nil || doc.Text != found[id] {
			t.Errorf("document %s by id: %v", id, err)
		}
	}
	s.settle(t, g)
	return len(found)
}

// slots counts the keys in use: one for every person and every document there
// is. One more would be the key of a version that was replaced, left by a crash
// before it was destroyed.
func (s *said) slots(t *testing.T, g *gateway.Gateway, documents int) {
	t.Helper()
	people := 1 // the owner
	for w := range 3 {
		for p := range 5 {
			num, err := g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, fmt.Sprintf("w%dp%d", w, p)))
			if err != nil {
				t.Fatal(err)
			}
			if num != 0 {
				people++
			}
		}
	}
	if used := g.KeySlots(); used != people+documents {
		t.Errorf("%d keys for %d people and %d documents", used, people, documents)
	}
}

// settle looks at what was in flight: it happened or it did not; either way it
// is now known.
func (s *said) settle(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	for person := range s.flying {
		_, standings, err := g.Ledger.Standings(t.Context(), gateway.DefaultTenant, subject(t, person))
		if err == nil && len(standings) == 1 {
			s.status[person] = standings[0].Status.String()
		}
	}
	clear(s.flying)
	for id := range s.inFlight {
		if doc, err := g.Retrieval.Document(t.Context(), caller, "kill", id, "rag_retrieval"); err == nil {
			s.texts[id] = doc.Text
		}
	}
	clear(s.inFlight)
}

func newSaid() *said {
	return &said{status: map[string]string{}, flying: map[string]string{}, texts: map[string]string{}, inFlight: map[string]string{}}
}

func prepareKill(t *testing.T, dir string) {
	t.Helper()
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Granted, []string{"owner"}, rag, emb)
	makeCollection(t, g, "kill", retrieval.Spec{})
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// kill -9 at 50 random moments during ingest and consent writes: every
// acknowledged write is there, none half there, every one is in the journal.
func TestKillAtRandomMoments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	prepareKill(t, dir)
	s := newSaid()
	rng := rand.New(rand.NewPCG(5, 5))
	for round := range 50 {
		c := startChild(t, dir, "")
		done := make(chan struct{})
		go func() {
			s.drive(c, round)
			close(done)
		}()
		select {
		case <-time.After(time.Duration(20+rng.IntN(180)) * time.Millisecond):
		case <-done:
			t.Fatal("the writers stopped by themselves")
		}
		c.kill()
		<-done
		s.checkJournal(t, dir)
		s.check(t, dir)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("50 kills; %d people and %d documents acknowledged", len(s.status), len(s.texts))
}

// The process dies between any two durable steps of a write. Afterwards what
// was acknowledged is there, and what was not is whole or absent.
func TestKillBetweenSteps(t *testing.T) {
	for _, step := range []string{
		"slots.write", "slots.sync", "slots.synced", "tx.begin", "tx.commit", "tx.committed",
		"journal.write", "journal.sync", "journal.synced", "applied",
	} {
		for _, n := range []int{1, 2, 5, 9} {
			t.Run(fmt.Sprintf("%s %d", step, n), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				prepareKill(t, dir)
				s := newSaid()
				c := startChild(t, dir, fmt.Sprintf("%s:%d", step, n))
				if c.url != "" {
					done := make(chan struct{})
					go func() {
						s.drive(c, 0)
						close(done)
					}()
					select {
					case <-c.dead:
					case <-time.After(time.Minute):
						t.Fatal("the step was never reached")
					}
					<-done
				}
				s.checkJournal(t, dir)
				s.check(t, dir)
			})
		}
	}
}

// checkJournal opens the vault by itself, before any gateway can mend it:
// every acknowledged write is in its journal.
func (s *said) checkJournal(t *testing.T, dir string) {
	t.Helper()
	v, err := vault.Open(dir+".vault", vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got := v.Head(string(gateway.DefaultTenant)); got < s.position {
		t.Errorf("the journal ends at %d, position %d was acknowledged", got, s.position)
	}
}
