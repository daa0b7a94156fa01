package retrieval

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// gate is the second gate: every hit is checked again just before it leaves,
// without trusting a word of the index. That a passage exists, whose it is,
// who may see it and what its metadata says comes from the catalogue as far
// as the record's key vouches for it; who permits, from the newest state of
// the ledger that this gateway has applied.
type gate struct {
	*Service
	caller Caller
	col    *Collection
	permit consent.Permit
	filter *Filter
	// asked is set where the caller named what it wants and no index found it:
	// then what may not leave is no sign of a fault.
	asked bool

	opened  map[DocNum]*opened
	bodies  []Body // of the hits that hits returned
	ruling  consent.Ruling
	gone    bool     // a row was not there any more
	damaged []DocNum // versions that do not open with their key
}

// hits turns what an index found into hits, in order, without those that may
// not leave.
func (g *gate) hits(ctx context.Context, found []Found) ([]Hit, error) {
	ctx, end := g.Observer.Begin(ctx, StepGate)
	hits, err := g.pass(ctx, found)
	end(err)
	return hits, err
}

func (g *gate) pass(ctx context.Context, found []Found) ([]Hit, error) {
	refs := make([]PassageRef, len(found))
	for i, f := range found {
		refs[i] = f.Ref
	}
	rows, err := g.rows(ctx, g.caller.Tenant, refs)
	if err != nil {
		return nil, err
	}
	if err := g.openAll(ctx, refs, rows); err != nil {
		return nil, err
	}
	known := memoOf(ctx)
	bodies, lacking := make([]*Body, len(refs)), make([]PassageRef, 0, len(refs))
	for i, ref := range refs {
		if g.opened[ref.Doc] != nil && g.opened[ref.Doc].known {
			bodies[i] = known.body(ref)
		}
		if bodies[i] == nil {
			lacking = append(lacking, ref)
		}
	}
	parts, err := g.Catalogue.Bodies(ctx, g.caller.Tenant, lacking)
	if err != nil {
		return nil, err
	}
	sealed := make(map[PassageRef]PartRow, len(parts))
	for _, p := range parts {
		sealed[p.Ref] = p
	}
	for i, ref := range refs {
		if bodies[i] != nil {
			continue
		}
		o, part := g.opened[ref.Doc], sealed[ref]
		if part.Sealed == nil {
			g.gone = true
		}
		if o == nil || part.Sealed == nil {
			continue
		}
		if b, err := g.openBody(g.caller.Tenant, o, part); err == nil {
			bodies[i] = &b
		} else {
			g.damaged = append(g.damaged, ref.Doc)
			g.say("body")
		}
	}
	// Last, with every text in hand: may it leave?
	ok := g.recheck(refs)
	hits := make([]Hit, 0, len(found))
	for i, f := range found {
		if !ok[i] || bodies[i] == nil {
			continue
		}
		meta := &g.opened[f.Ref.Doc].meta
		hits = append(hits, Hit{
			PassageID: passageID(f.Ref), DocumentID: meta.ID, Score: f.Score, Title: meta.Title,
			Text: bodies[i].Text, Metadata: meta.Metadata, Source: meta.Source,
		})
		g.bodies = append(g.bodies, *bodies[i])
	}
	return hits, nil
}

// rows returns the live versions of some passages.
func (s *Service) rows(ctx context.Context, t consent.TenantID, refs []PassageRef) (map[DocNum]*DocRow, error) {
	nums := make([]DocNum, len(refs))
	for i, ref := range refs {
		nums[i] = ref.Doc
	}
	slices.Sort(nums)
	rows, err := s.Catalogue.Docs(ctx, t, slices.Compact(nums))
	if err != nil {
		return nil, err
	}
	out := make(map[DocNum]*DocRow, len(rows))
	for i := range rows {
		out[rows[i].Num] = &rows[i]
	}
	return out, nil
}

// openAll opens the versions that the passages belong to. One that is of
// another collection, past its retention, hidden from the principal, outside
// the filter, or does not open, is left out.
func (g *gate) openAll(ctx context.Context, refs []PassageRef, rows map[DocNum]*DocRow) error {
	g.opened = make(map[DocNum]*opened, len(rows))
	if err := g.warm(ctx, g.caller.Tenant, slices.Collect(maps.Values(rows))); err != nil {
		return err
	}
	for _, ref := range refs {
		row := rows[ref.Doc]
		if _, done := g.opened[ref.Doc]; done {
			continue
		}
		g.opened[ref.Doc] = nil
		switch {
		case row == nil && g.isCanary(g.caller.Tenant, g.col.ID, ref.Doc):
			g.alarm()
			continue
		case row == nil:
			g.gone = true // replaced or deleted meanwhile
			continue
		case g.permit.Condemned(pieceOf(row)):
			g.dropped("erasure")
			continue
		case row.Collection != g.col.ID:
			g.dropped("collection")
			continue
		case row.RetainUntil != 0 && row.RetainUntil <= g.permit.Now():
			g.dropped("retention")
			continue
		}
		o, err := memoOf(ctx).record(row), error(nil)
		if o == nil {
			o, err = g.open(ctx, g.caller.Tenant, *row)
		}
		if errors.Is(err, ErrKeyGone) {
			// The row of a version that is replaced goes before its key does.
			still, err := g.rows(ctx, g.caller.Tenant, []PassageRef{ref})
			if err != nil {
				return err
			}
			if still[ref.Doc] == nil {
				g.gone = true
				continue
			}
		}
		switch {
		case err != nil && !closed(err):
			return err
		case err != nil:
			g.damaged = append(g.damaged, ref.Doc)
			g.say("seal")
			continue
		case !visible(&o.meta, g.caller.Principal, o.people.Owners, g.principalNum(ctx)):
			g.dropped("visibility")
			continue
		case !g.filter.Match(o.meta.Metadata):
			g.dropped("filter")
			continue
		}
		g.opened[ref.Doc] = o
	}
	return nil
}

// dropped reports what an index should not have returned. Only why is told.
func (g *gate) dropped(why string) {
	if !g.asked {
		g.say(why)
	}
}

func (g *gate) say(why string) {
	g.Log.Warn("second gate dropped a hit", "reason", why)
	g.Observer.Dropped(why)
}

// recheck asks the ledger's newest state about every passage's people.
func (g *gate) recheck(refs []PassageRef) []bool {
	claims, ok := make([]consent.Claim, len(refs)), make([]bool, len(refs))
	for i, ref := range refs {
		if o := g.opened[ref.Doc]; o != nil {
			claims[i] = consent.Claim{Rule: g.col.Rule(), People: o.people}
		}
	}
	g.ruling = g.permit.Recheck(claims, ok)
	for i, ref := range refs {
		if !ok[i] && g.opened[ref.Doc] != nil {
			g.dropped("consent")
		}
	}
	return ok
}

// quarantine takes what does not open out of the index, so that it does not
// stand in the way of what does. Its rows stay for whoever looks into it.
func (g *gate) quarantine(ctx context.Context) error {
	if len(g.damaged) == 0 {
		return nil
	}
	g.Log.Error("documents taken out of the index: they do not open with their key", "count", len(g.damaged))
	return g.Index.Apply(ctx, g.col.ID, Change{Remove: g.damaged})
}

func (g *gate) principalNum(ctx context.Context) consent.SubjectNum {
	if g.caller.Principal.Subject.IsZero() {
		return 0
	}
	num, err := g.Ledger.Find(ctx, g.caller.Tenant, g.caller.Principal.Subject)
	if err != nil {
		return 0 // then they are nobody's owner
	}
	return num
}

// visible reports whether a principal may see a document: everyone in the
// tenant, its owners, or those it names.
func visible(m *DocMeta, p Principal, owners []consent.SubjectNum, num consent.SubjectNum) bool {
	if m.Visibility.Level == TenantWide {
		return true
	}
	if num != 0 && slices.Contains(owners, num) {
		return true
	}
	if m.Visibility.Level != Listed {
		return false
	}
	if !p.Subject.IsZero() && slices.Contains(m.Visibility.Users, p.Subject) {
		return true
	}
	return slices.ContainsFunc(m.Visibility.Groups, func(g string) bool { return slices.Contains(p.Groups, g) })
}

// passageID is the public name of a passage: it tells nothing but equality.
func passageID(ref PassageRef) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(ref.Doc))
	b = binary.AppendUvarint(b, uint64(ref.N))
	return "p_" + base64.RawURLEncoding.EncodeToString(b)
}

func parsePassageID(id string) (PassageRef, bool) {
	if len(id) < 2 || len(id) > 32 || id[:2] != "p_" {
		return PassageRef{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(id[2:])
	if err != nil || len(b) < 9 {
		return PassageRef{}, false
	}
	n, size := binary.Uvarint(b[8:])
	ref := PassageRef{DocNum(binary.BigEndian.Uint64(b)), uint32(n)}
	if size != len(b)-8 || n > MaxPassages || ref.Doc <= 0 || passageID(ref) != id {
		return PassageRef{}, false
	}
	return ref, true
}
