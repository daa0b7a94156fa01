package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
)

const (
	relisten = 500 * time.Millisecond
	// silence is how long nothing may be heard before all heads are read: then
	// a server that went away without a word is noticed, and what a gateway
	// committed but died before it told is heard.
	silence = 30 * time.Second
)

// Listen calls f with the head of every tenant, and with every later head that
// any gateway commits or one after it, until ctx ends. After a connection
// broke it begins anew, all heads first. It wakes earlier; nothing may depend
// on it.
func (db *DB) Listen(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	for {
		if db.closed.Load() {
			return &failure{doing: "listen", kind: ErrClosed}
		}
		_ = db.listen(ctx, f) // why it ended does not matter: it begins anew
		select {
		case <-time.After(relisten):
		case <-ctx.Done():
			return nil
		}
	}
}

func (db *DB) listen(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	c, err := pgx.ConnectConfig(ctx, db.single.Copy())
	if err != nil {
		return fail("listen", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	s := &session{c: c, doing: "listen"}
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil { // before heads are read: none falls between
		return s.fail(err)
	}
	err = s.allHeads(ctx, f)
	for err == nil && !db.closed.Load() {
		err = s.hear(ctx, f)
	}
	return err
}

func (s *session) allHeads(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	return s.each(ctx, `SELECT tenant, position FROM ledger_heads`, nil, func(read scan) error {
		var t consent.TenantID
		var p consent.Position
		err := read((*string)(&t), into(&p))
		if err == nil {
			f(t, p)
		}
		return err
	})
}

// hear waits for one notification.
func (s *session) hear(ctx context.Context, f func(consent.TenantID, consent.Position)) error {
	quiet, cancel := context.WithTimeout(ctx, silence)
	n, err := s.c.WaitForNotification(quiet)
	cancel()
	switch {
	case err == nil:
		eachHead(n.Payload, f)
		return nil
	case ctx.Err() != nil || quiet.Err() == nil || s.c.IsClosed():
		return s.fail(err)
	}
	probe, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return s.allHeads(probe, f)
}
