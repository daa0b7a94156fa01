package translog

import (
	"context"

	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
)

// Sign signs a message that is no checkpoint with the newest key of a tenant's
// log. What is signed is domain, a newline and the message: a domain is not the origin of a
// log, so that no message can pass for a checkpoint.
func (l *Log) Sign(id consent.TenantID, domain string, msg []byte) ([]byte, error) {
	who, err := l.identity(id)
	if err != nil {
		return nil, err
	}
	return who.signers[0].Sign(append([]byte(domain+"\n"), msg...))
}

// Origin is the name of a tenant's log.
func (l *Log) Origin(id consent.TenantID) (string, error) {
	who, err := l.identity(id)
	return who.origin, err
}

// Prove waits for a checkpoint that covers all positions and returns a proof
// of each under it; ErrPending when ctx ends before. Of the checkpoint's
// signatures it keeps that of the newest key: whoever was given that key alone
// can check every byte.
func (l *Log) Prove(ctx context.Context, id consent.TenantID, positions []consent.Position) ([]Proof, error) {
	last := consent.Position(1)
	for _, p := range positions {
		last = max(last, p)
	}
	c, err := l.Await(ctx, id, last)
	if err != nil {
		return nil, err
	}
	who, err := l.identity(id)
	if err != nil {
		return nil, err
	}
	if c.Text, err = who.byNewest(c.Text); err != nil {
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

// byNewest returns a checkpoint of ours with the signature of the newest key
// alone; ErrPending when that key, which is new, has not signed yet.
func (id identity) byNewest(text []byte) ([]byte, error) {
	n, err := note.Open(text, note.VerifierList(id.active[0]))
	if err != nil {
		return nil, ErrPending
	}
	n.UnverifiedSigs = nil
	out, err := note.Sign(n)
	if err != nil {
		return nil, errCheckpoint
	}
	return out, nil
}
