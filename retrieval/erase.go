package retrieval

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// pieceOf is a document as an erasure's entry knows it.
func pieceOf(r *DocRow) consent.Piece {
	return consent.Piece{Collection: int64(r.Collection), Lookup: r.Lookup, Source: r.Source, DecidedAt: r.DecidedAt, Version: int64(r.Num)}
}

// Erased counts what one call of Erase took away.
type Erased struct{ Documents, Passages, Keys int }

// eraseBatch is how many documents one call of Erase takes away.
const eraseBatch = 1000

// Erase takes condemned documents away, a batch at a time: out of
// an index in memory, then their keys, then their rows and parts, then out of an
// index outside. It reports whether there may be more. A crash leaves rows that
// are condemned still, or debts, which are paid by the next call that finds
// nothing.
func (s *Service) Erase(ctx context.Context, t consent.TenantID, w Which) (Erased, bool, error) {
	retired, more, err := s.retire(ctx, t, w)
	if len(retired) == 0 {
		if err == nil && !more && s.Outside != nil { // perhaps the repeat of one that left objects
			_, err = s.Sweep(ctx, t)
		}
		return Erased{}, more && err == nil, err
	}
	out := Erased{Documents: len(retired), Keys: len(keysOf(retired))}
	for _, r := range retired {
		out.Passages += int(r.Passages)
	}
	if err != nil {
		return out, false, err
	}
	if s.Outside != nil { // with no lock held
		for c, nums := range byCollection(retired) {
			if err := s.withdraw(ctx, t, c, nums); err != nil {
				return out, false, err
			}
		}
	}
	return out, more, nil
}

// retire takes a batch of condemned versions out of an index in memory, destroys
// their keys and ends them. What it ended it returns also with an error.
func (s *Service) retire(ctx context.Context, t consent.TenantID, w Which) (retired []DocRow, more bool, err error) {
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return nil, false, err
	}
	// Under the same lock as an ingest's commit and its application: what was
	// committed is in the index, or not yet committed.
	sh.intake.Lock()
	defer sh.intake.Unlock()
	rows, err := s.condemned(ctx, t, w, eraseBatch)
	if err != nil {
		return nil, false, err
	}
	if len(rows) == 0 { // perhaps a deletion left keys
		return nil, false, s.destroyNow(nil)
	}
	if s.Outside == nil && s.Feed == nil { // first, so that rows are left to repeat by
		for c, nums := range byCollection(rows) {
			if err := s.Index.Apply(ctx, c, Change{Remove: nums}); err != nil {
				return nil, false, err
			}
		}
	}
	// Before the rows, which alone say which keys there are: a vault that gateways
	// share wipes what no row names only after a long while. Nobody reads these
	// versions any more.
	if err := s.destroyNow(keysOf(rows)); err != nil {
		return nil, false, err
	}
	s.Step("erase.keys") // a crash here: the rows are condemned still, and their keys are gone
	head, retired, err := s.Catalogue.Commit(ctx, t, nil, func(consent.Head) (Intake, error) {
		return Intake{Retire: numsOf(rows), Outside: s.Outside != nil}, nil
	})
	if errors.Is(err, ErrConflict) { // another gateway was faster with one of them
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	s.Step("erase.committed") // a crash here leaves nothing, but debts of an index outside
	if s.Feed != nil {
		if err := s.apply(ctx, t, sh, head, 0, Change{}); err != nil {
			return retired, false, err // the next call that follows the corpus takes them out
		}
	}
	return retired, len(rows) == eraseBatch, nil
}

func byCollection(rows []DocRow) map[CollectionID][]DocNum {
	out := map[CollectionID][]DocNum{}
	for _, r := range rows {
		out[r.Collection] = append(out[r.Collection], r.Num)
	}
	return out
}

// condemned returns at most limit live versions that w selects, in the order of
// their ingest.
func (s *Service) condemned(ctx context.Context, t consent.TenantID, w Which, limit int) ([]DocRow, error) {
	switch {
	case len(w.Versions) > 0:
	case w.ExpiredAt != 0:
		return s.expired(ctx, t, w, limit)
	default:
		return s.Condemning.Condemned(ctx, t, w, limit)
	}
	rows, err := s.Catalogue.Docs(ctx, t, w.Versions)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r DocRow) bool { return r.DecidedAt >= w.Before || r.From <= w.After })
	slices.SortFunc(rows, func(a, b DocRow) int { return cmp.Compare(a.From, b.From) })
	return rows[:min(limit, len(rows))], nil
}

// EachCondemned calls f with the numbers of live versions that w selects, some at
// a time, in the order of their ingest.
func (s *Service) EachCondemned(ctx context.Context, t consent.TenantID, w Which, f func([]DocNum) error) error {
	const page = 1000
	for {
		rows, err := s.condemned(ctx, t, w, page)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			w.Pass(&rows[i])
		}
		if err := f(numsOf(rows)); err != nil {
			return err
		}
	}
}

// Named says what a client's names of documents are in the catalogue. A
// collection that is not there has the number of none.
func (s *Service) Named(ctx context.Context, t consent.TenantID, collection, document, source string) (Which, error) {
	k, err := s.keys(t)
	if err != nil {
		return Which{}, err
	}
	w := Which{}
	if collection != "" {
		col, err := s.collection(ctx, Caller{Tenant: t}, collection)
		switch {
		case errors.Is(err, ErrNotFound):
			w.Collection = -1
		case err != nil:
			return Which{}, err
		default:
			w.Collection = col.ID
		}
	}
	if document != "" {
		w.Lookup = s.docLookup(k, w.Collection, document)
	}
	if source != "" {
		w.Source = seal.MAC(k.Catalogue, "assent source", []byte(source))
	}
	return w, nil
}

// Strays compares some of the documents that an index in memory holds with the
// catalogue, and takes out what has no live row. It returns how many there were.
// held is all that the index holds when it is called.
func (s *Service) Strays(ctx context.Context, t consent.TenantID, c CollectionID, some []DocNum, held func() []DocNum) (int, error) {
	suspects, err := s.rowless(ctx, t, c, some)
	if err != nil || len(suspects) == 0 {
		return 0, err
	}
	// Most were retired since they were listed. What still is there, when all that
	// happened until now has reached the index, nothing will take out.
	sh, _, err := s.current(ctx, t)
	if err != nil {
		return 0, err
	}
	sh.intake.Lock()
	defer sh.intake.Unlock()
	there := map[DocNum]bool{}
	for _, num := range held() {
		there[num] = true
	}
	suspects = slices.DeleteFunc(suspects, func(num DocNum) bool { return !there[num] })
	strays, err := s.rowless(ctx, t, c, suspects)
	if err != nil || len(strays) == 0 {
		return 0, err
	}
	return len(strays), s.Index.Apply(ctx, c, Change{Remove: strays})
}

// rowless are those of some documents that have no live row in a collection.
func (s *Service) rowless(ctx context.Context, t consent.TenantID, c CollectionID, nums []DocNum) (out []DocNum, err error) {
	for part := range slices.Chunk(nums, 1000) {
		rows, err := s.Catalogue.Docs(ctx, t, part)
		if err != nil {
			return nil, err
		}
		live := make(map[DocNum]bool, len(rows))
		for _, r := range rows {
			live[r.Num] = r.Collection == c
		}
		for _, num := range part {
			if !live[num] {
				out = append(out, num)
			}
		}
	}
	return out, nil
}
