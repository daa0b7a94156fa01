package gateway

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/retrieval"
)

// mentionStep looks for names of the person in documents of others. Its erasures
// are over by then, and the person's key is still there.
func (g *Gateway) mentionStep() erasure.Step {
	return erasure.Step{Name: "mentions", After: []string{"documents"}, Looks: true, Run: func(context.Context, erasure.Order) (map[string]uint64, bool, error) {
		return nil, false, nil
	}}
}

// reviewer implements erasure.Reviewer.
type reviewer struct{ g *Gateway }

func (r reviewer) Suspected(ctx context.Context, o erasure.Order, most int) ([][]byte, uint64, error) {
	if o.Subject == 0 {
		return nil, 0, nil
	}
	who, err := r.g.identifiersOf(ctx, o)
	if err != nil || len(who) == 0 {
		return nil, 0, err
	}
	found, total, err := r.g.Retrieval.Suspects(ctx, o.Tenant, o.Subject, who, most)
	if err != nil {
		return nil, 0, err
	}
	out := make([][]byte, len(found))
	for i := range found {
		if out[i], err = json.Marshal(&found[i]); err != nil {
			return nil, 0, err
		}
	}
	return out, uint64(total), nil
}

func suspectOf(what []byte) (s retrieval.Suspect, err error) {
	if json.Unmarshal(what, &s) != nil {
		err = erasure.ErrUnavailable
	}
	return s, err
}

func (r reviewer) Where(ctx context.Context, t consent.TenantID, what []byte) (erasure.Place, bool, error) {
	s, err := suspectOf(what)
	if err != nil {
		return erasure.Place{}, false, err
	}
	p, there, err := r.g.Retrieval.Place(ctx, t, s)
	return erasure.Place{Collection: p.Collection, Document: p.Document, Passages: p.Passages, Title: p.Title}, there, err
}

// Was is the version itself: it lives no more, and manifests may have its rows.
func (r reviewer) Was(what []byte) (consent.Removal, error) {
	s, err := suspectOf(what)
	return consent.Removal{Collection: int64(s.Collection), Versions: []int64{int64(s.Doc)}}, err
}

func (r reviewer) Redact(ctx context.Context, t consent.TenantID, what []byte) error {
	s, err := suspectOf(what)
	if err != nil {
		return err
	}
	if err = r.g.Retrieval.RedactSuspect(ctx, t, s); errors.Is(err, retrieval.ErrConflict) {
		return erasure.ErrState
	}
	return err
}
