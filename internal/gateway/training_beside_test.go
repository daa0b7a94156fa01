package gateway_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// kept is a corpus whose documents were opened once: nobody writes to it here,
// and what is looked at is what the ledger says of them. Every page is of all
// documents of one that was opened.
type kept struct {
	training.Corpus
	pages map[int64][]*training.Document
	ends  map[int64]int64
}

func (k *kept) Page(ctx context.Context, t consent.TenantID, s training.Selection, after int64, f func(*training.Document) error) (int64, bool, error) {
	page, ok := k.pages[after]
	if !ok {
		mark, done, err := k.Corpus.Page(ctx, t, s, after, func(d *training.Document) error {
			page = append(page, d)
			return nil
		})
		if err != nil {
			return after, false, err
		}
		if done {
			mark = -1
		}
		k.pages[after], k.ends[after] = page, mark
	}
	for _, d := range page {
		if err := f(d); err != nil {
			return after, false, err
		}
	}
	return k.ends[after], k.ends[after] < 0, nil
}

// Builds beside withdrawals: no manifest holds a row of anyone who was not
// permitted at the head when it was entered, and each, rebuilt at its positions
// while withdrawals go on, is the same byte for byte or lacks exactly the rows
// of who left. On the dev part of the chat; with ASSENT_IRC_TRAIN=1 200
// manifests on the train part: 47 minutes beside four others on two cores, 2.5 s
// of processor a build with what is checked of it.
// ASSENT_MANIFESTS is how many are built.
func TestBuildsBesideWithdrawals(t *testing.T) {
	name, builds, shard := "irc/dev_docs.jsonl", 10, 1500
	if os.Getenv("ASSENT_IRC_TRAIN") != "" {
		name, builds, shard = "irc/train_docs.jsonl.gz", 200, 50_000
	}
	if n := os.Getenv("ASSENT_MANIFESTS"); n != "" {
		fmt.Sscan(n, &builds)
	}
	docs, err := eval.LoadDocs(sharedData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, Training: gateway.TrainingConfig{ShardRows: shard}})
	who := owners(docs)
	say(t, g, consent.Granted, who, rag, emb, trn)
	makeCollection(t, g, "irc", retrieval.Spec{})
	for some := range slices.Chunk(docs, 20_000) {
		ingest(t, g, "irc", some)
	}
	g.Training.Corpus = &kept{Corpus: g.Training.Corpus, pages: map[int64][]*training.Document{}, ends: map[int64]int64{}}
	ownersOf := map[string][]string{}
	for _, d := range docs {
		ownersOf[d.ID] = d.Owners
	}
	rand.New(rand.NewPCG(3, 3)).Shuffle(len(who), func(i, j int) { who[i], who[j] = who[j], who[i] })
	leaving := who[:len(who)*3/10]
	left := leave(t, g, leaving, 2*builds)

	rows, same, differ, withheld := 0, 0, 0, uint64(0)
	began := time.Now()
	for i := range builds {
		if i%20 == 0 {
			t.Logf("%d of %d built and rebuilt after %s", i, builds, time.Since(began).Round(time.Second))
		}
		s := spec("irc")
		s.Linkable, s.Formats = true, []string{"jsonl"}
		m := manifest(t, g, s)
		left.built.Add(1)
		s.AtPosition, s.AtCorpus, s.AtCorpusHead = m.LedgerPos, m.CorpusPos, false
		again := manifest(t, g, s)
		left.built.Add(1)
		before, after := left.verify(t, g, m, ownersOf), left.verify(t, g, again, ownersOf)
		if again.Digest != m.Digest || again.Rows+again.Withheld != m.Rows+m.Withheld {
			t.Fatal("rebuilt to another digest")
		}
		if left.lacks(t, before, after, ownersOf) == 0 {
			same++
			for i, f := range again.Files {
				if filepath.Dir(f.Name) == "data" && f != m.Files[i] {
					t.Fatalf("%s: the same rows, other bytes", f.Name)
				}
			}
		} else {
			differ++
		}
		rows, withheld = rows+len(before)+len(after), withheld+m.Withheld+again.Withheld
		for _, id := range []string{m.ID, again.ID} {
			if err := os.RemoveAll(filepath.Join(dir, "manifests", id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	left.done.Wait()
	if left.gone() != len(leaving) {
		t.Errorf("%d of %d withdrew", left.gone(), len(leaving))
	}
	t.Logf("%d manifests and as many rebuilt, of %d documents, in %s: %d rows looked at, %d people of %d withdrew meanwhile, %d rows withheld; rebuilt: %d the same, %d without the withheld",
		builds, len(docs), time.Since(began).Round(time.Second), rows, len(leaving), len(who), withheld, same, differ)
}

// A leaver withdraws people one by one and notes the position of each.
type leaver struct {
	mu    sync.Mutex
	asked map[string]bool // begins before the entry, so that no effect comes earlier
	at    map[string]consent.Position
	built atomic.Int64
	done  sync.WaitGroup
}

// leave withdraws people beside so many builds, spread over them.
func leave(t *testing.T, g *gateway.Gateway, people []string, builds int) *leaver {
	l := &leaver{asked: map[string]bool{}, at: map[string]consent.Position{}}
	ct, _ := consent.ParseType(trn)
	l.done.Go(func() {
		for i, p := range people {
			for l.built.Load()*int64(len(people)) < int64(i)*int64(builds) && l.built.Load() < int64(builds) {
				if t.Context().Err() != nil {
					return
				}
				if i%8 != 0 {
					break // some come in bursts
				}
				time.Sleep(time.Millisecond)
			}
			l.mu.Lock()
			l.asked[p] = true
			l.mu.Unlock()
			out, err := g.Ledger.Record(context.Background(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, p), Type: ct, Status: consent.Revoked, Audit: consent.Audit{Source: "test"}}}, consent.Once{})
			if err != nil || out[0].Err != nil {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.at[p] = out[0].Position
			l.mu.Unlock()
		}
	})
	return l
}

func (l *leaver) gone() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.at)
}

// verify reads the rows of a manifest past the second gate, which would refuse:
// what matters is what was written. None is of anybody who left before its entry.
func (l *leaver) verify(t *testing.T, g *gateway.Gateway, m training.Manifest, ownersOf map[string][]string) []gateway.WrittenRow {
	t.Helper()
	rows := g.ManifestRows(t.Context(), m.ID)
	if uint64(len(rows)) != m.Rows {
		t.Fatalf("%d rows, it says %d", len(rows), m.Rows)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rows {
		for _, p := range ownersOf[r.ID] {
			if at := l.at[p]; at != 0 && at < m.Entry {
				t.Fatalf("entered at %d, holds a row of somebody who withdrew at %d", m.Entry, at)
			}
		}
	}
	return rows
}

// lacks checks that after is before without rows of people who left, in the
// same order, and counts those.
func (l *leaver) lacks(t *testing.T, before, after []gateway.WrittenRow, ownersOf map[string][]string) (n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range before {
		if len(after) > 0 && after[0] == r {
			after = after[1:]
			continue
		}
		if !slices.ContainsFunc(ownersOf[r.ID], func(p string) bool { return l.asked[p] }) {
			t.Fatal("a rebuild lacks a row that is permitted")
		}
		n++
	}
	if len(after) > 0 {
		t.Fatal("a rebuild holds a row that was not there")
	}
	return n
}
