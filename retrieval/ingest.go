package retrieval

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// maxAttempts bounds how often an ingest looks again after another one
// changed the same documents meanwhile.
const maxAttempts = 8

// Ingest stores documents; each gets a result by itself. It returns when what
// is stored is durable and found by every search that begins later.
//
// Order: decide (purpose embedding, before a text goes anywhere), chunk,
// embed, seal; sync the record keys; in one transaction decide again and
// commit; change the index; answer; destroy the keys of what was replaced.
// A crash before the commit leaves keys that no row names, wiped at the next
// start; after it, the documents are there and the repeat of the request finds
// them unchanged.
func (s *Service) Ingest(ctx context.Context, c Caller, collection string, docs []Submission, once consent.Once) (Ingested, error) {
	col, err := s.collection(ctx, c, collection)
	if err != nil {
		return Ingested{}, err
	}
	if once != (consent.Once{}) {
		outcome, found, err := s.Ledger.Recall(ctx, c.Tenant, once)
		if err != nil {
			return Ingested{}, err
		}
		if found {
			return recallIngest(outcome, docs)
		}
	}
	head, err := s.Ledger.Head(ctx, c.Tenant)
	if err != nil {
		return Ingested{}, err
	}
	out := Ingested{Ledger: head.Position, Results: make([]DocResult, len(docs))}
	rest := make([]*job, 0, len(docs))
	for i := range docs {
		out.Results[i].ID = docs[i].ID
		err := docs[i].Err
		if err == nil {
			err = docs[i].Document.check(c, head.Now.Time())
		}
		if err != nil {
			out.Results[i].invalid(err)
			continue
		}
		rest = append(rest, &job{doc: &docs[i].Document, result: &out.Results[i]})
	}
	kept := once == (consent.Once{})
	// Documents of one id are stored one after the other, in their order.
	for len(rest) > 0 {
		var now, later []*job
		seen := map[string]bool{}
		for _, j := range rest {
			if seen[j.doc.ID] {
				later = append(later, j)
			} else {
				seen[j.doc.ID] = true
				now = append(now, j)
			}
		}
		// Only a batch in one transaction can be remembered with it.
		remember := once
		if len(later) > 0 {
			remember = consent.Once{}
		}
		in := &intake{Service: s, caller: c, col: col, out: &out, once: remember, batch: rand.Text()}
		if err := in.run(ctx, now); err != nil {
			return Ingested{}, err
		}
		kept = kept || in.remembered
		rest = later
	}
	if out.Corpus == 0 {
		if out.Corpus, err = s.Catalogue.CorpusHead(ctx, c.Tenant); err != nil {
			return Ingested{}, err
		}
	}
	if !kept {
		outcome, err := out.outcome()
		if err != nil {
			return Ingested{}, err
		}
		if err := s.Ledger.RememberNow(ctx, c.Tenant, once, outcome); err != nil {
			return Ingested{}, err
		}
	}
	return out, nil
}

func (r *DocResult) invalid(err error) {
	r.Status = InvalidDoc
	var input *InputError
	if errors.As(err, &input) {
		r.Field, r.Reason = input.Field, input.Reason
	}
}

// A job is one document on its way.
type job struct {
	doc       *Document
	result    *DocResult
	lookup    [32]byte
	digest    [32]byte
	owners    []consent.SubjectNum
	mentions  []consent.SubjectNum
	known     consent.People // as far as people are known already
	old       *DocRow        // the live version it replaces
	newOwners bool           // it changes owners or mentions of the old one
	row       DocRow
	heads     []PartRow
	bodies    []PartRow
	index     []IndexPassage
	dropped   bool // refused under the locks
}

// intake is one attempt to store one batch without repeated ids.
type intake struct {
	*Service
	caller Caller
	col    *Collection
	out    *Ingested
	once   consent.Once
	keys   Keys
	at     consent.Time // provenance: when, and which batch
	batch  string

	remembered bool
}

func (in *intake) run(ctx context.Context, jobs []*job) (err error) {
	if in.keys, err = in.Service.keys(in.caller.Tenant); err != nil {
		return err
	}
	if jobs, err = in.decide(ctx, jobs); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		err = in.store(ctx, jobs)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, consent.ErrSubjectExists) || attempt == maxAttempts {
			return err
		}
	}
}

// decide refuses what the ledger refuses, before any text is worked on. People
// nobody named before are judged as such and leave no trace.
func (in *intake) decide(ctx context.Context, jobs []*job) ([]*job, error) {
	head, err := in.Ledger.Head(ctx, in.caller.Tenant)
	if err != nil {
		return nil, err
	}
	people := make([]consent.People, len(jobs))
	for i, j := range jobs {
		j.known = consent.People{Nobody: j.doc.Nobody}
		if j.known.Owners, err = in.numbers(ctx, j.doc.Owners); err != nil {
			return nil, err
		}
		if j.known.Mentions, err = in.numbers(ctx, j.doc.Mentions); err != nil {
			return nil, err
		}
		people[i] = j.known
	}
	decisions, err := in.Ledger.Judge(ctx, in.caller.Tenant, head, in.col.Rule(), people)
	if err != nil {
		return nil, err
	}
	in.out.Ledger, in.at = head.Position, head.Now
	kept := jobs[:0]
	for i, j := range jobs {
		if !decisions[i].Allowed {
			in.refuse(j, decisions[i])
			continue
		}
		kept = append(kept, j)
	}
	return kept, nil
}

func (in *intake) numbers(ctx context.Context, who []consent.Subject) ([]consent.SubjectNum, error) {
	nums := make([]consent.SubjectNum, len(who))
	for i, w := range who {
		num, err := in.Ledger.Find(ctx, in.caller.Tenant, w)
		if err != nil {
			return nil, err
		}
		nums[i] = num
	}
	return nums, nil
}

// NotPermitted is the reason given to callers that may not hear the ledger's.
const NotPermitted = "not_permitted"

func (in *intake) refuse(j *job, d consent.Decision) {
	*j.result = DocResult{ID: j.doc.ID, Status: Refused, Reason: NotPermitted}
	if in.caller.may(MayHearReasons) {
		j.result.Reason = string(d.Reason)
	}
}

// store tries to store jobs in one transaction.
func (in *intake) store(ctx context.Context, jobs []*job) error {
	roster, err := in.roster(ctx, jobs)
	if err != nil {
		return err
	}
	outcome := consent.RolledBack
	defer func() { in.Ledger.Settle(in.caller.Tenant, roster, outcome) }()
	changed, err := in.compare(ctx, jobs, roster)
	if err != nil {
		return err
	}
	if err := in.pin(ctx, changed); err != nil {
		return err
	}
	if changed, err = in.prepare(ctx, changed); err != nil {
		return err
	}
	if err := in.attest(ctx, changed); err != nil {
		return err
	}
	if err := in.seal(ctx, changed, roster); err != nil {
		return err
	}
	in.Step("slots.synced") // a crash here leaves record keys that no row names: wiped at the next start
	outcome, err = in.commit(ctx, changed, roster)
	return err
}

func (in *intake) roster(ctx context.Context, jobs []*job) (*consent.Roster, error) {
	var who []consent.Subject
	for _, j := range jobs {
		who = append(append(who, j.doc.Owners...), j.doc.Mentions...)
	}
	return in.Ledger.Roster(ctx, in.caller.Tenant, who)
}

// compare finds the live versions, settles what is unchanged, and refuses
// changes of owners by keys that may not make them.
func (in *intake) compare(ctx context.Context, jobs []*job, roster *consent.Roster) ([]*job, error) {
	lookups := make([][32]byte, len(jobs))
	for i, j := range jobs {
		j.lookup = in.docLookup(in.keys, in.col.ID, j.doc.ID)
		j.digest = in.digest(j.doc)
		j.owners = rosterNums(roster, j.doc.Owners)
		j.mentions = rosterNums(roster, j.doc.Mentions)
		j.old, j.dropped, j.newOwners = nil, false, false
		lookups[i] = j.lookup
	}
	rows, err := in.Catalogue.DocsByLookup(ctx, in.caller.Tenant, in.col.ID, lookups)
	if err != nil {
		return nil, err
	}
	live := make(map[[32]byte]*DocRow, len(rows))
	for i := range rows {
		live[rows[i].Lookup] = &rows[i]
	}
	var changed []*job
	for _, j := range jobs {
		j.old = live[j.lookup]
		if j.old == nil {
			changed = append(changed, j)
			continue
		}
		sameOwners := slices.Equal(sorted(j.old.Owners), j.owners) && j.old.Personal == !j.doc.Nobody
		sameMentions := slices.Equal(sorted(j.old.Mentions), j.mentions)
		j.newOwners = !sameOwners || !sameMentions
		switch {
		case j.newOwners && !in.caller.may(MayChangeOwners):
			field := "owners"
			if sameOwners {
				field = "mentions"
			}
			j.result.invalid(Invalid(field, "differ from those it was stored with, and the key may not change them"))
		case !j.newOwners && j.old.Digest == j.digest:
			*j.result = DocResult{ID: j.doc.ID, Status: Unchanged, Passages: int(j.old.Passages)}
		default:
			changed = append(changed, j)
		}
	}
	return changed, nil
}

func rosterNums(r *consent.Roster, who []consent.Subject) []consent.SubjectNum {
	nums := make([]consent.SubjectNum, 0, len(who))
	for _, w := range who {
		nums = append(nums, r.Num(w))
	}
	return sorted(nums)
}

// sorted returns the distinct numbers, ascending.
func sorted(nums []consent.SubjectNum) []consent.SubjectNum {
	nums = slices.Clone(nums)
	slices.Sort(nums)
	return slices.Compact(nums)
}

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
	if sh.byID[in.col.ID] == nil { // dropped meanwhile
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
	if err == nil {
		in.Step("tx.committed") // a crash here: the documents are there, the next start indexes them
		err = in.apply(ctx, jobs, retired)
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrConflict), errors.Is(err, consent.ErrSubjectExists), errors.Is(err, consent.ErrRemembered), !confirmed:
		in.discard(jobs)
		return consent.RolledBack, err
	default:
		// It may have happened. Keys stay: the next start wipes what no row
		// names. The caller repeats.
		var olds []DocNum
		var added []IndexPassage
		for _, j := range jobs {
			if j.old != nil {
				olds = append(olds, j.old.Num)
			}
			added = append(added, j.index...)
		}
		in.unsettled(ctx, in.caller.Tenant, in.col.ID, olds, added)
		return consent.Unknown, err
	}
	in.remembered = in.once != (consent.Once{})
	in.Step("applied")
	in.out.Corpus = head
	var gone []seal.Ref
	for _, j := range jobs {
		if j.dropped {
			gone = append(gone, j.row.Key)
			continue
		}
		*j.result = DocResult{ID: j.doc.ID, Status: Stored, Passages: len(j.bodies)}
	}
	in.destroy(append(gone, keysOf(retired)...))
	return consent.Committed, nil
}

// confirm builds the transaction under its locks: what the ledger refuses by
// now is left out.
func (in *intake) confirm(ctx context.Context, head consent.Head, jobs []*job, roster *consent.Roster) (Intake, error) {
	people := make([]consent.People, len(jobs))
	for i, j := range jobs {
		people[i] = consent.People{Owners: j.owners, Mentions: j.mentions, Nobody: j.doc.Nobody}
	}
	decisions, err := in.Ledger.Judge(ctx, in.caller.Tenant, head, in.col.Rule(), people)
	if err != nil {
		return Intake{}, err
	}
	roster.Reset()
	in.out.Ledger = head.Position
	var out Intake
	for i, j := range jobs {
		j.dropped = !decisions[i].Allowed
		if j.dropped {
			in.refuse(j, decisions[i])
			continue
		}
		j.row.DecidedAt = head.Position
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

// apply changes the index: replaced versions go in the same step in which
// their replacements come.
func (in *intake) apply(ctx context.Context, jobs []*job, retired []DocRow) error {
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
	return in.Index.Apply(ctx, in.col.ID, ch)
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

// unsettled brings the index to what the rows say, after a transaction of
// which nobody knows whether it happened: what is not live goes, what is live
// comes. Where the rows cannot be read either, the next start does it.
func (s *Service) unsettled(ctx context.Context, t consent.TenantID, c CollectionID, olds []DocNum, added []IndexPassage) {
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

// outcome is what is kept of an ingest under an Idempotency-Key: no ids, the
// repeated body has them.
func (r Ingested) outcome() ([]byte, error) {
	r.Results = slices.Clone(r.Results)
	for i := range r.Results {
		r.Results[i].ID = ""
	}
	return json.Marshal(r)
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

func recallIngest(outcome []byte, docs []Submission) (Ingested, error) {
	var r Ingested
	if err := json.Unmarshal(outcome, &r); err != nil || len(r.Results) != len(docs) {
		return Ingested{}, consent.ErrTampered
	}
	for i := range r.Results {
		r.Results[i].ID = docs[i].ID
	}
	return r, nil
}
