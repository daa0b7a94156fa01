package training

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// Status says whether a manifest still holds, the worst that applies.
type Status string

// The statuses, the worst first: its lease has ended; it holds an erased
// person; it holds somebody who no longer permits.
const (
	Expired Status = "expired"
	Revoked Status = "revoked"
	Stale   Status = "stale"
	Valid   Status = "valid"
)

// A Checked is the answer to whether a manifest still holds.
type Checked struct {
	Status    Status
	Position  consent.Position
	ExpiresAt consent.Time
	Drop      []Token // rows that must not be used any more, ascending by split, then token
	Reasons   map[string]uint64
}

// refusal is why the manifest's files are not served; nil when they are.
func (c *Checked) refusal() error {
	switch {
	case c.Reasons[whyErased] > 0:
		return ErrErased
	case c.Status == Expired:
		return ErrExpired
	case c.Status != Valid:
		return ErrStale
	}
	return nil
}

// Check judges a ready manifest at the ledger's head.
func (s *Service) Check(ctx context.Context, c Caller, id string) (Checked, error) {
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return Checked{}, err
	}
	return b.status(ctx)
}

func (b *build) status(ctx context.Context) (Checked, error) {
	out := Checked{ExpiresAt: b.job.ExpiresAt, Drop: []Token{}, Reasons: map[string]uint64{}}
	if b.row.Holder != b.Files.Holder() {
		return out, ErrElsewhere
	}
	st, err := b.standingOrNone(ctx)
	if err != nil {
		return out, err
	}
	out.Position = st.at
	parts, err := b.parts(ctx)
	if err != nil {
		return out, err
	}
	for i := range b.job.Shards {
		err := b.eachListed(i, parts[i], func(e *entry) error {
			if why := st.why(e); why != "" {
				out.Drop = append(out.Drop, e.token)
				out.Reasons[why]++
			}
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	switch {
	case b.job.ExpiresAt <= st.now:
		out.Status = Expired
	case out.Reasons[whyErased] > 0:
		out.Status = Revoked
	case len(out.Drop) > 0:
		out.Status = Stale
	default:
		out.Status = Valid
	}
	return out, nil
}
