package erasecheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// How much of a large erasure is kept to be looked for. Every record, key and
// number is; of vectors and terms, samples.
const (
	maxVectors = 8
	maxTerms   = 64
	maxBoxes   = 4
	maxClear   = 200_000
)

// material is what is looked for, sealed in the vault's file.
type material struct {
	Docs        []retrieval.DocNum
	Keys        []seal.Ref
	Collections map[retrieval.CollectionID]*sample
	Needles     []needle
	Outside     []needle // looked for in the files of an index outside
	Boxes       []box    // some records whole, to be tried with keys that are left
	Lookup      [32]byte // of the person
	Copies      []Copy   // of manifests that hold the person, or any of the documents
	Joint       []joint  // documents that may be kept in another form
	Names       []string // of the person
	Stripping   bool     // documents are kept, without vectors
	LeftOut     uint64   // clear forms that stood in files before
	Before      before
}

// box is a record as it is sealed; it opened while its key was there.
type box struct{ Sealed, AAD []byte }

// sample is what is looked for in one collection's index.
type sample struct {
	Docs    []retrieval.DocNum
	Refs    []retrieval.PassageRef
	Vectors [][]float32
	Codes   [][]int8
	Terms   []uint64
}

// before is what each probe found before anything was deleted.
type before struct {
	Linked, Traces, Index, Keys, Copies int
	Outside                             uint64 // needles of Outside
	Stored                              uint64 // needles of records, lookups and keys in files
}

// Gather implements erasure.Checker.
func (c *Checker) Gather(ctx context.Context, o erasure.Order) (erasure.Gathered, error) {
	m := &material{Collections: map[retrieval.CollectionID]*sample{}, Stripping: o.Removal.Vectors}
	var out erasure.Gathered
	err := c.Corpus.Gather(ctx, o.Tenant, WhichOf(o), func(s *retrieval.Specimen) error {
		m.add(s)
		m.addJoint(&s.Row)
		out.Documents++
		out.Passages += uint64(s.Row.Passages)
		owns := false
		for _, num := range s.Row.Owners {
			owns = owns || num == o.Subject
		}
		switch {
		case o.Subject == 0:
		case !owns:
			out.Mentioned++
		case len(s.Row.Owners) > 1:
			out.Shared++
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	if err := c.addPerson(ctx, o, m); err != nil {
		return out, err
	}
	copies, err := c.copiesNow(ctx, o, m)
	if err != nil {
		return out, err
	}
	m.Copies = slices.DeleteFunc(copies, func(c Copy) bool { return c.Key.IsZero() })
	if err := c.addKeys(m); err != nil {
		return out, err
	}
	if err := c.look(ctx, o, m); err != nil {
		return out, err
	}
	if o.Subject != 0 {
		if out.Lineage, out.Held, err = c.Copies.Lineage(ctx, o.Tenant, o.Subject); err != nil {
			return out, err
		}
	}
	return out, c.put(o, m)
}

// WhichOf are the documents of an order.
func WhichOf(o erasure.Order) retrieval.Which {
	w := retrieval.Which{
		Before: o.Position, Subject: o.Subject, Collection: retrieval.CollectionID(o.Removal.Collection),
		Lookup: o.Removal.Lookup, Source: o.Removal.Source,
	}
	if o.Removal.Expired {
		w.ExpiredAt = o.At
	}
	for _, num := range o.Removal.Versions {
		w.Versions = append(w.Versions, retrieval.DocNum(num))
	}
	return w
}

// add takes from a document what will be looked for.
func (m *material) add(s *retrieval.Specimen) {
	col := m.Collections[s.Row.Collection]
	if col == nil {
		col = &sample{}
		m.Collections[s.Row.Collection] = col
	}
	m.Docs, col.Docs = append(m.Docs, s.Row.Num), append(col.Docs, s.Row.Num)
	if !s.Row.Key.IsZero() {
		m.Keys = append(m.Keys, s.Row.Key)
	}
	m.sealed(s.Row.Sealed)
	if s.Opened && len(m.Boxes) < maxBoxes {
		m.Boxes = append(m.Boxes, box{s.Row.Sealed, s.AAD})
	}
	m.needle(lookup, s.Row.Lookup[:])
	m.needle(lookup, s.Row.Digest[:])
	m.clear(s.Meta.ID, 12)
	m.clear(s.Meta.Title, 12)
	for _, v := range s.Meta.Metadata {
		if v.Kind() == retrieval.KindString {
			m.clear(v.Text(), 16)
		}
	}
	for i := range s.Passages {
		p := &s.Passages[i]
		m.sealed(p.SealedHead)
		m.sealed(p.SealedBody)
		col.Refs = append(col.Refs, p.Ref)
		if !p.Opened {
			continue
		}
		m.clear(p.Body.Text, 16)
		if len(col.Vectors) < maxVectors && len(p.Body.Vector) > 0 {
			col.Vectors = append(col.Vectors, p.Body.Vector)
		}
		if code := p.Head.Codes.Code; len(code) >= maxNeedle {
			col.Codes = append(col.Codes, code[:maxNeedle])
			m.needle(codes, bytesOf(code))
		}
		m.vector(p.Body.Vector)
		m.vectorOutside(p.Body.Vector)
		for _, t := range p.Head.Terms {
			if len(col.Terms) < maxTerms {
				col.Terms = append(col.Terms, t.Hash)
			}
		}
	}
}

// needle takes data from the first place on where it is not like everything
// else: a run of zeros, or of one letter, is everywhere. One that can be looked for
// in strides comes first.
func (m *material) needle(k kind, data []byte) {
	first := -1
	for at := 0; at+minNeedle <= len(data); at++ {
		plain := distinct(data[at:at+minNeedle]) < minNeedle/2
		if !plain && first < 0 {
			first = at
		}
		if !plain && varied(data[at:min(len(data), at+maxNeedle)]) {
			first = at
			break
		}
	}
	if first >= 0 {
		m.Needles = append(m.Needles, needle{k, bytes.Clone(data[first:min(len(data), first+maxNeedle)])})
	}
}

func distinct(b []byte) (n int) {
	for i := range b {
		if bytes.IndexByte(b[:i], b[i]) < 0 {
			n++
		}
	}
	return n
}

// sealed takes two pieces of a box: its salt, and ciphertext.
func (m *material) sealed(box []byte) {
	m.needle(record, box[:min(len(box), 24)])
	if len(box) > 104 {
		m.needle(record, box[64:96])
	}
}

func (m *material) clear(text string, least int) {
	if len(text) >= least && len(m.Needles) < maxClear && utf8.ValidString(text) {
		m.needle(clear, []byte(text))
	}
}

// vector takes components as they would lie there as float32, from the first
// two neighbours that are not zero on.
func (m *material) vector(v []float32) {
	for at := 0; at+8 <= len(v); at++ {
		if v[at] == 0 || v[at+1] == 0 {
			continue
		}
		m.needle(vector, vectorBytes(v[at:at+8]))
		return
	}
}

func vectorBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func bytesOf(code []int8) []byte {
	b := make([]byte, len(code))
	for i, x := range code {
		b[i] = byte(x)
	}
	return b
}

// addPerson takes what names the person: lookup, identifier, key.
func (c *Checker) addPerson(ctx context.Context, o erasure.Order, m *material) error {
	if o.Subject == 0 {
		return nil
	}
	if !o.Key.IsZero() {
		m.Keys = append(m.Keys, o.Key)
	}
	rows, err := c.People.SubjectsBy(ctx, o.Tenant, []consent.SubjectNum{o.Subject})
	if err != nil || len(rows) == 0 {
		return err
	}
	row := rows[0]
	if row.Key != o.Key || row.Key.IsZero() { // they came again, or are erased already
		return nil
	}
	m.Lookup = o.Lookup
	if m.Lookup == [32]byte{} { // suppressed before rows were nameless
		m.Lookup = row.Lookup
	}
	m.needle(lookup, m.Lookup[:])
	if len(row.Sealed) > 32 {
		m.sealed(row.Sealed[32:])
	}
	names, err := c.Ledger.Identifiers(ctx, o.Tenant, o.Subject)
	if err != nil {
		return err
	}
	m.addNames(names)
	for _, name := range names {
		m.clear(name.Reveal(), minNeedle)
	}
	return nil
}

// addKeys takes the slots as they lie in the vault's file, by its published
// layout: 4096 bytes, then 128 a slot: key id 16, epoch 4, kind 4, wrapped 96.
func (c *Checker) addKeys(m *material) error {
	if c.VaultDir == "" { // then keys are rows, and there are no files to look for them in
		return nil
	}
	f, err := os.Open(filepath.Join(c.VaultDir, "slots"))
	if err != nil {
		return errScan
	}
	defer f.Close()
	for _, ref := range m.Keys {
		m.needle(key, ref.ID[:])
		var slot [128]byte
		if _, err := f.ReadAt(slot[:], 4096+128*int64(ref.Slot)); err == nil && [16]byte(slot[:16]) == ref.ID {
			m.needle(key, slot[24:56])
		}
	}
	return nil
}

// look makes every probe once, while everything is there.
func (c *Checker) look(ctx context.Context, o erasure.Order, m *material) (err error) {
	if m.Before.Linked, m.Before.Traces, err = c.rows(ctx, o, m); err != nil {
		return err
	}
	t, err := c.index(ctx, o, m)
	if err != nil {
		return err
	}
	m.Before.Index = t.Documents + t.Nearest + t.Terms
	if _, m.Before.Keys, err = c.keys(m); err != nil {
		return err
	}
	if m.Before.Copies, _, err = c.copies(ctx, o, m); err != nil {
		return err
	}
	if err := c.lookOutside(ctx, o, m); err != nil {
		return err
	}
	if len(c.roots()) == 0 {
		m.Needles = nil
		return nil
	}
	h := newHaystack(m.Needles)
	s, err := h.scan(ctx, c.roots())
	if err != nil {
		return err
	}
	m.Before.Stored, _ = h.count(&s, record, lookup, key)
	// A clear form that stands in a file already is no trace of this person:
	// nothing of anybody rests in clear, so it is a word of the program's own.
	// It cannot be looked for, and the receipt says so.
	kept := m.Needles[:0]
	for i, n := range m.Needles {
		if s.found[i] && (n.Kind == clear || n.Kind == vector || n.Kind == codes) {
			m.LeftOut++
			continue
		}
		kept = append(kept, n)
	}
	m.Needles = kept
	return nil
}

// put seals the material into the vault's file.
func (c *Checker) put(o erasure.Order, m *material) error {
	k, err := c.Vault.Key(o.Probe)
	if err != nil {
		return fmt.Errorf("%w: open the key of probe material", erasure.ErrUnavailable)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(m); err != nil {
		return errors.New("erasecheck: encode probe material")
	}
	return c.Vault.PutProbe(o.ID, seal.Seal(k, b.Bytes(), probeAAD(o)))
}

func probeAAD(o erasure.Order) []byte {
	return fmt.Appendf(nil, "assent probe material\x00%s\x00%s", o.Tenant, o.ID)
}

// get opens the material; nil when there is none any more.
func (c *Checker) get(o erasure.Order) (*material, error) {
	if o.Probe.IsZero() {
		return nil, nil
	}
	k, err := c.Vault.Key(o.Probe)
	if err != nil {
		return nil, fmt.Errorf("%w: open the key of probe material", erasure.ErrUnavailable)
	}
	box, err := c.Vault.Probe(o.ID)
	if err != nil {
		return nil, err
	}
	plain, err := seal.Open(k, box, probeAAD(o))
	if err != nil {
		return nil, fmt.Errorf("%w: probe material does not open", erasure.ErrUnavailable)
	}
	var m material
	if gob.NewDecoder(bytes.NewReader(plain)).Decode(&m) != nil {
		return nil, fmt.Errorf("%w: probe material cannot be read", erasure.ErrUnavailable)
	}
	return &m, nil
}
