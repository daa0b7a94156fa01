package gateway_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// liar is an index that returns whatever it was ever given, first of all what
// it should not.
type liar struct {
	retrieval.Index
	mu   sync.Mutex
	refs []retrieval.PassageRef
}

func (l *liar) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	l.mu.Lock()
	for _, p := range ch.Add {
		l.refs = append(l.refs, p.Head.Ref)
	}
	l.mu.Unlock()
	return l.Index.Apply(ctx, c, ch)
}

func (l *liar) Search(context.Context, consent.Permit, retrieval.Query) ([]retrieval.Found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []retrieval.Found{{Ref: retrieval.PassageRef{Doc: 12345}, Score: 9}, {Ref: retrieval.PassageRef{Doc: l.refs[0].Doc, N: 77}, Score: 8}}
	for _, r := range l.refs {
		found = append(found, retrieval.Found{Ref: r, Score: 1})
	}
	return found, nil
}

func searchIDs(t *testing.T, g *gateway.Gateway, c retrieval.Caller, collection string, r retrieval.SearchRequest) []string {
	t.Helper()
	if r.Query == "" {
		r.Query = "server"
	}
	if r.K == 0 {
		r.K = 100
	}
	if r.Purpose == "" {
		r.Purpose = "rag_retrieval"
	}
	a, err := g.Retrieval.Search(t.Context(), c, collection, r)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, h := range a.Hits {
		ids = append(ids, h.DocumentID)
	}
	slices.Sort(ids)
	return ids
}

// put stores documents and returns their statuses.
func put(t *testing.T, g *gateway.Gateway, c retrieval.Caller, collection string, docs ...retrieval.Document) []retrieval.DocStatus {
	t.Helper()
	var subs []retrieval.Submission
	for _, d := range docs {
		if d.Text == "" {
			d.Text = "about the server"
		}
		subs = append(subs, retrieval.Submission{Document: d})
	}
	out, err := g.Retrieval.Ingest(t.Context(), c, collection, subs, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	var statuses []retrieval.DocStatus
	for _, r := range out.Results {
		statuses = append(statuses, r.Status)
	}
	return statuses
}

func people(t *testing.T, names ...string) []consent.Subject {
	t.Helper()
	var out []consent.Subject
	for _, n := range names {
		out = append(out, subject(t, n))
	}
	return out
}

// The second gate alone lets through what may leave, however the index lies.
func TestSecondGateTrustsNoIndex(t *testing.T) { onBoth(t, testSecondGateTrustsNoIndex) }

func testSecondGateTrustsNoIndex(t *testing.T, open opener) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	g := open(t, gateway.Config{
		Now:       func() time.Time { return time.Unix(0, clock.Load()) },
		WrapIndex: func(x retrieval.Index) retrieval.Index { return &liar{Index: x} },
	})
	say(t, g, consent.Granted, []string{"ada", "bob", "cy", "dee"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	makeCollection(t, g, "b", retrieval.Spec{})
	year := func(y int64) map[string]retrieval.Value {
		return map[string]retrieval.Value{"year": retrieval.IntValue(y)}
	}
	put(t, g, caller, "b", retrieval.Document{ID: "other collection", Owners: people(t, "ada"), Metadata: year(2026)})
	put(t, g, caller, "a",
		retrieval.Document{ID: "fine", Owners: people(t, "ada"), Metadata: year(2026)},
		retrieval.Document{ID: "refused", Owners: people(t, "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "joint refused", Owners: people(t, "ada", "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "mention refused", Owners: people(t, "ada"), Mentions: people(t, "bob"), Metadata: year(2026)},
		retrieval.Document{ID: "not embedded", Owners: people(t, "cy"), Metadata: year(2026)},
		retrieval.Document{ID: "private", Owners: people(t, "ada"), Visibility: retrieval.Visibility{Level: retrieval.Private}, Metadata: year(2026)},
		retrieval.Document{ID: "filtered out", Owners: people(t, "ada"), Metadata: year(1999)},
		retrieval.Document{ID: "retained until soon", Owners: people(t, "ada"), Metadata: year(2026), RetainUntil: time.Unix(0, clock.Load()).Add(time.Hour)},
		retrieval.Document{ID: "deleted", Owners: people(t, "ada"), Metadata: year(2026)},
		retrieval.Document{ID: "expired", Owners: people(t, "dee"), Metadata: year(2026)},
	)
	say(t, g, consent.Revoked, []string{"bob"}, rag)
	say(t, g, consent.Revoked, []string{"cy"}, emb)
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "deleted"); err != nil {
		t.Fatal(err)
	}
	ct, _ := consent.ParseType(rag)
	if _, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, "dee"), Type: ct, Status: consent.Granted, ExpiresAt: consent.Time(clock.Load()) + consent.Time(time.Hour)}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Revoked, []string{"dee"}, rag)
	if _, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, "dee"), Type: ct, Status: consent.Granted, ExpiresAt: consent.Time(clock.Load()) + consent.Time(time.Hour)}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(2 * time.Hour))
	got := searchIDs(t, g, caller, "a", retrieval.SearchRequest{Filter: []byte(`{"field":"year","op":"gte","value":2000}`)})
	if !slices.Equal(got, []string{"fine"}) {
		t.Errorf("a lying index got through: %v", got)
	}
	owner := caller
	owner.Principal.Subject = subject(t, "ada")
	if got := searchIDs(t, g, owner, "a", retrieval.SearchRequest{}); !slices.Equal(got, []string{"filtered out", "fine", "private"}) {
		t.Errorf("to their owner: %v", got)
	}
}

// Edits of the catalogue by whoever has the database: what is edited does not
// leave, and no edit makes a refusal forgotten.
func TestEditedCatalogueDoesNotLeave(t *testing.T) {
	for name, c := range map[string]struct {
		edit   string
		gone   string // the document that must not leave
		closed bool   // or the whole ledger is closed
	}{
		"a silent owner made a mention": {edit: `UPDATE document_subjects SET role = 1 WHERE ordinal = 1 AND role = 0`, gone: "joint"},
		"a mention made an owner":       {edit: `UPDATE document_subjects SET role = 0, ordinal = 9 WHERE role = 1`, gone: "mentions"},
		"an owner taken away":           {edit: `DELETE FROM document_subjects WHERE ordinal = 1`, gone: "joint"},
		"retention taken away":          {edit: `UPDATE documents SET retain_until = 0`, gone: "retained"},
		"a document made nobody's":      {edit: `UPDATE documents SET personal = 0`, gone: "joint"},
		"bodies exchanged":              {edit: `UPDATE bodies SET sealed = (SELECT b.sealed FROM bodies b WHERE b.id <> bodies.id LIMIT 1)`, gone: "joint"},
		"lookups of people exchanged":   {edit: `UPDATE subjects SET lookup = randomblob(32) WHERE num = (SELECT min(num) FROM subjects)`, closed: true},
		"a person with entries deleted": {edit: `PRAGMA foreign_keys = OFF; DELETE FROM subjects WHERE num IN (SELECT subject FROM ledger)`, closed: true},
		"a person given another's key":  {edit: `UPDATE subjects SET key_slot = (SELECT max(key_slot) FROM subjects) WHERE num = (SELECT num FROM subjects WHERE key_slot < (SELECT max(key_slot) FROM subjects) LIMIT 1)`, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g := openGateway(t, gateway.Config{DataDir: dir})
			makeCollection(t, g, "a", retrieval.Spec{Jurisdiction: "US-CA"})
			say(t, g, consent.Granted, []string{"ada"}, rag, emb)
			put(t, g, caller, "a",
				retrieval.Document{ID: "joint", Owners: people(t, "ada", "zoe")},
				retrieval.Document{ID: "mentions", Owners: people(t, "ada"), Mentions: people(t, "eve"), Visibility: retrieval.Visibility{Level: retrieval.Private}},
				retrieval.Document{ID: "retained", Owners: people(t, "ada"), RetainUntil: time.Now().Add(time.Hour)},
			)
			say(t, g, consent.Revoked, []string{"zoe"}, rag)
			eve := caller
			eve.Principal.Subject = subject(t, "eve")
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			raw, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := raw.Exec(c.edit); err != nil {
				t.Fatal(err)
			}
			raw.Close()
			g = openGateway(t, gateway.Config{DataDir: dir})
			if c.closed {
				if err := g.Ready(t.Context()); !errors.Is(err, consent.ErrUnavailable) {
					t.Errorf("ready with edited people: %v", err)
				}
				return
			}
			for _, who := range []retrieval.Caller{caller, eve} {
				if ids := searchIDs(t, g, who, "a", retrieval.SearchRequest{}); slices.Contains(ids, c.gone) {
					t.Errorf("it left: %v", ids)
				}
				if _, err := g.Retrieval.Document(t.Context(), who, "a", c.gone, "rag_retrieval"); !errors.Is(err, retrieval.ErrNotFound) {
					t.Errorf("it left by id: %v", err)
				}
			}
		})
	}
}

// A body that does not open is taken out of the way; the others are found.
func TestDamagedDocumentDoesNotHideOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	for i := range 5 {
		put(t, g, caller, "a", retrieval.Document{ID: fmt.Sprint("d", i), Owners: people(t, "ada")})
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`UPDATE bodies SET sealed = zeroblob(length(sealed)) WHERE id = (SELECT min(id) FROM bodies)`); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	g = openGateway(t, gateway.Config{DataDir: dir})
	for _, k := range []int{1, 3} {
		if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{K: k, Mode: retrieval.ModeKeyword}); len(ids) != k || slices.Contains(ids, "d0") {
			t.Errorf("k %d: %v", k, ids)
		}
	}
}

// A mask that is made for the first time is made by the clock of the permit.
func TestFirstSearchOfAPurposeSeesExpiry(t *testing.T) {
	onBoth(t, testFirstSearchOfAPurposeSeesExpiry)
}

func testFirstSearchOfAPurposeSeesExpiry(t *testing.T, open opener) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	g := open(t, gateway.Config{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	ct, _ := consent.ParseType("evaluation_v1.0")
	if _, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, "ada"), Type: ct, Status: consent.Granted, ExpiresAt: consent.Time(clock.Load() + int64(300*time.Millisecond))}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada")})
	clock.Add(int64(600 * time.Millisecond))
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{Purpose: "evaluation"}); len(ids) != 0 {
		t.Errorf("an expired grant served %v", ids)
	}
}
