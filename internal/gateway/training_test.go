package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

const trn = "model_training_v1.0"

// trainer is the bootstrap key's.
var trainer = training.Caller{Tenant: gateway.DefaultTenant, MayPurpose: func(string) bool { return true }}

// spec of a manifest over collections, both formats, everything in one split.
func spec(collections ...string) training.Spec {
	return training.Spec{
		Purpose: "model_training", Collections: collections, Formats: []string{"jsonl", "parquet"},
		Splits: []training.Split{{Name: "train", Share: training.Shares}}, Visibilities: []string{"tenant"},
		ExpiresIn: training.DefaultLease, AtCorpusHead: true,
	}
}

// manifest builds one and waits until it is ready.
func manifest(t testing.TB, g *gateway.Gateway, s training.Spec) training.Manifest {
	t.Helper()
	m, err := g.Training.Create(context.Background(), trainer, training.NewID(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return await(t, g, m.ID)
}

// await waits until a manifest is not being built any more.
func await(t testing.TB, g *gateway.Gateway, id string) training.Manifest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // against deadlocks
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) { // looking costs something, too
		m, err := g.Training.Get(ctx, trainer, id)
		if err != nil {
			t.Fatal(err)
		}
		if m.State == training.Ready {
			return m
		}
		if m.State == training.Failed {
			t.Fatalf("the build failed: %s", m.Problem)
		}
		time.Sleep(wait)
	}
}

// A trainingRow is a line of a JSONL file.
type trainingRow struct {
	Row       string   `json:"row"`
	Document  string   `json:"document"`
	Source    string   `json:"source"`
	Content   string   `json:"content_digest"`
	Subjects  []string `json:"subjects"`
	Types     []string `json:"consent_types"`
	Basis     string   `json:"lawful_basis"`
	Split     string   `json:"split"`
	Text      string   `json:"text"`
	PassageID string   `json:"passage_id"`
	ID        string   `json:"document_id"`
	SHA256    string   `json:"content_sha256"`
}

func file(t testing.TB, g *gateway.Gateway, id, name string) []byte {
	t.Helper()
	f, _, err := g.Training.OpenFile(context.Background(), trainer, id, name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rows of a manifest's JSONL files, in their order.
func rowsOf(t testing.TB, g *gateway.Gateway, m training.Manifest) []trainingRow {
	t.Helper()
	var out []trainingRow
	for _, f := range m.Files {
		if !strings.HasSuffix(f.Name, ".jsonl") {
			continue
		}
		in := bufio.NewScanner(bytes.NewReader(file(t, g, m.ID, f.Name)))
		in.Buffer(nil, 64<<20)
		n := uint64(0)
		for ; in.Scan(); n++ {
			var r trainingRow
			d := json.NewDecoder(bytes.NewReader(in.Bytes()))
			d.DisallowUnknownFields()
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			out = append(out, r)
		}
		if n != f.Rows {
			t.Errorf("%s has %d rows and says %d", f.Name, n, f.Rows)
		}
	}
	return out
}

func documents(rows []trainingRow) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.ID)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// A manifest holds who permits, and nobody else, and says why not.
func TestManifestHoldsWhoPermits(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob", "cy", "dee", "eve"}, rag, emb, trn)
	year := func(y int64) map[string]retrieval.Value {
		return map[string]retrieval.Value{"year": retrieval.IntValue(y)}
	}
	put(t, g, caller, "a",
		retrieval.Document{ID: "fine", Owners: people(t, "ada"), Metadata: year(2026), Source: "mailbox", Text: "about \"quotes\"\n\u2028 and lines"},
		retrieval.Document{ID: "joint", Owners: people(t, "ada", "cy"), Metadata: year(2026)},
		retrieval.Document{ID: "refused", Owners: people(t, "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "joint refused", Owners: people(t, "ada", "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "mention refused", Owners: people(t, "ada"), Mentions: people(t, "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "not embedded", Owners: people(t, "eve"), Metadata: year(2026)},
		retrieval.Document{ID: "private", Owners: people(t, "ada"), Visibility: retrieval.Visibility{Level: retrieval.Private}, Metadata: year(2026)},
		retrieval.Document{ID: "filtered out", Owners: people(t, "ada"), Metadata: year(1999)},
		retrieval.Document{ID: "nobody's", Nobody: true, Metadata: year(2026)},
	)
	say(t, g, consent.Revoked, []string{"bob"}, trn)
	say(t, g, consent.Revoked, []string{"eve"}, emb)
	s := spec("a")
	s.Linkable, s.IncludeText = true, true
	s.Filter = []byte(`{"field":"year","op":"gte","value":2000}`)
	m := manifest(t, g, s)
	rows := rowsOf(t, g, m)
	if got := documents(rows); !slices.Equal(got, []string{"fine", "joint", "nobody's"}) {
		t.Fatalf("it holds %q", got)
	}
	for _, r := range rows {
		switch r.ID {
		case "fine":
			if r.Text != "about \"quotes\"\n\u2028 and lines" || len(r.Subjects) != 1 || !slices.Equal(r.Types, []string{trn}) || r.Basis != "consent" || r.Source == "" {
				t.Errorf("%+v", r)
			}
		case "joint":
			if len(r.Subjects) != 2 || !slices.IsSorted(r.Subjects) || r.Source != "" {
				t.Errorf("%+v", r)
			}
		case "nobody's":
			if len(r.Subjects) != 0 || r.Basis != "not_personal" || len(r.Types) != 0 {
				t.Errorf("%+v", r)
			}
		}
	}
	var tokens []string
	for _, r := range rows {
		tokens = append(tokens, r.Row)
	}
	if !slices.IsSorted(tokens) {
		t.Error("rows are not in the order of their tokens")
	}
	if m.Header.Excluded["other"] != 4 || len(m.Header.Excluded) != 1 || m.Header.Rows != 3 || m.Rows != 3 || m.Withheld != 0 {
		t.Errorf("counts: %+v, %d rows, %d withheld", m.Header, m.Rows, m.Withheld)
	}
	c, err := g.Training.Check(t.Context(), trainer, m.ID)
	if err != nil || c.Status != training.Valid || len(c.Drop) != 0 {
		t.Errorf("check: %+v %v", c, err)
	}
}

// Same inputs, same bytes: on any number of workers, after a restart, and with
// what is no longer permitted withheld.
func TestRebuildIsTheSameOrWithholds(t *testing.T) {
	dir := t.TempDir() + "/data"
	g := openGateway(t, gateway.Config{DataDir: dir, Training: gateway.TrainingConfig{Workers: 1, ShardRows: 7, SortBytes: 2000}})
	makeCollection(t, g, "a", retrieval.Spec{})
	var names []string
	for i := range 30 {
		names = append(names, "p"+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	say(t, g, consent.Granted, names, rag, emb, trn)
	ingest(t, g, "a", invented(names...))
	s := spec("a")
	s.Splits = []training.Split{{Name: "test", Share: 300_000}, {Name: "train", Share: 700_000}}
	first := manifest(t, g, s)
	if first.Rows != 60 {
		t.Fatalf("%d rows", first.Rows)
	}
	s.AtPosition, s.AtCorpus, s.AtCorpusHead = first.LedgerPos, first.CorpusPos, false
	content := map[string]string{}
	for _, f := range first.Files {
		if strings.HasPrefix(f.Name, "data/") || f.Name == "manifest.json" {
			content[f.Name] = string(file(t, g, first.ID, f.Name))
		}
	}
	same := func(m training.Manifest) {
		t.Helper()
		n := 0
		for _, f := range m.Files {
			if want, ok := content[f.Name]; ok {
				n++
				if string(file(t, g, m.ID, f.Name)) != want {
					t.Errorf("%s differs", f.Name)
				}
			}
		}
		if n != len(content) || m.Digest != first.Digest {
			t.Errorf("%d of %d files, digest %s", n, len(content), m.Digest)
		}
	}
	same(manifest(t, g, s))
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, gateway.Config{DataDir: dir, Training: gateway.TrainingConfig{Workers: 5, ShardRows: 7, SortBytes: 1 << 20}})
	same(manifest(t, g, s))

	before := rowsOf(t, g, first)
	say(t, g, consent.Revoked, names[:5], trn)
	checked, err := g.Training.Check(t.Context(), trainer, first.ID)
	if err != nil || checked.Status != training.Stale || len(checked.Drop) != 10 {
		t.Fatalf("check: %v, %d to drop, %v", checked.Status, len(checked.Drop), err)
	}
	drop := map[string]bool{}
	for _, token := range checked.Drop {
		drop[token.String()] = true
	}
	if _, _, err := g.Training.OpenFile(t.Context(), trainer, first.ID, "manifest.json"); !errors.Is(err, training.ErrStale) {
		t.Errorf("a stale file is served: %v", err)
	}
	// A document that goes can be rebuilt no more, but its digest was kept.
	if err := g.Retrieval.Delete(t.Context(), caller, "a", names[9]+"-0"); err != nil {
		t.Fatal(err)
	}
	again := manifest(t, g, s)
	if again.Digest != first.Digest || again.Withheld != 11 || again.Rows != 49 {
		t.Errorf("digest %s, %d withheld, %d rows", again.Digest, again.Withheld, again.Rows)
	}
	var want []trainingRow
	removed := map[string]string{}
	if err := g.Training.Diff(t.Context(), trainer, first.ID, again.ID, func(c training.Change) error {
		if c.Op != "removed" {
			t.Errorf("%s", c.Op)
		}
		removed[c.Row.String()] = c.Reason
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range before {
		why, gone := removed[r.Row]
		if drop[r.Row] != (why == "refused") {
			t.Errorf("check drops %v, diff says %q", drop[r.Row], why)
		}
		if why == "refused" {
			refused++
		}
		if !gone {
			want = append(want, r)
		}
	}
	if refused != 10 || len(removed) != 11 {
		t.Errorf("%d refused of %d removed", refused, len(removed))
	}
	got := rowsOf(t, g, again)
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Row != want[i].Row || got[i].Content != want[i].Content {
			t.Fatalf("row %d differs", i)
		}
	}
}
