package training

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Run is a training run bound to a manifest.
type Run struct {
	ID       string           `json:"run_id"`
	Model    string           `json:"model_digest,omitempty"` // "sha256:" and hex; "" while there is none
	Pipeline string           `json:"pipeline,omitempty"`
	Number   string           `json:"number"` // random; what the ledger names it by
	Position consent.Position `json:"-"`
	Remedy   *Remedy          `json:"-"` // the newest; nil: none was decided
	// Assessment is of a run whose manifest holds somebody who left, also who was
	// erased; Runs tells it, where the manifest's files are.
	Assessment string `json:"-"`
}

// maxName bounds a run's and a pipeline's name, in bytes.
const maxName = 256

func (r *Run) check() error {
	switch {
	case r.ID == "" || !name(r.ID):
		return invalid("run_id", "is not 1 to 256 bytes of UTF-8 without control characters")
	case !name(r.Pipeline):
		return invalid("pipeline", "is not at most 256 bytes of UTF-8 without control characters")
	case r.Model != "" && !digest(r.Model):
		return invalid("model_digest", "is not sha256: and 64 hexadecimal digits in lower case")
	}
	return nil
}

func name(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func digest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// A RunEvent is the ledger's entry about a run, in clear. What the run is
// called is not in it.
type RunEvent struct {
	Event    string `json:"event"` // bound; model, when its digest came later
	Manifest string `json:"manifest"`
	Run      string `json:"run"`
	Model    string `json:"model_digest,omitempty"`
}

// Bind binds a run to a ready manifest that is valid: ErrStale, ErrExpired and
// ErrErased else. Bound again it stays as it is (made is false), with another
// content ErrConflict: what a model was made of does not change. What is left out
// says nothing, so that each of these can be repeated, however late. A run that
// has no model yet is given one, whether the manifest still holds or not: that a
// model came of it is a fact.
func (s *Service) Bind(ctx context.Context, c Caller, id string, r Run) (run Run, made bool, err error) {
	if err := r.check(); err != nil {
		return r, false, err
	}
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return r, false, err
	}
	old, err := b.runs(ctx)
	if err != nil {
		return r, false, err
	}
	if i := slices.IndexFunc(old, func(o Run) bool { return o.ID == r.ID }); i >= 0 {
		return b.bound(ctx, old[i], r)
	}
	status, err := b.standsNow(ctx)
	if err == nil {
		err = status.refusal()
	}
	if err != nil {
		return r, false, err
	}
	var random [12]byte
	rand.Read(random[:])
	r.Number = "r_" + base64.RawURLEncoding.EncodeToString(random[:])
	// A crash behind the entry leaves one of a run that nobody was told of; the
	// repeat makes another.
	if r.Position, err = s.Ledger.Enter(ctx, c.Tenant, consent.Note{Kind: consent.KindRun, Body: RunEvent{"bound", id, r.Number, r.Model}}); err != nil {
		return r, false, err
	}
	plain, err := json.Marshal(r)
	if err != nil {
		return r, false, err
	}
	row := RunRow{Manifest: id, Lookup: b.runLookup(r.ID), Position: r.Position}
	row.Sealed = seal.Seal(b.keys.Payload, plain, runAAD(c.Tenant, row.Manifest, row.Lookup))
	row, made, err = s.Lineage.AddRun(ctx, c.Tenant, row)
	if err != nil || made {
		return r, made, err
	}
	first, err := b.openRun(row) // somebody else's came first
	if err != nil {
		return r, false, err
	}
	return b.bound(ctx, first, r)
}

// bound is what comes of binding a run that is bound already.
func (b *build) bound(ctx context.Context, old, r Run) (Run, bool, error) {
	if r.Pipeline != "" && r.Pipeline != old.Pipeline || r.Model != "" && old.Model != "" && r.Model != old.Model {
		return r, false, ErrConflict
	}
	if old.Model == "" && r.Model != "" {
		old.Model = r.Model
		_, err := b.note(ctx, old, runNote{Model: r.Model}, func(string) consent.Note {
			return consent.Note{Kind: consent.KindRun, Body: RunEvent{"model", b.row.ID, old.Number, r.Model}}
		})
		return old, false, err
	}
	return old, false, nil
}

func (b *build) runLookup(id string) [32]byte {
	return seal.MAC(b.keys.Payload, "assent run", []byte(id))
}

func runAAD(t consent.TenantID, manifest string, lookup [32]byte) []byte {
	return fmt.Appendf(nil, "assent run\x00%s\x00%s\x00%s", t, manifest, lookup)
}

func (b *build) openRun(row RunRow) (Run, error) {
	var r Run
	plain, err := seal.Open(b.keys.Payload, row.Sealed, runAAD(b.t, row.Manifest, row.Lookup))
	if err != nil || json.Unmarshal(plain, &r) != nil {
		return r, fmt.Errorf("%w: a run's record", ErrDamaged)
	}
	r.Position = row.Position
	return r, nil
}

func (b *build) runs(ctx context.Context) ([]Run, error) {
	rows, err := b.Lineage.RunsOf(ctx, b.t, b.row.ID)
	if err != nil {
		return nil, err
	}
	out := make([]Run, len(rows))
	for i, row := range rows {
		if out[i], err = b.openRun(row); err != nil {
			return nil, err
		}
	}
	return out, b.noted(ctx, out)
}

// Runs returns the runs bound to a manifest.
func (s *Service) Runs(ctx context.Context, c Caller, id string) ([]Run, error) {
	b, err := s.find(ctx, c, id)
	if err != nil {
		return nil, err
	}
	runs, err := b.runs(ctx)
	if err != nil || len(runs) == 0 {
		return runs, err
	}
	who, err := b.left(ctx)
	if errors.Is(err, ErrElsewhere) {
		return runs, nil
	}
	for i := range runs {
		if len(who) > 0 {
			runs[i].Assessment = AssessmentDecided
		}
		for _, left := range who {
			if runs[i].Remedy == nil || !runs[i].Remedy.covers(left) {
				runs[i].Assessment = AssessmentRequired
				break
			}
		}
	}
	return runs, err
}

// left are those of whom a manifest has rows that may not leave any more, and
// when they left; ErrElsewhere where another gateway keeps its list.
func (b *build) left(ctx context.Context) ([]consent.Leaving, error) {
	now, err := b.standsNow(ctx)
	if err != nil || len(now.Reasons) == 0 {
		return nil, err
	}
	st, err := b.standingOrNone(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := b.parts(ctx)
	if err != nil {
		return nil, err
	}
	of := map[consent.SubjectNum]bool{}
	for i := range b.job.Shards {
		if err := b.eachListed(i, parts[i], func(e *entry) error {
			if st.why(e) != "" {
				e.people(of)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(of, func(num consent.SubjectNum, _ bool) bool { return st.stays(num) }) // of a row with others
	who, err := b.Ledger.AllLeft(ctx, b.t, sortedNums(of), b.job.Spec.Purpose, b.job.Spec.AtPosition)
	if err != nil {
		return nil, err
	}
	return who, b.dated(ctx, who)
}

// dated gives those of whom nothing leads to their erasure any more, as after a
// restart, a position that is not before it: of the newest erasure that the
// manifest held somebody until. A remedy that came after that is about them all.
// Where none is known, they stay above every remedy.
func (b *build) dated(ctx context.Context, who []consent.Leaving) error {
	undated := func(l consent.Leaving) bool { return l.Undated }
	if b.Departures == nil || !slices.ContainsFunc(who, undated) {
		return nil
	}
	last, err := b.Departures.LastDeparture(ctx, b.t, b.row.ID, b.job.Spec.AtPosition)
	if err != nil || last == 0 {
		return err
	}
	for i := range who {
		if who[i].Undated {
			who[i].Position = last
		}
	}
	return nil
}

// A Use is a manifest that holds a person, and the runs bound to it.
type Use struct {
	Manifest   string
	Purpose    string
	State      State
	ExpiresAt  consent.Time
	Permitted  bool // for the manifest's purpose, at the head; false for who was erased since, and came back
	Runs       []Run
	Assessment string // of runs that hold somebody who no longer permits
}

// AssessmentRequired says that a model was made with a person who no longer
// permits: what is to be done about it a person decides. AssessmentDecided:
// that was done for every run, after the person had left.
const (
	AssessmentRequired = "assessment_required"
	AssessmentDecided  = "decided"
)

// Uses returns the manifests and runs that contain a person, oldest first;
// none for somebody unknown. Of somebody who was erased it tells by what the
// erasure kept. The second gate has nothing to judge here: it is the person's
// own, or an auditor's, question. Of manifests over collections that the key is
// not for it does not tell.
func (s *Service) Uses(ctx context.Context, c Caller, who consent.Subject) ([]Use, error) {
	head, err := s.Ledger.Head(ctx, c.Tenant) // a closed ledger tells nothing
	if err != nil || head.Position == 0 {
		return nil, err
	}
	num, err := s.Ledger.Find(ctx, c.Tenant, who)
	if err != nil {
		return nil, err
	}
	var left []Departed
	if s.Departures != nil {
		left, err = s.Departures.Departed(ctx, c.Tenant, who)
	}
	if err != nil || num == 0 && len(left) == 0 {
		return nil, err
	}
	rows, err := s.Lineage.ManifestsOf(ctx, c.Tenant, num)
	if err != nil {
		return nil, err
	}
	erased := map[string]consent.Position{} // by manifest
	for _, d := range left {
		if _, there := erased[d.Manifest]; !there && !slices.ContainsFunc(rows, func(r ManifestRow) bool { return r.ID == d.Manifest }) {
			row, found, err := s.Manifests.Manifest(ctx, c.Tenant, d.Manifest)
			if err != nil {
				return nil, err
			}
			if !found {
				continue
			}
			rows = append(rows, row)
		}
		erased[d.Manifest] = max(erased[d.Manifest], d.At)
	}
	slices.SortFunc(rows, func(a, b ManifestRow) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	out := []Use{}
	for _, row := range rows {
		if row.State != Ready { // it never left
			continue
		}
		u, within, err := s.use(ctx, c, row, who, num, erased[row.ID])
		if err != nil {
			return nil, err
		}
		if within {
			out = append(out, u)
		}
	}
	return out, nil
}

// use is what a manifest is to a person; erased is the position of an erasure
// that it held them until, 0 for none.
func (s *Service) use(ctx context.Context, c Caller, row ManifestRow, who consent.Subject, num consent.SubjectNum, erased consent.Position) (Use, bool, error) {
	b, err := s.open(c.Tenant, row)
	if err != nil || !b.within(c) {
		return Use{}, false, err
	}
	u := Use{Manifest: row.ID, Purpose: b.job.Spec.Purpose, State: row.State, ExpiresAt: b.job.ExpiresAt}
	if u.Runs, err = b.runs(ctx); err != nil {
		return Use{}, false, err
	}
	// Who was erased since and came back permits what is new, not what was there.
	left := consent.Leaving{Position: erased, Erased: true}
	if erased == 0 {
		if left, err = s.Ledger.Left(ctx, c.Tenant, num, u.Purpose, b.job.Spec.AtPosition); err != nil {
			return Use{}, false, err
		}
		a, err := s.Ledger.Decide(ctx, c.Tenant, []consent.Subject{who}, consent.Question{Purpose: u.Purpose})
		if err != nil {
			return Use{}, false, err
		}
		u.Permitted = a.Decisions[0].Allowed && !left.Erased
	}
	if !u.Permitted {
		u.Assessment = assessment(u.Runs, left)
	}
	return u, true, nil
}
