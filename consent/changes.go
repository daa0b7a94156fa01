package consent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// A Change is an entry of the ledger as it is told to others.
type Change struct {
	Row
	// Who is the person as they were named in the entry; zero when it is about
	// nobody, or nobody that can be named any more: their key is destroyed.
	Who Subject
	// Erasure is what an entry about an erasure says.
	Erasure ErasureEvent
	// Removal is what a KindRemoval is about.
	Removal Removal
	// Person is whose entry it is: of a suppression whoever is behind its mark, as
	// long as anybody can tell.
	Person SubjectNum
	// Order is the same for all entries about a person, and of an erasure of
	// documents; it names nobody.
	Order [16]byte
}

// Changes returns at most limit entries after a position, with what can be
// opened of them, and the position up to which it looked: the head's, unless
// limit came first.
func (l *Ledger) Changes(ctx context.Context, id TenantID, after Position, limit int) ([]Change, Position, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	var rows []Row
	err = l.store.Rows(ctx, id, after, func(row Row) error {
		if row.Position > head.Position || len(rows) == limit {
			return errEnough
		}
		rows = append(rows, row)
		return l.genuine(t, &row)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, 0, asUnavailable(err)
	}
	out := make([]Change, len(rows))
	for i := range rows {
		if out[i], err = l.change(t, rows[i]); err != nil {
			return nil, 0, err
		}
	}
	upTo := max(head.Position, after)
	if len(rows) > 0 && len(rows) == limit {
		upTo = rows[len(rows)-1].Position
	}
	return out, upTo, nil
}

func (l *Ledger) change(t *tenant, row Row) (Change, error) {
	c := Change{Row: row}
	switch row.Kind {
	case KindErasure, KindRemoval, KindHold, KindLift, KindErased:
		if json.Unmarshal(row.Sealed, &c.Erasure) != nil {
			return c, fmt.Errorf("%w: an entry about an erasure", ErrTampered)
		}
	}
	if row.Kind == KindRemoval {
		plain, err := seal.Open(t.keys.Payload, c.Erasure.What, whatAAD(t.id, row.Position))
		if err != nil || json.Unmarshal(plain, &c.Removal) != nil {
			return c, fmt.Errorf("%w: an entry about an erasure", ErrTampered)
		}
	}
	t.mu.RLock()
	who := t.who[row.Subject]
	c.Person = row.Subject
	// What is said about a suppression mark stands in line with what the person
	// said, as long as anybody can tell who that is.
	if s := t.suppressedFor(row.Subject, c.Erasure.ID); s != nil && s.link.num != 0 {
		c.Person = s.link.num
	}
	t.mu.RUnlock()
	order := binary.BigEndian.AppendUint64(nil, uint64(c.Person))
	if row.Subject == 0 {
		order = append(order, c.Erasure.ID...)
	}
	mac := seal.MAC(t.keys.MAC, "assent event order", order)
	c.Order = [16]byte(mac[:])
	if row.Kind != KindConsent {
		return c, nil
	}
	if who.key.IsZero() {
		return c, nil
	}
	key, err := l.vault.SubjectKey(who.key)
	if errors.Is(err, ErrKeyGone) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("%w: open a person's key", ErrUnavailable)
	}
	// One that does not open is of a key that the person had before.
	var audit Audit
	if plain, err := seal.Open(key, row.Sealed, rowAAD(t.id, row.Position)); err == nil && json.Unmarshal(plain, &audit) == nil {
		c.Who, _ = ParseSubject(audit.Subject)
	}
	return c, nil
}

// News returns a channel that is closed when this process applies the next
// entry. What other gateways enter it hears of when it is told, or asked.
func (l *Ledger) News(ctx context.Context, id TenantID) (<-chan struct{}, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news == nil {
		t.news = make(chan struct{})
	}
	return t.news, nil
}

// announce closes the channel of News. The caller holds mu.
func (t *tenant) announce() {
	if t.news != nil {
		close(t.news)
		t.news = nil
	}
}
