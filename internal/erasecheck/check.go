package erasecheck

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// The targets that this package knows.
const (
	Catalogue  = "catalogue"
	Index      = "index"
	RecordKeys = "record_keys"
	Person     = "person"
	Manifests  = "manifests"
)

// A Setup says where a gateway keeps what it has, as far as that decides how far
// an erasure gets and what can be looked at.
type Setup struct {
	DataDir  string // of the database's file; "": it is a server's, whose files nobody here may read
	VaultDir string // of the vault's slots; "": they are rows of a server
	Index    Place
	// Rebuilds says that an index outside is rebuilt for erasures, and IndexDirs
	// where its servers keep their files, one directory a server.
	Rebuilds  bool
	IndexDirs []string
}

// A Place is where an index is.
type Place uint8

// The places of indices.
const (
	InMemory   Place = iota // of this process, which is the only one
	InMemories              // of every gateway, each of which follows the catalogue
	Outside                 // in a Weaviate
)

// Why a target gets no further.
const (
	whyBackup   = "a backup of the vault is on its list, or a slot could not be overwritten: the keys may live on there"
	whyDatabase = "deleted rows live on in pages, logs, replicas and backups of the data's Postgres, which this gateway cannot read: sealed, and without a key"
	whyKeyRows  = "a wrapped key whose row is deleted lives on in pages, logs, replicas and backups of the vault's Postgres until the epoch that wraps it is rotated, and there is no rotation of a shared vault yet"
	whyMemories = "the memory of other gateways follows the catalogue, and was not looked at from here"
	whyOutside  = "Weaviate takes deleted objects out of its files when it compacts them, at a time of its own"
)

// Targets are what an erasure reaches, and how far it can get there.
func (s Setup) Targets() []erasure.Target {
	out := []erasure.Target{
		{Name: Catalogue, Kind: "sqlite", Goal: erasure.Purged},
		{Name: Index, Kind: "memory", Goal: erasure.Purged},
		{Name: RecordKeys, Kind: "vault", Goal: erasure.Purged},
		{Name: Person, Kind: "sqlite and vault", Goal: erasure.Purged},
		{Name: Manifests, Kind: "sealed files", Goal: erasure.Purged},
	}
	data, keys := "sqlite", "vault"
	if s.DataDir == "" {
		data = "postgres"
		out[0].Kind, out[0].Goal, out[3].Goal = data, erasure.Absent, erasure.Absent
	}
	if s.VaultDir == "" {
		keys = "vault in postgres"
		out[2].Kind, out[2].Goal, out[3].Goal, out[4].Goal = keys, erasure.Absent, erasure.Absent, erasure.Absent
	}
	out[3].Kind = data + " and " + keys
	switch s.Index {
	case InMemories:
		out[1].Goal = erasure.Absent
	case Outside:
		out[1].Kind, out[1].Goal = "weaviate", erasure.Absent
		if s.Rebuilds {
			out[1].Goal = erasure.Purged
		}
	}
	return out
}

// Rows counts in the database, by queries of their own.
type Rows interface {
	// Linked counts links between a person and versions decided before a position.
	Linked(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (int, error)
	// Traces counts what is left of versions: rows, sealed columns, parts.
	Traces(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (int, error)
	// Named reports whether a person's row has this lookup.
	Named(ctx context.Context, t consent.TenantID, lookup [32]byte) (bool, error)
}

// Corpus gives documents as they lie there.
type Corpus interface {
	Gather(ctx context.Context, t consent.TenantID, w retrieval.Which, f func(*retrieval.Specimen) error) error
	// Living gives the live versions with some keyed lookups.
	Living(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, lookups [][32]byte) ([]retrieval.Specimen, error)
}

// People are rows of people.
type People interface {
	SubjectsBy(ctx context.Context, t consent.TenantID, nums []consent.SubjectNum) ([]consent.SubjectRow, error)
}

// Wanted is what is looked for in the index of a collection.
type Wanted struct {
	Docs    []retrieval.DocNum
	Person  consent.SubjectNum // 0: the erasure is not a person's
	Vectors [][]float32
	Codes   [][]int8
	Terms   []uint64
}

// A Copy is what a gateway keeps of a training manifest that holds a person, or
// documents.
type Copy struct {
	ID  string
	Key seal.Ref // of its files; zero once they are gone
}

// Copies knows them.
type Copies interface {
	CopiesOf(ctx context.Context, t consent.TenantID, num consent.SubjectNum) ([]Copy, error)
	// CopiesWith are those of manifests that hold any of some documents.
	CopiesWith(ctx context.Context, t consent.TenantID, docs []retrieval.DocNum) ([]Copy, error)
	// Lineage counts those that were finished, and the runs bound to them, and
	// returns their ids.
	Lineage(ctx context.Context, t consent.TenantID, num consent.SubjectNum) (erasure.Lineage, []string, error)
	// Lying reports whether files of a manifest are on this gateway's disk.
	Lying(id string) (bool, error)
}

// Seen is what a probe of an index found, in passages but Documents.
type Seen struct{ Documents, Nearest, Terms, Residue, Looked int }

// IndexProbe looks for documents in an index, below every permit.
type IndexProbe interface {
	ProbeIndex(ctx context.Context, c retrieval.CollectionID, w Wanted) (Seen, error)
}

// Vault is what is asked of the vault.
type Vault interface {
	Key(ref seal.Ref) (seal.Key, error)
	PutProbe(id string, box []byte) error
	Probe(id string) ([]byte, error)
	DropProbe(id string) error
	// Remaining calls f with every key that is left and opens without another.
	Remaining(tenant string, f func(seal.Key) error) error
	// Destroyed says how far a key is destroyed.
	Destroyed(ref seal.Ref) (erasure.Level, error)
}

// A Checker implements erasure.Checker.
type Checker struct {
	Setup
	Rows   Rows
	People People
	Ledger *consent.Ledger
	Corpus Corpus
	Probe  IndexProbe
	Vault  Vault
	Copies Copies
	// Outside is the index, where it is one outside; nil: it is not.
	Outside OutsideIndex
}

var _ erasure.Checker = (*Checker)(nil)

// roots are the directories that can be read.
func (c *Checker) roots() []string {
	return slices.DeleteFunc([]string{c.DataDir, c.VaultDir}, func(dir string) bool { return dir == "" })
}

// rows asks the database by person and by number.
func (c *Checker) rows(ctx context.Context, o erasure.Order, m *material) (linked, traces int, err error) {
	if o.Subject != 0 {
		if linked, err = c.Rows.Linked(ctx, o.Tenant, o.Subject, o.Position); err != nil {
			return 0, 0, err
		}
	}
	traces, err = c.Rows.Traces(ctx, o.Tenant, m.Docs)
	return linked, traces, err
}

// index asks every collection's index.
func (c *Checker) index(ctx context.Context, o erasure.Order, m *material) (Seen, error) {
	var all Seen
	for id, s := range m.Collections {
		t, err := c.Probe.ProbeIndex(ctx, id, Wanted{Docs: s.Docs, Person: o.Subject, Vectors: s.Vectors, Codes: s.Codes, Terms: s.Terms})
		if err != nil {
			return all, err
		}
		all.Documents += t.Documents
		all.Nearest += t.Nearest
		all.Terms += t.Terms
		all.Residue += t.Residue
		all.Looked += t.Looked
	}
	return all, nil
}

// keys asks the vault about every key: the weakest level, and how many are there.
func (c *Checker) keys(m *material) (erasure.Level, int, error) {
	level, held := erasure.Purged, 0
	for _, ref := range m.Keys {
		l, err := c.Vault.Destroyed(ref)
		if err != nil {
			return erasure.Unreachable, 0, err
		}
		if l < erasure.Absent {
			held++
		}
		level = min(level, l)
	}
	return level, held, nil
}

// maxTried bounds how many keys are tried.
const maxTried = 20_000

// try tries records, which opened while their keys were there, with keys that
// are left: the tenant's, and those of people.
func (c *Checker) try(o erasure.Order, m *material) (opened, tried uint64, err error) {
	err = c.Vault.Remaining(string(o.Tenant), func(k seal.Key) error {
		if tried == maxTried {
			return nil
		}
		tried++
		for _, b := range m.Boxes {
			if _, err := seal.Open(k, b.Sealed, b.AAD); err == nil {
				opened++
			}
		}
		return nil
	})
	return opened, tried, err
}

// Check implements erasure.Checker. Without probe material, which is destroyed
// with the receipt, it looks for what suppression and catalogue know.
func (c *Checker) Check(ctx context.Context, o erasure.Order) ([]erasure.Finding, []erasure.Probe, error) {
	m, err := c.get(o)
	if err != nil {
		return nil, nil, err
	}
	if m == nil {
		return c.again(ctx, o)
	}
	r := &report{}
	linked, traces, err := c.rows(ctx, o, m)
	if err != nil {
		return nil, nil, err
	}
	any := len(m.Docs) > 0
	r.probe("count by person", 1, uint64(linked), uint64(linked), !any || o.Subject == 0 || m.Before.Linked > 0)
	r.probe("known numbers", uint64(len(m.Docs)), uint64(len(m.Docs)), uint64(traces), !any || m.Before.Traces > 0)

	seen, err := c.index(ctx, o, m)
	if err != nil {
		return nil, nil, err
	}
	inIndex := seen.Documents + seen.Nearest + seen.Terms + seen.Residue
	// Documents that did not open are in no index, and are no control.
	control := m.Before.Index > 0 || !m.opened()
	r.probe("index: numbers, nearest neighbours, terms, freed memory", m.asked(), uint64(seen.Looked), uint64(inIndex), control)

	level, held, err := c.keys(m)
	if err != nil {
		return nil, nil, err
	}
	r.probe("keys in the vault", uint64(len(m.Keys)), uint64(len(m.Keys)), uint64(held), held < m.Before.Keys || len(m.Keys) == 0 || m.Before.Keys == 0)

	copies, copyLevel, err := c.copies(ctx, o, m)
	if err != nil {
		return nil, nil, err
	}
	r.probe("copies of manifests: rows, keys, files", uint64(len(m.Copies)), uint64(len(m.Copies)), uint64(copies), len(m.Copies) == 0 || m.Before.Copies > 0)

	opened, tried, err := c.try(o, m)
	if err != nil {
		return nil, nil, err
	}
	r.probe("records tried with keys that are left", uint64(len(m.Boxes)), tried, opened, tried > 0)

	k, err := c.kept(ctx, o, m)
	if err != nil {
		return nil, nil, err
	}
	if len(m.Joint) > 0 {
		r.probe("documents kept in another form: opened and read", uint64(len(m.Joint)), k.passages, k.found, k.control)
	}
	back, err := c.back(ctx, o, m)
	if err != nil {
		return nil, nil, err
	}
	out, err := c.outside(ctx, m, r)
	if err != nil {
		return nil, nil, err
	}
	hits, err := c.files(ctx, o, m, r)
	if err != nil {
		return nil, nil, err
	}
	named := false
	if m.Lookup != [32]byte{} && !back {
		if named, err = c.Rows.Named(ctx, o.Tenant, m.Lookup); err != nil {
			return nil, nil, err
		}
	}
	copyWhy := ""
	if copies == 0 && copyLevel < erasure.Purged {
		copyWhy = c.keyWhy()
	}
	r.find(Manifests, uint64(copies), copyLevel, "manifests that hold the person, or any of the documents, asked for by number, their files' keys and files each looked for", copyWhy)
	c.judge(r, m, counts{rows: uint64(linked+traces) + hits + opened + k.found, kept: k.redacted + k.stripped, linked: uint64(linked), index: uint64(inIndex), held: uint64(held), named: named, back: back, outside: out}, level)
	return r.findings, r.probes, nil
}

// counts are what probes found.
type counts struct {
	rows, linked, index, held uint64
	kept                      uint64 // documents, in another form
	named                     bool
	back                      bool // the lookup is that of who came back
	outside                   outsideFiles
}

// judge says how far each target is, by what was found and what could be
// looked at. level is that of the keys.
func (c *Checker) judge(r *report, m *material, n counts, level erasure.Level) {
	how, of := "counted by person and by number", erasure.Absent
	why := whyDatabase
	if c.DataDir != "" {
		how, of, why = how+", and every file of data directory and vault read for records, lookups, vectors, codes and clear forms", erasure.Purged, ""
		if m.LeftOut > 0 {
			how += "; some clear forms are words that stand in files by themselves, and were not looked for"
		}
	}
	r.find(Catalogue, n.rows, of, how, why)
	r.findings[len(r.findings)-1].Kept = n.kept
	switch c.Index {
	case InMemory:
		r.find(Index, n.index, erasure.Purged, "asked below every permit: by number, by nearest neighbour, by term, and the memory of freed slots", "")
	case InMemories:
		r.find(Index, n.index, erasure.Absent, "the index of this gateway asked below every permit: by number, by nearest neighbour, by term, and the memory of freed slots", whyMemories)
	case Outside:
		r.find(Index, n.index, n.outside.level, "asked for documents, for the person and for nearest neighbours, after all that was on its way there had arrived and was swept"+n.outside.how, n.outside.why)
	}
	keyHow, keyWhy := "each key asked for", c.keyWhy()
	if c.VaultDir != "" {
		keyHow = "each slot asked for, and every file read for ids and wrapped keys"
	}
	if level == erasure.Purged || n.held > 0 {
		keyWhy = ""
	}
	r.find(RecordKeys, n.held, level, keyHow, keyWhy)
	personal := uint64(0)
	if n.named {
		personal = 1
	}
	how = "row, lookup and key asked for"
	if len(c.roots()) > 0 {
		how += ", and every file read for them"
	}
	if n.back {
		how += ", but for the lookup, which is that of a new row: they came back"
	}
	if of < level {
		keyWhy = why
	}
	r.find(Person, personal+n.linked+n.held, min(level, of), how, keyWhy)
}

// keyWhy is why destroyed keys may live on.
func (c *Checker) keyWhy() string {
	if c.VaultDir == "" {
		return whyKeyRows
	}
	return whyBackup
}

// copiesNow are the manifests that hold the person, or any of the documents that
// are to go.
func (c *Checker) copiesNow(ctx context.Context, o erasure.Order, m *material) ([]Copy, error) {
	if o.Subject != 0 {
		return c.Copies.CopiesOf(ctx, o.Tenant, o.Subject)
	}
	if m.Stripping {
		return nil, nil
	}
	docs := slices.Clone(m.Docs) // and those that are named, though they were replaced
	for _, num := range o.Removal.Versions {
		docs = append(docs, retrieval.DocNum(num))
	}
	if len(docs) == 0 {
		return nil, nil
	}
	return c.Copies.CopiesWith(ctx, o.Tenant, docs)
}

// copies counts what is left of copies of manifests, and says how far the keys
// of those that there were are destroyed.
func (c *Checker) copies(ctx context.Context, o erasure.Order, m *material) (left int, level erasure.Level, err error) {
	level = erasure.Purged
	now, err := c.copiesNow(ctx, o, m)
	if err != nil {
		return 0, level, err
	}
	for _, copy := range now {
		if !copy.Key.IsZero() {
			left++
		}
	}
	for _, copy := range m.Copies {
		l, err := c.Vault.Destroyed(copy.Key)
		if err != nil {
			return 0, level, err
		}
		lying, err := c.Copies.Lying(copy.ID)
		if err != nil {
			return 0, level, err
		}
		if l < erasure.Absent || lying {
			left++
		}
		level = min(level, l)
	}
	return left, level, nil
}

func (m *material) opened() bool {
	for _, s := range m.Collections {
		if len(s.Codes)+len(s.Terms) > 0 {
			return true
		}
	}
	return false
}

func (m *material) asked() (n uint64) {
	for _, s := range m.Collections {
		n += uint64(len(s.Docs) + len(s.Vectors) + len(s.Terms) + len(s.Codes))
	}
	return n
}

// files reads every file for every needle.
func (c *Checker) files(ctx context.Context, o erasure.Order, m *material, r *report) (hits uint64, err error) {
	if len(c.roots()) == 0 {
		return 0, nil // and no target claims that they were read
	}
	var mark [maxNeedle]byte
	rand.Read(mark[:])
	needles := append(m.Needles, needle{planted, mark[:]})
	h := newHaystack(needles)
	if err := plant(c.roots(), o.ID, mark[:]); err != nil {
		return 0, err
	}
	s, err := h.scan(ctx, c.roots())
	if err2 := unplant(c.roots(), o.ID); err == nil {
		err = err2
	}
	if err == nil {
		err = c.anew(ctx, o, m, h, &s)
	}
	if err != nil {
		return 0, err
	}
	seen, _ := h.count(&s, planted)
	stored := !m.opened() || m.Before.Stored > 0
	for k := range kind(planted) {
		found, asked := h.count(&s, k)
		hits += found
		r.probe("files: "+kindNames[k], asked, s.bytes, found, seen == 1 && stored)
	}
	return hits, nil
}

// again is verification after the probe material is gone.
func (c *Checker) again(ctx context.Context, o erasure.Order) ([]erasure.Finding, []erasure.Probe, error) {
	r := &report{}
	linked, people := 0, 1
	if o.Subject != 0 {
		var err error
		if linked, err = c.Rows.Linked(ctx, o.Tenant, o.Subject, o.Position); err != nil {
			return nil, nil, err
		}
		if o.Subject == o.Mark { // who it was, nobody can tell: it is one of these
			gone, err := c.Ledger.Gone(ctx, o.Tenant)
			if err != nil {
				return nil, nil, err
			}
			people = len(gone)
			for _, num := range gone {
				n, err := c.Rows.Linked(ctx, o.Tenant, num, 1<<62)
				if err != nil {
					return nil, nil, err
				}
				linked += n
			}
		}
	}
	left := 0
	err := c.Corpus.Gather(ctx, o.Tenant, WhichOf(o), func(*retrieval.Specimen) error {
		left++
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	r.probe("again: count by person", uint64(people), uint64(linked), uint64(linked), true)
	r.probe("again: documents that the entry covers", 1, uint64(left), uint64(left), true)
	for _, t := range c.Targets() {
		r.find(t.Name, uint64(linked+left), erasure.Absent, "counted by person, and by what the ledger's entry covers", "")
	}
	return r.findings, r.probes, nil
}

// Discard implements erasure.Checker.
func (c *Checker) Discard(_ context.Context, o erasure.Order) error {
	if err := unplant(c.roots(), o.ID); err != nil {
		return err
	}
	return c.Vault.DropProbe(o.ID)
}

// report gathers what was found.
type report struct {
	findings []erasure.Finding
	probes   []erasure.Probe
}

func (r *report) probe(name string, asked, over, found uint64, control bool) {
	r.probes = append(r.probes, erasure.Probe{Name: name, At: consent.TimeOf(time.Now()), Asked: asked, Over: over, Found: found, Control: control})
}

func (r *report) find(target string, remaining uint64, level erasure.Level, method, exception string) {
	r.findings = append(r.findings, erasure.Finding{Target: target, Level: level, Remaining: remaining, Method: method, Exception: exception})
}
