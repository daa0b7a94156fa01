package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// How often Run looks by itself, and what it then looks for.
const (
	roundEvery = time.Second
	sweepEvery = time.Minute
)

// Run carries out erasures until ctx ends. What it did not finish, the next
// Run goes on with.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	var resumes sync.WaitGroup
	defer resumes.Wait()
	var swept time.Time
	for {
		now := time.Now()
		sweep := now.Sub(swept) >= sweepEvery
		if sweep {
			swept = now
		}
		for _, t := range s.served() {
			if ctx.Err() != nil {
				return nil
			}
			if sweep {
				// Beside the rest: it may wait a minute for an embedder, for each.
				resumes.Go(func() { s.guard(func() { s.GoOn(ctx, t) }) })
				s.guard(func() { s.Sweep(ctx, t) })
			}
			s.guard(func() { s.round(ctx, t) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// guard keeps a panic from ending the process: this goroutine is nobody's
// request, and what a panic would print could be anybody's data.
func (s *Service) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("carrying out erasures panicked", "panic_type", fmt.Sprintf("%T", p))
		}
	}()
	f()
}

func (s *Service) served() []consent.TenantID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tenants)
}

// round goes on with every open erasure of a tenant that is due.
func (s *Service) round(ctx context.Context, t consent.TenantID) {
	const page = 256
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return // closed: nothing goes on
	}
	p := Page{OpenOnly: true, Limit: page}
	for {
		rows, err := s.Store.Erasures(ctx, t, p)
		if err != nil {
			s.Log.Error("open erasures cannot be read", "error", err)
			return
		}
		for i := range rows {
			s.alert(&rows[i], head.Now)
			switch State(rows[i].State) {
			case Suppressed, Running, Verifying:
				s.carry(ctx, t, rows[i].ID)
			}
			if ctx.Err() != nil {
				return
			}
		}
		if len(rows) < page {
			return
		}
		p.After = Cursor{rows[page-1].Created, rows[page-1].ID}
	}
}

// alertAt are the percentages of its time at which an open erasure is spoken of.
var alertAt = []int{50, 80, 100}

// alert says, once in this process, that so much of an erasure's time is over.
func (s *Service) alert(row *consent.ErasureRow, now consent.Time) {
	if row.Due <= row.Created {
		return
	}
	used := int(float64(now-row.Created) / float64(row.Due-row.Created) * 100)
	at := 0
	for _, percent := range alertAt {
		if used >= percent {
			at = percent
		}
	}
	if at == 0 {
		return // of most, nothing is kept
	}
	s.mu.Lock()
	before := s.alerted[row.ID]
	s.alerted[row.ID] = max(before, at)
	s.mu.Unlock()
	if at > before {
		s.Late(at)
		s.Log.Warn("an erasure's time runs out", "job_id", row.ID, "count", at, "state", State(row.State).String())
	}
}

// errUnproven: verification did not show that it can find anything.
var errUnproven = errors.New("erasure: verification did not look everywhere, or did not find its controls")

// Carry goes on with one erasure until it ends, waits or fails, and returns
// where it stands. Run does the same by itself.
func (s *Service) Carry(ctx context.Context, t consent.TenantID, id string) (Erasure, error) {
	s.carry(ctx, t, id)
	return s.Get(ctx, t, id)
}

// carry takes one erasure as far as it goes. One process works on it, once.
func (s *Service) carry(ctx context.Context, t consent.TenantID, id string) {
	s.mu.Lock()
	busy := s.working[id]
	s.working[id] = true
	s.mu.Unlock()
	if busy {
		return
	}
	defer func() {
		s.mu.Lock()
		delete(s.working, id)
		s.mu.Unlock()
	}()
	ctx, release := s.hold(ctx, t, id)
	defer release()
	for ctx.Err() == nil {
		k, row, err := s.row(ctx, t, id)
		if err != nil {
			return
		}
		j, err := openJob(k, t, &row)
		if err != nil {
			s.Log.Error("an erasure's job does not open", "job_id", id)
			return
		}
		head, err := s.Ledger.Head(ctx, t)
		if err != nil || j.RetryAt > head.Now {
			return
		}
		w := &work{Service: s, k: k, t: t, row: row, j: j, now: head.Now}
		more, err := w.advance(ctx)
		var wait NotBefore
		var waiting *Waiting
		switch {
		case errors.As(err, &waiting):
			w.wait(ctx, waiting)
			return
		case errors.As(err, &wait):
			w.j.RetryAt = consent.Time(wait)
			_ = w.save(ctx) // changed meanwhile: whoever did goes on
			return
		case errors.Is(err, consent.ErrErasureChanged): // held, or another gateway's: look again
		case err != nil:
			if ctx.Err() == nil {
				s.later(ctx, k, t, id, err)
			}
			return
		case !more:
			return
		}
	}
}

// hold takes a job's lease, where there are others, and renews it until release.
// The context ends well before a lease that could not be renewed does; it has
// ended when another holds it.
func (s *Service) hold(ctx context.Context, t consent.TenantID, id string) (context.Context, func()) {
	if s.Lease == 0 {
		return ctx, func() {}
	}
	held, cancel := context.WithCancel(ctx)
	if mine, err := s.Store.HoldErasure(ctx, t, id, s.self, s.Lease); err != nil || !mine {
		cancel()
		return held, func() {}
	}
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(s.Lease / 4)
		defer tick.Stop()
		// It began when it was asked for, so that the holder stops first.
		for renewed := time.Now(); ; {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			within, stop := context.WithTimeout(held, s.Lease/4)
			mine, err := s.Store.HoldErasure(within, t, id, s.self, s.Lease)
			stop()
			if err == nil && mine {
				renewed = asked
			} else if err == nil || time.Since(renewed) > s.Lease/2 {
				cancel()
				return
			}
		}
	})
	return held, func() {
		cancel()
		done.Wait()
		// What fails ends by itself.
		_, _ = s.Store.HoldErasure(context.WithoutCancel(ctx), t, id, s.self, 0)
	}
}

// later notes that an erasure failed, and when it is tried again.
func (s *Service) later(ctx context.Context, k Keys, t consent.TenantID, id string, why error) {
	row, found, err := s.Store.Erasure(ctx, t, id)
	if err != nil || !found {
		return
	}
	j, err := openJob(k, t, &row)
	if err != nil {
		return
	}
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return
	}
	const most = 5 * time.Minute
	j.Attempts++
	j.RetryAt = head.Now + consent.Time(min(250*time.Millisecond<<min(j.Attempts, 12), most))
	s.Log.Warn("an erasure goes on later", "job_id", id, "attempt", j.Attempts, "state", State(row.State).String(), "error", why)
	w := &work{Service: s, k: k, t: t, row: row, j: j}
	_ = w.save(ctx) // changed meanwhile: whoever did goes on
}

// work is one erasure in progress.
type work struct {
	*Service
	k   Keys
	t   consent.TenantID
	row consent.ErasureRow
	j   *job
	now consent.Time
}

// save stores the job as the next version of its row. When it fails, the row has the
// version that it had: what is saved next is not taken for the next of a version
// that nobody here has read.
func (w *work) save(ctx context.Context) (err error) {
	row := w.row
	row.Version++
	row.Open = State(row.State).open()
	if row.Sealed, err = w.j.seal(w.k, w.t, row.ID); err != nil {
		return err
	}
	if err = w.Store.ChangeErasure(ctx, w.t, row); err == nil {
		w.row = row
	}
	return err
}

// advance does the next thing that there is to do. Each is durable before the
// next begins.
func (w *work) advance(ctx context.Context) (more bool, err error) {
	switch state := State(w.row.State); {
	case state != Suppressed && state != Running && state != Verifying:
		return false, nil
	case len(w.j.Statement) > 0:
		return false, w.finish(ctx)
	case !w.j.Prepared:
		return true, w.prepare(ctx)
	case state == Running:
		return true, w.step(ctx)
	case w.j.VerifiedAt != 0:
		return true, w.await(ctx)
	default:
		return true, w.verify(ctx)
	}
}

// prepare gathers what verification will look for, before anything is deleted.
func (w *work) prepare(ctx context.Context) (err error) {
	if w.row.Key.IsZero() {
		if w.row.Key, err = w.Vault.NewKey(); err != nil {
			return err
		}
		key := w.row.Key
		if err := w.save(ctx); err != nil {
			_ = w.Vault.Destroy(key) // else the next start wipes it: no row names it
			return err
		}
		w.Deps.Step("erasure.key") // a crash here: the row names the key, nothing is sealed under it
	}
	order, err := w.order(ctx, w.j, w.t, &w.row)
	if err != nil {
		return err
	}
	if w.j.Gathered, err = w.Checker.Gather(ctx, order); err != nil {
		return err
	}
	w.Deps.Step("erasure.gathered") // a crash here: gathered anew
	w.j.Prepared, w.j.Attempts = true, 0
	w.row.State = uint8(Running)
	return w.save(ctx)
}

// step runs the next step of the cascade.
func (w *work) step(ctx context.Context) error {
	next := w.next()
	if next == nil {
		w.j.ErasedAt, w.j.RetryAt = w.now, 0
		w.row.State = uint8(Verifying)
		return w.save(ctx)
	}
	order, err := w.order(ctx, w.j, w.t, &w.row)
	if err != nil {
		return err
	}
	order.Since = w.since(next.Name)
	if !next.Spares && !w.j.Begun {
		w.j.Begun = true // durable before anything is deleted
		return w.save(ctx)
	}
	w.Deps.Step("erasure.before." + next.Name)
	gone, err := w.run(ctx, next, order)
	named := func(*job) {}
	if err == nil && next.Looks {
		named, err = w.look(ctx)
	}
	if err != nil {
		return w.count(ctx, next, gone, err)
	}
	w.Deps.Step("erasure.after." + next.Name) // a crash here: the step is repeated and finds nothing
	err = w.keep(ctx, func() {
		w.j.Steps = append(w.j.Steps, next.Name)
		if then := w.next(); then != nil && !then.Spares && State(w.row.State) == Running { // else it may yet be taken back
			w.j.Begun = true
		}
		named(w.j)
		w.add(next, gone)
		for i := range w.j.Targets {
			r := &w.j.Targets[i]
			r.Waits = ""
			r.Done = w.reached(r.Name)
		}
	})
	if errors.Is(err, consent.ErrErasureChanged) {
		return w.count(ctx, next, gone, err)
	}
	return err
}

// next is a step whose predecessors have ended and that has not; nil when all have.
func (w *work) next() *Step {
	for i := range w.Steps {
		step := &w.Steps[i]
		if slices.Contains(w.j.Steps, step.Name) {
			continue
		}
		if !slices.ContainsFunc(step.After, func(name string) bool { return !slices.Contains(w.j.Steps, name) }) {
			return step
		}
	}
	return nil
}

// reached reports whether every step that has to do with a target ended.
func (w *work) reached(target string) bool {
	for _, step := range w.Steps {
		if slices.Contains(step.Targets, target) && !slices.Contains(w.j.Steps, step.Name) {
			return false
		}
	}
	return true
}

// check asks, by what is there now, how far the erasure is.
func (w *work) check(ctx context.Context) ([]Finding, []Probe, error) {
	order, err := w.order(ctx, w.j, w.t, &w.row)
	if err != nil {
		return nil, nil, err
	}
	findings, probes, err := w.Checker.Check(ctx, order)
	if err != nil {
		return nil, nil, err
	}
	head, err := w.Ledger.Head(ctx, w.t)
	if err != nil {
		return nil, nil, err
	}
	w.now = head.Now
	return findings, probes, nil
}

// verify looks whether it is gone, and freezes what the receipt says.
func (w *work) verify(ctx context.Context) error {
	findings, probes, err := w.check(ctx)
	if err != nil {
		return err
	}
	if err := w.take(findings, probes); err != nil {
		return err
	}
	var left uint64
	for i := range w.j.Targets {
		left += w.j.Targets[i].Remaining
	}
	if left > 0 { // something is still there: the cascade runs once more
		w.j.Steps, w.j.Since, w.j.Looked, w.row.State = nil, nil, false, uint8(Running)
		w.j.Attempts++
		w.j.RetryAt = w.now + consent.Time(min(time.Second<<min(w.j.Attempts, 9), 5*time.Minute))
		w.Log.Error("verification found what should be gone", "job_id", w.row.ID, "count", left)
		return w.save(ctx)
	}
	w.j.VerifiedAt = w.now
	w.Deps.Step("erasure.verified") // a crash here: verified anew
	return w.await(ctx)
}

// take enters findings and probes into the report. What was not looked for, or
// by a probe that did not find its control, proves nothing.
func (w *work) take(findings []Finding, probes []Probe) error {
	w.j.Probes, w.j.Gathered.Kept = probes, 0
	for _, f := range findings {
		w.j.Gathered.Kept += f.Kept
	}
	for i := range w.j.Targets {
		r := &w.j.Targets[i]
		at := slices.IndexFunc(findings, func(f Finding) bool { return f.Target == r.Name })
		if at < 0 {
			return errUnproven
		}
		f := findings[at]
		r.Level, r.Remaining, r.Method, r.Exception, r.CheckedAt = f.Level, f.Remaining, f.Method, f.Exception, w.now
		if f.Remaining > 0 {
			r.Level = Unreachable
		}
	}
	if len(probes) == 0 || slices.ContainsFunc(probes, func(p Probe) bool { return !p.Control }) {
		return errUnproven
	}
	return nil
}

// enter freezes the statement: its digest goes into the ledger in the same
// transaction as the row that holds it.
func (w *work) enter(ctx context.Context, outcome State) error {
	order, err := w.order(ctx, w.j, w.t, &w.row)
	if err != nil {
		return err
	}
	origin, err := w.Tree.Origin(w.t)
	if err != nil {
		return err
	}
	st := w.statement(origin, outcome)
	raw, err := st.encode()
	if err != nil {
		return err
	}
	w.j.Statement, w.j.Outcome = raw, outcome
	ev := consent.ErasureEvent{
		Event: "completed", ID: w.row.ID, Scope: string(w.j.Scope), State: outcome.String(),
		Digest: digest(raw), Documents: w.j.Gathered.Documents,
	}
	w.row.Version++
	_, err = w.Ledger.Follow(ctx, w.t, consent.KindErased, w.j.Subject, w.j.Key, ev, func(p consent.Position, _ consent.Time) (consent.ErasureRow, error) {
		w.j.Entry = p
		var err error
		w.row.Sealed, err = w.j.seal(w.k, w.t, w.row.ID)
		return w.row, err
	})
	if err != nil {
		return err
	}
	w.Deps.Step("erasure.entered") // a crash here: the next start proves and signs the same statement
	if w.j.Behind {
		if err := w.Ledger.Forget(ctx, w.t, order.Subject); err != nil {
			w.Log.Warn("whose mark it was is forgotten later", "job_id", w.row.ID)
		}
		w.Deps.Step("erasure.forgotten") // a crash before it: the next start or sweep forgets
	}
	return nil
}

// finish makes the receipt, ends the job and forgets what was looked for.
func (w *work) finish(ctx context.Context) error {
	if err := w.Ledger.Journaled(ctx, w.t, w.j.Entry); err != nil {
		return err
	}
	proofs, checkpoint, err := w.Tree.Prove(ctx, w.t, []consent.Position{w.row.Position, w.j.Entry})
	if err != nil {
		return err
	}
	sig, err := w.Tree.Sign(w.t, ReceiptFormat, w.j.Statement)
	if err != nil {
		return err
	}
	if w.row.Receipt, err = encodeReceipt(w.j.Statement, sig, proofs[0], proofs[1], checkpoint); err != nil {
		return err
	}
	probe := w.row.Key
	w.j.Notice.Names = nil // the key that opens them goes with the probe material's: it is the same
	w.row.State, w.row.Key = uint8(w.j.Outcome), seal.Ref{}
	if err := w.save(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	delete(w.alerted, w.row.ID)
	w.mu.Unlock()
	w.Deps.Step("erasure.receipt") // a crash here: no open job names the key, and the next start wipes it
	w.Log.Info("an erasure ended", "job_id", w.row.ID, "state", w.j.Outcome.String(), "documents", w.j.Gathered.Documents,
		"passages", w.j.Gathered.Passages, "duration", time.Duration(w.now-w.row.Created))
	return w.discard(ctx, Order{Tenant: w.t, ID: w.row.ID}, probe)
}

// discard destroys the key of probe material, and then its file. A failure
// leaves both to the next start.
func (s *Service) discard(ctx context.Context, o Order, probe seal.Ref) error {
	if !probe.IsZero() {
		if err := s.Vault.Destroy(probe); err != nil {
			s.Log.Warn("unused keys left for the next start", "count", 1)
			return nil
		}
	}
	if err := s.Checker.Discard(ctx, o); err != nil {
		s.Log.Warn("probe material left for the next start", "job_id", o.ID)
	}
	return nil
}
