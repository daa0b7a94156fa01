package retrieval

import (
	"context"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// A rewriting says which versions are written anew, and how.
type rewriting struct {
	which Which
	// wanted says of a row whether it is worth to be opened; nil: each is.
	wanted func(col *Collection, row *DocRow) bool
	// version makes of a version another one that keeps less of it; nil of one
	// that it leaves as it is.
	version func(col *Collection, w *was) *job
	// late: what cannot be embedded is left as it is, which is no error.
	late bool
}

// was is a live version, opened, that is to be written anew.
type was struct {
	row    DocRow
	meta   DocMeta
	bodies []Body
}

// rewriteBatch is how many versions are written anew in one transaction.
const rewriteBatch = 64

// rewrite writes versions anew, each under a new number, a new record key and
// a corpus position of its own, in the same way and order as an ingest: the new
// version's key is synced, then one transaction ends the old version and begins
// the new one, then the index changes, then the old key is destroyed. What a
// crash leaves is what it leaves of an ingest: keys that no row names. Nothing
// but the rows says what is done, so that the repeat goes on where it ended.
//
// What cannot be opened, and what the ledger does not permit to be embedded
// again, is left as it is.
func (s *Service) rewrite(ctx context.Context, t consent.TenantID, rw rewriting) (Erased, error) {
	var out Erased
	for w, conflicts := rw.which, 0; ; {
		rows, err := s.condemned(ctx, t, w, rewriteBatch)
		if err != nil || len(rows) == 0 {
			return out, err
		}
		of := map[CollectionID][]DocRow{}
		for _, r := range rows {
			of[r.Collection] = append(of[r.Collection], r)
		}
		for c, group := range of {
			if err = s.rewriteIn(ctx, t, c, group, rw, &out); err != nil {
				break
			}
		}
		switch {
		case errors.Is(err, ErrConflict) && conflicts < maxAttempts:
			conflicts++ // an ingest replaced one of them meanwhile: they are read anew
			continue
		case err != nil:
			return out, err
		}
		conflicts = 0
		for i := range rows {
			w.Pass(&rows[i])
		}
	}
}

func (s *Service) rewriteIn(ctx context.Context, t consent.TenantID, c CollectionID, rows []DocRow, rw rewriting, out *Erased) error {
	sh, head, err := s.current(ctx, t)
	if err != nil {
		return err
	}
	col, _ := sh.get(c)
	if col == nil || !col.pinned() {
		return nil
	}
	in := &intake{Service: s, caller: Caller{Tenant: t}, col: col, out: &Ingested{}, began: head.Position, at: head.Now}
	if in.keys, err = s.keys(t); err != nil {
		return err
	}
	if rw.wanted != nil {
		rows = slices.DeleteFunc(rows, func(r DocRow) bool { return !rw.wanted(col, &r) })
	}
	if len(rows) == 0 {
		return nil
	}
	opened, err := s.openWas(ctx, t, rows)
	if err != nil {
		return err
	}
	var jobs []*job
	for i := range opened {
		j := rw.version(col, &opened[i])
		if j == nil {
			continue
		}
		// Somebody else's key may be gone by now.
		_, err := s.Ledger.RecordParent(ctx, t, append(append([]consent.SubjectNum{}, j.owners...), j.mentions...), nil)
		if errors.Is(err, consent.ErrKeyGone) || errors.Is(err, consent.ErrNoPerson) {
			continue
		}
		if err != nil {
			return err
		}
		j.result, j.lookup, j.old = &DocResult{ID: j.doc.ID}, opened[i].row.Lookup, &opened[i].row
		if j.was.Stripped {
			if err := j.strip(opened[i].bodies); err != nil {
				return err
			}
		}
		jobs = append(jobs, j)
	}
	if jobs, err = in.permitted(ctx, head, jobs); err != nil {
		return err
	}
	err = in.replace(ctx, jobs, rw.late, out)
	if in.moved { // the repeat places them in every generation there is
		if again := in.reshelve(ctx, t, sh); again != nil {
			return again
		}
	}
	return err
}

// openWas opens versions with their bodies, as far as they open.
func (s *Service) openWas(ctx context.Context, t consent.TenantID, rows []DocRow) ([]was, error) {
	specimens, err := s.specimens(ctx, t, rows)
	if err != nil {
		return nil, err
	}
	var out []was
	for i := range specimens {
		sp := &specimens[i]
		o := was{row: sp.Row, meta: sp.Meta}
		whole := sp.Opened && len(sp.Passages) == int(sp.Row.Passages)
		for n := range sp.Passages {
			whole = whole && sp.Passages[n].Opened && int(sp.Passages[n].Ref.N) == n
			o.bodies = append(o.bodies, sp.Passages[n].Body)
		}
		if whole {
			out = append(out, o)
		}
	}
	return out, nil
}

// permitted leaves out what the ledger does not permit, before a text goes anywhere.
func (in *intake) permitted(ctx context.Context, head consent.Head, jobs []*job) (kept []*job, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	decisions, err := in.judge(ctx, head, jobs)
	if err != nil {
		return nil, err
	}
	for i, j := range jobs {
		if decisions[i].Allowed {
			kept = append(kept, j)
		}
	}
	return kept, nil
}

// embedAgain makes of documents what is stored of them; none, with an error.
func (in *intake) embedAgain(ctx context.Context, jobs []*job) ([]*job, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	if in.col.Analyser != Analyser {
		return nil, ErrEmbedderMismatch
	}
	return in.prepare(ctx, jobs)
}

// replace puts new versions in place of those that they were made from.
func (in *intake) replace(ctx context.Context, jobs []*job, late bool, out *Erased) error {
	var fresh, made []*job
	for _, j := range jobs {
		if j.was.Stripped {
			made = append(made, j)
		} else {
			fresh = append(fresh, j)
		}
	}
	fresh, err := in.embedAgain(ctx, fresh)
	if err != nil && (!late || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		in.Log.Warn("documents that were to be kept cannot be embedded again", "count", len(jobs)-len(made))
	}
	if jobs = append(made, fresh...); len(jobs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, consent.KeyLease)
	defer cancel()
	nobody := &consent.Roster{} // everyone is known
	if err := in.seal(ctx, jobs, nobody); err != nil {
		return err
	}
	in.Step("rewrite.slots") // a crash here leaves record keys that no row names: wiped at the next start
	if jobs, err = in.place(ctx, jobs); err != nil {
		return err
	}
	_, err = in.commit(ctx, jobs, nobody)
	if err != nil && !in.committed {
		return err
	}
	for _, j := range jobs {
		if !j.dropped {
			out.Documents++
			out.Passages += int(j.old.Passages)
			out.Keys++
		}
	}
	if err != nil {
		return err // the repeat does not find what is counted here
	}
	if in.Outside != nil {
		if err := in.withdraw(ctx, in.caller.Tenant, in.col.ID, numsOf(in.replaced)); err != nil {
			return err // a debt: paid by whatever comes next
		}
	}
	return in.destroyNow(nil) // the old keys, if they could not be destroyed
}

// Living returns the live versions with some lookups, as they lie there.
func (s *Service) Living(ctx context.Context, t consent.TenantID, c CollectionID, lookups [][32]byte) ([]Specimen, error) {
	rows, err := s.Catalogue.DocsByLookup(ctx, t, c, lookups)
	if err != nil {
		return nil, err
	}
	return s.specimens(ctx, t, rows)
}
