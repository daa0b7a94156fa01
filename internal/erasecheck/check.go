package erasecheck

import (
	"context"
	"crypto/rand"
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
)

// Targets are those of a gateway with everything embedded.
func Targets() []erasure.Target {
	return []erasure.Target{
		{Name: Catalogue, Kind: "sqlite", Goal: erasure.Purged},
		{Name: Index, Kind: "memory", Goal: erasure.Purged},
		{Name: RecordKeys, Kind: "vault", Goal: erasure.Purged},
		{Name: Person, Kind: "sqlite and vault", Goal: erasure.Purged},
	}
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
}

// People are rows of people.
type People interface {
	SubjectsBy(ctx context.Context, t consent.TenantID, nums []consent.SubjectNum) ([]consent.SubjectRow, error)
}

// Seen is what a probe of an index found, in passages but Documents.
type Seen struct{ Documents, Nearest, Terms, Residue, Looked int }

// IndexProbe looks for documents in an index, below every permit.
type IndexProbe interface {
	ProbeIndex(ctx context.Context, c retrieval.CollectionID, docs []retrieval.DocNum, vectors [][]float32, codes [][]int8, terms []uint64) Seen
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

// A Checker implements erasure.Checker for what is embedded.
type Checker struct {
	Rows     Rows
	People   People
	Ledger   *consent.Ledger
	Corpus   Corpus
	Index    IndexProbe
	Vault    Vault
	DataDir  string
	VaultDir string
}

var _ erasure.Checker = (*Checker)(nil)

func (c *Checker) roots() []string { return []string{c.DataDir, c.VaultDir} }

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
func (c *Checker) index(ctx context.Context, m *material) Seen {
	var all Seen
	for id, s := range m.Collections {
		t := c.Index.ProbeIndex(ctx, id, s.Docs, s.Vectors, s.Codes, s.Terms)
		all.Documents += t.Documents
		all.Nearest += t.Nearest
		all.Terms += t.Terms
		all.Residue += t.Residue
		all.Looked += t.Looked
	}
	return all
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

	seen := c.index(ctx, m)
	inIndex := seen.Documents + seen.Nearest + seen.Terms + seen.Residue
	// Documents that did not open are in no index, and are no control.
	control := m.Before.Index > 0 || !m.opened()
	r.probe("index: numbers, nearest neighbours, terms, freed memory", m.asked(), uint64(seen.Looked), uint64(inIndex), control)

	level, held, err := c.keys(m)
	if err != nil {
		return nil, nil, err
	}
	r.probe("keys in the vault", uint64(len(m.Keys)), uint64(len(m.Keys)), uint64(held), held < m.Before.Keys || len(m.Keys) == 0 || m.Before.Keys == 0)

	opened, tried, err := c.try(o, m)
	if err != nil {
		return nil, nil, err
	}
	r.probe("records tried with keys that are left", uint64(len(m.Boxes)), tried, opened, tried > 0)

	hits, err := c.files(ctx, o, m, r)
	if err != nil {
		return nil, nil, err
	}
	named := false
	if m.Lookup != [32]byte{} {
		if named, err = c.Rows.Named(ctx, o.Tenant, m.Lookup); err != nil {
			return nil, nil, err
		}
	}
	left := ""
	if m.LeftOut > 0 {
		left = "; some clear forms are words that stand in files by themselves, and were not looked for"
	}
	r.find(Catalogue, uint64(linked+traces)+hits+opened, erasure.Purged, "counted by person and by number, and every file of data directory and vault read for records, lookups, vectors, codes and clear forms"+left, "")
	r.find(Index, uint64(inIndex), erasure.Purged, "asked below every permit: by number, by nearest neighbour, by term, and the memory of freed slots", "")
	why := ""
	if level < erasure.Purged && held == 0 {
		why = "a backup of the vault is on its list, or a slot could not be overwritten: the keys may live on there"
	}
	r.find(RecordKeys, uint64(held), level, "each slot asked for, and every file read for ids and wrapped keys", why)
	personal := uint64(0)
	if named {
		personal = 1
	}
	r.find(Person, personal+uint64(linked)+uint64(held), level, "row, lookup and key asked for, and every file read for them", why)
	return r.findings, r.probes, nil
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
	linked := 0
	if o.Subject != 0 {
		var err error
		if linked, err = c.Rows.Linked(ctx, o.Tenant, o.Subject, o.Position); err != nil {
			return nil, nil, err
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
	r.probe("again: count by person", 1, uint64(linked), uint64(linked), true)
	r.probe("again: documents that the entry covers", 1, uint64(left), uint64(left), true)
	for _, t := range Targets() {
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
