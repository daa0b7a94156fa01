package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/internal/parquetrows"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sealedfile"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// CorpusHead is the default tenant's.
func (g *Gateway) CorpusHead(ctx context.Context) retrieval.CorpusPosition {
	p, err := g.db.CorpusHead(ctx, DefaultTenant)
	if err != nil {
		panic(err)
	}
	return p
}

// DestroyPersonsKey destroys a person's key in the vault, as an erasure will.
func (g *Gateway) DestroyPersonsKey(ctx context.Context, who consent.Subject) error {
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		return err
	}
	rows, err := g.db.SubjectsBy(ctx, DefaultTenant, []consent.SubjectNum{num})
	if err != nil {
		return err
	}
	refs := []seal.Ref{rows[0].Key}
	return g.vault.Consent().Destroy(refs...)
}

// VaultDirOf is where a gateway's vault is.
func VaultDirOf(g *Gateway) string { return g.vault.Dir() }

// DroppedByIndex is how many hits of the index outside did not count, by
// weaviate's reasons.
func (g *Gateway) DroppedByIndex() [4]int64 { return g.index.index.Dropped() }

// ApplyVerdicts does rounds of the applier until nothing is left to apply.
func (g *Gateway) ApplyVerdicts(ctx context.Context, t consent.TenantID) error {
	for {
		n, err := g.index.index.ApplyVerdicts(ctx, t)
		if err != nil || n == 0 {
			return err
		}
	}
}

// Reconcile walks over everything in Weaviate.
func (g *Gateway) Reconcile(ctx context.Context, t consent.TenantID) (int, error) {
	return g.index.index.Reconcile(ctx, t)
}

// ObjectsInWeaviate counts what Weaviate holds of a collection of the default tenant.
func (g *Gateway) ObjectsInWeaviate(ctx context.Context, name string) (int, error) {
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		return 0, err
	}
	return g.index.index.Count(ctx, c.ID)
}

// Look and Walk are the reconciler's.
func (g *Gateway) Look(ctx context.Context) (Found, error)                { return g.look(ctx) }
func (g *Gateway) Walk(ctx context.Context, now time.Time) (Found, error) { return g.walk(ctx, now) }

// Patience is how long the reconciler waits between two looks at what others may
// be in the middle of.
const Patience = patience

// PlantStrays puts one of everything where no row accounts for it: an entry of the
// index in memory, a key, files, probe material.
func (g *Gateway) PlantStrays(ctx context.Context, name string) error {
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		return err
	}
	if g.local != nil {
		vector := make([]float32, c.Embedder.Dimensions)
		vector[0] = 1
		p := retrieval.IndexPassage{Owners: []consent.SubjectNum{7}}
		p.Head.Ref.Doc, p.Head.Personal, p.Head.Visibility.Level = retrieval.DocNum(rand.Int64()), true, retrieval.TenantWide
		p.Head.Codes = retrieval.Quantise(vector)
		if err := g.local.Apply(ctx, c.ID, retrieval.Change{Add: []retrieval.IndexPassage{p}}); err != nil {
			return err
		}
	}
	if _, err := g.vault.NewKey(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(g.manifests, "mlost", "files"), 0o700); err != nil {
		return err
	}
	return g.vault.PutProbe("elost", []byte("sealed"))
}

// DestroyRecordKey destroys a document's key alone.
func (g *Gateway) DestroyRecordKey(ctx context.Context, num int) error {
	var refs []seal.Ref
	err := g.db.Live(ctx, DefaultTenant, func(row retrieval.DocRow, _ []retrieval.PartRow) error {
		refs = append(refs, row.Key)
		return nil
	})
	if err != nil {
		return err
	}
	return g.vault.Records().Destroy(refs[num])
}

// A WrittenRow is of a manifest's files as they rest.
type WrittenRow struct {
	Row     string `json:"row"`
	ID      string `json:"document_id"`
	Content string `json:"content_digest"`
}

// ManifestRows reads the JSON rows of a manifest past the second gate.
func (g *Gateway) ManifestRows(ctx context.Context, id string) (out []WrittenRow) {
	row, _, err := g.db.Manifest(ctx, DefaultTenant, id)
	if err != nil {
		panic(err)
	}
	key, err := g.vault.Manifests().FileKey(row.Key)
	if err != nil {
		panic(err)
	}
	m, err := g.Training.Get(ctx, training.Caller{Tenant: DefaultTenant}, id)
	if err != nil {
		panic(err)
	}
	for _, f := range m.Files {
		if !strings.HasSuffix(f.Name, ".jsonl") {
			continue
		}
		in, err := g.Training.Files.Open(id+"/files/"+f.Name, key)
		if err != nil {
			panic(err)
		}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			out = append(out, writtenRow(lines.Text(), len(out)%1000 == 0))
		}
		in.Close()
	}
	return out
}

// writtenRow reads a line. Of millions, taking out three fields costs a tenth of
// decoding them all; now and then both are done, and must agree.
func writtenRow(line string, both bool) (r WrittenRow) {
	between := func(from, to string) string {
		_, s, found := strings.Cut(line, from)
		s, _, ended := strings.Cut(s, to)
		if !found || !ended || strings.Contains(s, `\`) {
			both = true // not as easy
		}
		return s
	}
	fast := WrittenRow{between(`{"row":"`, `","document":"`), between(`,"document_id":"`, `","content_sha256":"`), between(`,"content_digest":"`, `","subjects":[`)}
	if !both {
		return fast
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		panic(err)
	}
	if r != fast && !strings.Contains(line, `\`) && strings.Contains(line, `"document_id":"`) {
		panic("two ways to read a row differ")
	}
	return r
}

// Suppress enters the suppression of a person, as an erasure will: the entry
// alone. Nobody may write to the ledger meanwhile.
func (g *Gateway) Suppress(ctx context.Context, who consent.Subject) error {
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		return err
	}
	port := g.vault.Consent()
	keys, _ := port.Keys(DefaultTenant)
	var row consent.Row
	err = g.db.Append(ctx, DefaultTenant, func(head consent.Head) (consent.Batch, error) {
		row = consent.Row{Position: head.Position + 1, Kind: consent.KindErasure, Subject: num, RecordedAt: head.Now, Sealed: []byte("{}")}
		row.Leaf = sha256.Sum256(row.AppendEntry([]byte{0}))
		row.MAC = seal.MAC(keys.MAC, "assent ledger row", row.Leaf[:])
		return consent.Batch{Rows: []consent.Row{row}}, nil
	})
	if err != nil {
		return err
	}
	return port.AppendJournal(DefaultTenant, []consent.JournalRecord{{Position: row.Position, Leaf: row.Leaf, Kind: row.Kind}})
}

// Stores are the ports over one database.
type Stores interface {
	consent.Store
	translog.Store
	retrieval.Catalogue
	credential.Store
	training.Manifests
	training.Lineage
	training.Contents
}

// CopyTo copies the tenant's ledger and live documents to an empty database,
// in the order in which they came.
func (g *Gateway) CopyTo(ctx context.Context, to Stores) error {
	if err := to.AddTenant(ctx, credential.TenantRow{ID: DefaultTenant, CreatedAt: 1}, nil, nil); err != nil {
		return err
	}
	var b consent.Batch
	if err := g.db.Subjects(ctx, DefaultTenant, func(r consent.SubjectRow) error { b.Subjects = append(b.Subjects, r); return nil }); err != nil {
		return err
	}
	if err := g.db.Rows(ctx, DefaultTenant, 0, func(r consent.Row) error { b.Rows = append(b.Rows, r); return nil }); err != nil {
		return err
	}
	if err := to.Append(ctx, DefaultTenant, func(consent.Head) (consent.Batch, error) { return b, nil }); err != nil {
		return err
	}
	cols, err := g.db.Collections(ctx, DefaultTenant)
	if err != nil {
		return err
	}
	for _, c := range cols {
		if err := to.PutCollection(ctx, DefaultTenant, c, nil, nil); err != nil {
			return err
		}
	}
	var in retrieval.Intake
	var refs []retrieval.PassageRef
	if err := g.db.Live(ctx, DefaultTenant, func(d retrieval.DocRow, heads []retrieval.PartRow) error {
		in.Docs, in.Heads = append(in.Docs, d), append(in.Heads, heads...)
		for n := range d.Passages {
			refs = append(refs, retrieval.PassageRef{Doc: d.Num, N: n})
		}
		return nil
	}); err != nil {
		return err
	}
	slices.SortFunc(in.Docs, func(a, b retrieval.DocRow) int { return int(a.From) - int(b.From) })
	if in.Bodies, err = g.db.Bodies(ctx, DefaultTenant, refs); err != nil {
		return err
	}
	_, _, err = to.Commit(ctx, DefaultTenant, nil, func(consent.Head) (retrieval.Intake, error) { return in, nil })
	return err
}

// TrainingOver is training over another database with the gateway's vault. The
// gateway itself is of no use any more but to be closed.
func (g *Gateway) TrainingOver(ctx context.Context, db Stores, dir string) (*training.Service, error) {
	g.stopTraining()
	g.stopLog()
	var ledger *consent.Ledger
	log := translog.New(db, g.vault.Log(), translog.Options{Refresh: func(ctx context.Context, t consent.TenantID) error {
		_, err := ledger.Head(ctx, t)
		return err
	}})
	ledger = consent.NewLedger(db, g.vault.Consent(), consent.Options{Tree: log})
	if err := ledger.Open(ctx, DefaultTenant); err != nil {
		return nil, err
	}
	index := embedded.New(nil, embedded.Options{})
	docs := retrieval.NewService(retrieval.Deps{Ledger: ledger, Catalogue: db, Index: index, Records: g.vault.Records(),
		Embedders: localembed.Embedders{}, Keys: g.vault.CatalogueKeys})
	index.SetVectors(docs)
	if _, err := docs.Load(ctx, DefaultTenant); err != nil {
		return nil, err
	}
	files, err := sealedfile.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	s := training.NewService(training.Deps{Ledger: ledger, Corpus: pastCorpus{docs}, Manifests: db, Lineage: db, Contents: db, Files: files,
		Formats: []training.Format{training.JSONL{}, parquetrows.New()}, Vault: g.vault.Manifests(), Notary: notary{log},
		Workers: 3, ShardRows: g.cfg.Training.ShardRows})
	run, cancel := context.WithCancel(ctx)
	logged, built := make(chan struct{}), make(chan struct{})
	go func() { defer close(logged); _ = log.Run(run) }()
	go func() { defer close(built); _ = s.Run(run) }()
	g.stopLog = func() { cancel(); <-logged }
	g.stopTraining = func() { cancel(); <-built }
	return s, nil
}

// Entry returns a row of the default tenant's ledger.
func (g *Gateway) Entry(t testing.TB, p consent.Position) (row consent.Row, ok bool) {
	t.Helper()
	stop := errors.New("enough")
	err := g.db.Rows(context.Background(), DefaultTenant, p-1, func(r consent.Row) error {
		row, ok = r, true
		return stop
	})
	if err != nil && !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return row, ok
}

// Leftovers are probe material and controls that should be gone.
func (g *Gateway) Leftovers(t testing.TB) []string {
	t.Helper()
	left, err := g.vault.Probes()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{g.cfg.DataDir, g.cfg.VaultDir} {
		found, err := filepath.Glob(filepath.Join(dir, "erasure-control-*"))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	return left
}

// Cascade runs an erasure's steps, without verification.
func (g *Gateway) Cascade(ctx context.Context, id string) error {
	o, err := g.Erasure.Order(ctx, DefaultTenant, id)
	if err != nil {
		return err
	}
	for _, step := range g.cascade() {
		if step.Name == "files" {
			continue
		}
		for more := true; more; {
			if _, more, err = step.Run(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// EndErasure closes an erasure's row, so that the person can be erased again.
func (g *Gateway) EndErasure(ctx context.Context, id string) error {
	row, _, err := g.db.Erasure(ctx, DefaultTenant, id)
	if err != nil {
		return err
	}
	row.Version++
	row.Open, row.State = false, uint8(erasure.Completed)
	return g.db.ChangeErasure(ctx, DefaultTenant, row)
}

// LiveDocuments counts the documents of the default tenant.
func (g *Gateway) LiveDocuments(t testing.TB) (n int) {
	t.Helper()
	if err := g.db.Live(context.Background(), DefaultTenant, func(retrieval.DocRow, []retrieval.PartRow) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// StrayInWeaviate puts a passage of a person into Weaviate that no row accounts
// for, as an insert that arrives late.
func (g *Gateway) StrayInWeaviate(ctx context.Context, name string, who consent.SubjectNum) error {
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		return err
	}
	vector := make([]float32, c.Embedder.Dimensions)
	vector[0] = 1
	p := retrieval.IndexPassage{Owners: []consent.SubjectNum{who}, Vector: vector}
	p.Head.Ref.Doc, p.Head.Personal, p.Head.Visibility.Level = retrieval.DocNum(rand.Int64()), true, retrieval.TenantWide
	return g.index.index.Apply(ctx, c.ID, retrieval.Change{Add: []retrieval.IndexPassage{p}})
}

// HoldErasure takes an erasure's lease, as another gateway does.
func (g *Gateway) HoldErasure(ctx context.Context, id string, holder [16]byte, lease time.Duration) (bool, error) {
	return g.db.HoldErasure(ctx, DefaultTenant, id, holder, lease)
}

// FileKeyOf names the key of a manifest's files.
func (g *Gateway) FileKeyOf(ctx context.Context, id string) seal.Ref {
	row, _, err := g.db.Manifest(ctx, DefaultTenant, id)
	if err != nil {
		panic(err)
	}
	return row.Key
}

// FilesOf is where the files of a manifest lie.
func (g *Gateway) FilesOf(id string) string { return filepath.Join(g.manifests, id, "files") }

// A Remains is what stands together in one place: a row, or a record of the
// journal, with all that opens in it under any key that is left. Names are what
// the same thing is called elsewhere, each with its kind before it.
type Remains struct {
	Where string
	Names []string
}

// Remains returns everything that the tenant's ports and the vault's give, opened
// with every key there is.
func (g *Gateway) Remains(t testing.TB) (out []Remains) {
	t.Helper()
	ctx, port := t.Context(), g.vault.Consent()
	keys, _ := port.Keys(DefaultTenant)
	ek, _ := g.vault.ErasureKeys(DefaultTenant)
	left := []seal.Key{keys.Lookup, keys.Suppression, keys.MAC, keys.Payload, ek.Payload, ek.Archive, ek.Name, ek.Claim, g.vault.System()}
	if err := g.vault.Remaining(string(DefaultTenant), func(k seal.Key) error { left = append(left, k); return nil }); err != nil {
		t.Fatal(err)
	}
	refs := func(f func(seal.Ref)) {
		f(seal.Ref{})
		g.Ledger.LinkKeys(f)
		if err := g.db.KeyRefs(ctx, func(r seal.Ref) error { f(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	refs(func(r seal.Ref) {
		if k, err := port.SubjectKey(r); err == nil {
			left = append(left, k)
		}
	})
	open := func(box, aad []byte) []byte {
		for _, k := range left {
			if plain, err := seal.Open(k, box, aad); err == nil {
				return plain
			}
		}
		return nil
	}
	add := func(where string, names ...string) {
		names = slices.DeleteFunc(names, func(s string) bool { return strings.Trim(s[1:], "0") == "" })
		out = append(out, Remains{where, names})
	}
	num := func(n consent.SubjectNum) string { return fmt.Sprintf("n%d", n) }
	key := func(b []byte) string { return fmt.Sprintf("k%x", b) }
	mac := func(b []byte) string { return fmt.Sprintf("m%x", b) }
	aad := func(p consent.Position, more string) []byte {
		b := binary.BigEndian.AppendUint64([]byte("assent ledger\x00"+string(DefaultTenant)+"\x00"), uint64(p))
		return append(b, more...)
	}
	entry := func(row *consent.Row) (names []string) {
		names = append(names, fmt.Sprintf("p%d", row.Position), num(row.Subject))
		var ev struct {
			ID        string
			Who, Link []byte
			Mark      [32]byte
			Sealed    []byte
			Subject   string
		}
		body := row.Sealed
		if plain := open(body, aad(row.Position, "")); plain != nil {
			body = plain
		}
		if s, err := consent.ParseSubject(string(body)); err == nil && row.Kind == consent.KindIdentifier {
			return append(names, "i"+s.Reveal())
		}
		if json.Unmarshal(body, &ev) != nil {
			return names
		}
		names = append(names, "e"+ev.ID, mac(ev.Mark[:]), "i"+ev.Subject)
		if s := open(ev.Sealed, aad(row.Position, "")); s != nil {
			names = append(names, "i"+string(s))
		}
		if who := open(ev.Who, aad(row.Position, " who")); who != nil {
			names = append(names, key(who[4:20]))
			for m := who[20:]; len(m) >= 32; m = m[32:] {
				names = append(names, mac(m[:32]))
			}
		}
		if link := open(ev.Link, aad(row.Position, " link")); link != nil {
			names = append(names, num(consent.SubjectNum(binary.BigEndian.Uint64(link))), key(link[12:28]), mac(link[28:60]))
		}
		return names
	}
	err := g.db.Subjects(ctx, DefaultTenant, func(s consent.SubjectRow) error {
		box := binary.BigEndian.AppendUint64([]byte("assent subject\x00"+string(DefaultTenant)+"\x00"), uint64(s.Num))
		add("a person's row", num(s.Num), mac(s.Lookup[:]), key(s.Key.ID[:]), "i"+string(open(s.Sealed[min(32, len(s.Sealed)):], box)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = g.db.Rows(ctx, DefaultTenant, 0, func(row consent.Row) error {
		add("an entry", entry(&row)...)
		rec, err := port.ReadJournal(DefaultTenant, row.Position)
		if err != nil {
			return err
		}
		for at := range 2 { // as it is written now, and as older ones were
			if b := rec.Payload; len(b) > 138 {
				if row, err := consent.DecodeEntry(b[at+84:]); err == nil {
					add("the journal", append(entry(&row), mac(b[at:at+32]), key(b[at+36:at+52]))...)
				}
			} else if len(b) > 61 {
				add("the journal", fmt.Sprintf("p%d", rec.Position), num(consent.SubjectNum(binary.BigEndian.Uint64(b[1:]))), mac(b[9:41]), key(b[45:61]))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := g.db.Erasures(ctx, DefaultTenant, erasure.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	nums := []consent.SubjectNum{}
	if err := g.db.Rows(ctx, DefaultTenant, 0, func(r consent.Row) error { nums = append(nums, r.Subject); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		names := []string{"e" + row.ID, fmt.Sprintf("p%d", row.Position), key(row.Key.ID[:]), mac(row.Name[:])}
		var j struct {
			Subject consent.SubjectNum
			Key     seal.Ref
			Entry   consent.Position
		}
		if plain := open(row.Sealed, fmt.Appendf(nil, "assent erasure\x00%s\x00%s\x00job", DefaultTenant, row.ID)); json.Unmarshal(plain, &j) != nil {
			t.Fatal("a job does not open")
		}
		names = append(names, num(j.Subject), key(j.Key.ID[:]), fmt.Sprintf("p%d", j.Entry))
		for _, n := range nums { // a MAC of a number is as good as the number
			for round := range uint64(4) {
				b := binary.BigEndian.AppendUint64(nil, uint64(n))
				if round > 0 {
					b = binary.BigEndian.AppendUint64(b, round)
				}
				if seal.MAC(ek.Name, "assent erasure of a person", b) == row.Name {
					names = append(names, num(n))
				}
			}
		}
		add("an erasure", names...)
	}
	return out
}

// NamesOf is what an identifier may be called, for whoever has every key.
func (g *Gateway) NamesOf(id string) []string {
	keys, _ := g.vault.Consent().Keys(DefaultTenant)
	lookup := seal.MAC(keys.Lookup, "assent subject", []byte(id))
	mark := seal.MAC(keys.Suppression, "assent suppression", lookup[:])
	return []string{"i" + id, fmt.Sprintf("m%x", lookup), fmt.Sprintf("m%x", mark)}
}

// CursorOf is how far a sink of the default tenant has come.
func (g *Gateway) CursorOf(ctx context.Context, sink string) (consent.Position, bool, error) {
	return g.db.Cursor(ctx, DefaultTenant, sink)
}

// Names reports whether this gateway knows that a key is in use.
func (g *Gateway) Names(ctx context.Context, ref seal.Ref) (bool, error) {
	named, err := g.namedKeys(ctx)
	return err == nil && named(ref), err
}

// RecreateInWeaviate returns what makes a collection's class there again, and
// forgets it.
func (g *Gateway) RecreateInWeaviate(t testing.TB, name string) func() {
	t.Helper()
	c, err := g.Retrieval.Collection(context.Background(), retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		other, err := weaviate.Open(context.Background(), g.db, *g.cfg.Weaviate)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		other.Connect(g.Retrieval, g.Ledger)
		k, _ := g.vault.CatalogueKeys(DefaultTenant)
		shape := retrieval.Shape{Dimensions: c.Embedder.Dimensions, Tenant: DefaultTenant, Key: seal.Derive(k.Catalogue, "assent index outside", binary.BigEndian.AppendUint64(nil, uint64(c.ID)))}
		if err := other.Create(context.Background(), c.ID, shape); err != nil {
			t.Fatal(err)
		}
	}
}

// VectorsOf are the vectors of what lives in a collection, as they lie in
// Weaviate's files.
func (g *Gateway) VectorsOf(t testing.TB, name string) map[string]bool {
	t.Helper()
	ctx, out := context.Background(), map[string]bool{}
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		t.Fatal(err)
	}
	err = g.Retrieval.EachKnown(ctx, c.ID, func(ps []retrieval.IndexPassage) error {
		for i := range ps {
			var v []byte
			for _, x := range ps[i].Vector {
				v = binary.LittleEndian.AppendUint32(v, math.Float32bits(x))
			}
			out[string(v)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FormsInWeaviate are the ids, tokens and vectors of what a person has in a
// collection, as they lie in Weaviate's files.
func (g *Gateway) FormsInWeaviate(t testing.TB, name string, who consent.Subject) (out [][]byte) {
	t.Helper()
	ctx := context.Background()
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		t.Fatal(err)
	}
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		t.Fatal(err)
	}
	var refs []retrieval.PassageRef
	err = g.Retrieval.EachKnown(ctx, c.ID, func(ps []retrieval.IndexPassage) error {
		for _, p := range ps {
			if !slices.Contains(p.Owners, num) {
				continue
			}
			refs = append(refs, p.Head.Ref)
			var v []byte
			for _, x := range p.Vector {
				v = binary.LittleEndian.AppendUint32(v, math.Float32bits(x))
			}
			out = append(out, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ids, tokens := g.index.index.Forms(c.ID, refs, num)
	return slices.Concat(out, ids, tokens)
}
