package erasure

import (
	"context"
	"errors"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// countWithin is how long a step that was stopped has to count what it deleted.
const countWithin = 5 * time.Second

// run calls a step until it has ended. It returns what was deleted also when it
// fails. Between two calls it looks whether the erasure was held meanwhile: what a
// long step has not deleted yet then stays.
func (w *work) run(ctx context.Context, step *Step, o Order) (gone map[string]uint64, err error) {
	gone = map[string]uint64{}
	for more := true; more; {
		var deleted map[string]uint64
		deleted, more, err = step.Run(ctx, o)
		for name, n := range deleted {
			gone[name] += n
		}
		if err == nil && more {
			err = w.unchanged(ctx)
		}
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// unchanged is consent.ErrErasureChanged when the erasure is in another state by now.
func (w *work) unchanged(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	row, found, err := w.Store.Erasure(ctx, w.t, w.row.ID)
	if err == nil && (!found || row.State != w.row.State) {
		err = consent.ErrErasureChanged
	}
	return err
}

// add counts what a step deleted.
func (w *work) add(step *Step, gone map[string]uint64) {
	for i := range w.j.Targets {
		r := &w.j.Targets[i]
		if n := gone[r.Name]; step.Says {
			r.Deleted = max(r.Deleted, n)
		} else {
			r.Deleted += n
		}
	}
}

// count keeps what a step deleted that has not ended, because it failed, waits, was
// stopped or was overtaken: its repeat does not find it again. It returns why.
func (w *work) count(ctx context.Context, step *Step, gone map[string]uint64, why error) error {
	total := uint64(0)
	for _, n := range gone {
		total += n
	}
	if total == 0 {
		return why
	}
	// Also when the lease is lost, or the process is to end: what is deleted is deleted.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), countWithin)
	defer cancel()
	fits := func(_ *consent.ErasureRow, j *job) bool { return len(j.Statement) == 0 }
	if err := w.change(within, func() { w.add(step, gone) }, fits); err != nil {
		w.Log.Warn("what a step of an erasure deleted is not counted", "job_id", w.row.ID, "count", total, "error", err)
	}
	return why
}

// keep saves that a step ended. Where a recipient answered meanwhile, or the erasure
// was held, it changes the job as it is now: what a step deleted is counted once, and
// its repeat would find nothing. Any other change of the job is ErrErasureChanged.
func (w *work) keep(ctx context.Context, f func()) error {
	done, state := len(w.j.Steps), State(w.row.State)
	return w.change(ctx, f, func(row *consent.ErasureRow, j *job) bool {
		now := State(row.State)
		return (now == state || now == Held && j.Resume == state) && len(j.Steps) == done
	})
}

// change saves what f changes, of the job as it is now as long as that fits.
func (w *work) change(ctx context.Context, f func(), fits func(*consent.ErasureRow, *job) bool) error {
	for {
		f()
		err := w.save(ctx)
		if !errors.Is(err, consent.ErrErasureChanged) {
			return err
		}
		_, row, err := w.Service.row(ctx, w.t, w.row.ID)
		if err != nil {
			return err
		}
		j, err := openJob(w.k, w.t, &row)
		if err != nil {
			return err
		}
		if !fits(&row, j) {
			return consent.ErrErasureChanged
		}
		w.row, w.j = row, j
	}
}
