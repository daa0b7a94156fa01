package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/assent-gateway/assent/internal/seal"
)

// OnceOf returns the Once of a request: which credential and route, under
// which key, with which body. Nothing of them can be read from it.
func (l *Ledger) OnceOf(ctx context.Context, id TenantID, credential, route, key string, body []byte) (Once, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Once{}, err
	}
	return Once{
		Key:  seal.MAC(t.keys.MAC, "assent idempotency key", []byte(credential), []byte(route), []byte(key)),
		Body: seal.MAC(t.keys.MAC, "assent idempotency body", body),
	}, nil
}

// EventOnce returns the Once of an event that came in: a MAC of its source and
// id, whoever delivers it, in whatever form. It is remembered for good: brokers
// keep events for as long as they like, and a replay of a topic years later
// must not apply one again.
func (l *Ledger) EventOnce(ctx context.Context, id TenantID, source, event string) (Once, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Once{}, err
	}
	return Once{
		Key:   seal.MAC(t.keys.MAC, "assent event", []byte(source), []byte(event)),
		Body:  seal.MAC(t.keys.MAC, "assent event"),
		since: math.MaxInt64,
	}, nil
}

// Applied reports whether an event was applied, and where in the ledger. What
// it says is in the journal, too, when this returns.
func (l *Ledger) Applied(ctx context.Context, id TenantID, once Once) (at Position, applied bool, err error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return 0, false, err
	}
	outcome, found, err := l.recall(ctx, t, once)
	if err != nil || !found {
		return 0, false, err
	}
	var r Recorded
	if json.Unmarshal(outcome, &r) != nil {
		return 0, false, fmt.Errorf("%w: a remembered outcome", ErrTampered)
	}
	return r.Position, true, asJournaled(l.completeJournal(ctx, t, r.Position))
}

func asJournaled(err error) error {
	if err == nil {
		return nil
	}
	return asUnavailable(err)
}

// ApplyNow remembers an event that changed nothing, because what it asks for
// was under way by an entry at a position.
func (l *Ledger) ApplyNow(ctx context.Context, id TenantID, once Once, at Position) error {
	outcome, err := json.Marshal(Recorded{Position: at})
	if err != nil {
		return err
	}
	return l.RememberNow(ctx, id, once, outcome)
}

// Recall returns the outcome that was remembered for a request, if it was made
// before; ErrKeyMismatch when its key was used with another body.
func (l *Ledger) Recall(ctx context.Context, id TenantID, once Once) (outcome []byte, found bool, err error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, false, err
	}
	return l.recall(ctx, t, once)
}

func (l *Ledger) recall(ctx context.Context, t *tenant, once Once) ([]byte, bool, error) {
	r, found, err := l.store.Recall(ctx, t.id, once.Key)
	if err != nil || !found {
		return nil, false, err
	}
	if r.Body != once.Body {
		return nil, false, ErrKeyMismatch
	}
	outcome, err := seal.Open(t.keys.Payload, r.Outcome, once.Key[:])
	if err != nil {
		return nil, false, fmt.Errorf("%w: a remembered outcome", ErrTampered)
	}
	return outcome, true, nil
}

// Remember seals an outcome, for a port that commits it with its write.
func (l *Ledger) Remember(ctx context.Context, id TenantID, once Once, outcome []byte, now Time) (Remembered, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Remembered{}, err
	}
	return l.remembered(t, once, outcome, now), nil
}

func (l *Ledger) remembered(t *tenant, once Once, outcome []byte, now Time) Remembered {
	return Remembered{Key: once.Key, Body: once.Body, At: max(now, once.since), Outcome: seal.Seal(t.keys.Payload, outcome, once.Key[:])}
}

// RememberNow commits an outcome by itself, for writes that repeat to the same
// end anyway: a crash between the write and this call only makes a repeat do
// the write again.
func (l *Ledger) RememberNow(ctx context.Context, id TenantID, once Once, outcome []byte) error {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return err
	}
	err = l.store.Append(ctx, id, func(head Head) (Batch, error) {
		return Batch{Remember: []Remembered{l.remembered(t, once, outcome, head.Now)}}, nil
	})
	if errors.Is(err, ErrRemembered) {
		return nil
	}
	return err
}
