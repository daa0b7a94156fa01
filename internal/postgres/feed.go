package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Feed = (*DB)(nil)

// docsCame reads live versions that came after a corpus position.
const docsCame = docSelect + `d.tenant || '' = $1 AND d.to_pos = 0 AND d.from_pos > $2 ORDER BY d.from_pos LIMIT $3`

const docsEnded = `SELECT num, collection, from_pos, to_pos FROM documents
	WHERE tenant || '' = $1 AND to_pos > 0 AND to_pos > $2`

// Changed implements retrieval.Feed: in pages over one snapshot.
func (db *DB) Changed(ctx context.Context, t consent.TenantID, after retrieval.CorpusPosition,
	f func(retrieval.DocRow, []retrieval.PartRow) error) (head retrieval.CorpusPosition, err error) {
	err = db.streaming(ctx, "read changes of documents", func(s *session) error {
		tx, err := s.c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return s.fail(err)
		}
		defer tx.Rollback(ctx)
		found, err := s.one(ctx, `SELECT position FROM corpus_heads WHERE tenant = $1`, []any{t}, into(&head))
		if err == nil && !found {
			err = consent.ErrUnknownTenant
		}
		if err != nil || head <= after {
			return err
		}
		if err := s.ended(ctx, t, after, f); err != nil {
			return err
		}
		return s.came(ctx, t, after, f)
	})
	if err != nil {
		return 0, err
	}
	return head, nil
}

// ended gives away what ended after a position.
func (s *session) ended(ctx context.Context, t consent.TenantID, after retrieval.CorpusPosition, f func(retrieval.DocRow, []retrieval.PartRow) error) error {
	return s.each(ctx, docsEnded, []any{t, int64(after)}, func(read scan) error {
		var d retrieval.DocRow
		if err := read(into(&d.Num), into(&d.Collection), into(&d.From), into(&d.To)); err != nil {
			return err
		}
		return f(d, nil)
	})
}

// came gives away what came after a position and is live.
func (s *session) came(ctx context.Context, t consent.TenantID, after retrieval.CorpusPosition, f func(retrieval.DocRow, []retrieval.PartRow) error) error {
	for last := after; ; {
		docs, err := s.docs(ctx, docsCame, t, int64(last), livePage)
		if err != nil || len(docs) == 0 {
			return err
		}
		last = docs[len(docs)-1].From
		for len(docs) > 0 {
			n := upTo(docs, liveParts)
			if err := s.giveLive(ctx, docs[:n], f); err != nil {
				return err
			}
			docs = docs[n:]
		}
	}
}
