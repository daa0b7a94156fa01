package training

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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
// (made is false). ErrNotFound for a run that is not bound.
func (s *Service) Decide(ctx context.Context, c Caller, id, run string, r Remedy) (got Remedy, made bool, err error) {
	if err := r.check(); err != nil {
		return r, false, err
	}
	b, of, err := s.boundRun(ctx, c, id, run)
	if err != nil {
		return r, false, err
	}
	if last := of.Remedy; last != nil && last.Choice == r.Choice && last.By == r.By && last.Note == r.Note {
		return *last, false, nil
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
	rows, err := b.Lineage.RunNotesOf(ctx, b.t, b.row.ID)
	if err != nil || len(rows) == 0 {
		return err
	}
	at := make(map[[32]byte]*Run, len(runs))
	for i := range runs {
		at[b.runLookup(runs[i].ID)] = &runs[i]
	}
	for _, row := range rows {
		var n runNote
		plain, err := seal.Open(b.keys.Payload, row.Sealed, noteAAD(b.t, row.Manifest, row.Lookup))
		run := at[row.Lookup]
		if err != nil || run == nil || json.Unmarshal(plain, &n) != nil {
			return fmt.Errorf("%w: a run's record", ErrDamaged)
		}
		if n.Model != "" {
			run.Model = n.Model
		}
		if n.Remedy != nil {
			n.Remedy.Position = row.Position
			run.Remedy = n.Remedy
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
		if r.Remedy == nil || r.Remedy.Position <= left.Position || r.Remedy.At < left.Time {
			return AssessmentRequired
		}
	}
	return AssessmentDecided
}
