package training

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// An Event is the ledger's entry about a manifest, in clear: a random id, an
// enum, counts and digests.
type Event struct {
	Event    string `json:"event"` // built
	Manifest string `json:"manifest"`
	Digest   string `json:"digest"` // of manifest.json
	Files    string `json:"files"`  // of the list of files but croissant.json: name, NUL, SHA-256 in hex, newline
	Rows     uint64 `json:"rows"`
	Withheld uint64 `json:"withheld"`
}

// finish judges every row once more, and enters the ledger at a position
// before which nobody of the manifest took anything back. In the entry's own
// transaction only those are looked at who spoke since.
func (b *build) finish(ctx context.Context, fkey seal.Key, parts map[int]part) error {
	st, err := b.standingNow(ctx)
	if err != nil {
		return err
	}
	for {
		members, err := b.settle(ctx, st, fkey, parts)
		if err != nil {
			return err
		}
		b.Step("settled") // a crash here: shards that hold who permitted a moment ago; the next start looks again
		err = b.enter(ctx, st, fkey, parts, members)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// settle renders shards again until a whole look at all of them finds no row
// that the standing does not permit, and returns the people of their rows.
func (b *build) settle(ctx context.Context, st *standing, fkey seal.Key, parts map[int]part) (map[consent.SubjectNum]bool, error) {
	for {
		members, dirty, err := b.survey(ctx, st, parts)
		if err != nil || len(dirty) == 0 {
			return members, err
		}
		for _, i := range dirty {
			if parts[i], err = b.renderShard(ctx, fkey, i); err != nil {
				return nil, err
			}
		}
		permit, err := b.Ledger.Permit(ctx, b.t, b.job.Spec.Purpose)
		if err != nil {
			return nil, err
		}
		st.look(permit)
	}
}

// survey looks at every row that is in the files, on all workers, and returns
// whose they are and the shards with rows that the standing does not permit.
func (b *build) survey(ctx context.Context, st *standing, parts map[int]part) (map[consent.SubjectNum]bool, []int, error) {
	todo := make(chan int, len(b.job.Shards))
	for i := range b.job.Shards {
		todo <- i
	}
	close(todo)
	var looks []*look
	g, ctx := errgroup.WithContext(ctx)
	for range min(b.Workers, len(b.job.Shards)) {
		l := &look{b: b, st: st.another(), members: map[consent.SubjectNum]bool{}}
		looks = append(looks, l)
		g.Go(func() error { return guarded(b.Log, func() error { return l.work(ctx, todo, parts) }) })
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	members, dirty := map[consent.SubjectNum]bool{}, []int(nil)
	for _, l := range looks {
		maps.Copy(members, l.members)
		dirty = append(dirty, l.dirty...)
		st.note(l.st.due)
	}
	slices.Sort(dirty)
	return members, dirty, nil
}

// A look is one worker's part of a survey.
type look struct {
	b       *build
	st      *standing
	members map[consent.SubjectNum]bool
	dirty   []int
}

func (l *look) work(ctx context.Context, todo <-chan int, parts map[int]part) error {
	for i := range todo {
		if err := ctx.Err(); err != nil {
			return err
		}
		clean := true
		err := l.b.eachListed(i, parts[i], func(e *entry) error {
			clean = clean && l.st.why(e) == ""
			e.people(l.members)
			return nil
		})
		if err != nil {
			return err
		}
		if !clean {
			l.dirty = append(l.dirty, i)
		}
	}
	return nil
}

// eachListed calls f with every entry of a shard that is in its files.
func (b *build) eachListed(i int, p part, f func(*entry) error) error {
	return b.eachEntry(i, func(rank uint32, e *entry) error {
		if _, withheld := slices.BinarySearch(p.Withheld, rank); withheld {
			return nil
		}
		return f(e)
	})
}

// eachEntry calls f with every entry of a shard's list.
func (b *build) eachEntry(i int, f func(rank uint32, e *entry) error) error {
	r, err := openReel(b.Files, listPath(b.row.ID, i), b.listKey())
	if err != nil {
		return err
	}
	defer r.close()
	var e entry
	for rank := uint32(0); ; rank++ {
		ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if err := decodeEntry(r.rec, &e); err != nil {
			return err
		}
		if err := f(rank, &e); err != nil {
			return err
		}
	}
}

// enter enters the manifest in the ledger, and signs for it.
func (b *build) enter(ctx context.Context, st *standing, fkey seal.Key, parts map[int]part, members map[consent.SubjectNum]bool) error {
	j := &b.job
	j.Files, j.Rows, j.Withheld = nil, 0, 0
	for i := range j.Shards {
		j.Files = append(j.Files, parts[i].Files...)
		j.Withheld += uint64(len(parts[i].Withheld))
	}
	j.Rows = j.Header.Rows - j.Withheld
	sum := sha256.Sum256(j.Manifest)
	j.Digest = "sha256:" + hexOf(sum)
	info, err := b.writeFile("manifest.json", j.Manifest, fkey)
	if err != nil {
		return err
	}
	j.Files = append(j.Files, info)
	text, err := readme(j)
	if err != nil {
		return err
	}
	if info, err = b.writeFile("README.md", text, fkey); err != nil {
		return err
	}
	j.Files = append(j.Files, info)
	byName(j.Files)
	moved := false // stays so, however often the transaction is tried
	event := Event{"built", b.row.ID, j.Digest, filesDigest(j.Files), j.Rows, j.Withheld}
	made, err := b.Ledger.EnterIf(ctx, b.t, consent.Note{Kind: consent.KindManifest, Body: event}, j.Spec.Purpose,
		b.once(event), func(p consent.Permit) error {
			st.look(p)
			if moved = moved || st.spoke(members) || st.due != 0 && st.due <= st.now; moved {
				return errMoved
			}
			return nil
		})
	if err != nil {
		return err
	}
	b.Step("entered") // a crash here: an entry that no manifest names yet; the repeat meets it
	if err := b.Lineage.AddMembers(ctx, b.t, b.row.ID, sortedNums(members)); err != nil {
		return err
	}
	if err := b.recordDocuments(ctx, parts); err != nil {
		return err
	}
	// Whoever is erased from here on is found by the erasure; who was before, here.
	permit, err := b.Ledger.Permit(ctx, b.t, j.Spec.Purpose)
	if err != nil {
		return err
	}
	if st.look(permit); st.left(members) {
		return errMoved
	}
	j.Entry, j.ExpiresAt = made.Position, made.RecordedAt+consent.Time(j.Spec.ExpiresIn)
	return b.sign(ctx, fkey, made.RecordedAt)
}

func byName(files []FileInfo) {
	slices.SortFunc(files, func(a, b FileInfo) int { return cmp.Compare(a.Name, b.Name) })
}

// once is by which the entry of a manifest is made once, however often it is
// asked for.
func (b *build) once(e Event) consent.Once {
	return consent.Once{
		Key:  seal.MAC(b.keys.Payload, "assent manifest entry", []byte(e.Manifest), []byte(e.Digest), []byte(e.Files)),
		Body: seal.MAC(b.keys.Payload, "assent manifest entry body", []byte(e.Manifest)),
	}
}

// filesDigest covers names and digests of all files.
func filesDigest(files []FileInfo) string {
	var b bytes.Buffer
	for _, f := range files {
		b.WriteString(f.Name + "\x00" + f.SHA256 + "\n")
	}
	sum := sha256.Sum256(b.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sign makes the statement, the last of a manifest.
func (b *build) sign(ctx context.Context, fkey seal.Key, at consent.Time) error {
	j := &b.job
	proof, err := b.Notary.Prove(ctx, b.t, j.Entry)
	if err != nil {
		return err
	}
	if j.Croissant, err = croissant(b.row.ID, j, at); err != nil {
		return err
	}
	info, err := b.writeFile("croissant.json", j.Croissant, fkey)
	if err != nil {
		return err
	}
	j.Files = append(j.Files, info)
	byName(j.Files)
	payload, err := statement(b.row.ID, j, at, proof)
	if err != nil {
		return err
	}
	if j.Statement, err = b.Notary.Sign(ctx, b.t, PayloadType, payload); err != nil {
		return err
	}
	j.Phase = phaseDone
	if err := b.save(ctx); err != nil {
		return err
	}
	b.Step("signed") // a crash here: spools that nobody needs; the next start removes them
	return nil
}

// ready ends a build.
func (b *build) ready(ctx context.Context) error {
	if err := b.Files.Remove(b.path("work")); err != nil {
		return err
	}
	b.row.State = Ready
	if err := b.save(ctx); err != nil {
		return err
	}
	b.Step("ready")
	return nil
}

func sortedNums(set map[consent.SubjectNum]bool) []consent.SubjectNum {
	out := make([]consent.SubjectNum, 0, len(set))
	for num := range set {
		out = append(out, num)
	}
	slices.Sort(out)
	return out
}
