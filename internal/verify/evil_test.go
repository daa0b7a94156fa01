package verify_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

const origin = "gateway.example/log/default"

// memory serves a log's files from a map.
type memory testlog.Files

func (m memory) Read(_ context.Context, path string, limit int) ([]byte, error) {
	b, ok := m[path]
	if !ok {
		return nil, verify.ErrMissing
	}
	if len(b) > limit {
		return nil, verify.ErrTrailing
	}
	return b, nil
}

func trust(t testing.TB, log *testlog.Log) verify.Trust {
	t.Helper()
	key, err := verify.ParseKey(log.Key)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Trust{Keys: []*verify.Key{key}}
}

func walk(t testing.TB, log *testlog.Log, files testlog.Files, old []byte) error {
	t.Helper()
	w := verify.Walk{Source: memory(files), Trust: trust(t, log), Old: old}
	_, err := w.Run(t.Context())
	return err
}

// Sizes around every border of tiles, all the way to a third level.
func TestHonestLogVerifies(t *testing.T) {
	log := testlog.New(origin, 1).Grow(66_100)
	for _, size := range []uint64{0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 65_792, 66_100} {
		old := log.Checkpoint(size * 2 / 3)
		if err := walk(t, log, log.Files(size), old); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

// Any two checkpoints of one log are consistent, by tiles of the newer one.
func TestAnyTwoCheckpointsOfALogAreConsistent(t *testing.T) {
	log := testlog.New(origin, 1).Grow(66_000)
	tr := trust(t, log)
	open := func(size uint64) verify.Checkpoint {
		c, err := tr.Checkpoint(log.Checkpoint(size))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, newer := range []uint64{1, 7, 256, 300, 65_536, 66_000} {
		src := memory(log.Files(newer))
		for older := uint64(0); older <= newer; older += 1 + newer/97 {
			if err := verify.Extends(t.Context(), src, open(older), open(newer)); err != nil {
				t.Errorf("%d to %d: %v", older, newer, err)
			}
		}
	}
}

// One log, everything that its operator could do to it, and the one reason
// for which each is refused.
func TestMaliciousLog(t *testing.T) {
	const size, earlier = 70_000, 69_000
	honest := testlog.New(origin, 1).Grow(size)
	old := honest.Checkpoint(earlier)
	// changed is the log with other entries, signed with the real key.
	changed := func(change func(entries [][]byte)) *testlog.Log {
		entries := slices.Clone(honest.Entries)
		change(entries)
		return honest.With(entries)
	}
	altered := func(at int) *testlog.Log {
		return changed(func(e [][]byte) { e[at] = flipLast(e[at]) })
	}
	files := honest.Files(size)
	with := func(path string, change func(b []byte) []byte) testlog.Files {
		out := testlog.Files{}
		for p, b := range files {
			out[p] = b
		}
		if out[path] == nil {
			t.Fatalf("there is no %s", path)
		}
		out[path] = change(bytes.Clone(out[path]))
		return out
	}
	swapHashes := func(b []byte) []byte {
		h := bytes.Clone(b[:32])
		copy(b, b[32:64])
		copy(b[32:], h)
		return b
	}
	reorder := func(e [][]byte) { e[4], e[5] = e[5], e[4] }
	signedBy := func(l *testlog.Log, text string) testlog.Files {
		return with("checkpoint", func([]byte) []byte { return l.Sign(text) })
	}
	head := testlog.TreeHead(origin, size, honest.Root(size))
	replayed := honest.Files(earlier - 1000)
	for _, c := range []struct {
		name  string
		files testlog.Files
		old   []byte
		want  error
	}{
		{"honest", files, old, nil},
		{"forked view of the same size", altered(3).Files(size), honest.Checkpoint(size), verify.ErrForked},
		{"forked view that grew on", altered(earlier - 1).Files(size), old, verify.ErrRewritten},
		{"full rewrite with the real key", testlog.New(origin, 1).With(reissued(size)).Files(size), nil, nil},
		{"full rewrite with the real key against an earlier checkpoint", honest.With(reissued(size)).Files(size), old, verify.ErrRewritten},
		{"older checkpoint replayed", replayed, old, verify.ErrReplayed},
		{"other origin, the real key", signedBy(honest, testlog.TreeHead("other.example/log", size, honest.Root(size))), nil, verify.ErrOrigin},
		{"other key of the same name", signedBy(testlog.New(origin, 2), head), nil, verify.ErrUnsigned},
		{"other key and origin", signedBy(testlog.New("other.example/log", 2), head), nil, verify.ErrUnsigned},
		{"swapped node, level 0", with("tile/0/017", swapHashes), nil, verify.ErrNode},
		{"swapped node, level 0, edge", with("tile/0/273.p/112", swapHashes), nil, verify.ErrNode},
		{"swapped node, level 1", with("tile/1/000", swapHashes), nil, verify.ErrNode},
		{"swapped node, level 1, edge", with("tile/1/001.p/17", swapHashes), nil, verify.ErrNode},
		{"altered root of a subtree", with("tile/2/000.p/1", flipLast), nil, verify.ErrNode},
		{"reordered entries", with("tile/entries/000", func([]byte) []byte {
			return testlog.Bundle(changed(reorder).Entries[:256])
		}), nil, verify.ErrPosition},
		{"reordered entries, whole tree signed again", changed(reorder).Files(size), nil, verify.ErrPosition},
		{"altered payload", with("tile/entries/100", flipLast), nil, verify.ErrLeaf},
		{"altered payload, edge", with("tile/entries/273.p/112", flipLast), nil, verify.ErrLeaf},
		{"altered payload and its leaf", swapFiles(files, altered(700).Files(size), "tile/entries/002", "tile/0/002"), nil, verify.ErrNode},
		{"altered payload and all tiles", swapFiles(altered(700).Files(size), files, "checkpoint"), nil, verify.ErrNode},
		{"dropped entry, blank in its place", with("tile/entries/000", func([]byte) []byte {
			return testlog.Bundle(changed(func(e [][]byte) { e[9] = nil }).Entries[:256])
		}), nil, verify.ErrLost},
		{"an entry more in a bundle", with("tile/entries/001", func(b []byte) []byte { return append(b, b[:200]...) }), nil, verify.ErrTrailing},
		{"truncated bundle", with("tile/entries/001", func(b []byte) []byte { return b[:len(b)-1] }), nil, verify.ErrTruncated},
		{"truncated tile", with("tile/0/001", func(b []byte) []byte { return b[:len(b)-32] }), nil, verify.ErrTruncated},
		{"tile cut by a byte", with("tile/0/001", func(b []byte) []byte { return b[:len(b)-1] }), nil, verify.ErrTruncated},
		{"partial tile with a byte more", with("tile/0/273.p/112", func(b []byte) []byte { return append(b, 0) }), nil, verify.ErrTrailing},
		{"partial tile with a hash more", with("tile/1/001.p/17", func(b []byte) []byte { return append(b, b[:32]...) }), nil, verify.ErrTrailing},
		{"entry of another version", with("tile/entries/000", func(b []byte) []byte { b[2] = 9; return b }), nil, verify.ErrMalformed},
		{"missing tile", without(files, "tile/0/200"), nil, verify.ErrMissing},
		{"missing bundle", without(files, "tile/entries/200"), nil, verify.ErrMissing},
		{"missing checkpoint", without(files, "checkpoint"), nil, verify.ErrMissing},
		{"checkpoint cut short", with("checkpoint", func(b []byte) []byte { return b[:len(b)-1] }), nil, verify.ErrTruncated},
		{"checkpoint signed twice", with("checkpoint", func(b []byte) []byte {
			return append(b, b[bytes.Index(b, []byte("—")):]...)
		}), nil, verify.ErrTrailing},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := walk(t, honest, c.files, c.old); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// reissued are the entries of a log that grants what the real one may deny.
func reissued(n int) [][]byte {
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = flipLast(testlog.Entry(uint64(i) + 1))
	}
	return entries
}

func flipLast(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

func without(files testlog.Files, path string) testlog.Files {
	out := testlog.Files{}
	for p, b := range files {
		if p != path {
			out[p] = b
		}
	}
	return out
}

// swapFiles is base with some files of another log.
func swapFiles(base, other testlog.Files, paths ...string) testlog.Files {
	out := without(base, "")
	for _, p := range paths {
		out[p] = other[p]
	}
	return out
}

// slow is a source that answers for one file late.
type slow struct {
	memory
	path string
}

func (s slow) Read(ctx context.Context, path string, limit int) ([]byte, error) {
	if path == s.path {
		time.Sleep(50 * time.Millisecond)
	}
	return s.memory.Read(ctx, path, limit)
}

// Of two things that are wrong the first one in the log is named, though it is
// found later.
func TestTheFirstFailureIsNamed(t *testing.T) {
	log := testlog.New(origin, 1).Grow(1024)
	files := log.Files(1024)
	delete(files, "tile/entries/002")
	files["tile/entries/001"] = flipLast(files["tile/entries/001"])
	w := verify.Walk{Source: slow{memory(files), "tile/entries/001"}, Trust: trust(t, log)}
	if _, err := w.Run(t.Context()); !errors.Is(err, verify.ErrLeaf) {
		t.Errorf("got %v, want %v", err, verify.ErrLeaf)
	}
}

// What a restore left as a leaf alone is accepted only when asked, and counted;
// and only when a later entry tells of a restore.
func TestLostEntriesAreCountedWhenAccepted(t *testing.T) {
	log := testlog.New(origin, 1).Grow(5)
	restore := consent.Row{Position: 6, Kind: consent.KindRestore, Sealed: []byte("s")}
	log.Add(restore.AppendEntry(nil)) // too early for entries 10 and 11
	log.Grow(299)
	taken := slices.Clone(log.Entries[:256])
	taken[9], taken[10] = nil, nil
	w := verify.Walk{Trust: trust(t, log), Lost: true}
	files := log.Grow(300).Files(300)
	files["tile/entries/000"] = testlog.Bundle(taken)
	w.Source = memory(files)
	if _, err := w.Run(t.Context()); !errors.Is(err, verify.ErrLost) || !strings.Contains(err.Error(), "entry 11, and no later entry") {
		t.Errorf("taken out: %v", err)
	}
	log = log.With(log.Entries[:299])
	restore.Position = 300
	log.Add(restore.AppendEntry(nil))
	files = log.Files(300)
	entries := slices.Clone(log.Entries[:256])
	entries[9], entries[10] = nil, nil
	files["tile/entries/000"] = testlog.Bundle(entries)
	w = verify.Walk{Source: memory(files), Trust: trust(t, log), Lost: true}
	if r, err := w.Run(t.Context()); err != nil || r.Lost != 2 {
		t.Errorf("%d lost, %v", r.Lost, err)
	}
}

// A log may drop a partial tile once the full one exists; the full one is then
// read, and trusted no more.
func TestPartialTilesMayHaveGrown(t *testing.T) {
	log := testlog.New(origin, 1).Grow(600)
	files := log.Files(600)
	files["checkpoint"] = log.Checkpoint(300)
	if err := walk(t, log, files, nil); !errors.Is(err, verify.ErrMissing) {
		// Level 1 has no full tile yet: nothing can stand in for its partial one.
		t.Errorf("without the partial tile of level 1: %v", err)
	}
	files["tile/1/000.p/1"] = log.Files(300)["tile/1/000.p/1"]
	if err := walk(t, log, files, nil); err != nil {
		t.Errorf("grown: %v", err)
	}
	files["tile/0/001"] = append([]byte{1}, files["tile/0/001"][1:]...)
	if err := walk(t, log, files, nil); !errors.Is(err, verify.ErrNode) {
		t.Errorf("grown and altered: %v", err)
	}
}
