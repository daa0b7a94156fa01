package retrieval

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// What a sealed part is, bound to it by its additional data. On disk.
const (
	partMeta = "meta"
	partHead = "head"
	partBody = "body"
)

// partAAD binds a sealed part to its kind, tenant, collection, version and
// passage, so that no part can stand in another's place.
func partAAD(kind string, t consent.TenantID, c CollectionID, ref PassageRef) []byte {
	b := append([]byte("assent "+kind+"\x00"), t...)
	b = binary.BigEndian.AppendUint64(append(b, 0), uint64(c))
	b = binary.BigEndian.AppendUint64(b, uint64(ref.Doc))
	return binary.BigEndian.AppendUint32(b, ref.N)
}

// metaAAD also binds what a row says in clear about people, retention and
// passages: edited, it does not open.
func metaAAD(t consent.TenantID, r *DocRow) []byte {
	b := partAAD(partMeta, t, r.Collection, PassageRef{Doc: r.Num, N: r.Passages})
	b = binary.BigEndian.AppendUint64(b, uint64(r.RetainUntil))
	for _, people := range [][]consent.SubjectNum{r.Owners, r.Mentions} {
		people = sorted(people)
		b = binary.BigEndian.AppendUint32(b, uint32(len(people)))
		for _, num := range people {
			b = binary.BigEndian.AppendUint64(b, uint64(num))
		}
	}
	return b
}

// seal gives every document a record key of its own, wrapped under the keys
// of its people, and closes its parts with it. The keys are durable when it
// returns.
func (in *intake) seal(ctx context.Context, jobs []*job, roster *consent.Roster) error {
	keys := make([]RecordKey, len(jobs))
	for i, j := range jobs {
		parent, err := in.Ledger.RecordParent(ctx, in.caller.Tenant, append(slices.Clone(j.owners), j.mentions...), roster)
		if err != nil {
			return err
		}
		keys[i] = RecordKey{Key: seal.NewKey(), Parent: parent}
		if err := in.close(j, keys[i].Key); err != nil {
			return err
		}
	}
	refs, err := in.Records.Put(keys)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		j.row.Key = refs[i]
	}
	return nil
}

func (in *intake) close(j *job, key seal.Key) error {
	t, c := in.caller.Tenant, in.col.ID
	meta := DocMeta{
		ID: j.doc.ID, Title: j.doc.Title, Metadata: j.doc.Metadata, Visibility: in.visibility(j.doc),
		Source: j.doc.Source, Nobody: j.doc.Nobody, Supplied: len(j.doc.Passages) > 0,
		Provenance: Provenance{Writer: in.caller.KeyID, At: in.at, Batch: in.batch, Embedder: in.col.Embedder},
	}
	if j.was != nil { // written once
		meta.Provenance, meta.Redacted, meta.Stripped = j.was.Provenance, j.was.Redacted, j.was.Stripped
		meta.Supplied = j.was.Supplied
	}
	plain, err := meta.AppendBinary(nil)
	if err != nil {
		return err
	}
	j.row.Sealed = seal.Seal(key, plain, metaAAD(t, &j.row))
	j.heads = make([]PartRow, len(j.index))
	for n := range j.index {
		h := &j.index[n].Head
		if plain, err = h.AppendBinary(nil); err != nil {
			return err
		}
		j.heads[n] = PartRow{Ref: h.Ref, Sealed: seal.Seal(key, plain, partAAD(partHead, t, c, h.Ref))}
	}
	for n := range j.bodies {
		b := &j.bodies[n]
		b.Sealed = seal.Seal(key, b.Sealed, partAAD(partBody, t, c, b.Ref))
	}
	return nil
}

// An opened record is what its key gives.
type opened struct {
	row    DocRow
	key    seal.Key
	meta   DocMeta
	people consent.People
	known  bool // of a memo, with bodies
}

// closed reports whether an error of open is about the record itself: its key
// is gone, or what is sealed does not open or does not read. Any other error
// says nothing about it.
func closed(err error) bool {
	return errors.Is(err, ErrKeyGone) || errors.Is(err, seal.ErrOpen) || errors.Is(err, ErrRecord) ||
		errors.Is(err, errAltered) || errors.Is(err, consent.ErrNoPerson)
}

// warm says that some versions are about to be opened.
func (s *Service) warm(ctx context.Context, t consent.TenantID, rows []*DocRow) error {
	var people []consent.SubjectNum
	refs := make([]seal.Ref, 0, 2*len(rows))
	for _, r := range rows {
		people = append(append(people, r.Owners...), r.Mentions...)
		refs = append(refs, r.Key)
	}
	keys, err := s.Ledger.PeopleKeys(ctx, t, sorted(people))
	if err != nil {
		return err
	}
	return s.Records.Warm(ctx, append(refs, keys...))
}

// open opens a version: its key through the keys of its people, then what is
// sealed with it. What the catalogue says in clear is believed only as far as
// the seal vouches for it.
func (s *Service) open(ctx context.Context, t consent.TenantID, row DocRow) (*opened, error) {
	parent, err := s.parent(ctx, t, &row)
	if err != nil {
		return nil, err
	}
	return s.openUnder(t, row, parent)
}

// parent is the key of a version's people, that its record key is wrapped under.
func (s *Service) parent(ctx context.Context, t consent.TenantID, row *DocRow) (*seal.Key, error) {
	parent, err := s.Ledger.RecordParent(ctx, t, append(slices.Clone(row.Owners), row.Mentions...), nil)
	if errors.Is(err, consent.ErrKeyGone) {
		return nil, ErrKeyGone
	}
	return parent, err
}

// openUnder is open where the key of the version's people is known.
func (s *Service) openUnder(t consent.TenantID, row DocRow, parent *seal.Key) (*opened, error) {
	key, err := s.Records.Open(row.Key, parent)
	if err != nil {
		return nil, err
	}
	plain, err := seal.Open(key, row.Sealed, metaAAD(t, &row))
	if err != nil {
		return nil, err
	}
	o := &opened{row: row, key: key}
	if o.meta, err = DecodeDocMeta(plain); err != nil {
		return nil, err
	}
	if o.meta.Nobody == row.Personal {
		return nil, errAltered
	}
	o.people = consent.People{Owners: row.Owners, Mentions: row.Mentions, Nobody: o.meta.Nobody}
	return o, nil
}

func (s *Service) openBody(t consent.TenantID, o *opened, part PartRow) (Body, error) {
	plain, err := seal.Open(o.key, part.Sealed, partAAD(partBody, t, o.row.Collection, part.Ref))
	if err != nil {
		return Body{}, err
	}
	return DecodeBody(plain)
}

func (s *Service) openHead(t consent.TenantID, o *opened, part PartRow) (Head, error) {
	plain, err := seal.Open(o.key, part.Sealed, partAAD(partHead, t, o.row.Collection, part.Ref))
	if err != nil {
		return Head{}, err
	}
	return DecodeHead(part.Ref, plain)
}
