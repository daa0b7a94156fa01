package gateway_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/assent-gateway/assent/internal/gateway"
)

func execSQL(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// served is every checkpoint that a gateway ever gave out, in all its lives.
type served struct {
	mu   sync.Mutex
	vkey string
	all  map[string]bool
}

// watch collects checkpoints until the gateway is gone.
func (s *served) watch(url string) {
	for {
		text, ok := fetch(url + "/log/default/checkpoint")
		if !ok {
			return
		}
		s.mu.Lock()
		s.all[text] = true
		s.mu.Unlock()
	}
}

func fetch(url string) (string, bool) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return "", false
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err == nil && resp.StatusCode == 200
}

// check compares every checkpoint served with the leaves that are there.
func (s *served) check(t *testing.T, dir string) {
	t.Helper()
	roots := [][]byte{nil}
	rng := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, leaf := range leaves(t, dir) {
		if err := rng.Append(leaf, nil); err != nil {
			t.Fatal(err)
		}
		root, err := rng.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	for text := range s.all {
		h := readCheckpoint(t, s.vkey, text)
		if h.size >= uint64(len(roots)) || !bytes.Equal(roots[h.size], h.root) {
			t.Fatalf("a checkpoint of size %d was served that the log of %d entries does not continue", h.size, len(roots)-1)
		}
	}
}

// logSteps are the durable steps on the way of an entry into a served
// checkpoint, of all parts.
var logSteps = []string{
	"tx.begin", "tx.commit", "tx.committed", "journal.write", "journal.sync", "journal.synced", "applied",
	"log.signed", "checkpoint.write", "checkpoint.renamed", "log.vaulted", "log.stored", "log.published",
}

// kill -9 between any two durable steps, 200 seeds, twenty lives on each of ten
// directories: whatever was served before, the reopened log continues, and its
// newest checkpoint covers every entry there is.
func TestKilledLogsContinueEveryCheckpointServed(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 20
	}
	const lives = 20
	var dir string
	var s *served
	total, died := 0, map[string]int{}
	for seed := range seeds {
		if seed%lives == 0 {
			dir = filepath.Join(t.TempDir(), "data")
			s = &served{all: map[string]bool{}}
			g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
			_, s.vkey, _ = get(t, g.Handler(), adminKey, "/v1/log/key")
			g.Close()
		}
		rng := rand.New(rand.NewPCG(uint64(seed), 11))
		step := logSteps[rng.IntN(len(logSteps))]
		c := startChild(t, dir, fmt.Sprintf("%s:%d", step, 1+rng.IntN(4)))
		if c.url != "" {
			var wg sync.WaitGroup
			wg.Go(func() { s.watch(c.url) })
			for w := range 2 {
				wg.Go(func() {
					for i := 0; ; i++ {
						body := map[string]any{"user_id": fmt.Sprintf("s%dw%d", seed, w), "consent_type": rag, "status": []string{"granted", "revoked"}[i%2], "source": "kill test"}
						if code, _, err := c.call("POST", "/v1/consent", body); err != nil || code/100 != 2 {
							return
						}
					}
				})
			}
			select {
			case <-c.dead:
				died[step]++
			case <-time.After(time.Minute):
				t.Fatalf("seed %d: %s was never reached", seed, step)
			}
			wg.Wait()
		} else {
			died[step]++
		}
		s.check(t, dir)
		if (seed+1)%lives != 0 {
			continue
		}
		g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
		head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		code, text, _ := get(t, g.Handler(), adminKey, fmt.Sprint("/v1/log/proof/", head.Position))
		if code != 200 {
			t.Fatalf("seed %d: proof of the newest entry: %d %s", seed, code, text)
		}
		verifyProof(t, s.vkey, text)
		_, cp, _ := get(t, g.Handler(), adminKey, "/log/default/checkpoint")
		s.all[cp] = true
		g.Close()
		s.check(t, dir)
		total += len(s.all)
	}
	for _, step := range logSteps {
		if died[step] == 0 && !testing.Short() {
			t.Errorf("nobody died at %s", step)
		}
	}
	t.Logf("%d kills, %d different checkpoints served", seeds, total)
}
