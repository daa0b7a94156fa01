package erasure

import (
	"cmp"
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// whyRedacted rests with the evidence of what Review begins.
const whyRedacted = "a person who was erased was named in it, and the name was taken out: copies of the old text go"

// redact takes a name out of a document of others, and then, by an erasure of the
// version that had it, out of what was made of it: manifests become stale, and
// their files go.
//
//	after this step          a crash leaves
//	the mention is marked    a mark: resume goes on
//	the text is redacted     the same: what is redacted already is no error then
//	the erasure is entered   an open erasure; resume meets it, or asks for one that finds nothing
//	the mention is forgotten nothing
//
// So does a failure, after which the next sweep goes on.
func (s *Service) redact(ctx context.Context, t consent.TenantID, id string, n int, by string) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNotFound) {
			s.notEnded(t)
		}
	}()
	m, found, err := s.suspectOf(ctx, t, id, n)
	if err != nil {
		return err
	}
	if !found {
		return ErrNotFound
	}
	began := m.Redacting
	if !began {
		if err := s.mark(ctx, t, id, func(j *job) { j.redacting(n, true) }); err != nil {
			return err
		}
		s.Step("redact.marked")
	}
	if err := s.Reviewer.Redact(ctx, t, m.What); errors.Is(err, ErrState) {
		_, there, err := s.Reviewer.Where(ctx, t, m.What)
		if err != nil {
			return err
		}
		if there || !began { // it may not be embedded again, or was replaced by somebody else
			if err := s.mark(ctx, t, id, func(j *job) { j.redacting(n, false) }); err != nil {
				return err
			}
			return ErrState
		}
	} else if err != nil {
		return err
	}
	s.Step("redact.written")
	was, err := s.Reviewer.Was(m.What)
	if err != nil {
		return err
	}
	if _, err := s.Request(ctx, t, Request{Scope: ScopeDocument, Evidence: Evidence{Reason: whyRedacted}, By: by, was: was}); err != nil {
		return err
	}
	s.Step("redact.asked")
	return s.mark(ctx, t, id, func(j *job) { j.forget(n) })
}

// mark changes what an erasure keeps of suspected mentions.
func (s *Service) mark(ctx context.Context, t consent.TenantID, id string, f func(*job)) error {
	_, err := s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		f(j)
		sealed, err := j.seal(k, t, row.ID)
		if err != nil {
			return err
		}
		row.Sealed = sealed
		return s.Store.ChangeErasure(ctx, t, *row)
	})
	return err
}

func (j *job) redacting(n int, is bool) {
	for i := range j.Suspects {
		if j.Suspects[i].N == n {
			j.Suspects[i].Redacting = is
		}
	}
}

// suspectOf returns one suspected mention as the job has it.
func (s *Service) suspectOf(ctx context.Context, t consent.TenantID, id string, n int) (suspect, bool, error) {
	k, row, err := s.row(ctx, t, id)
	if err != nil {
		return suspect{}, false, err
	}
	j, err := openJob(k, t, &row)
	if err != nil {
		return suspect{}, false, err
	}
	for _, m := range j.Suspects {
		if m.N == n {
			return m, true, nil
		}
	}
	return suspect{}, false, nil
}

// redacting reports whether a redaction was begun and has not ended.
func (s *Service) redacting(ctx context.Context, t consent.TenantID, id string, n int) (bool, error) {
	m, found, err := s.suspectOf(ctx, t, id, n)
	return found && m.Redacting, err
}

// letBe ends a redaction that was begun, since something else is decided. One that has
// written nothing, as where the text could not be embedded, leaves the mention as it
// was; of any other the mention is not there any more: ErrNotFound.
func (s *Service) letBe(ctx context.Context, t consent.TenantID, id string, n int, by string) error {
	m, _, err := s.suspectOf(ctx, t, id, n)
	if err != nil {
		return err
	}
	_, there, err := s.Reviewer.Where(ctx, t, m.What)
	if err != nil {
		return err
	}
	if there {
		return s.mark(ctx, t, id, func(j *job) { j.redacting(n, false) })
	}
	return cmp.Or(s.redact(ctx, t, id, n, by), ErrNotFound)
}

// GoOn is Resume, where there is, or may be, something to go on with: at the first
// sweep after a start, and after a redaction that failed. Run calls it.
func (s *Service) GoOn(ctx context.Context, t consent.TenantID) {
	if !s.mayGoOn(t, false) {
		return
	}
	s.resuming.Lock() // one at a time
	defer s.resuming.Unlock()
	if ctx.Err() != nil || !s.mayGoOn(t, true) {
		return
	}
	ended := false
	defer func() { // also when it panics
		if !ended {
			s.notEnded(t)
		}
	}()
	err := s.Resume(ctx, t)
	if ended = err == nil; !ended {
		s.Log.Warn("redactions of suspected mentions go on later", "error", err)
	}
}

// mayGoOn reports whether there may be a redaction that has not ended, and perhaps
// takes note that it is gone on with.
func (s *Service) mayGoOn(t consent.TenantID, now bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	some := s.halfway[t]
	s.halfway[t] = some && !now
	return some
}

func (s *Service) notEnded(t consent.TenantID) {
	s.mu.Lock()
	s.halfway[t] = true
	s.mu.Unlock()
}

// Resume goes on with redactions that a crash or a failure left half done, with all
// of them whatever becomes of one. It opens every job of the tenant.
func (s *Service) Resume(ctx context.Context, t consent.TenantID) error {
	var failed error
	err := s.eachJob(ctx, t, func(row *consent.ErasureRow, j *job) {
		for _, m := range j.Suspects {
			if !m.Redacting {
				continue
			}
			if err := s.redact(ctx, t, row.ID, m.N, j.By); err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNotFound) {
				failed = cmp.Or(failed, err)
			}
		}
	})
	return cmp.Or(err, failed)
}
