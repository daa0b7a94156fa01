package training

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/assent-gateway/assent/consent"
)

// A watch remembers how a ready manifest was judged, row by row, and whose
// rows they are, so that the next look is only at who spoke since: a thousand
// shards are fetched at the price of one judgement and a thousand head reads.
type watch struct {
	mu      sync.Mutex // held while it is judged: who comes meanwhile waits for that
	used    uint64
	rules   [][]consent.Rule
	cursors map[consent.Jurisdiction]consent.Cursor
	since   consent.Position // suppressions were looked at up to here
	due     consent.Time
	members []consent.SubjectNum // ascending
	erased  int                  // how many of its documents were
	removes []string             // erasures of documents that were under way
	last    *Checked             // nil: not judged, or not to be remembered
}

// maxWatches bounds memory: 8 bytes a person and manifest.
const maxWatches = 32

func (b *build) watch() *watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	w := b.watches[b.row.ID]
	if w == nil {
		if len(b.watches) >= maxWatches {
			oldest := slices.MinFunc(slices.Collect(maps.Keys(b.watches)), func(x, y string) int {
				return int(b.watches[x].used) - int(b.watches[y].used)
			})
			delete(b.watches, oldest)
		}
		w = &watch{}
		b.watches[b.row.ID] = w
	}
	w.used = b.looks
	return w
}

// standsNow is whether a manifest holds at the head. Of one that does not, the
// rows to drop are not told, only why.
func (b *build) standsNow(ctx context.Context) (Checked, error) {
	if b.row.Holder != b.Files.Holder() {
		return Checked{}, ErrElsewhere
	}
	w := b.watch()
	w.mu.Lock()
	defer w.mu.Unlock()
	out, same, err := w.again(ctx, b)
	if err != nil || same {
		return out, err
	}
	return w.anew(ctx, b)
}

// again looks at who spoke since the last judgement; same is false when
// anybody of the manifest did, or time or a rule changed what counts.
func (w *watch) again(ctx context.Context, b *build) (out Checked, same bool, err error) {
	if w.last == nil {
		return out, false, nil
	}
	permit, err := b.Ledger.Permit(ctx, b.t, b.job.Spec.Purpose)
	if errors.Is(err, consent.ErrPurposeUnknown) {
		return out, false, nil
	}
	if err != nil {
		return out, false, err
	}
	rules, err := b.rules(ctx)
	if err != nil {
		return out, false, err
	}
	erased, err := b.Contents.Erased(ctx, b.t, b.row.ID)
	if err != nil {
		return out, false, err
	}
	byID := func(r consent.Removing, id string) int { return strings.Compare(r.ID, id) }
	changed := len(erased) != w.erased || slices.CompareFunc(permit.Removing(), w.removes, byID) != 0 || !slices.EqualFunc(rules, w.rules, slices.Equal) || w.due != 0 && w.due <= permit.Now()
	spoke := func(num consent.SubjectNum) {
		if !changed {
			_, changed = slices.BinarySearch(w.members, num)
		}
	}
	for def, cursor := range w.cursors {
		permit.Sync(def, &cursor, func(consent.Verdict) { changed = true }, func(num consent.SubjectNum, _ consent.Verdict) { spoke(num) })
		w.cursors[def] = cursor
	}
	permit.Suppressed(w.since, spoke)
	w.since = max(w.since, permit.Head().Position)
	if changed {
		w.last = nil
		return out, false, nil
	}
	out = *w.last
	out.Position = permit.Head().Position
	out.conclude(permit.Now())
	return out, true, nil
}

// anew judges every row, and remembers.
func (w *watch) anew(ctx context.Context, b *build) (Checked, error) {
	out, st, members, err := b.judge(ctx)
	if err != nil {
		return out, err
	}
	w.last = nil
	if st.none {
		return out, nil
	}
	w.rules, w.due, w.since, w.members = st.rules, st.due, st.at, sortedNums(members)
	w.erased, w.removes = st.noted, st.removing
	w.cursors = map[consent.Jurisdiction]consent.Cursor{}
	for def, v := range st.by {
		w.cursors[def] = v.cursor
	}
	kept := out
	kept.Drop = nil
	w.last = &kept
	return out, nil
}

// rules are how people combine in each collection: as it decided and, where
// that is another way, as it does now.
func (b *build) rules(ctx context.Context) ([][]consent.Rule, error) {
	var out [][]consent.Rule
	for _, c := range b.job.Cols {
		rules := []consent.Rule{c.Rule}
		now, there, err := b.Corpus.Rule(ctx, b.t, c.ID)
		if err != nil {
			return nil, err
		}
		if there && now != c.Rule {
			rules = append(rules, now)
		}
		out = append(out, rules)
	}
	return out, nil
}

// served is a file that leaves: judged again as it goes, so that a slow
// download ends where somebody withdraws.
type served struct {
	io.ReadCloser
	still func() error
	left  int
}

// lookAfter is how many bytes leave between two looks.
const lookAfter = 1 << 20

func (s *served) Read(p []byte) (int, error) {
	if s.left <= 0 {
		if err := s.still(); err != nil {
			return 0, err
		}
		s.left = lookAfter
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}
