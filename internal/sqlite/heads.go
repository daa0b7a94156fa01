package sqlite

import (
	"context"
	"sync"

	"github.com/assent-gateway/assent/consent"
)

// heads keeps the committed ledger heads of the tenants asked for. Only the
// holder of the turn calls publish and forget; a head read from the file is
// kept only when neither happened meanwhile.
type heads struct {
	mu    sync.Mutex
	known map[consent.TenantID]mark
	edits uint64
}

// A mark is a ledger head as committed, and the time recorded there.
type mark struct {
	position consent.Position
	recorded consent.Time
}

// at is the head as the clock shows it; the clock never shows less than what
// is recorded.
func (m mark) at(clock consent.Time) consent.Head {
	return consent.Head{Position: m.position, Now: max(clock, m.recorded)}
}

func (h *heads) get(t consent.TenantID) (m mark, known bool, edits uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, known = h.known[t]
	return m, known, h.edits
}

func (h *heads) keep(t consent.TenantID, m mark, edits uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.edits == edits {
		h.set(t, m)
	}
}

func (h *heads) publish(t consent.TenantID, m mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.edits++
	h.set(t, m)
}

func (h *heads) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.edits++
	h.known = nil
}

func (h *heads) set(t consent.TenantID, m mark) {
	if h.known == nil {
		h.known = map[consent.TenantID]mark{}
	}
	h.known[t] = m
}

// readMark reads a tenant's ledger head.
func readMark(ctx context.Context, from source, doing string, t consent.TenantID) (mark, error) {
	var m mark
	found, err := one(ctx, from, doing, `SELECT t.ledger_head, l.recorded_at FROM tenants t
		LEFT JOIN ledger l ON l.tenant = t.id AND l.position = t.ledger_head
		WHERE t.id = ?`, []any{t}, into(&m.position), into(&m.recorded))
	if err == nil && !found {
		err = consent.ErrUnknownTenant
	}
	return m, err
}
