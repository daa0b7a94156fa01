package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// rebuilding configures a gateway with a server whose files it can read, and a
// clock that a test sets forward.
func rebuilding(w *testweaviate.Server, clock *ahead) gateway.Config {
	return gateway.Config{
		Weaviate:        &weaviate.Options{URL: w.URL(), GRPC: w.GRPC()},
		WeaviateRebuild: 24 * time.Hour, WeaviateData: []string{w.Data()},
		ErasuresByHand: true, Now: clock.Now, Log: debugLog(),
	}
}

// throughRebuild carries an erasure on until it has ended, with the clock set
// forward whenever it waits.
func throughRebuild(t testing.TB, g *gateway.Gateway, clock *ahead, id string) (e erasure.Erasure) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
		if err != nil {
			t.Fatal(err)
		}
		switch e.State {
		case erasure.Suppressed, erasure.Running, erasure.Verifying:
		default:
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %v after %d attempts: %+v", e.State, e.Attempts, e)
		}
		by := 5 * time.Second
		if targetOf(e, "index").State() == "waiting_for_rebuild" && idle(t, g) {
			by = 24 * time.Hour
		}
		clock.by.Add(int64(by))
		time.Sleep(5 * time.Millisecond)
	}
}

// idle reports whether nothing is being rebuilt.
func idle(t testing.TB, g *gateway.Gateway) bool {
	t.Helper()
	all, err := g.Retrieval.Rebuilds(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(all, func(r retrieval.Rebuild) bool { return r.State != retrieval.NotRebuilding })
}

func targetOf(e erasure.Erasure, name string) erasure.TargetReport {
	for _, r := range e.Targets {
		if r.Name == name {
			return r
		}
	}
	return erasure.TargetReport{}
}

// inFiles counts which of some byte strings are in any file below a directory,
// by the kind of file.
func inFiles(t testing.TB, dir string, needles [][]byte) (found int, where map[string]int) {
	t.Helper()
	seen, where := make([]bool, len(needles)), map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		raw, err := readAll(path)
		if err != nil {
			return err
		}
		for i, n := range needles {
			if strings.Contains(raw, string(n)) {
				seen[i] = true
				rel, _ := filepath.Rel(dir, path)
				where[kindOfFile(rel)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range seen {
		if s {
			found++
		}
	}
	return found, where
}

func readAll(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) { // went meanwhile
		return "", nil
	}
	return string(raw), err
}

// kindOfFile is a path without names of classes, shards and numbers.
func kindOfFile(rel string) string {
	parts := strings.Split(filepath.ToSlash(rel), "/")
	if len(parts) > 2 && strings.HasPrefix(parts[0], "assent") {
		parts = append([]string{"<class>"}, parts[2:]...)
	}
	last := parts[len(parts)-1]
	if ext := filepath.Ext(last); ext != "" {
		last = "*" + ext
	} else if strings.ContainsAny(last, "0123456789") {
		last = "*"
	}
	parts[len(parts)-1] = last
	return strings.Join(parts, "/")
}

// A person among 2 000 objects is erased while others search: nobody misses or
// sees anything wrong, and in the end none of it is in Weaviate's files.
func TestErasureInWeaviateIsPurgedByARebuild(t *testing.T) {
	w := testweaviate.Start(t)
	var clock ahead
	g := openGateway(t, rebuilding(w, &clock))
	const people, each = 40, 50
	var names []string
	var docs []retrieval.Submission
	for p := range people {
		name := fmt.Sprint("p", p)
		names = append(names, name)
		for n := range each {
			docs = append(docs, retrieval.Submission{Document: retrieval.Document{
				ID: fmt.Sprintf("%s-%d", name, n), Owners: []consent.Subject{subject(t, name)},
				Text: fmt.Sprintf("message %d of %s about the server in room %d", n, name, n*people+p)}})
		}
	}
	say(t, g, consent.Granted, names, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	for part := range slices.Chunk(docs, 500) {
		if _, err := g.Retrieval.Ingest(t.Context(), caller, "c", part, consent.Once{}); err != nil {
			t.Fatal(err)
		}
	}
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	needles := g.FormsInWeaviate(t, "c", subject(t, "p7"))
	before, where := inFiles(t, w.Data(), needles)
	t.Logf("before: %d of %d forms in the files: %v", before, len(needles), where)

	e := erase(t, g, "p7")
	stop := make(chan struct{})
	var searches, wrong, missing atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := g.Retrieval.Search(context.Background(), caller, "c", retrieval.SearchRequest{Query: "message about the server", K: 1000, Purpose: "rag_retrieval"})
				if err != nil {
					t.Errorf("a search: %v", err)
					return
				}
				searches.Add(1)
				for _, h := range a.Hits {
					if strings.HasPrefix(h.DocumentID, "p7-") {
						wrong.Add(1)
					}
				}
				if len(a.Hits) != 1000 || a.Privacy.Completeness != retrieval.Complete {
					missing.Add(1)
				}
			}
		})
	}
	began := time.Now()
	for {
		var err error
		if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil {
			t.Fatal(err)
		}
		if targetOf(e, "index").State() == "waiting_for_rebuild" {
			break
		}
		if e.State != erasure.Running && e.State != erasure.Suppressed {
			t.Fatalf("did not wait: %+v", e)
		}
		clock.by.Add(int64(5 * time.Second))
	}
	if r := targetOf(e, "index"); r.Level != erasure.Absent || r.Goal != erasure.Purged || e.State != erasure.Running {
		t.Errorf("while it waits: %v, %+v", e.State, r)
	}
	still := uint64(0)
	for _, p := range e.Probes {
		if strings.HasPrefix(p.Name, "files of the index outside") {
			still += p.Found
		}
	}
	if still < 2*each { // the scan has to see what only a rebuild takes away
		t.Errorf("while it waits, the scan of Weaviate's files finds %d forms", still)
	}
	deleted, where := inFiles(t, w.Data(), needles)
	t.Logf("deleted, and not rebuilt: %d of %d forms in the files: %v", deleted, len(needles), where)
	e = throughRebuild(t, g, &clock, e.ID)
	took := time.Since(began)
	// A search after it, and then whole answers by everybody.
	close(stop)
	wg.Wait()
	t.Logf("%d searches meanwhile, in %v: %d wrong, %d not whole", searches.Load(), took.Round(time.Millisecond), wrong.Load(), missing.Load())
	if wrong.Load()+missing.Load() != 0 || searches.Load() == 0 {
		t.Error("searches through the rebuild were not whole, or there were none")
	}
	wantPurged(t, e)
	after, where := inFiles(t, w.Data(), needles)
	t.Logf("rebuilt: %d of %d forms in the files: %v", after, len(needles), where)
	if before == 0 || after != 0 {
		t.Errorf("%d forms before, %d after", before, after)
	}
	if n, err := g.ObjectsInWeaviate(t.Context(), "c"); err != nil || n != (people-1)*each {
		t.Errorf("%d objects, %v", n, err)
	}
	for _, p := range e.Probes {
		t.Logf("%-70s asked %d over %d found %d", p.Name, p.Asked, p.Over, p.Found)
	}
	for _, r := range e.Targets {
		t.Logf("%-12s %v: %s %s", r.Name, r.Level, r.Method, r.Exception)
	}
	wantReceipt(t, g, e.ID)
	if classes := classesIn(t, w.URL()); len(classes) != 1 {
		t.Errorf("%d classes are left", len(classes))
	}
}
