package erasure

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// A count is of a tenant's erasures of people within a day, by whom they were
// asked for. It is read from their rows, so that it holds what other gateways
// took, and what was taken before this process began.
type count struct {
	upTo consent.Time    // everything made before it is counted
	at   map[string]bool // what was made then and is counted, too
	by   map[string][]consent.Time
	now  map[string]map[string]bool // on their way in this process, by id
}

// mass reports whether a key asked for so many people's erasures within a day
// that another key has to approve this one; so it does when they cannot be
// counted. done has to be called when the request has a row, or failed.
func (s *Service) mass(ctx context.Context, k Keys, t consent.TenantID, by, id string) (wait bool, done func()) {
	s.counting.Lock()
	defer s.counting.Unlock()
	c := s.counts[t]
	if c == nil {
		c = &count{by: map[string][]consent.Time{}, now: map[string]map[string]bool{}}
		s.counts[t] = c
	}
	known := s.count(ctx, k, t, c) == nil
	wait = !known || len(c.by[by])+len(c.now[by]) >= s.MassLimit
	if c.now[by] == nil {
		c.now[by] = map[string]bool{}
	}
	c.now[by][id] = true
	return wait, func() {
		s.counting.Lock()
		defer s.counting.Unlock()
		c.arrived(by, id)
	}
}

func (c *count) arrived(by, id string) {
	if delete(c.now[by], id); len(c.now[by]) == 0 {
		delete(c.now, by)
	}
}

// count counts what was made since it last did, and forgets what is older than a day.
func (s *Service) count(ctx context.Context, k Keys, t consent.TenantID, c *count) error {
	const day, page = consent.Time(24 * time.Hour), 1000
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return err
	}
	since := head.Now - day
	// What was made at the same time as the last may have come since.
	for p := (Page{After: Cursor{Created: max(since, c.upTo-1)}, Limit: page}); ; {
		rows, err := s.Store.Erasures(ctx, t, p)
		if err != nil {
			return err
		}
		for i := range rows {
			c.add(k, t, &rows[i])
		}
		if len(rows) < page {
			break
		}
		p.After = Cursor{rows[page-1].Created, rows[page-1].ID}
	}
	for by, times := range c.by {
		for len(times) > 0 && times[0] <= since {
			times = times[1:]
		}
		if c.by[by] = times; len(times) == 0 {
			delete(c.by, by)
		}
	}
	return nil
}

// add counts a row, once. One whose job does not open is nobody's.
func (c *count) add(k Keys, t consent.TenantID, row *consent.ErasureRow) {
	if row.Created < c.upTo || c.at[row.ID] {
		return
	}
	if row.Created > c.upTo {
		c.upTo, c.at = row.Created, map[string]bool{}
	}
	c.at[row.ID] = true
	if j, err := openJob(k, t, row); err == nil && j.Scope == ScopeSubject {
		c.by[j.By] = append(c.by[j.By], row.Created)
		c.arrived(j.By, row.ID)
	}
}
