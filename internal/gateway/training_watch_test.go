package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// countedFiles counts how often a list of a manifest's rows is read.
type countedFiles struct {
	training.Files
	lists atomic.Int64
}

func (f *countedFiles) Open(name string, key seal.Key) (io.ReadCloser, error) {
	if strings.Contains(name, "/list/") {
		f.lists.Add(1)
	}
	return f.Files.Open(name, key)
}

// Whether a manifest holds is asked row by row once, and then only about who
// spoke: fetching all its files reads no list again, nor does somebody who is
// not in it; somebody who is ends it, and comes back.
func TestManifestIsJudgedByWhoSpoke(t *testing.T) {
	g := openGateway(t, gateway.Config{Training: gateway.TrainingConfig{ShardRows: 7}})
	files := &countedFiles{Files: g.Training.Files}
	g.Training.Files = files
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	ingest(t, g, "a", invented(people30()...))
	say(t, g, consent.Revoked, people30()[:5], trn)
	m := manifest(t, g, spec("a"))
	fetch := func() (err error) {
		for _, f := range m.Files {
			r, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, f.Name)
			if err != nil {
				return err
			}
			r.Close()
		}
		return nil
	}
	shards := int64((m.Rows + 6) / 7)
	for _, c := range []struct {
		what  string
		do    func()
		want  error
		reads int64
	}{
		{"the first look", func() {}, nil, shards},
		{"nobody spoke", func() {}, nil, 0},
		{"somebody else spoke", func() { say(t, g, consent.Granted, people30()[:1], trn) }, nil, 0},
		{"of another purpose", func() { say(t, g, consent.Revoked, people30()[10:11], rag) }, nil, 0},
		{"somebody of it withdrew", func() { say(t, g, consent.Revoked, people30()[9:10], trn) }, training.ErrStale, shards},
		{"it is still so", func() {}, training.ErrStale, 0},
		{"and came back", func() { say(t, g, consent.Granted, people30()[9:10], trn) }, nil, shards},
		{"a rule changed", func() {
			if _, _, err := g.Retrieval.PutCollection(t.Context(), caller, "a", retrieval.Spec{DefaultVisibility: retrieval.TenantWide, Jurisdiction: "DE"}); err != nil {
				t.Fatal(err)
			}
		}, nil, shards},
		{"somebody is erased", func() {
			if err := g.Suppress(t.Context(), subject(t, people30()[20])); err != nil {
				t.Fatal(err)
			}
		}, training.ErrErased, shards},
	} {
		c.do()
		before := files.lists.Load()
		if err := fetch(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if n := files.lists.Load() - before; n != c.reads {
			t.Errorf("%s: %d lists were read, want %d", c.what, n, c.reads)
		}
	}
}

// A download that is under way ends where somebody of it withdraws.
func TestDownloadEndsWithAWithdrawal(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	for i := range 40 {
		put(t, g, caller, "a", retrieval.Document{ID: fmt.Sprint(i), Owners: people(t, "ada"), Text: strings.Repeat("some words of ada ", 6000)})
	}
	s := spec("a")
	s.IncludeText, s.Formats = true, []string{"jsonl"}
	m := manifest(t, g, s)
	const name = "data/train-00000-of-00001.jsonl"
	f, info, err := g.Training.OpenFile(t.Context(), trainer, m.ID, name)
	if err != nil || info.Bytes < 3<<20 {
		t.Fatal(info.Bytes, err)
	}
	defer f.Close()
	if n, err := io.CopyN(io.Discard, f, 3<<19); err != nil {
		t.Fatal(n, err)
	}
	say(t, g, consent.Revoked, []string{"bob"}, trn) // of nobody there
	if n, err := io.CopyN(io.Discard, f, 1<<20); err != nil {
		t.Fatal(n, err)
	}
	say(t, g, consent.Revoked, []string{"ada"}, trn)
	if n, err := io.Copy(io.Discard, f); !errors.Is(err, training.ErrStale) || n > 1<<20 {
		t.Errorf("%d bytes more, %v", n, err)
	}
}
