package translog

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// Sign signs a message that is no checkpoint with a tenant's log key. What is
// signed is domain, a newline and the message: a domain is not the origin of a
// log, so that no message can pass for a checkpoint.
func (l *Log) Sign(id consent.TenantID, domain string, msg []byte) ([]byte, error) {
	who, err := l.identity(id)
	if err != nil {
		return nil, err
	}
	return who.sign(append([]byte(domain+"\n"), msg...)), nil
}

// Origin is the name of a tenant's log.
func (l *Log) Origin(id consent.TenantID) (string, error) {
	who, err := l.identity(id)
	return who.origin, err
}

// Prove waits for a checkpoint that covers all positions and returns a proof
// of each under it; ErrPending when ctx ends before.
func (l *Log) Prove(ctx context.Context, id consent.TenantID, positions []consent.Position) ([]Proof, error) {
	last := consent.Position(1)
	for _, p := range positions {
		last = max(last, p)
	}
	c, err := l.Await(ctx, id, last)
	if err != nil {
		return nil, err
	}
	out := make([]Proof, len(positions))
	for i, p := range positions {
		if out[i], err = l.Proof(ctx, id, p, c); err != nil {
			return nil, err
		}
	}
	return out, nil
}
