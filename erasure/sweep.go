package erasure

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Sweep starts what nobody asks for, and takes away what came back: documents
// past their retention, and of erased people what a restored database or a
// broken store still has. Evidence past its time goes, too.
func (s *Service) Sweep(ctx context.Context, t consent.TenantID) {
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return // closed: nothing is changed
	}
	if expired, err := s.Corpus.Expired(ctx, t, head.Now); err != nil {
		s.Log.Warn("documents past their retention cannot be looked for", "error", err)
	} else if expired {
		if _, err := s.Request(ctx, t, Request{Scope: ScopeRetention}); err != nil {
			s.Log.Warn("documents past their retention stay for now", "error", err)
		}
	}
	if err := s.Ledger.ForgetCompleted(ctx, t); err != nil {
		s.Log.Warn("whose mark it was is forgotten later", "error", err)
	}
	if err := s.EndStorage(ctx, t); err != nil {
		s.Log.Warn("documents that nobody permits any more stay for now", "error", err)
	}
	n, err := s.Reconcile(ctx, t)
	if err == nil {
		var docs int
		docs, err = s.reconcileRemovals(ctx, t)
		n += docs
	}
	if err != nil {
		s.Log.Warn("erased people cannot be looked after", "error", err)
	} else if n > 0 {
		s.Log.Error("what was erased had come back, and was erased again", "count", n)
	}
	if err := s.forgetEvidence(ctx, t, head.Now); err != nil {
		s.Log.Warn("evidence past its time stays for now", "error", err)
	}
}

// Reconcile compares suppressions with what there is: documents of a person
// that a suppression should have taken away, keys and rows that still name
// them. What no open erasure is about to take away, it erases. It returns of
// how many people something was found.
func (s *Service) Reconcile(ctx context.Context, t consent.TenantID) (found int, err error) {
	k, err := s.keys(t)
	if err != nil {
		return 0, err
	}
	suppressed, err := s.Ledger.Suppressions(ctx, t)
	if err != nil {
		return 0, err
	}
	unscrubbed, err := s.Ledger.Unscrubbed(ctx, t)
	if err != nil {
		return 0, err
	}
	for _, who := range suppressed {
		key, named := unscrubbed[who.Num]
		back := named
		if !back {
			if back, err = s.Corpus.Orphans(ctx, t, who.Num, who.Before); err != nil {
				return found, err
			}
		}
		if !back {
			continue
		}
		if _, open, err := s.Store.OpenErasure(ctx, t, personName(k, who.Mark, who.Round)); err != nil {
			return found, err
		} else if open {
			continue
		}
		// It may have ended since the list was made: taken back, and then nothing is to
		// be deleted; or completed, and then nothing has come back.
		if back, err = s.stillBack(ctx, t, who); err != nil {
			return found, err
		} else if !back {
			continue
		}
		found++
		_, err := s.again(ctx, Order{Tenant: t, Position: who.Before, Subject: who.Num, Mark: who.Mark, Key: key})
		if waits(err) {
			continue
		}
		if err != nil {
			return found, err
		}
		if err := s.Ledger.Forget(ctx, t, who.Num); err != nil {
			return found, err
		}
	}
	return found, nil
}

// stillBack looks again, when no erasure is open, whether there is anything of
// somebody that their suppression should have taken away.
func (s *Service) stillBack(ctx context.Context, t consent.TenantID, who consent.Condemned) (bool, error) {
	still, named, err := s.Ledger.Still(ctx, t, who)
	if err != nil || !still || named {
		return still && named, err
	}
	return s.Corpus.Orphans(ctx, t, who.Num, who.Before)
}

// reconcileRemovals carries out removals that have no job, because the database
// that had it was lost. It returns of how many something was found.
func (s *Service) reconcileRemovals(ctx context.Context, t consent.TenantID) (found int, err error) {
	pending, err := s.Ledger.Removals(ctx, t)
	if err != nil {
		return 0, err
	}
	for _, r := range pending {
		if _, known, err := s.Store.Erasure(ctx, t, r.ID); err != nil || known {
			if err != nil {
				return found, err
			}
			continue
		}
		deleted, err := s.again(ctx, Order{Tenant: t, ID: r.ID, Position: r.Position, Removal: r.Removal, At: r.At})
		if waits(err) {
			continue
		}
		if err != nil {
			return found, err
		}
		if deleted {
			found++
		}
	}
	return found, nil
}

// again runs every step for an order that has no job. Each may be repeated, so
// that a crash leaves the rest to the next round. It reports whether something
// was deleted.
func (s *Service) again(ctx context.Context, o Order) (deleted bool, err error) {
	for _, step := range s.inOrder() {
		for more := true; more; {
			var n map[string]uint64
			if n, more, err = step.Run(ctx, o); err != nil {
				return deleted, err
			}
			for _, count := range n {
				deleted = deleted || count > 0
			}
		}
	}
	return deleted, nil
}

// waits reports whether a step has to wait: the next round goes on with it.
func waits(err error) bool {
	var wait NotBefore
	var named *Waiting
	return errors.As(err, &wait) || errors.As(err, &named)
}

// inOrder lists the steps so that each comes after those it needs.
func (s *Service) inOrder() []Step {
	w := &work{Service: s, j: &job{}}
	var out []Step
	for step := w.next(); step != nil; step = w.next() {
		out = append(out, *step)
		w.j.Steps = append(w.j.Steps, step.Name)
	}
	return out
}

// forgetEvidence takes the archive of requests whose time is over.
func (s *Service) forgetEvidence(ctx context.Context, t consent.TenantID, now consent.Time) error {
	p := Page{Limit: 256}
	for {
		rows, err := s.Store.Erasures(ctx, t, p)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.ArchiveUntil > now {
				return nil // the later ones are kept as long
			}
			if row.Open || len(row.Archive) == 0 {
				continue
			}
			row.Version++
			row.Archive, row.Key = nil, seal.Ref{}
			if err := s.forgetSuspects(t, &row); err != nil {
				return err
			}
			if err := s.Store.ChangeErasure(ctx, t, row); err != nil {
				return err
			}
		}
		if len(rows) < p.Limit {
			return nil
		}
		last := rows[len(rows)-1]
		p.After = Cursor{last.Created, last.ID}
	}
}

// Round goes once over a tenant's open erasures, as Run does all the time.
func (s *Service) Round(ctx context.Context, t consent.TenantID) { s.round(ctx, t) }

// forgetSuspects takes what nobody decided about until then.
func (s *Service) forgetSuspects(t consent.TenantID, row *consent.ErasureRow) error {
	k, err := s.keys(t)
	if err != nil {
		return err
	}
	j, err := openJob(k, t, row)
	if err != nil || len(j.Suspects) == 0 {
		return err
	}
	j.Suspects = nil
	row.Sealed, err = j.seal(k, t, row.ID)
	return err
}
