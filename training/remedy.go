package training

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Remedy is what a named person decided about a model that was made with
// somebody who no longer permits. The gateway records it, and decides nothing.
type Remedy struct {
	Choice   string           `json:"remedy"`
	By       string           `json:"by"` // who decided: sealed, and in no ledger entry
	Note     string           `json:"note,omitempty"`
	At       consent.Time     `json:"at"`
	Position consent.Position `json:"-"`
}

// Remedies are the choices, from doing nothing to what cannot be done.
var Remedies = []string{"no_action", "retrain", "adapter_removal", "unsupported"}

// maxNote bounds a remedy's note, in bytes.
const maxNote = 4096

func (r *Remedy) check() error {
	switch {
	case !slices.Contains(Remedies, r.Choice):
		return invalid("remedy", "is none of no_action, retrain, adapter_removal, unsupported")
	case r.By == "" || !name(r.By):
		return invalid("by", "is not 1 to 256 bytes of UTF-8 without control characters")
	case len(r.Note) > maxNote || !utf8.ValidString(r.Note) || strings.ContainsFunc(r.Note, unicode.IsControl):
		return invalid("note", "is not at most 4096 bytes of UTF-8 without control characters")
	}
	return nil
}

// A RemedyEvent is the ledger's entry about a remedy, in clear. Who decided is
// not in it; Record is SHA-256 of what is sealed beside it, in hex.
type RemedyEvent struct {
	Event    string `json:"event"` // decided
	Manifest string `json:"manifest"`
	Run      string `json:"run"`
	Remedy   string `json:"remedy"`
	Record   string `json:"record"`
}

// A runNote is what was recorded about a run after it was bound, as it rests,
// sealed: a model's digest, or a remedy.
type runNote struct {
	Model  string  `json:"model_digest,omitempty"`
	Remedy *Remedy `json:"remedy,omitempty"`
}

// Decide records a remedy for a run that is bound to a manifest, whether that
// still holds or not. What was decided last, decided again, stays as it is
// (made is false), unless somebody left since: then it is about them, too.
// ErrNotFound for a run that is not bound.
func (s *Service) Decide(ctx context.Context, c Caller, id, run string, r Remedy) (got Remedy, made bool, err error) {
	if err := r.check(); err != nil {
		return r, false, err
	}
	b, of, err := s.boundRun(ctx, c, id, run)
	if err != nil {
		return r, false, err
	}
	if last := of.Remedy; last != nil && last.is(&r) {
		if more, err := b.leftSince(ctx, last); err != nil || !more {
			return *last, false, err
		}
	}
	head, err := s.Ledger.Head(ctx, c.Tenant)
	if err != nil {
		return r, false, err
	}
	r.At = head.Now
	r.Position, err = b.note(ctx, of, runNote{Remedy: &r}, func(record string) consent.Note {
		return consent.Note{Kind: consent.KindRemedy, Body: RemedyEvent{"decided", id, of.Number, r.Choice, record}}
	})
	return r, err == nil, err
}

// Decided returns the newest decision about a run that is the same as r;
// ErrNotFound when there is none.
func (s *Service) Decided(ctx context.Context, c Caller, id, run string, r Remedy) (got Remedy, err error) {
	b, of, err := s.boundRun(ctx, c, id, run)
	if err != nil {
		return got, err
	}
	err = b.eachNote(ctx, func(row *RunRow, n *runNote) error {
		if n.Remedy != nil && row.Lookup == b.runLookup(of.ID) && n.Remedy.is(&r) {
			got = *n.Remedy
		}
		return nil
	})
	if err == nil && got.Position == 0 {
		err = ErrNotFound
	}
	return got, err
}

// is reports whether two decisions are the same, whenever they were made.
func (r *Remedy) is(o *Remedy) bool { return r.Choice == o.Choice && r.By == o.By && r.Note == o.Note }

// leftSince reports whether anybody of a manifest may have left since a decision.
// Where another gateway keeps its list, somebody may.
func (b *build) leftSince(ctx context.Context, last *Remedy) (bool, error) {
	who, err := b.left(ctx)
	if errors.Is(err, ErrElsewhere) {
		return true, nil
	}
	return slices.ContainsFunc(who, func(l consent.Leaving) bool { return !last.covers(l) }), err
}

// covers reports whether a decision came after somebody had left.
func (r *Remedy) covers(left consent.Leaving) bool {
	return r.Position > left.Position && r.At >= left.Time
}

// boundRun returns a run by its name.
func (s *Service) boundRun(ctx context.Context, c Caller, id, run string) (*build, Run, error) {
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return nil, Run{}, err
	}
	runs, err := b.runs(ctx)
	if err != nil {
		return nil, Run{}, err
	}
	i := slices.IndexFunc(runs, func(o Run) bool { return o.ID == run })
	if i < 0 {
		return nil, Run{}, ErrNotFound
	}
	return b, runs[i], nil
}

// note records something about a run: the ledger's entry, then what is sealed.
// A crash in between leaves an entry of what nobody was told of; the repeat
// makes another.
func (b *build) note(ctx context.Context, of Run, n runNote, entry func(record string) consent.Note) (consent.Position, error) {
	plain, err := json.Marshal(n)
	if err != nil {
		return 0, err
	}
	row := RunRow{Manifest: b.row.ID, Lookup: b.runLookup(of.ID)}
	row.Sealed = seal.Seal(b.keys.Payload, plain, noteAAD(b.t, row.Manifest, row.Lookup))
	if row.Position, err = b.Ledger.Enter(ctx, b.t, entry(hexOf(sha256.Sum256(row.Sealed)))); err != nil {
		return 0, err
	}
	return row.Position, b.Lineage.AddRunNote(ctx, b.t, row)
}

func noteAAD(t consent.TenantID, manifest string, lookup [32]byte) []byte {
	return fmt.Appendf(nil, "assent run note\x00%s\x00%s\x00%s", t, manifest, lookup)
}

// noted adds to runs what was recorded about them, the newest last.
func (b *build) noted(ctx context.Context, runs []Run) error {
	at := make(map[[32]byte]*Run, len(runs))
	for i := range runs {
		at[b.runLookup(runs[i].ID)] = &runs[i]
	}
	return b.eachNote(ctx, func(row *RunRow, n *runNote) error {
		run := at[row.Lookup]
		if run == nil {
			return fmt.Errorf("%w: a run's record", ErrDamaged)
		}
		if n.Model != "" {
			run.Model = n.Model
		}
		if n.Remedy != nil {
			run.Remedy = n.Remedy
		}
		return nil
	})
}

// eachNote calls f with what was recorded about the runs of a manifest, the
// newest last.
func (b *build) eachNote(ctx context.Context, f func(*RunRow, *runNote) error) error {
	rows, err := b.Lineage.RunNotesOf(ctx, b.t, b.row.ID)
	if err != nil {
		return err
	}
	for i := range rows {
		row, n := &rows[i], runNote{}
		plain, err := seal.Open(b.keys.Payload, row.Sealed, noteAAD(b.t, row.Manifest, row.Lookup))
		if err != nil || json.Unmarshal(plain, &n) != nil {
			return fmt.Errorf("%w: a run's record", ErrDamaged)
		}
		if n.Remedy != nil {
			n.Remedy.Position = row.Position
		}
		if err := f(row, &n); err != nil {
			return err
		}
	}
	return nil
}

// assessment of runs that hold somebody who left: required until a remedy was
// decided after that for each.
func assessment(runs []Run, left consent.Leaving) string {
	if len(runs) == 0 {
		return ""
	}
	for _, r := range runs {
		if r.Remedy == nil || !r.Remedy.covers(left) {
			return AssessmentRequired
		}
	}
	return AssessmentDecided
}
