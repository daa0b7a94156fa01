package erasure

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// maxSuspects is how many suspected mentions of a person are kept for review;
// of more only their number is.
const maxSuspects = 250

// suspect is a suspected mention, in the job's sealed row: where it stands, in
// the form of whoever finds it. It holds no name.
type suspect struct {
	N    int    `json:"n"` // from 1; does not change
	What []byte `json:"what"`
	// Redacting: the name is to be taken out of it, and perhaps is. What copies of
	// the old text there are in manifests goes by an erasure of its own.
	Redacting bool `json:"redacting,omitempty"`
}

// A Reviewer finds texts of others that seem to name a person, and changes them.
type Reviewer interface {
	// Suspected returns at most most of them, and how many there are. It needs
	// the person's key: without it there is nothing to be looked for.
	Suspected(ctx context.Context, o Order, most int) (found [][]byte, total uint64, err error)
	// Where names one as clients do; false when it is not there any more.
	Where(ctx context.Context, t consent.TenantID, what []byte) (Place, bool, error)
	// Redact takes the name out of one; ErrState when it is not there any more, or
	// may not be embedded again.
	Redact(ctx context.Context, t consent.TenantID, what []byte) error
	// Was is the version that one was found in, for what is kept of it elsewhere.
	Was(what []byte) (consent.Removal, error)
}

// A Place is where a suspected mention is.
type Place struct {
	Collection, Document string
	Passages             []string
	Title                bool
}

// A Mention is a suspected mention that waits for review.
type Mention struct {
	N int
	Place
}

// Mentions returns suspected mentions of the erased person in documents of
// others that nobody decided about, and how many were found. What is not there
// any more is passed over. ErrNotFound.
func (s *Service) Mentions(ctx context.Context, t consent.TenantID, id string) (waiting []Mention, found uint64, err error) {
	k, row, err := s.row(ctx, t, id)
	if err != nil {
		return nil, 0, err
	}
	j, err := openJob(k, t, &row)
	if err != nil {
		return nil, 0, err
	}
	for _, m := range j.Suspects {
		place, there, err := s.Reviewer.Where(ctx, t, m.What)
		if err != nil {
			return nil, 0, err
		}
		if there {
			waiting = append(waiting, Mention{m.N, place})
		}
	}
	return waiting, j.Gathered.Suspected, nil
}

// Mentioned returns one that waits for review; ErrNotFound.
func (s *Service) Mentioned(ctx context.Context, t consent.TenantID, id string, n int) (Mention, error) {
	waiting, _, err := s.Mentions(ctx, t, id)
	if err != nil {
		return Mention{}, err
	}
	for _, m := range waiting {
		if m.N == n {
			return m, nil
		}
	}
	return Mention{}, ErrNotFound
}

// Action is what is decided about a suspected mention.
type Action string

// The actions.
const (
	ActIgnore Action = "ignore" // it is none, or may stay
	ActRemove Action = "remove" // its document is erased, by an erasure of its own
	ActRedact Action = "redact" // the name is taken out of it
)

// Review decides about a suspected mention, which is then forgotten. A crash
// between what is done and that leaves it to be decided again; what was being
// redacted, the next sweep goes on with (Resume).
func (s *Service) Review(ctx context.Context, t consent.TenantID, id string, n int, a Action, by string) error {
	begun, err := s.redacting(ctx, t, id, n)
	if begun && a != ActRedact {
		err = s.letBe(ctx, t, id, n, by)
	}
	switch {
	case err != nil:
		return err
	case begun && a == ActRedact:
		return s.redact(ctx, t, id, n, by)
	}
	m, err := s.Mentioned(ctx, t, id, n)
	if err != nil {
		return err
	}
	switch a {
	case ActIgnore:
	case ActRemove:
		_, err = s.Request(ctx, t, Request{
			Scope: ScopeDocument, Documents: Documents{Collection: m.Collection, Document: m.Document},
			Evidence: Evidence{Reason: "it mentions a person who was erased"}, By: by,
		})
	case ActRedact:
		return s.redact(ctx, t, id, n, by)
	default:
		err = &InputError{"action", "is none of ignore, remove and redact"}
	}
	if err != nil {
		return err
	}
	return s.mark(ctx, t, id, func(j *job) { j.forget(n) })
}

// forget takes a suspected mention from the list.
func (j *job) forget(n int) {
	var left []suspect
	for _, m := range j.Suspects {
		if m.N != n {
			left = append(left, m)
		}
	}
	j.Suspects = left
}

// look looks for suspected mentions, as a step asks, and returns what notes them in
// the job, whoever changed that meanwhile. A repeat after the person's key is gone
// finds nothing, and what was found before stays.
func (w *work) look(ctx context.Context) (note func(*job), err error) {
	order, err := w.order(ctx, w.j, w.t, &w.row)
	if err != nil {
		return nil, err
	}
	found, total, err := w.Reviewer.Suspected(ctx, order, maxSuspects)
	return func(j *job) {
		if total == 0 {
			return
		}
		j.Suspects, j.Gathered.Suspected = nil, total
		for i, what := range found {
			j.Suspects = append(j.Suspects, suspect{N: i + 1, What: what})
		}
	}, err
}
