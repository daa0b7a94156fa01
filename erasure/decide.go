package erasure

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// change changes an erasure's row, and repeats when a step of the cascade was
// faster. f returns the state to enter.
func (s *Service) change(ctx context.Context, t consent.TenantID, id string, f func(k Keys, row *consent.ErasureRow, j *job) error) (Erasure, error) {
	for {
		k, row, err := s.row(ctx, t, id)
		if err != nil {
			return Erasure{}, err
		}
		j, err := openJob(k, t, &row)
		if err != nil {
			return Erasure{}, err
		}
		row.Version++
		err = f(k, &row, j)
		if errors.Is(err, consent.ErrErasureChanged) {
			continue
		}
		if err != nil {
			return Erasure{}, err
		}
		s.poke()
		return s.Get(ctx, t, id)
	}
}

// follow commits a changed row together with an entry of the ledger.
func (s *Service) follow(ctx context.Context, k Keys, t consent.TenantID, row *consent.ErasureRow, j *job, kind consent.Kind, ev consent.ErasureEvent) error {
	ev.ID = row.ID
	sealed, err := j.seal(k, t, row.ID)
	if err != nil {
		return err
	}
	row.Sealed, row.Open = sealed, State(row.State).open()
	_, err = s.Ledger.Follow(ctx, t, kind, j.Subject, j.Key, ev, func(at consent.Position, when consent.Time) (consent.ErasureRow, error) {
		if ev.Event != consent.EventApproved {
			return *row, nil
		}
		if err := s.ask(t, row.ID, j, row.Key, row.Due, at, when); err != nil { // by this entry they are told to erase
			return *row, err
		}
		var err error
		row.Sealed, err = j.seal(k, t, row.ID)
		return *row, err
	})
	return err
}

// Hold stops deletion, not suppression: a legal hold, a duty to retain.
func (s *Service) Hold(ctx context.Context, t consent.TenantID, id, reason string) (Erasure, error) {
	return s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		now := State(row.State)
		if now == Held {
			return nil
		}
		if !now.open() || len(j.Statement) > 0 {
			return ErrState
		}
		j.Resume, row.State = now, uint8(Held)
		if err := s.archive(k, t, row, func(e *Evidence) { e.Hold = reason }); err != nil {
			return err
		}
		return s.follow(ctx, k, t, row, j, consent.KindHold, consent.ErasureEvent{Event: consent.EventHeld})
	})
}

// Release ends a hold: the erasure goes on where it stood.
func (s *Service) Release(ctx context.Context, t consent.TenantID, id string) (Erasure, error) {
	return s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		if State(row.State) != Held {
			return ErrState
		}
		row.State, j.Resume = uint8(j.Resume), 0
		return s.follow(ctx, k, t, row, j, consent.KindHold, consent.ErasureEvent{Event: consent.EventReleased})
	})
}

// Cancel takes an erasure back, as long as nothing is deleted: also one that waits
// for what another one holds.
func (s *Service) Cancel(ctx context.Context, t consent.TenantID, id string) (Erasure, error) {
	return s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		if State(row.State) == Cancelled {
			return nil
		}
		return s.lift(ctx, k, t, row, j, Cancelled)
	})
}

// Verdict is what a second key decides.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Deny    Verdict = "deny"
)

// Decide approves or denies an erasure that waits for it. Denial lifts the
// suppression.
func (s *Service) Decide(ctx context.Context, t consent.TenantID, id, by string, v Verdict, reason string) (Erasure, error) {
	return s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		switch {
		case State(row.State) != Received:
			return ErrState
		case j.By == by:
			return ErrSameKey
		}
		if err := s.archive(k, t, row, func(e *Evidence) { e.Decision = string(v) + ": " + reason }); err != nil {
			return err
		}
		if v == Deny {
			return s.lift(ctx, k, t, row, j, Denied)
		}
		row.State = uint8(Suppressed)
		return s.follow(ctx, k, t, row, j, consent.KindHold, consent.ErasureEvent{Event: consent.EventApproved})
	})
}

// lift ends an erasure as if it had not been asked for.
func (s *Service) lift(ctx context.Context, k Keys, t consent.TenantID, row *consent.ErasureRow, j *job, to State) error {
	if !State(row.State).open() || j.Begun {
		return ErrState
	}
	row.State = uint8(to)
	probe := row.Key
	row.Key, j.Notice.Names = seal.Ref{}, nil
	for i := range j.Targets {
		j.Targets[i].Waits = ""
	}
	if err := s.follow(ctx, k, t, row, j, consent.KindLift, consent.ErasureEvent{Event: "lifted", State: to.String()}); err != nil {
		if errors.Is(err, consent.ErrReturned) {
			return ErrState
		}
		return err
	}
	return s.discard(ctx, Order{Tenant: t, ID: row.ID}, probe)
}

// archive changes the evidence that is kept.
func (s *Service) archive(k Keys, t consent.TenantID, row *consent.ErasureRow, f func(*Evidence)) error {
	plain, err := seal.Open(k.Archive, row.Archive, jobAAD(t, row.ID, "archive"))
	var e Evidence
	if err != nil || json.Unmarshal(plain, &e) != nil {
		return ErrUnavailable
	}
	f(&e)
	if plain, err = json.Marshal(e); err != nil {
		return err
	}
	row.Archive = seal.Seal(k.Archive, plain, jobAAD(t, row.ID, "archive"))
	return nil
}

// Verify looks again, now. While the probe material is there it is what is
// looked for; later, what suppression and catalogue know.
func (s *Service) Verify(ctx context.Context, t consent.TenantID, id string) (Erasure, error) {
	_, first, err := s.row(ctx, t, id)
	if err != nil {
		return Erasure{}, err
	}
	if now := State(first.State); now != Completed && now != CompletedWithExceptions {
		return Erasure{}, ErrState
	}
	return s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		order, err := s.order(ctx, j, t, row)
		if err != nil {
			return err
		}
		findings, probes, err := s.Checker.Check(ctx, order)
		if err != nil {
			return err
		}
		head, err := s.Ledger.Head(ctx, t)
		if err != nil {
			return err
		}
		// What was found out with the probe material is not found out again:
		// a re-run that finds nothing leaves the level that was reached.
		for _, f := range findings {
			if r := j.target(f.Target); r != nil {
				r.CheckedAt, r.Remaining = head.Now, f.Remaining
				if f.Remaining > 0 {
					r.Level = min(r.Level, Unreachable)
				}
			}
		}
		j.Probes = append(j.Probes, probes...)
		const keep = 64
		if len(j.Probes) > keep {
			j.Probes = j.Probes[len(j.Probes)-keep:]
		}
		sealed, err := j.seal(k, t, row.ID)
		if err != nil {
			return err
		}
		row.Sealed = sealed
		return s.Store.ChangeErasure(ctx, t, *row)
	})
}
