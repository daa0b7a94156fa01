package retrieval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// attest enters into the ledger that documents are about nobody, or that
// owners changed, before they do.
func (in *intake) attest(ctx context.Context, jobs []*job) error {
	type attestation struct {
		Collection CollectionID `json:"collection"`
		Documents  []string     `json:"documents"` // keyed lookups, in hex
		Key        string       `json:"key"`
	}
	var nobody, owners []string
	for _, j := range jobs {
		name := fmt.Sprintf("%x", j.lookup)
		if j.doc.Nobody {
			nobody = append(nobody, name)
		}
		if j.newOwners {
			owners = append(owners, name)
		}
	}
	const perEntry = 800 // an entry must fit the log
	for _, n := range []struct {
		kind consent.Kind
		docs []string
	}{{consent.KindAttestation, nobody}, {consent.KindOwners, owners}} {
		for part := range slices.Chunk(n.docs, perEntry) {
			_, err := in.Ledger.Enter(ctx, in.caller.Tenant, consent.Note{Kind: n.kind, Body: attestation{in.col.ID, part, in.caller.KeyID}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// commit decides again under the locks, commits, and changes the index.
func (in *intake) commit(ctx context.Context, jobs []*job, roster *consent.Roster) (consent.Outcome, error) {
	in.committed = false
	sh, err := in.shelf(ctx, in.caller.Tenant)
	if err != nil {
		return consent.RolledBack, err
	}
	var people []consent.SubjectNum
	for _, j := range jobs {
		people = append(append(people, j.owners...), j.mentions...)
	}
	sh.intake.Lock()
	defer sh.intake.Unlock()
	if col, _ := sh.get(in.col.ID); col == nil { // dropped meanwhile
		in.discard(jobs)
		return consent.RolledBack, ErrNotFound
	}
	confirmed := false
	head, retired, err := in.Catalogue.Commit(ctx, in.caller.Tenant, sorted(people), func(head consent.Head) (Intake, error) {
		confirmed = false
		intake, err := in.confirm(ctx, head, jobs, roster)
		confirmed = err == nil
		return intake, err
	})
	if in.committed = err == nil; in.committed {
		in.Step("tx.committed") // a crash here: the documents are there, the next start indexes them
		err = in.index(ctx, sh, head, jobs, retired)
	}
	switch {
	case err == nil:
	case in.committed: // and memory could not follow
		in.destroy(append(droppedKeys(jobs), keysOf(retired)...)) // which no row names
		in.unsettledAll(ctx, jobs)
		return consent.Unknown, err
	case errors.Is(err, ErrConflict), errors.Is(err, consent.ErrSubjectExists), errors.Is(err, consent.ErrRemembered), !confirmed:
		in.discard(jobs)
		return consent.RolledBack, err
	default:
		// It may have happened. Keys stay: the next start wipes what no row
		// names. The caller repeats.
		in.unsettledAll(ctx, jobs)
		return consent.Unknown, err
	}
	in.remembered = in.once != (consent.Once{})
	in.Step("applied")
	in.out.Corpus = head
	for _, j := range jobs {
		if !j.dropped {
			*j.result = DocResult{ID: j.doc.ID, Status: Stored, Passages: len(j.bodies)}
		}
	}
	in.destroy(append(droppedKeys(jobs), keysOf(retired)...))
	return consent.Committed, nil
}

// droppedKeys are those of documents that were left out under the locks.
func droppedKeys(jobs []*job) (refs []seal.Ref) {
	for _, j := range jobs {
		if j.dropped {
			refs = append(refs, j.row.Key)
		}
	}
	return refs
}

// confirm builds the transaction under its locks: what the ledger refuses by
// now is left out.
func (in *intake) confirm(ctx context.Context, head consent.Head, jobs []*job, roster *consent.Roster) (Intake, error) {
	if err := in.placedEverywhere(ctx); err != nil {
		return Intake{}, err
	}
	decisions, err := in.judge(ctx, head, jobs)
	if err != nil {
		return Intake{}, err
	}
	if in.Ledger.Overtaken(in.caller.Tenant, roster) {
		return Intake{}, consent.ErrSubjectExists
	}
	roster.Reset()
	in.out.Ledger = head.Position
	out := Intake{Outside: in.Outside != nil}
	for i, j := range jobs {
		j.dropped = !decisions[i].Allowed
		if j.dropped {
			in.refuse(j, decisions[i])
			continue
		}
		if j.row.DecidedAt = head.Position; j.was != nil && j.was.Stripped {
			j.row.DecidedAt = j.old.DecidedAt // nothing was decided anew
		}
		out.Docs = append(out.Docs, j.row)
		out.Heads = append(out.Heads, j.heads...)
		out.Bodies = append(out.Bodies, j.bodies...)
		out.Subjects = append(out.Subjects, roster.Rows(append(slices.Clone(j.owners), j.mentions...))...)
		if j.old != nil {
			out.Retire = append(out.Retire, j.old.Num)
		}
	}
	if in.once != (consent.Once{}) {
		rem, err := in.remember(ctx, jobs, head)
		if err != nil {
			return Intake{}, err
		}
		out.Remember = append(out.Remember, rem)
	}
	return out, nil
}

// judge decides about documents at a head, and about those that an erasure of
// documents covers: what began before it is of before it. Nothing comes in the
// place of what is held.
func (in *intake) judge(ctx context.Context, head consent.Head, jobs []*job) ([]consent.Decision, error) {
	people := make([]consent.People, len(jobs))
	for i, j := range jobs {
		people[i] = consent.People{Owners: j.owners, Mentions: j.mentions, Nobody: j.doc.Nobody}
	}
	decisions, err := in.Ledger.Judge(ctx, in.caller.Tenant, head, in.col.Rule(), people)
	if err != nil {
		return nil, err
	}
	for i, j := range jobs {
		if j.was != nil && j.was.Stripped {
			decisions[i] = consent.Decision{Allowed: true} // less of it is kept, and nothing is embedded
		}
		began := consent.Piece{Collection: int64(in.col.ID), Lookup: j.lookup, Source: j.row.Source, DecidedAt: in.began}
		if j.was != nil && !j.was.Stripped { // it is what there was, and goes with it
			began = pieceOf(j.old)
		}
		held := j.old != nil && in.held(in.caller.Tenant, j.old)
		if decisions[i].Allowed && (held || in.Ledger.Condemned(in.caller.Tenant, began)) {
			decisions[i] = consent.Decision{Reason: consent.ReasonSuppressed}
		}
	}
	return decisions, nil
}

// index changes the index: replaced versions go in the same step in which
// their replacements come.
func (in *intake) index(ctx context.Context, sh *shelf, head CorpusPosition, jobs []*job, retired []DocRow) error {
	if in.Outside != nil {
		in.replaced = retired // taken out when no lock is held
		return nil
	}
	var ch Change
	for _, r := range retired {
		ch.Remove = append(ch.Remove, r.Num)
	}
	for _, j := range jobs {
		if !j.dropped {
			ch.Add = append(ch.Add, j.index...)
		}
	}
	if len(ch.Add) == 0 && len(ch.Remove) == 0 {
		return nil
	}
	return in.apply(ctx, in.caller.Tenant, sh, head, in.col.ID, ch)
}

// apply brings a committed change to the index: by the feed, where there is
// one, together with what others committed before it. The caller holds intake.
func (s *Service) apply(ctx context.Context, t consent.TenantID, sh *shelf, head CorpusPosition, c CollectionID, ch Change) error {
	if s.Feed == nil {
		return s.Index.Apply(ctx, c, ch)
	}
	// What is committed is finished, whether the client waits or not.
	return s.follow(context.WithoutCancel(ctx), t, sh, consent.Head{Corpus: uint64(head)}, ch.Add)
}

// discard destroys the keys of records that were not stored.
func (in *intake) discard(jobs []*job) {
	var refs []seal.Ref
	for _, j := range jobs {
		if !j.row.Key.IsZero() {
			refs = append(refs, j.row.Key)
		}
	}
	in.destroy(refs)
}

// unsettledAll is unsettled, of documents and of what they replace.
func (in *intake) unsettledAll(ctx context.Context, jobs []*job) {
	var olds []DocNum
	var added []IndexPassage
	for _, j := range jobs {
		if j.old != nil {
			olds = append(olds, j.old.Num)
		}
		added = append(added, j.index...)
	}
	in.unsettled(ctx, in.caller.Tenant, in.col.ID, olds, added)
}

// unsettled brings the index to what the rows say, after a transaction of
// which nobody knows whether it happened: what is not live goes, what is live
// comes. Where the rows cannot be read either, the next start does it.
func (s *Service) unsettled(ctx context.Context, t consent.TenantID, c CollectionID, olds []DocNum, added []IndexPassage) {
	if s.Outside != nil {
		return // whatever happened, reservations and debts say what is to be swept
	}
	if s.Feed != nil {
		return // which tells at the next call what became of it
	}
	ctx = context.WithoutCancel(ctx)
	nums := slices.Clone(olds)
	for _, p := range added {
		nums = append(nums, p.Head.Ref.Doc)
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	rows, err := s.Catalogue.Docs(ctx, t, nums)
	if err != nil {
		s.Log.Error("the index may lag behind the catalogue until the next start")
		return
	}
	live := make(map[DocNum]bool, len(rows))
	for _, r := range rows {
		live[r.Num] = true
	}
	var ch Change
	for _, num := range nums {
		if !live[num] {
			ch.Remove = append(ch.Remove, num)
		}
	}
	for _, p := range added {
		if live[p.Head.Ref.Doc] {
			ch.Add = append(ch.Add, p)
		}
	}
	if err := s.Index.Apply(ctx, c, ch); err != nil {
		s.Log.Error("the index may lag behind the catalogue until the next start")
	}
}

// destroy destroys keys of what is stored no more. A failure leaves them to
// the next start: no row names them.
func (s *Service) destroy(refs []seal.Ref) {
	if len(refs) == 0 {
		return
	}
	if err := s.destroyNow(refs); err != nil {
		s.Log.Warn("unused keys left for the next deletion or start", "count", len(refs))
	}
}

// destroyNow destroys keys, and those that earlier calls could not: when it
// returns nil, none of them is left.
func (s *Service) destroyNow(refs []seal.Ref) error {
	s.mu.Lock()
	refs = append(slices.Clone(s.limbo), refs...)
	s.mu.Unlock()
	if len(refs) == 0 {
		return nil
	}
	err := s.Records.Destroy(refs...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limbo = slices.DeleteFunc(s.limbo, func(r seal.Ref) bool { return slices.Contains(refs, r) })
	if err != nil {
		s.limbo = append(s.limbo, refs...)
	}
	return err
}

func (in *intake) remember(ctx context.Context, jobs []*job, head consent.Head) (consent.Remembered, error) {
	corpus, err := in.Catalogue.CorpusHead(ctx, in.caller.Tenant)
	if err != nil {
		return consent.Remembered{}, err
	}
	r := Ingested{Ledger: head.Position, Corpus: corpus, Results: slices.Clone(in.out.Results)}
	stored := map[*DocResult]*job{}
	for _, j := range jobs {
		stored[j.result] = j
	}
	for i := range r.Results {
		if j := stored[&in.out.Results[i]]; j != nil && !j.dropped {
			r.Results[i] = DocResult{Status: Stored, Passages: len(j.bodies)}
			r.Corpus++
			if j.old != nil {
				r.Corpus++
			}
		}
	}
	outcome, err := r.outcome()
	if err != nil {
		return consent.Remembered{}, err
	}
	return in.Ledger.Remember(ctx, in.caller.Tenant, in.once, outcome, head.Now)
}
