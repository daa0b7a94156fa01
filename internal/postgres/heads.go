package postgres

import (
	"context"
	"encoding/binary"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// A mark is a ledger head as committed, and the newest time recorded there.
type mark struct {
	position consent.Position
	recorded consent.Time
	replayed []byte // see replayedSQL
}

// replayedSQL is what consent.Head.Replayed is read from.
const replayedSQL = `(SELECT value FROM meta WHERE name = 'replayed')`

// at is the head as the clock shows it; the clock never shows less than what
// is recorded.
func (m mark) at(clock consent.Time) consent.Head {
	h := consent.Head{Position: m.position, Now: max(clock, m.recorded)}
	if len(m.replayed) == 8 {
		h.Replayed = binary.BigEndian.Uint64(m.replayed)
	}
	return h
}

// Head implements consent.Store. One statement reads head and clock, and that
// the server is a primary still: one that became a standby meanwhile, or that
// a proxy put in its place, is left and looked for once more.
func (db *DB) Head(ctx context.Context, t consent.TenantID) (h consent.Head, err error) {
	err = db.reading(ctx, "read the ledger's head", func(s *session) error {
		var m mark
		var server consent.Time
		var standby bool
		var corpus, shelf uint64
		found, err := s.one(ctx, `SELECT l.position, l.clock, `+clockSQL+`, pg_is_in_recovery(), c.position, c.shelf, `+replayedSQL+`
			FROM ledger_heads l JOIN corpus_heads c ON c.tenant = l.tenant WHERE l.tenant = $1`, []any{t},
			into(&m.position), into(&m.recorded), into(&server), &standby, into(&corpus), into(&shelf), &m.replayed)
		if err == nil && !found {
			err = consent.ErrUnknownTenant
		}
		h = m.at(db.clock(server))
		h.Corpus, h.Shelf = corpus, shelf
		return s.orStandby(standby, err)
	})
	if err != nil {
		return consent.Head{}, ledgerError(err)
	}
	return h, nil
}

// lockLedger adds the lock of a tenant's ledger head, and reads it.
func (b *batch) lockLedger(t consent.TenantID, m *mark) {
	b.head(`SELECT position, clock, `+replayedSQL+` FROM ledger_heads WHERE tenant = $1 FOR UPDATE`, t,
		into(&m.position), into(&m.recorded), &m.replayed)
}

// readLedger adds the reading of a tenant's ledger head without its lock.
func (b *batch) readLedger(t consent.TenantID, m *mark) {
	b.head(`SELECT position, clock, `+replayedSQL+` FROM ledger_heads WHERE tenant = $1`, t,
		into(&m.position), into(&m.recorded), &m.replayed)
}

// lockCorpus adds the lock of a tenant's corpus head, and reads it.
func (b *batch) lockCorpus(t consent.TenantID, p *retrieval.CorpusPosition) {
	b.head(`SELECT position FROM corpus_heads WHERE tenant = $1 FOR UPDATE`, t, into(p))
}

func (b *batch) head(query string, t consent.TenantID, dst ...any) {
	b.one(consent.ErrUnknownTenant, query, []any{t}, dst...)
}

// lockSubjects adds the locks of people's rows, ascending whatever the order
// given. Who has no row yet cannot be locked: two that make the same person
// meet at the unique lookup.
func (b *batch) lockSubjects(t consent.TenantID, nums []consent.SubjectNum) {
	if len(nums) > 0 {
		b.exec(nil, `SELECT FROM subjects WHERE tenant = $1 AND num = ANY ($2) ORDER BY num FOR UPDATE`, t, ints(nums))
	}
}
