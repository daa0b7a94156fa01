package erasure

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// since is when a step was first come to: its predecessors had ended. A crash
// before that is stored makes it later, which is right as well.
func (w *work) since(step string) consent.Time {
	if w.j.Since == nil {
		w.j.Since = map[string]consent.Time{}
	}
	if w.j.Since[step] == 0 {
		w.j.Since[step] = w.now
	}
	return w.j.Since[step]
}

// wait notes what is waited for, and until when. The first time, it is verified
// how far everything is: that may be a day before the erasure ends.
func (w *work) wait(ctx context.Context, why *Waiting) {
	w.j.RetryAt = why.Until
	if why.Target != "" && !w.j.Looked {
		if err := w.preview(ctx); err == nil {
			w.j.Looked = true
		} else if ctx.Err() == nil {
			w.Log.Warn("how far an erasure is cannot be verified while it waits", "job_id", w.row.ID, "error", err)
		}
	}
	for i := range w.j.Targets {
		if r := &w.j.Targets[i]; why.Target == "" || why.Target == r.Name {
			r.Waits = why.For
		}
	}
	_ = w.save(ctx) // changed meanwhile: whoever did goes on
}

// preview verifies how far an erasure is, and ends nothing.
func (w *work) preview(ctx context.Context) error {
	findings, probes, err := w.check(ctx)
	if err != nil {
		return err
	}
	targets, before, kept := slices.Clone(w.j.Targets), w.j.Probes, w.j.Gathered.Kept
	if err := w.take(findings, probes); err != nil {
		w.j.Targets, w.j.Probes, w.j.Gathered.Kept = targets, before, kept
		return err
	}
	return nil
}
