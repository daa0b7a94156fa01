package postgres

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/assent-gateway/assent/consent"
)

// channel carries lines of "position tenant" for what was appended. The id of
// a tenant is one that we drew: it says nothing of the tenant.
const channel = "assent_head"

// maxPayload is below what a notification may hold, 7999 bytes.
const maxPayload = 7000

// A waker notifies of heads, several at once when they come faster than they
// are sent.
//
// Not inside the transaction: a transaction that notifies holds one lock of
// the whole server while it commits, so that commits of all tenants queue up
// behind each other's syncs (measured with 16 tenants: a third to a seventh of
// the throughput). Nothing is lost that was promised: a notification only
// wakes earlier.
type waker struct {
	send func(map[consent.TenantID]consent.Position)

	mu      sync.Mutex
	waiting map[consent.TenantID]consent.Position
	sending bool
}

// tell has a head sent soon. A sender lives only while there is something to send.
func (w *waker) tell(t consent.TenantID, p consent.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[consent.TenantID]consent.Position{}
	}
	w.waiting[t] = max(p, w.waiting[t])
	if w.sending {
		return
	}
	w.sending = true
	go func() {
		for heads := w.take(); heads != nil; heads = w.take() {
			w.send(heads)
		}
	}()
}

// take returns what waits; nil ends the sender.
func (w *waker) take() map[consent.TenantID]consent.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	heads := w.waiting
	w.waiting, w.sending = nil, heads != nil
	return heads
}

// notify sends heads. Its transaction has nothing to make durable, and waits
// for no disk and no standby.
func (db *DB) notify(heads map[consent.TenantID]consent.Position) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = db.on(ctx, db.readers, "notify", func(s *session) error {
		x := &tx{session: s, db: db, ctx: ctx}
		defer x.rollback()
		b := x.batch()
		b.exec(nil, `SET LOCAL synchronous_commit TO off`)
		for _, payload := range payloads(heads) {
			b.exec(nil, `SELECT pg_notify('`+channel+`', $1)`, payload)
		}
		b.exec(nil, `COMMIT`)
		return b.send()
	})
}

// payloads packs heads into as few notifications as hold them.
func payloads(heads map[consent.TenantID]consent.Position) []string {
	var out []string
	var b strings.Builder
	for _, t := range slices.Sorted(maps.Keys(heads)) {
		line := strconv.FormatUint(uint64(heads[t]), 10) + " " + string(t) + "\n"
		if b.Len() > 0 && b.Len()+len(line) > maxPayload {
			out = append(out, b.String())
			b.Reset()
		}
		b.WriteString(line)
	}
	return append(out, b.String())
}

// eachHead calls f with the heads of a payload.
func eachHead(payload string, f func(consent.TenantID, consent.Position)) {
	for line := range strings.Lines(payload) {
		digits, tenant, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if p, err := strconv.ParseUint(digits, 10, 63); err == nil && tenant != "" {
			f(consent.TenantID(tenant), consent.Position(p))
		}
	}
}
