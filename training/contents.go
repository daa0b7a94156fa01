package training

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A manifest keeps, sealed in the database, the numbers of the documents of each
// of its shards, so that an erasure of documents finds it, wherever its files
// are. Of rows that were withheld it holds nothing. They are numbers of versions: of a document that was replaced, those of
// before are not known by its name any more.

func docsAAD(t consent.TenantID, id string, part int) []byte {
	return fmt.Appendf(nil, "assent manifest documents\x00%s\x00%s\x00%d", t, id, part)
}

// recordDocuments writes down which documents each shard holds. Repeatable.
func (b *build) recordDocuments(ctx context.Context, parts map[int]part) error {
	for i := range b.job.Shards {
		nums, err := b.documents(i, parts[i])
		if err != nil {
			return err
		}
		plain := make([]byte, 0, 8*len(nums))
		for _, num := range nums {
			plain = binary.BigEndian.AppendUint64(plain, uint64(num))
		}
		row := PartRow{Part: i, Sealed: seal.Seal(b.keys.Payload, plain, docsAAD(b.t, b.row.ID, i))}
		if err := b.Contents.PutDocuments(ctx, b.t, b.row.ID, row); err != nil {
			return err
		}
	}
	return nil
}

// documents are the numbers of the documents in the files of a shard, ascending.
func (b *build) documents(shard int, p part) (nums []int64, err error) {
	err = b.eachListed(shard, p, func(e *entry) error {
		nums = append(nums, e.doc)
		return nil
	})
	slices.Sort(nums)
	return slices.Compact(nums), err
}

// holds returns those of some documents, ascending, that a manifest holds.
func (b *build) holds(ctx context.Context, docs []int64) (held []int64, err error) {
	parts, err := b.Contents.DocumentsOf(ctx, b.t, b.row.ID)
	if err != nil {
		return nil, err
	}
	among := func(nums []int64) {
		for _, num := range docs {
			if _, found := slices.BinarySearch(nums, num); found {
				held = append(held, num)
			}
		}
	}
	for _, p := range parts {
		plain, err := seal.Open(b.keys.Payload, p.Sealed, docsAAD(b.t, b.row.ID, p.Part))
		if err != nil || len(plain)%8 != 0 {
			return nil, ErrDamaged
		}
		nums := make([]int64, 0, len(plain)/8)
		for ; len(plain) > 0; plain = plain[8:] {
			nums = append(nums, int64(binary.BigEndian.Uint64(plain)))
		}
		among(nums)
	}
	if len(parts) == 0 && b.row.Holder == b.Files.Holder() { // built before they were written down
		written, err := b.parts(ctx)
		if err != nil {
			return nil, err
		}
		for i := range b.job.Shards {
			nums, err := b.documents(i, written[i])
			if err != nil {
				return nil, err
			}
			among(nums)
		}
	}
	slices.Sort(held)
	return slices.Compact(held), nil
}

// HoldingDocuments returns the ready manifests that hold any of some documents, whose
// numbers are ascending.
func (s *Service) HoldingDocuments(ctx context.Context, t consent.TenantID, docs []int64) (rows []ManifestRow, err error) {
	err = s.eachHolding(ctx, t, docs, func(b *build, _ []int64) error {
		rows = append(rows, b.row)
		return nil
	})
	return rows, err
}

func (s *Service) eachHolding(ctx context.Context, t consent.TenantID, docs []int64, f func(*build, []int64) error) error {
	if len(docs) == 0 {
		return nil
	}
	rows, err := s.Contents.AllManifests(ctx, t)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.State != Ready {
			continue
		}
		b, err := s.open(t, row)
		if err != nil {
			return err
		}
		held, err := b.holds(ctx, docs)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			continue
		}
		if err := f(b, held); err != nil {
			return err
		}
	}
	return nil
}

// EraseDocuments destroys the copies of manifests that hold any of some documents,
// whose numbers are ascending and which are gone from the corpus: nobody can build
// with them any more. Their rows can still be told. What a build that failed left
// goes, since nobody knows what is in it. It reports how many copies there were, and
// whether builds are under way that may have read the documents: they are not
// stopped, and the caller comes again when they are ready; with patience at its end,
// they fail.
func (s *Service) EraseDocuments(ctx context.Context, t consent.TenantID, docs []int64, patience Patience) (erased int, building bool, err error) {
	if len(docs) == 0 {
		return 0, false, nil
	}
	if err := s.destroyLeft(); err != nil {
		return 0, false, err
	}
	rows, err := s.Contents.AllManifests(ctx, t) // before those that are ready: one that becomes so meanwhile is seen as building
	if err != nil {
		return 0, false, err
	}
	gone := func(one bool, err error) error {
		if one {
			erased++
		}
		return err
	}
	for _, row := range rows {
		switch {
		case row.Key.IsZero():
		case row.State == Failed, row.State == Building && patience == Ended:
			if err := gone(s.EraseCounted(ctx, t, row.ID)); err != nil {
				return erased, false, err
			}
		case row.State == Building:
			building = true
		}
	}
	err = s.eachHolding(ctx, t, docs, func(b *build, held []int64) error {
		// First: who has a copy hears what to drop, whatever becomes of the rest.
		if err := b.Contents.AddErased(ctx, t, b.row.ID, held); err != nil {
			return err
		}
		return gone(s.EraseCounted(ctx, t, b.row.ID)) // also where the row says that it is done: a crash may have left files
	})
	return erased, building, err
}

// Patience says whether builds are waited for.
type Patience uint8

// Of a caller that waits, and of one that does not any more.
const (
	Waits Patience = iota
	Ended
)
