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
	out, err := b.standsNow(ctx)
	if err != nil || out.Drop != nil || len(out.Reasons) == 0 {
		return out, err
	}
	out, _, _, err = b.judge(ctx) // what was remembered has no rows
	return out, err
}

// judge judges every row of a manifest, and returns by what, and whose rows
// they are.
func (b *build) judge(ctx context.Context) (Checked, *standing, map[consent.SubjectNum]bool, error) {
	out := Checked{ExpiresAt: b.job.ExpiresAt, Drop: []Token{}, Reasons: map[string]uint64{}}
	st, err := b.standingOrNone(ctx)
	if err != nil {
		return out, nil, nil, err
	}
	out.Position = st.at
	if err := st.documents(ctx, b); err != nil {
		return out, nil, nil, err
	}
	parts, err := b.parts(ctx)
	if err != nil {
		return out, nil, nil, err
	}
	members := map[consent.SubjectNum]bool{}
	for i := range b.job.Shards {
		err := b.eachListed(i, parts[i], func(e *entry) error {
			if why := st.why(e); why != "" {
				out.Drop = append(out.Drop, e.token)
				out.Reasons[why]++
			}
			e.people(members)
			return nil
		})
		if err != nil {
			return out, nil, nil, err
		}
	}
	out.conclude(st.now)
	return out, st, members, nil
}

// conclude says what the reasons come to at a time.
func (c *Checked) conclude(now consent.Time) {
	switch {
	case c.ExpiresAt <= now:
		c.Status = Expired
	case c.Reasons[whyErased] > 0:
		c.Status = Revoked
	case len(c.Reasons) > 0:
		c.Status = Stale
	default:
		c.Status = Valid
	}
}
