package gateway

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/retrieval"
)

// redactPatience is for how long an erasure waits for an embedder that does not
// answer, before documents that were to be kept for others are removed.
const redactPatience = time.Hour

// jointStep keeps what is kept of documents of several people. It comes first:
// it needs the person's key, and what it leaves is removed.
func (g *Gateway) jointStep() erasure.Step {
	return erasure.Step{Name: "joint", Targets: []string{erasecheck.Catalogue, erasecheck.Index, erasecheck.RecordKeys}, Run: g.keepJoint}
}

// keepJoint ends when nobody holds what it leaves: what is held is not written anew,
// and would be removed by the next step, once it is released.
func (g *Gateway) keepJoint(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if o.Removal.Vectors {
		e, err := g.Retrieval.Strip(ctx, o.Tenant, erasecheck.WhichOf(o))
		if err == nil {
			err = g.heldUp(ctx, o)
		}
		return erasedOf(e), false, err
	}
	if o.Subject == 0 {
		return nil, false, nil
	}
	names, err := g.namesOf(ctx, o)
	if err != nil || names.Empty() {
		return nil, false, err
	}
	head, err := g.Ledger.Head(ctx, o.Tenant)
	if err != nil {
		return nil, false, err
	}
	patience := redactPatience
	if g.cfg.RedactPatience != 0 {
		patience = g.cfg.RedactPatience
	}
	e, err := g.Retrieval.Redact(ctx, o.Tenant, retrieval.Redaction{
		Which: erasecheck.WhichOf(o), Names: names, Late: head.Now > o.At+consent.Time(patience),
	})
	if err == nil {
		err = g.heldUp(ctx, o)
	}
	return erasedOf(e), false, err
}

// namesOf are the names of an erased person; none when the key that opens them
// is gone, or is not the one that they had any more.
func (g *Gateway) namesOf(ctx context.Context, o erasure.Order) (retrieval.Names, error) {
	who, err := g.identifiersOf(ctx, o)
	return retrieval.NamesOf(who), err
}

func (g *Gateway) identifiersOf(ctx context.Context, o erasure.Order) ([]consent.Subject, error) {
	rows, err := g.db.SubjectsBy(ctx, o.Tenant, []consent.SubjectNum{o.Subject})
	if err != nil || len(rows) == 0 || rows[0].Key != o.Key {
		return nil, err
	}
	return g.Ledger.Identifiers(ctx, o.Tenant, o.Subject)
}

func erasedOf(e retrieval.Erased) map[string]uint64 {
	return map[string]uint64{
		erasecheck.Catalogue: uint64(e.Documents), erasecheck.Index: uint64(e.Passages), erasecheck.RecordKeys: uint64(e.Keys),
	}
}
