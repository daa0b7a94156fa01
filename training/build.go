package training

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// maxPins is how often a build without positions of its own begins anew,
// because documents were replaced or deleted under it.
const maxPins = 3

// build builds a manifest, and records why when it cannot. It reports false
// when it is to be tried again: the ledger cannot be asked, or the record not
// be written.
func (s *Service) build(ctx context.Context, t consent.TenantID, row ManifestRow) bool {
	b, err := s.open(t, row)
	if err == nil {
		began := time.Now()
		if err = guarded(s.Log, func() error { return b.make(ctx) }); err == nil {
			s.Log.Info("manifest ready", "job_id", row.ID, "count", b.job.Rows, "duration", time.Since(began))
		}
	}
	defer func() {
		s.mu.Lock()
		delete(s.progress, row.ID)
		s.mu.Unlock()
	}()
	if err == nil || ctx.Err() != nil {
		return true // what ctx ended goes on at the next start
	}
	s.Log.Error("manifest failed", "job_id", row.ID, "error", err)
	if errors.Is(err, consent.ErrUnavailable) {
		return false // until the ledger can be asked again
	}
	if b == nil { // its record does not open: nobody can go on with it
		was := row
		row.State = Failed
		return s.Manifests.SaveManifest(ctx, t, row, was) == nil
	}
	b.row.State, b.job.Problem = Failed, problemOf(err)
	if _, gone := b.Vault.FileKey(b.row.Key); errors.Is(gone, ErrErased) { // Resume begins anew
		b.row.Key, b.job.Problem = seal.Ref{}, "erased"
	}
	if b.job.Phase == phaseScan { // nothing to go on from
		_ = b.Files.Remove(b.row.ID) // a failure leaves it to Resume
	}
	switch err := b.save(ctx); {
	case errors.Is(err, ErrConflict): // it was erased under the build, and perhaps resumed since: that counts
		_ = b.Files.Remove(b.row.ID) // of a key that is gone
		return true
	case err != nil:
		return false
	}
	if err := guarded(s.Log, func() error {
		b.Step("failed") // a crash here: what failed keeps who was erased meanwhile; the next start looks again
		return b.forget(ctx)
	}); err != nil {
		s.Log.Error("what a failed manifest keeps could not be judged", "job_id", row.ID, "error", err)
	}
	return true
}

// guarded is f, and an error where it panics: every goroutine of a build runs so.
// They are nobody's request, one that ends the process ends everybody's, and what
// a panic would print could be anybody's data.
func guarded(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("a build panicked", "panic_type", fmt.Sprintf("%T", p))
			err = errPanic
		}
	}()
	return f()
}

var errPanic = errors.New("training: a build panicked")

// problemOf is what is told of a failure.
func problemOf(err error) string {
	for _, known := range []struct {
		is   error
		name string
	}{
		{ErrFull, "disk_full"}, {consent.ErrPurposeUnknown, "purpose_unknown"},
		{consent.ErrPast, "no_policy"}, {ErrErased, "erased"}, {ErrDamaged, "damaged"}, {errDiverged, "diverged"},
	} {
		if errors.Is(err, known.is) {
			return known.name
		}
	}
	return "internal"
}

// make goes on from where the manifest is to where it is ready.
func (b *build) make(ctx context.Context) error {
	fkey, err := b.Vault.FileKey(b.row.Key)
	if err != nil {
		return err
	}
	for pins := 1; b.job.Phase == phaseScan; pins++ {
		if err := b.choose(ctx, fkey, pins); err != nil {
			return err
		}
	}
	if b.job.Phase == phaseRender {
		parts, err := b.parts(ctx)
		if err != nil {
			return err
		}
		if err := b.render(ctx, fkey, parts); err != nil {
			return err
		}
		if err := b.finish(ctx, fkey, parts); err != nil {
			return err
		}
	}
	return b.ready(ctx)
}

// choose scans and merges. It leaves the phase as it is when the corpus moved
// under it and the build is to begin anew.
func (b *build) choose(ctx context.Context, fkey seal.Key, pins int) error {
	if err := b.Files.Remove(b.row.ID); err != nil {
		return err
	}
	if err := b.Manifests.DropParts(ctx, b.t, b.row.ID); err != nil {
		return err
	}
	fold, err := b.foldTo(ctx, b.t, b.job.Spec.AtPosition)
	if err != nil {
		return err
	}
	in := inputsOf(b.job.Spec, b.job.Cols, fold.PolicyDigest(), b.ShardRows)
	mkey, name, err := in.key(b.keys)
	if err != nil {
		return err
	}
	s, err := b.scan(ctx, in, mkey, fkey)
	if err != nil {
		return err
	}
	b.Step("scanned") // a crash here: runs under the files' key; the next start scans again
	b.row.Inputs = name
	earlier, err := b.earlier(ctx)
	if err != nil {
		return err
	}
	if s.gone > 0 && earlier == nil && b.job.Spec.ResumeOnChange && pins < maxPins {
		return b.pin(ctx)
	}
	m, err := b.merge(ctx, s, earlier)
	if err != nil {
		return err
	}
	if err := b.head(in, fold, s, m, earlier); err != nil {
		return err
	}
	b.job.Shards, b.job.Phase = m.shards, phaseRender
	for i := range s.runs.n {
		if err := b.Files.Remove(s.runs.name(i)); err != nil {
			return err
		}
	}
	if err := b.save(ctx); err != nil {
		return err
	}
	b.Step("merged") // a crash here: shards in spools; the next start writes them
	return nil
}

// head makes manifest.json. Of an earlier manifest of the same inputs it is
// that one's: what is gone since can be counted no more, and the tree over
// what is there and what was kept must be the same.
func (b *build) head(in Inputs, fold *consent.Fold, s *scan, m *merge, earlier *build) (err error) {
	root := hexOf(m.tree.root())
	if earlier != nil {
		if earlier.job.Header.Root != root {
			return errDiverged
		}
		b.job.Header, b.job.Manifest = earlier.job.Header, earlier.job.Manifest
		return nil
	}
	h := &Header{
		Inputs: in, LedgerTime: fold.Time().String(), Rows: m.tree.size, BySplit: map[string]uint64{},
		Excluded: merged(s.excluded), Unreconstructible: s.gone, Sources: s.sourcesOf(), Root: root,
	}
	for i, n := range m.bySplit {
		h.BySplit[in.Splits[i].Name] = n
	}
	b.job.Header = h
	b.job.Manifest, err = h.encode()
	return err
}

// earlier returns a whole manifest of the same inputs that is kept here; nil
// when there is none.
func (b *build) earlier(ctx context.Context) (*build, error) {
	rows, err := b.Manifests.ManifestsLike(ctx, b.t, b.row.Inputs)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Holder != b.row.Holder || row.ID == b.row.ID {
			continue
		}
		e, err := b.open(b.t, row)
		if err != nil {
			return nil, err
		}
		if e.job.Header.Unreconstructible == 0 {
			return e, nil
		}
	}
	return nil, nil
}

// pin moves a build to the newest positions.
func (b *build) pin(ctx context.Context) error {
	head, err := b.Ledger.Head(ctx, b.t)
	if err != nil {
		return err
	}
	corpus, err := b.Corpus.Head(ctx, b.t)
	if err != nil {
		return err
	}
	b.job.Spec.AtPosition, b.job.Spec.AtCorpus = head.Position, corpus
	return b.save(ctx)
}
