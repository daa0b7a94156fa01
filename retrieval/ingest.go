package retrieval

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
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
	ctx, end := s.Observer.Begin(ctx, StepIngest)
	out, err := s.ingest(ctx, c, collection, docs, once)
	end(err)
	for _, r := range out.Results {
		s.Observer.Ingested(r.Status)
	}
	return out, err
}

func (s *Service) ingest(ctx context.Context, c Caller, collection string, docs []Submission, once consent.Once) (Ingested, error) {
	sh, head, err := s.current(ctx, c.Tenant)
	if err != nil {
		return Ingested{}, err
	}
	col, err := sh.find(c, collection)
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
		err := in.run(ctx, now)
		if errors.Is(err, consent.ErrRemembered) { // its repeat was faster, at another gateway
			outcome, _, err := s.Ledger.Recall(ctx, c.Tenant, once)
			if err != nil {
				return Ingested{}, err
			}
			return recallIngest(outcome, docs)
		}
		if err != nil {
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
	by        []Attribution  // of supplied passages, in their order; nil: none
	known     consent.People // as far as people are known already
	old       *DocRow        // the live version it replaces
	newOwners bool           // it changes owners or mentions of the old one
	row       DocRow
	heads     []PartRow
	bodies    []PartRow
	index     []IndexPassage
	dropped   bool     // refused under the locks
	was       *DocMeta // of the version it is made from, where it is no ingest
}

// intake is one attempt to store one batch without repeated ids.
type intake struct {
	*Service
	caller Caller
	col    *Collection
	out    *Ingested
	once   consent.Once
	keys   Keys
	began  consent.Position // of the ledger, when the ingest was first decided
	at     consent.Time     // provenance: when, and which batch
	batch  string

	placed   *Generations // of the collection, before it was placed outside
	placedAs []byte       // and its row then
	moved    bool         // a generation began meanwhile

	chosen     bool // col has a pin that is not saved yet
	remembered bool
	committed  bool     // the last commit is done, whatever came after it
	replaced   []DocRow // by the last commit
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
		sh, _, err := in.current(ctx, in.caller.Tenant) // perhaps the collection changed
		if err == nil && in.moved {
			in.moved = false
			err = in.reshelve(ctx, in.caller.Tenant, sh)
		}
		if err != nil {
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
	in.out.Ledger, in.at, in.began = head.Position, head.Now, head.Position
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
	// What names the keys made here commits within their lease.
	ctx, cancel := context.WithTimeout(ctx, consent.KeyLease)
	defer cancel()
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
	if err := in.choose(changed); err != nil {
		return err
	}
	if changed, err = in.prepare(ctx, changed); err != nil {
		return err
	}
	if err := in.pin(ctx, changed); err != nil {
		return err
	}
	if err := in.attest(ctx, changed); err != nil {
		return err
	}
	if err := in.seal(ctx, changed, roster); err != nil {
		return err
	}
	in.Step("slots.synced") // a crash here leaves record keys that no row names: wiped at the next start
	if changed, err = in.place(ctx, changed); err != nil {
		return err
	}
	outcome, err = in.commit(ctx, changed, roster)
	if err == nil && in.Outside != nil {
		if err := in.withdraw(ctx, in.caller.Tenant, in.col.ID, numsOf(in.replaced)); err != nil {
			in.Log.Warn("replaced versions left in the index for the sweeper", "count", len(in.replaced))
		}
	}
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
		j.by = attributions(roster, j.doc.Passages)
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
		case !j.newOwners && j.old.Digest == j.digest && !in.Ledger.Condemned(in.caller.Tenant, pieceOf(j.old)):
			*j.result = DocResult{ID: j.doc.ID, Status: Unchanged, Passages: int(j.old.Passages)}
		default:
			changed = append(changed, j)
		}
	}
	return changed, nil
}

// attributions are what passages say of people, by number; nil when none says
// anything.
func attributions(r *consent.Roster, passages []Passage) []Attribution {
	var out []Attribution
	for i, p := range passages {
		a := Attribution{Author: r.Num(p.Author), Mentions: rosterNums(r, p.Mentions)}
		if a.empty() {
			continue
		}
		if out == nil {
			out = make([]Attribution, len(passages))
		}
		out[i] = a
	}
	return out
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

// outcome is what is kept of an ingest under an Idempotency-Key: no ids, the
// repeated body has them.
func (r Ingested) outcome() ([]byte, error) {
	r.Results = slices.Clone(r.Results)
	for i := range r.Results {
		r.Results[i].ID = ""
	}
	return json.Marshal(r)
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
