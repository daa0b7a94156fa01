package training

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// Why a row may not leave. "" is that it may.
const (
	whyErased      = "erased"        // somebody of it is erased, or its document
	whyRefused     = "refused"       // somebody refuses, objects or is restricted
	whyUnpermitted = "not_permitted" // a permission ended, or never was
	whyRetention   = "retention_expired"
	whyUnchosen    = "not_in_manifest" // of a diff: the other manifest chose otherwise
)

// A standing is everyone's verdict for a purpose at the ledger's head, and how
// people combine there: what may be written and served now.
type standing struct {
	now consent.Time
	at  consent.Position
	due consent.Time // the first retention to end of the rows that may leave; 0: none
	// since is the position that rows were decided at: an erasure after it is of
	// them, too, whatever the person permits now. Who was erased before it and
	// came back has another key, by which nothing older opens.
	since    consent.Position
	gone     map[consent.SubjectNum]bool // who was erased since
	went     map[consent.SubjectNum]bool // of them, those of the last look
	none     bool                        // the policy does not know the purpose any more: nothing may leave
	by       map[consent.Jurisdiction]*verdicts
	goneDocs map[int64]bool     // that were erased, or are to be
	noted    int                // of them, those that the manifest says of itself
	removals []consent.Removing // of documents, that are not carried out
	removing []string           // the same, by name, once goneDocs has them
	rules    [][]consent.Rule   // by collection: as it decided, and as it is now
	one      []consent.Verdict
	two      []consent.Verdict
}

// verdicts of people whose own jurisdiction is not known where def says.
type verdicts struct {
	cursor  consent.Cursor
	unknown consent.Verdict
	of      map[consent.SubjectNum]consent.Verdict
	spoke   map[consent.SubjectNum]bool // since the last look
	anew    bool                        // everybody may have, as by a new policy
}

// standingNow asks the ledger about a manifest's purpose, as rows are judged
// that it has chosen.
func (b *build) standingNow(ctx context.Context) (*standing, error) {
	st := &standing{by: map[consent.Jurisdiction]*verdicts{}, since: b.job.Spec.AtPosition, gone: map[consent.SubjectNum]bool{}}
	var err error
	if st.rules, err = b.rules(ctx); err != nil {
		return nil, err
	}
	for _, rules := range st.rules {
		for _, r := range rules {
			if st.by[r.Default] == nil {
				st.by[r.Default] = &verdicts{of: map[consent.SubjectNum]consent.Verdict{}}
			}
		}
	}
	permit, err := b.Ledger.Permit(ctx, b.t, b.job.Spec.Purpose)
	if err != nil {
		return nil, err
	}
	head, err := b.Ledger.Head(ctx, b.t)
	if err != nil {
		return nil, err
	}
	// The verdicts are of the newest state applied: at least that of the head
	// read before them. The position told is never ahead of them.
	st.now, st.at = permit.Now(), head.Position
	st.look(permit)
	return st, nil
}

// documents notes which documents were erased, and which are to be by what is
// acknowledged: from then on they are in no answer, whenever they are deleted.
func (st *standing) documents(ctx context.Context, b *build) error {
	st.goneDocs, st.removing = map[int64]bool{}, nil
	note := func(nums []int64, err error) error {
		for _, num := range nums {
			st.goneDocs[num] = true
		}
		return err
	}
	// In the order in which they go: from the corpus to what the erasure resolved
	// before that, and from there to the manifest.
	for _, r := range st.removals {
		st.removing = append(st.removing, r.ID)
		if err := note(b.Corpus.Condemned(ctx, b.t, r)); err != nil {
			return err
		}
		if err := note(b.Contents.Erased(ctx, b.t, r.ID)); err != nil {
			return err
		}
	}
	own, err := b.Contents.Erased(ctx, b.t, b.row.ID)
	st.noted = len(own)
	return note(own, err)
}

// standingOrNone is standingNow for what is built: where the policy does not
// know the purpose any more, nothing may leave.
func (b *build) standingOrNone(ctx context.Context) (*standing, error) {
	st, err := b.standingNow(ctx)
	if errors.Is(err, consent.ErrPurposeUnknown) {
		var head consent.Head
		head, err = b.Ledger.Head(ctx, b.t)
		st = &standing{now: head.Now, at: head.Position, none: true}
	}
	return st, err
}

// look brings verdicts up to date and notes who spoke.
func (st *standing) look(p consent.Permit) {
	st.now, st.removals = max(st.now, p.Now()), p.Removing()
	for def, v := range st.by {
		v.spoke, v.anew = map[consent.SubjectNum]bool{}, false
		p.Sync(def, &v.cursor, func(unknown consent.Verdict) {
			v.unknown, v.anew = unknown, true
			clear(v.of)
		}, func(num consent.SubjectNum, verdict consent.Verdict) {
			v.of[num], v.spoke[num] = verdict, true
		})
	}
	st.went = map[consent.SubjectNum]bool{}
	p.Suppressed(st.since, func(num consent.SubjectNum) {
		if !st.gone[num] {
			st.gone[num], st.went[num] = true, true
		}
	})
}

// spoke reports whether any of some people spoke since the last look.
func (st *standing) spoke(members map[consent.SubjectNum]bool) bool {
	if st.left(members) {
		return true
	}
	for _, v := range st.by {
		if v.anew {
			return true
		}
		for num := range v.spoke {
			if members[num] {
				return true
			}
		}
	}
	return false
}

// left reports whether any of some people was erased since the last look.
func (st *standing) left(members map[consent.SubjectNum]bool) bool {
	for num := range st.went {
		if members[num] {
			return true
		}
	}
	return false
}

// why a row may not leave now; "" when it may.
func (st *standing) why(e *entry) string {
	if st.goneDocs[e.doc] {
		return whyErased
	}
	if st.none {
		return whyUnpermitted
	}
	if e.retain != 0 && e.retain <= st.now {
		return whyRetention
	}
	st.note(e.retain)
	if e.nobody {
		return ""
	}
	if int(e.collection) >= len(st.rules) {
		return whyUnpermitted
	}
	why := ""
	for _, rule := range st.rules[e.collection] {
		v := st.by[rule.Default]
		var all consent.Verdict
		st.one, all = st.list(v, e.owners, st.one[:0], all)
		st.two, all = st.list(v, e.mentions, st.two[:0], all)
		switch {
		case rule.Permits(st.one, st.two):
		case all&consent.Erased != 0:
			return whyErased
		case all&consent.Block != 0:
			why = whyRefused
		case why == "":
			why = whyUnpermitted
		}
	}
	return why
}

// note notes when a retention of what may leave ends; 0: never.
func (st *standing) note(ends consent.Time) {
	if ends != 0 && (st.due == 0 || ends < st.due) {
		st.due = ends
	}
}

// another is a standing that says the same, for another goroutine, as long as
// nobody looks anew.
func (st *standing) another() *standing {
	own := *st
	own.one, own.two = nil, nil
	return &own
}

// stays reports whether a person permits, wherever they are taken to be.
func (st *standing) stays(num consent.SubjectNum) bool {
	if st.none || st.gone[num] {
		return false
	}
	for _, v := range st.by {
		verdict, ok := v.of[num]
		if !ok {
			verdict = v.unknown
		}
		if verdict != consent.Allow {
			return false
		}
	}
	return true
}

func (st *standing) list(v *verdicts, nums []consent.SubjectNum, out []consent.Verdict, all consent.Verdict) ([]consent.Verdict, consent.Verdict) {
	for _, num := range nums {
		verdict, ok := v.of[num]
		if !ok {
			verdict = v.unknown
		}
		if len(st.gone) > 0 && st.gone[num] {
			verdict = consent.Block | consent.Erased
		}
		out = append(out, verdict)
		all |= verdict
	}
	return out, all
}
