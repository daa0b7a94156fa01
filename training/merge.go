package training

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/internal/seal"
)

// A merge puts sorted records into shards: each into its spool, its entry into
// the list, its leaf into the tree.
type merge struct {
	b       *build
	fkey    func() seal.Key
	tree    tree
	shards  []shard
	bySplit []uint64
	rows    *spool // of the shard in hand
	list    *spool
	closing errgroup.Group
	e       entry
	buf     []byte
	last    [keyLen]byte
	any     bool
}

// merge writes the spools and returns what manifest.json counts. When an
// earlier manifest of the same inputs kept its list, rows that can no longer
// be made take their place in the tree from there.
func (b *build) merge(ctx context.Context, s *scan, earlier *build) (*merge, error) {
	m := &merge{b: b, fkey: s.runs.key, bySplit: make([]uint64, len(b.job.Spec.Splits))}
	defer m.abort()
	kept := &keptList{b: earlier}
	defer kept.close()
	var e entry
	err := s.runs.merge(func(raw []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := kept.upTo(raw[:keyLen], &e, func() error { return m.add((&record{entry: e}).append(nil)) }); err != nil {
			return err
		}
		return m.add(raw)
	})
	if err == nil {
		err = kept.upTo(nil, &e, func() error { return m.add((&record{entry: e}).append(nil)) })
	}
	if err == nil {
		err = m.finish()
	}
	return m, err
}

// add puts a record behind the last one.
func (m *merge) add(rec []byte) error {
	e, src := &m.e, source{b: rec}
	if src.entry(e); src.failed {
		return ErrDamaged
	}
	if m.any && bytes.Compare(rec[:keyLen], m.last[:]) <= 0 || int(e.split) >= len(m.bySplit) {
		return fmt.Errorf("%w: rows out of order", ErrDamaged)
	}
	copy(m.last[:], rec)
	m.any = true
	if n := len(m.shards); n == 0 || m.shards[n-1].Split != int(e.split) || m.shards[n-1].Rows == uint64(m.b.ShardRows) {
		if err := m.next(int(e.split)); err != nil {
			return err
		}
	}
	m.shards[len(m.shards)-1].Rows++
	m.bySplit[e.split]++
	m.tree.add(e.leaf)
	if err := m.rows.write(rec); err != nil {
		return err
	}
	// The list has what the record begins with, and says that no more comes.
	m.buf = append(m.buf[:0], rec[:len(rec)-len(src.b)]...)
	m.buf[keyLen+32] &^= flagContent
	return m.list.write(m.buf)
}

// next begins a shard of a split, and one without rows of each split that was
// passed over: a split without rows has a file, too.
func (m *merge) next(split int) error {
	for {
		if err := m.end(); err != nil {
			return err
		}
		at := 0
		index := 0
		if n := len(m.shards); n > 0 {
			at, index = m.shards[n-1].Split, m.shards[n-1].Index+1
			if at < split {
				at, index = at+1, 0
			}
		}
		n := len(m.shards)
		var err error
		if m.rows, err = newSpool(m.b.Files, spoolPath(m.b.row.ID, n), m.fkey()); err != nil {
			return err
		}
		if m.list, err = newSpool(m.b.Files, listPath(m.b.row.ID, n), m.b.listKey()); err != nil {
			return err
		}
		m.shards = append(m.shards, shard{Split: at, Index: index})
		if at == split {
			return nil
		}
	}
}

// end makes the spools in hand durable, beside what goes on.
func (m *merge) end() error {
	for _, s := range []*spool{m.rows, m.list} {
		if s == nil {
			continue
		}
		if err := s.w.Flush(); err != nil {
			return err
		}
		m.closing.Go(func() error {
			return guarded(m.b.Log, func() error {
				defer s.f.Abort()
				return s.f.Commit()
			})
		})
	}
	m.rows, m.list = nil, nil
	return nil
}

func (m *merge) finish() error {
	last := len(m.bySplit) - 1
	if n := len(m.shards); n == 0 || m.shards[n-1].Split < last {
		if err := m.next(last); err != nil {
			return err
		}
	}
	if err := m.end(); err != nil {
		return err
	}
	if err := m.closing.Wait(); err != nil {
		return err
	}
	of := make([]int, len(m.bySplit))
	for _, s := range m.shards {
		of[s.Split]++
	}
	for i := range m.shards {
		m.shards[i].Of = of[m.shards[i].Split]
	}
	return nil
}

func (m *merge) abort() {
	_ = m.closing.Wait() // of a merge that failed before
	for _, s := range []*spool{m.rows, m.list} {
		if s != nil {
			s.f.Abort()
		}
	}
}

// A keptList walks over the list of an earlier manifest; without one it is empty.
type keptList struct {
	b     *build
	shard int
	reel  *reel
	begun bool
	more  bool
}

// upTo calls f with the entries before a key, and passes over the one that has
// it; nil: with all that are left.
func (k *keptList) upTo(key []byte, e *entry, f func() error) error {
	if k.b == nil {
		return nil
	}
	if !k.begun {
		k.begun = true
		if err := k.next(); err != nil {
			return err
		}
	}
	for k.more {
		order := -1
		if key != nil {
			order = bytes.Compare(k.reel.rec[:keyLen], key)
		}
		if order > 0 {
			return nil
		}
		if order < 0 {
			if err := decodeEntry(k.reel.rec, e); err != nil {
				return err
			}
			if err := f(); err != nil {
				return err
			}
		}
		if err := k.next(); err != nil || order == 0 {
			return err
		}
	}
	return nil
}

func (k *keptList) next() error {
	for {
		if k.reel != nil {
			ok, err := k.reel.next()
			if ok || err != nil {
				k.more = ok
				return err
			}
			k.close()
		}
		if k.more = k.shard < len(k.b.job.Shards); !k.more {
			return nil
		}
		var err error
		if k.reel, err = openReel(k.b.Files, listPath(k.b.row.ID, k.shard), k.b.listKey()); err != nil {
			return err
		}
		k.shard++
	}
}

func (k *keptList) close() {
	if k.reel != nil {
		k.reel.close()
		k.reel = nil
	}
}
