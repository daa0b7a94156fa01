package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

func people30() []string {
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("person%02d", i))
	}
	return names
}

// Two manifests of the same data have nothing in common that a row could be
// found again by: no value of a column, and no rank.
func TestTwoManifestsCannotBeJoined(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	for i, p := range people30() {
		put(t, g, caller, "a", retrieval.Document{ID: fmt.Sprint("d", i), Owners: people(t, p), Mentions: people(t, people30()[(i+1)%30]), Source: "mailbox", Text: fmt.Sprint("text ", i%3)})
	}
	plain := spec("a")
	one, two := rowsOf(t, g, manifest(t, g, plain)), rowsOf(t, g, manifest(t, g, plain)) // the second at a later position
	if len(one) != 30 || len(two) != 30 {
		t.Fatalf("%d and %d rows", len(one), len(two))
	}
	values := func(rows []trainingRow) map[string]bool {
		out := map[string]bool{}
		for _, r := range rows {
			for _, v := range append(r.Subjects, r.Row, r.Document, r.Source, r.Content) {
				out[v] = true
			}
			if r.Text != "" || r.PassageID != "" || r.ID != "" || r.SHA256 != "" {
				t.Error("a column that nobody asked for")
			}
		}
		return out
	}
	for v := range values(two) {
		if values(one)[v] {
			t.Errorf("both have %s", v)
		}
	}
	// Rank: with the ids that only a linkable manifest has, the orders of two
	// agree in as many places as two shuffles do.
	linked := spec("a")
	linked.Linkable = true
	first, second := rowsOf(t, g, manifest(t, g, linked)), rowsOf(t, g, manifest(t, g, linked))
	agree := 0
	for i := range first {
		if first[i].ID == second[i].ID {
			agree++
		}
	}
	if agree > 12 { // 1 is expected; more than 12 of 30 has a chance below 10⁻⁹
		t.Errorf("%d of 30 rows have the same rank", agree)
	}
}

// What names a person cannot be computed from what an outsider has: neither
// from the identifier, nor from any key that stands in a file or statement.
func TestPseudonymsAreNotOfIdentifiers(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "the text"})
	m := manifest(t, g, spec("a"))
	row := rowsOf(t, g, m)[0]
	keys := [][]byte{nil, []byte(m.ID), []byte(m.Digest), []byte(m.Header.Root), []byte(m.PolicyHash), file(t, g, m.ID, "manifest.json")}
	for _, word := range []string{"ada", "user:ada", "d", "the text", "mailbox"} {
		for _, key := range keys {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(word))
			sum := sha256.Sum256(append(slices.Clone(key), word...))
			for _, got := range []string{hex.EncodeToString(mac.Sum(nil)), hex.EncodeToString(sum[:])} {
				for _, v := range append(row.Subjects, row.Row, row.Document, row.Content) {
					if strings.HasPrefix(got, v) {
						t.Errorf("%s is a function of %q", v, word)
					}
				}
			}
		}
	}
	// The person's key goes: the same inputs, from a gateway that kept no list,
	// lead to no pseudonym any more; where the list was kept, to the same digest.
	s := spec("a")
	s.AtPosition, s.AtCorpus, s.AtCorpusHead = m.LedgerPos, m.CorpusPos, false
	if err := g.DestroyPersonsKey(t.Context(), subject(t, "ada")); err != nil {
		t.Fatal(err)
	}
	kept := manifest(t, g, s)
	if kept.Digest != m.Digest || kept.Rows != 0 || kept.Withheld != 1 {
		t.Errorf("with its list: %d rows, %d withheld", kept.Rows, kept.Withheld)
	}
	s.Linkable = true // other inputs: nobody kept a list of these
	lost := manifest(t, g, s)
	if lost.Rows != 0 || lost.Header.Unreconstructible != 1 || lost.Header.Rows != 0 {
		t.Errorf("without: %d rows, %+v", lost.Rows, lost.Header)
	}
}

// A lease ends by the database's clock, and so does a grant: expired before
// stale, and nothing is served.
func TestLeaseAndGrantsEndByTheClock(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	g := openGateway(t, gateway.Config{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob", "cy"}, rag, emb, trn)
	ct, _ := consent.ParseType(trn)
	if _, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, "bob"), Type: ct, Status: consent.Granted, ExpiresAt: consent.Time(clock.Load()) + consent.Time(time.Hour)}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada")}, retrieval.Document{ID: "bob", Owners: people(t, "bob")},
		retrieval.Document{ID: "cy", Owners: people(t, "cy"), RetainUntil: time.Unix(0, clock.Load()).Add(90 * time.Minute)})
	s := spec("a")
	s.ExpiresIn = 3 * time.Hour
	m := manifest(t, g, s)
	for _, c := range []struct {
		after  time.Duration
		status training.Status
		drop   map[string]uint64
		served error
	}{
		{0, training.Valid, map[string]uint64{}, nil},
		{61 * time.Minute, training.Stale, map[string]uint64{"not_permitted": 1}, training.ErrStale},
		{91 * time.Minute, training.Stale, map[string]uint64{"not_permitted": 1, "retention_expired": 1}, training.ErrStale},
		{181 * time.Minute, training.Expired, map[string]uint64{"not_permitted": 1, "retention_expired": 1}, training.ErrExpired},
	} {
		begin := m.ExpiresAt - consent.Time(3*time.Hour)
		clock.Store(int64(begin) + int64(c.after))
		got, err := g.Training.Check(t.Context(), trainer, m.ID)
		if err != nil || got.Status != c.status || !maps.Equal(got.Reasons, c.drop) {
			t.Errorf("after %s: %s, %v, %v", c.after, got.Status, got.Reasons, err)
		}
		f, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, "manifest.json")
		if !errors.Is(err, c.served) {
			t.Errorf("after %s: served %v", c.after, err)
		}
		if f != nil {
			f.Close()
		}
	}
	// The same positions, later: what expired since is withheld, and the
	// decisions are those of then.
	s.AtPosition, s.AtCorpus, s.AtCorpusHead = m.LedgerPos, m.CorpusPos, false
	again := manifest(t, g, s)
	if again.Digest != m.Digest || again.Rows != 1 || again.Withheld != 2 {
		t.Errorf("rebuilt: %d rows, %d withheld", again.Rows, again.Withheld)
	}
}

// A person is in one split; who shares a document with somebody of another is
// in none, with that document.
func TestSplitsAreByPerson(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	names := people30()
	say(t, g, consent.Granted, names, rag, emb, trn)
	var docs []retrieval.Document
	for i, p := range names {
		docs = append(docs, retrieval.Document{ID: fmt.Sprint("own", i), Owners: people(t, p)}, retrieval.Document{ID: fmt.Sprint("other", i), Owners: people(t, p)},
			retrieval.Document{ID: fmt.Sprint("joint", i), Owners: people(t, p, names[(i+7)%30])})
	}
	put(t, g, caller, "a", docs...)
	s := spec("a")
	s.Splits = []training.Split{{Name: "test", Share: 500_000}, {Name: "train", Share: 500_000}}
	m := manifest(t, g, s)
	in := map[string]string{}
	joint := uint64(0)
	rows := rowsOf(t, g, m)
	for _, r := range rows {
		for _, p := range r.Subjects {
			if in[p] != "" && in[p] != r.Split {
				t.Error("somebody is in two splits")
			}
			in[p] = r.Split
		}
		if len(r.Subjects) == 2 {
			joint++
		}
	}
	conflicts := m.Header.Excluded["split_conflict"] + m.Header.Excluded["other"]
	if joint+conflicts != 30 || len(rows) != int(60+joint) || conflicts == 0 || joint == 0 {
		t.Errorf("%d joint, %v excluded, %d rows", joint, m.Header.Excluded, len(rows))
	}
}

func TestWhatCannotBeBuiltIsSaid(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{Filterable: []string{"year"}})
	for field, change := range map[string]func(*training.Spec){
		"collections":        func(s *training.Spec) { s.Collections = nil },
		"formats":            func(s *training.Spec) { s.Formats = []string{"csv"} },
		"visibilities":       func(s *training.Spec) { s.Visibilities = []string{"public"} },
		"expires_in":         func(s *training.Spec) { s.ExpiresIn = 400 * 24 * time.Hour },
		"splits":             func(s *training.Spec) { s.Splits[0].Share = 5 },
		"at_position":        func(s *training.Spec) { s.AtPosition = 1000 },
		"at_corpus_position": func(s *training.Spec) { s.AtCorpusHead, s.AtCorpus = false, 1000 },
		"filter.field":       func(s *training.Spec) { s.Filter = []byte(`{"field":"lang","op":"eq","value":"en"}`) },
	} {
		s := spec("a")
		change(&s)
		_, err := g.Training.Create(t.Context(), trainer, training.NewID(), s, nil)
		var input *training.InputError
		if !errors.As(err, &input) || input.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := g.Training.Create(t.Context(), trainer, training.NewID(), spec("b"), nil); !errors.Is(err, training.ErrNotFound) {
		t.Errorf("no such collection: %v", err)
	}
	unknown := spec("a")
	unknown.Purpose = "advertising"
	if _, err := g.Training.Create(t.Context(), trainer, training.NewID(), unknown, nil); !errors.Is(err, consent.ErrPurposeUnknown) {
		t.Errorf("unknown purpose: %v", err)
	}
	// Before the first policy nothing was permitted: that is no manifest.
	early := spec("a")
	early.AtPosition = 1
	m, err := g.Training.Create(t.Context(), trainer, training.NewID(), early, nil)
	if err != nil {
		t.Fatal(err)
	}
	for m.State == training.Building {
		time.Sleep(time.Millisecond)
		if m, err = g.Training.Get(t.Context(), trainer, m.ID); err != nil {
			t.Fatal(err)
		}
	}
	if m.State != training.Failed || m.Problem != "no_policy" {
		t.Errorf("before a policy: %s %s", m.State, m.Problem)
	}
	// Nothing to hold is a manifest, too, that says so.
	s := spec("a")
	s.Splits = []training.Split{{Name: "test", Share: 500_000}, {Name: "train", Share: 500_000}}
	empty := manifest(t, g, s)
	var names []string
	for _, f := range empty.Files {
		names = append(names, f.Name)
	}
	want := []string{"README.md", "croissant.json", "data/test-00000-of-00001.jsonl", "data/test-00000-of-00001.parquet",
		"data/train-00000-of-00001.jsonl", "data/train-00000-of-00001.parquet", "manifest.json"}
	if empty.Rows != 0 || empty.Header.Rows != 0 || !slices.Equal(names, want) {
		t.Errorf("empty: %d rows, %q", empty.Rows, names)
	}
	if c, err := g.Training.Check(t.Context(), trainer, empty.ID); err != nil || c.Status != training.Valid {
		t.Errorf("empty: %v %v", c.Status, err)
	}
}

// The disk fills up at one write after the other: the build fails and says so,
// nothing is served, and when there is room it goes on to the same bytes.
func TestDiskFull(t *testing.T) {
	var left atomic.Int64
	left.Store(1 << 40)
	g := openGateway(t, gateway.Config{Training: gateway.TrainingConfig{Workers: 1, ShardRows: 9, SortBytes: 2000, FileFault: func(op string) error {
		if op == "file.write" && left.Add(-1) < 0 {
			return syscall.ENOSPC
		}
		return nil
	}}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	ingest(t, g, "a", invented(people30()...))
	whole := manifest(t, g, spec("a"))
	s := spec("a")
	s.AtPosition, s.AtCorpus, s.AtCorpusHead = whole.LedgerPos, whole.CorpusPos, false
	failures := 0
	for room := int64(1); ; room += 5 {
		left.Store(room)
		m, err := g.Training.Create(t.Context(), trainer, training.NewID(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		for m.State == training.Building {
			time.Sleep(time.Millisecond)
			if m, err = g.Training.Get(t.Context(), trainer, m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if m.State == training.Ready {
			break
		}
		failures++
		if m.Problem != "disk_full" {
			t.Fatalf("room for %d writes: %s", room, m.Problem)
		}
		for _, name := range []string{"manifest.json", "data/train-00000-of-00007.jsonl"} {
			if _, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, name); !errors.Is(err, training.ErrNotReady) {
				t.Fatalf("half a manifest: %v", err)
			}
		}
		left.Store(1 << 40)
		if _, err := g.Training.Resume(t.Context(), trainer, m.ID); err != nil {
			t.Fatal(err)
		}
		again := await(t, g, m.ID)
		if again.Digest != whole.Digest || again.Rows != 60 || again.Withheld != 0 {
			t.Fatalf("resumed: %d rows, %d withheld", again.Rows, again.Withheld)
		}
		for i, f := range again.Files {
			if strings.HasPrefix(f.Name, "data/") && f != whole.Files[i] {
				t.Fatalf("resumed to other bytes: %s", f.Name)
			}
		}
	}
	if failures < 5 {
		t.Errorf("only %d builds failed", failures)
	}
	t.Logf("%d builds failed for want of room and went on", failures)
}

// The process dies behind each durable step of a build; the next start makes
// the manifest, and it is the same.
func TestKilledBuildGoesOn(t *testing.T) {
	for _, step := range []string{"scanned:1", "merged:1", "part:1", "entered:1", "signed:1", "ready:1", "tx.committed:6", "tx.committed:7"} {
		t.Run(step, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
			makeCollection(t, g, "a", retrieval.Spec{})
			say(t, g, consent.Granted, people30(), rag, emb, trn)
			ingest(t, g, "a", invented(people30()...))
			whole := manifest(t, g, spec("a"))
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, dir, step)
			_, answer, err := c.call("POST", "/v1/manifests", map[string]any{"purpose": "model_training", "collections": []string{"a"}, "formats": []string{"jsonl", "parquet"},
				"at_position": whole.LedgerPos, "at_corpus_position": whole.CorpusPos})
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-c.dead:
			case <-time.After(time.Minute):
				t.Fatal("the step was never reached")
			}
			g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
			m := await(t, g, answer["id"].(string))
			if m.Digest != whole.Digest || m.Rows != 60 || m.Withheld != 0 {
				t.Errorf("%d rows, %d withheld", m.Rows, m.Withheld)
			}
			for i, f := range m.Files {
				if strings.HasPrefix(f.Name, "data/") && f != whole.Files[i] {
					t.Errorf("%s differs", f.Name)
				}
			}
			if err := filepath.WalkDir(filepath.Join(dir, "manifests", m.ID), func(name string, d os.DirEntry, err error) error {
				if err == nil && strings.Contains(name, "/work/") {
					t.Errorf("left behind: %s", filepath.Base(name))
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Nothing of a person rests in clear in the files of manifests, also not while
// they are built or after they were killed.
func TestFilesOfManifestsRestSealed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, Training: gateway.TrainingConfig{SortBytes: 100}})
	makeCollection(t, g, "a", retrieval.Spec{})
	const marked = "MARKEDada"
	say(t, g, consent.Granted, []string{marked}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: marked, Owners: people(t, marked), Text: marked + " wrote this", Source: marked})
	s := spec("a")
	s.IncludeText, s.Linkable = true, true
	m := manifest(t, g, s)
	row := rowsOf(t, g, m)[0]
	if row.ID != marked {
		t.Fatal("the mark is not in the manifest")
	}
	n := 0
	if err := filepath.WalkDir(filepath.Join(dir, "manifests"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		b, err := os.ReadFile(name)
		for _, form := range []string{marked, row.Row, row.Subjects[0], row.Content, m.Header.Root} {
			if strings.Contains(string(b), form) {
				t.Errorf("%s holds %q in clear", filepath.Base(name), form)
			}
		}
		return err
	}); err != nil || n < 7 {
		t.Fatalf("%d files, %v", n, err)
	}
	if err := g.Training.Erase(t.Context(), gateway.DefaultTenant, m.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, "manifest.json"); !errors.Is(err, training.ErrErased) {
		t.Errorf("erased files: %v", err)
	}
	say(t, g, consent.Revoked, []string{marked}, trn)
	if c, err := g.Training.Check(t.Context(), trainer, m.ID); err != nil || c.Status != training.Stale || len(c.Drop) != 1 || c.Drop[0].String() != row.Row {
		t.Errorf("what an erased manifest held is not known any more: %+v %v", c, err)
	}
}

// A run bound to a manifest is found by the people in it; who withdraws makes
// an assessment due.
func TestLineageOfARun(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada")}, retrieval.Document{ID: "2", Owners: people(t, "bob")})
	m := manifest(t, g, spec("a"))
	run := training.Run{ID: "r 1", Model: "sha256:" + strings.Repeat("ab", 32), Pipeline: "nightly"}
	first, made, err := g.Training.Bind(t.Context(), trainer, m.ID, run)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	if again, made, err := g.Training.Bind(t.Context(), trainer, m.ID, run); err != nil || made || again.Position != first.Position {
		t.Errorf("bound again: %v %v", made, err)
	}
	for _, other := range []training.Run{{ID: "r 1", Model: "sha256:" + strings.Repeat("cd", 32)}, {ID: "r 1", Model: run.Model, Pipeline: "weekly"}} {
		if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, other); !errors.Is(err, training.ErrConflict) {
			t.Errorf("bound otherwise: %v", err)
		}
	}
	// A repeat of what came before the model was known, and of what told it alone.
	for _, late := range []training.Run{{ID: "r 1", Pipeline: "nightly"}, {ID: "r 1", Model: run.Model}} {
		if again, made, err := g.Training.Bind(t.Context(), trainer, m.ID, late); err != nil || made || again.Position != first.Position || again.Model != run.Model {
			t.Errorf("repeated late: %+v %v %v", again, made, err)
		}
	}
	use := func(who string) []training.Use {
		uses, err := g.Training.Uses(t.Context(), trainer, subject(t, who))
		if err != nil {
			t.Fatal(err)
		}
		return uses
	}
	if u := use("ada"); len(u) != 1 || len(u[0].Runs) != 1 || u[0].Runs[0].ID != "r 1" || u[0].Assessment != "" || !u[0].Permitted {
		t.Errorf("%+v", u)
	}
	say(t, g, consent.Revoked, []string{"ada"}, trn)
	if u := use("ada"); len(u) != 1 || u[0].Assessment != training.AssessmentRequired || u[0].Permitted {
		t.Errorf("%+v", u)
	}
	if u := use("bob"); len(u) != 1 || u[0].Assessment != "" {
		t.Errorf("%+v", u)
	}
	if u := use("nobody"); len(u) != 0 {
		t.Errorf("%+v", u)
	}
	if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r 2"}); !errors.Is(err, training.ErrStale) {
		t.Errorf("a run of a stale manifest: %v", err)
	}
}

// A model's digest comes after the run was bound, when somebody may have left
// already; what is decided about it counts for who had left by then.
func TestRemedyOfARun(t *testing.T) {
	g := twoPeople(t, nil)
	m := manifest(t, g, spec("a"))
	if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r", Pipeline: "p"}); err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Revoked, []string{"ada"}, trn)
	model := training.Run{ID: "r", Model: "sha256:" + strings.Repeat("ab", 32)}
	if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, model); err != nil {
		t.Errorf("the digest of a model of a stale manifest: %v", err)
	}
	model.Model = "sha256:" + strings.Repeat("cd", 32)
	if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, model); !errors.Is(err, training.ErrConflict) {
		t.Errorf("another model: %v", err)
	}
	want := func(what, who, assessment, remedy string) {
		t.Helper()
		uses, err := g.Training.Uses(t.Context(), trainer, subject(t, who))
		if err != nil || len(uses) != 1 || uses[0].Assessment != assessment {
			t.Errorf("%s, %s: %+v %v", what, who, uses, err)
			return
		}
		if got := uses[0].Runs[0].Remedy; got == nil && remedy != "" || got != nil && (got.Choice != remedy || got.By != "Dr. Cy") {
			t.Errorf("%s, %s: remedy %+v", what, who, got)
		}
		if uses[0].Runs[0].Model != "sha256:"+strings.Repeat("ab", 32) {
			t.Errorf("model %q", uses[0].Runs[0].Model)
		}
	}
	assessed := func(what, want string) {
		t.Helper()
		if runs, err := g.Training.Runs(t.Context(), trainer, m.ID); err != nil || len(runs) != 1 || runs[0].Assessment != want {
			t.Errorf("%s: %+v %v, want %q", what, runs, err, want)
		}
	}
	want("before a decision", "ada", training.AssessmentRequired, "")
	assessed("before a decision", training.AssessmentRequired)
	decide := func(choice string, made bool) training.Remedy {
		t.Helper()
		r, was, err := g.Training.Decide(t.Context(), trainer, m.ID, "r", training.Remedy{Choice: choice, By: "Dr. Cy"})
		if err != nil || was != made {
			t.Fatal(was, err)
		}
		return r
	}
	first := decide("no_action", true)
	if again := decide("no_action", false); again.Position != first.Position {
		t.Error("decided again: another entry")
	}
	row, ok := g.Entry(t, first.Position)
	if body := string(row.Sealed); !ok || row.Kind != consent.KindRemedy || !strings.Contains(body, `"remedy":"no_action"`) || strings.Contains(body, "Dr. Cy") {
		t.Errorf("entry: kind %d, %s", row.Kind, body)
	}
	want("decided", "ada", training.AssessmentDecided, "no_action")
	want("decided", "bob", "", "no_action")
	say(t, g, consent.Revoked, []string{"bob"}, trn) // later than that
	want("somebody left behind the decision", "bob", training.AssessmentRequired, "no_action")
	assessed("somebody left behind the decision", training.AssessmentRequired)
	want("somebody left behind the decision", "ada", training.AssessmentDecided, "no_action")
	decide("retrain", true)
	want("decided again", "bob", training.AssessmentDecided, "retrain")
	say(t, g, consent.Granted, []string{"bob"}, trn)
	say(t, g, consent.Revoked, []string{"bob"}, trn)
	want("bob left once more", "bob", training.AssessmentRequired, "retrain")
	decide("retrain", true) // the same, about him as well
	want("the same was decided for him", "bob", training.AssessmentDecided, "retrain")
	decide("retrain", false)
	wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
	want("erased behind the decision", "ada", training.AssessmentRequired, "retrain")
	assessed("erased behind the decision", training.AssessmentRequired)
	decide("retrain", true)
	assessed("decided for her, too", training.AssessmentDecided)
	if _, _, err := g.Training.Decide(t.Context(), trainer, m.ID, "other", training.Remedy{Choice: "retrain", By: "Dr. Cy"}); !errors.Is(err, training.ErrNotFound) {
		t.Errorf("of no run: %v", err)
	}
}

// People withdraw at the worst moments: behind the writing of the shard that
// holds them, and behind the last look at all rows. Neither is in the manifest.
func TestWithdrawalsBetweenTheLooks(t *testing.T) {
	var g *gateway.Gateway
	at := map[string]string{"part": "person00", "settled": "person01"} // of the build's own goroutine
	armed := false
	g = openGateway(t, gateway.Config{Training: gateway.TrainingConfig{ShardRows: 7, Workers: 1}, Step: func(step string) {
		if who := at[step]; armed && who != "" {
			delete(at, step)
			say(t, g, consent.Revoked, []string{who}, trn)
		}
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	ingest(t, g, "a", invented(people30()...))
	armed = true
	s := spec("a")
	s.Linkable, s.Formats = true, []string{"jsonl"}
	m := manifest(t, g, s)
	if len(at) != 0 {
		t.Fatalf("never came by: %v", at)
	}
	if m.Rows != 56 || m.Withheld != 4 {
		t.Errorf("%d rows, %d withheld", m.Rows, m.Withheld)
	}
	for _, r := range rowsOf(t, g, m) { // served, so that it is valid
		if strings.HasPrefix(r.ID, "person00") || strings.HasPrefix(r.ID, "person01") {
			t.Errorf("it holds %s", r.ID)
		}
	}
}
