package httpapi

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/consent"
)

const onceHeader = "Idempotency-Key"

// once returns the Once of a write, zero without an Idempotency-Key. While the
// caller works, a repeat waits; release lets it on. Path and principal are
// part of what must be the same, together with the body.
func (c *call) once(body []byte) (once consent.Once, release func(), err error) {
	release = func() {}
	key, ok, err := c.header(onceHeader)
	if err != nil || !ok {
		return once, release, err
	}
	if key == "" || len(key) > 255 || strings.ContainsFunc(key, unprintable) {
		return once, release, invalid(onceHeader, "is not 1 to 255 printable ASCII characters")
	}
	var request []byte
	for _, part := range []string{c.r.URL.EscapedPath(), c.principal.Subject.Reveal(), string(body)} {
		request = append(binary.BigEndian.AppendUint32(request, uint32(len(part))), part...)
	}
	route := c.route.method + " " + c.route.path
	once, err = c.Ledger.OnceOf(c.ctx(), c.tenant(), c.key.ID, route, key, request)
	if err != nil {
		return consent.Once{}, release, err
	}
	release, err = c.locks.lock(c.ctx(), once.Key)
	return once, release, err
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

// outcome is what is kept of a write: never a text, an identifier or a secret.
type outcome struct {
	Status int    `json:"status"`
	ID     string `json:"id,omitempty"` // of what was made

	kept bool // it was committed with the write
}

// repeatable does a write, or returns the outcome of the first one that came
// with the same Idempotency-Key. An error is not remembered.
func (c *call) repeatable(body []byte, do func(consent.Once) (outcome, error)) (out outcome, replayed bool, err error) {
	once, release, err := c.once(body)
	defer release()
	if err != nil {
		return out, false, err
	}
	if once == (consent.Once{}) {
		out, err = do(once)
		return out, false, err
	}
	if out, replayed, err = c.recall(once); replayed || err != nil {
		return out, replayed, err
	}
	out, err = do(once)
	if errors.Is(err, consent.ErrRemembered) { // its repeat was faster, at another gateway
		return c.recall(once)
	}
	if err != nil || out.kept {
		return out, false, err
	}
	// The write is done and says so whether this succeeds or not: a repeat of
	// it comes to the same.
	if plain, err := json.Marshal(out); err != nil ||
		c.Ledger.RememberNow(context.WithoutCancel(c.ctx()), c.tenant(), once, plain) != nil {
		c.Log.Warn("the outcome of a write was not remembered", "route", c.route.path)
	}
	return out, false, nil
}

func (c *call) recall(once consent.Once) (out outcome, found bool, err error) {
	plain, found, err := c.Ledger.Recall(c.ctx(), c.tenant(), once)
	if err != nil || !found {
		return out, false, err
	}
	if json.Unmarshal(plain, &out) != nil || out.Status < http.StatusOK || out.Status > 299 {
		return out, false, consent.ErrTampered
	}
	return out, true, nil
}

// keyLocks is a lock for each key that somebody holds or waits for. The zero
// value is ready.
type keyLocks struct {
	mu   sync.Mutex
	held map[[32]byte]*keyLock
}

type keyLock struct {
	turn  chan struct{} // holds one token while nobody has the lock
	users int
}

// lock waits for its turn or for the end of ctx.
func (l *keyLocks) lock(ctx context.Context, key [32]byte) (release func(), err error) {
	l.mu.Lock()
	k := l.held[key]
	if k == nil {
		k = &keyLock{turn: make(chan struct{}, 1)}
		k.turn <- struct{}{}
		if l.held == nil {
			l.held = map[[32]byte]*keyLock{}
		}
		l.held[key] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case <-k.turn:
		return func() { k.turn <- struct{}{}; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return func() {}, ctx.Err()
	}
}

func (l *keyLocks) leave(key [32]byte, k *keyLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, key)
	}
}
