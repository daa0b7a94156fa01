package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
)

// channel carries "position tenant" of every append. The tenant's id is one
// that we drew: it says nothing of the tenant.
const channel = "assent_head"

const (
	relisten    = 500 * time.Millisecond
	listenAlive = 30 * time.Second // how long silence may last before the connection is tried
)

// Listen calls f with the head of every tenant, and again with every head that
// any gateway commits, in commit order, until ctx ends. After a connection
// broke it begins anew, all heads first, so that f hears of everything
// committed, if late. It wakes earlier; nothing may depend on it.
func (db *DB) Listen(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	for {
		err := db.listen(ctx, f)
		switch {
		case ctx.Err() != nil:
			return nil
		case db.closed.Load():
			return &failure{doing: "listen", kind: ErrClosed}
		case err == nil:
			continue
		}
		select {
		case <-time.After(relisten):
		case <-ctx.Done():
			return nil
		}
	}
}

func (db *DB) listen(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	const doing = "listen"
	if db.closed.Load() {
		return &failure{doing: doing, kind: ErrClosed}
	}
	c, err := pgx.ConnectConfig(ctx, db.single.Copy())
	if err != nil {
		return fail(doing, err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil { // before heads are read: none falls between
		return fail(doing, err)
	}
	s := &session{c: c, doing: doing}
	err = s.each(ctx, `SELECT tenant, position FROM ledger_heads`, nil, func(read scan) error {
		var t consent.TenantID
		var p consent.Position
		if err := read((*string)(&t), into(&p)); err != nil {
			return err
		}
		f(t, p)
		return nil
	})
	for err == nil && !db.closed.Load() {
		err = s.hear(ctx, f)
	}
	return err
}

// hear waits for one notification. A connection over which nothing came for
// long is tried: a server that went away without a word is noticed so.
func (s *session) hear(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	quiet, cancel := context.WithTimeout(ctx, listenAlive)
	n, err := s.c.WaitForNotification(quiet)
	cancel()
	if err != nil {
		if ctx.Err() == nil && quiet.Err() != nil && !s.c.IsClosed() {
			probe, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return s.fail(s.c.Ping(probe))
		}
		return s.fail(err)
	}
	digits, tenant, _ := strings.Cut(n.Payload, " ")
	if p, err := strconv.ParseUint(digits, 10, 63); err == nil && tenant != "" {
		f(consent.TenantID(tenant), consent.Position(p))
	}
	return nil
}
