package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// panicky are files that panic where a name and what is done with it are.
type panicky struct {
	training.Files
	at  string // "open work/run-"
	off atomic.Bool
}

func (p *panicky) did(what, name string) {
	doing, part, _ := strings.Cut(p.at, " ")
	if !p.off.Load() && doing == what && strings.Contains(name, part) {
		panic("<marked> " + name)
	}
}

func (p *panicky) Create(name string, key seal.Key) (training.File, error) {
	p.did("create", name)
	f, err := p.Files.Create(name, key)
	return panickyFile{f, p, name}, err
}

func (p *panicky) Scratch(name string, key seal.Key) (training.File, error) {
	p.did("scratch", name)
	return p.Files.Scratch(name, key)
}

func (p *panicky) Open(name string, key seal.Key) (io.ReadCloser, error) {
	p.did("open", name)
	return p.Files.Open(name, key)
}

type panickyFile struct {
	training.File
	p    *panicky
	name string
}

func (f panickyFile) Commit() error {
	f.p.did("commit", f.name)
	return f.File.Commit()
}

// logged is what a gateway logs.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// awaitFailed waits until a manifest is not being built any more.
func awaitFailed(t *testing.T, g *gateway.Gateway, id string) (m training.Manifest) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) { // against deadlocks
		m, err := g.Training.Get(t.Context(), trainer, id)
		if err != nil || m.State == training.Ready || time.Now().After(deadline) {
			t.Fatalf("%v, and not failed, %v", m.State, err)
		}
		if m.State == training.Failed {
			return m
		}
	}
}

// A panic in any goroutine of a build is a failure like another: the process goes
// on, nothing is served, and Resume makes what would have been.
func TestPanicFailsABuild(t *testing.T) {
	for who, at := range map[string]string{
		"scribe":                 "scratch work/run-",
		"reader of runs":         "open work/run-",
		"merge, beside a reader": "create list/00003",
		"who ends a spool":       "commit list/00001",
		"worker that renders":    "create files/data/",
		"worker that ends files": "commit files/data/train-00002",
		"who settles":            "open list/00002",
		"who enters":             "commit manifest.json",
	} {
		t.Run(who, func(t *testing.T) {
			var log logged
			g := openGateway(t, gateway.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Training: gateway.TrainingConfig{ShardRows: 7, Workers: 2, SortBytes: 2000}})
			makeCollection(t, g, "a", retrieval.Spec{})
			say(t, g, consent.Granted, people30(), rag, emb, trn)
			ingest(t, g, "a", invented(people30()...))
			want := manifest(t, g, linkable())
			files := &panicky{Files: g.Training.Files, at: at}
			g.Training.Files = files
			s := linkable()
			s.Formats = []string{"jsonl", "parquet"}
			m, err := g.Training.Create(t.Context(), trainer, training.NewID(), s, nil)
			must(t, err)
			if got := awaitFailed(t, g, m.ID); got.Problem != "internal" {
				t.Errorf("it failed of %q", got.Problem)
			}
			if _, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, "manifest.json"); !errors.Is(err, training.ErrNotReady) {
				t.Errorf("a file of what failed: %v", err)
			}
			if _, err := g.Training.Statement(t.Context(), trainer, m.ID); !errors.Is(err, training.ErrNotReady) {
				t.Errorf("the statement of what failed: %v", err)
			}
			stacks := make([]byte, 1<<20)
			if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("training.(*runs)")) || bytes.Contains(stacks, []byte("training.(*scribe)")) {
				t.Error("a goroutine of the build is left")
			}
			if strings.Contains(log.String(), "<marked>") || !strings.Contains(log.String(), "a build panicked") {
				t.Errorf("logged: %s", log.String())
			}
			files.off.Store(true)
			_, err = g.Training.Resume(t.Context(), trainer, m.ID)
			must(t, err)
			m = await(t, g, m.ID)
			if got := g.ManifestRows(t.Context(), m.ID); m.Rows != want.Rows || uint64(len(got)) != want.Rows {
				t.Errorf("resumed it has %d rows, %d in its files, want %d", m.Rows, len(got), want.Rows)
			}
		})
	}
}
