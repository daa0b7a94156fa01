package verify_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

// 10 000 random changes of a mirror, with everything short of the signing key:
// mutations, deletions, insertions and swaps of bytes, hashes, entries, whole
// files and checkpoints. Every one is refused. Partial tiles of earlier
// checkpoints, still lying there, are among what is changed.
func TestEveryChangeOfAMirrorIsDetected(t *testing.T) {
	const rounds = 10_000
	log := testlog.New(origin, 1).Grow(600)
	m := &vandal{
		r: rand.New(rand.NewPCG(4, 10_000)), dir: t.TempDir(), log: log,
		files: log.Files(100, 300, 420, 600),
		// Small changes that a checkpoint could be exchanged for.
		others: [][]byte{log.Checkpoint(420), log.Checkpoint(599), testlog.New(origin, 2).Grow(600).Checkpoint(600)},
	}
	m.files.Write(m.dir)
	for path := range m.files {
		m.paths = append(m.paths, path)
	}
	slices.Sort(m.paths)
	mirror, err := verify.OpenMirror(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	w := verify.Walk{Source: mirror, Trust: trust(t, log), Old: log.Checkpoint(600)}
	if r, err := w.Run(t.Context()); err != nil || r.Uncovered != 0 {
		t.Fatalf("unchanged: %d uncovered, %v", r.Uncovered, err)
	}
	reasons := map[string]int{}
	for i := 0; i < rounds; {
		change, changed := m.change()
		if len(changed) == 0 {
			continue // by chance the same as before
		}
		i++
		m.write(t, changed)
		_, err := w.Run(t.Context())
		why := new(verify.Refusal)
		if !errors.As(err, &why) {
			t.Fatalf("change %d, %s of %v: %v", i, change, keys(changed), err)
		}
		reasons[change+": "+why.Error()]++
		m.restore(t, changed)
	}
	if _, err := w.Run(t.Context()); err != nil {
		t.Fatalf("restored: %v", err)
	}
	for _, line := range slices.Sorted(func(yield func(string) bool) {
		for line := range reasons {
			if !yield(line) {
				return
			}
		}
	}) {
		t.Logf("%5d  %s", reasons[line], line)
	}
}

// A vandal changes a mirror at random.
type vandal struct {
	r      *rand.Rand
	dir    string
	log    *testlog.Log
	files  testlog.Files
	paths  []string
	others [][]byte
}

// change returns what it is and the files as they become; nil is a deletion.
func (m *vandal) change() (name string, out testlog.Files) {
	path := m.paths[m.r.IntN(len(m.paths))]
	b := bytes.Clone(m.files[path])
	at, other := m.r.IntN(len(b)), m.r.IntN(len(b))
	out = testlog.Files{}
	switch m.r.IntN(11) {
	case 0:
		name, b[at] = "bit", b[at]^1<<m.r.IntN(8)
	case 1:
		name, b = "byte dropped", slices.Delete(b, at, at+1)
	case 2:
		name, b = "byte inserted", slices.Insert(b, at, byte(m.r.Uint32()))
	case 3:
		name = "bytes swapped"
		b[at], b[other] = b[other], b[at]
	case 4:
		name, b = "cut", b[:at]
	case 5:
		name, b = "appended", append(b, b[at:]...)
	case 6:
		name, b = m.entries(path, b)
	case 7:
		name, b = "file of another place", bytes.Clone(m.files[m.paths[m.r.IntN(len(m.paths))]])
	case 8:
		second := m.paths[m.r.IntN(len(m.paths))]
		name, b = "files swapped", bytes.Clone(m.files[second])
		out[second] = bytes.Clone(m.files[path])
	case 9:
		name, path, b = "checkpoint exchanged", "checkpoint", bytes.Clone(m.others[m.r.IntN(len(m.others))])
	case 10:
		if m.needed(path) {
			name, b = "file deleted", nil
		}
	}
	out[path] = b
	for p, b := range out {
		if b != nil && bytes.Equal(b, m.files[p]) {
			delete(out, p)
		}
	}
	return name, out
}

// needed says that a log of this size must hold the file; it may drop partial
// tiles of earlier sizes.
func (m *vandal) needed(path string) bool {
	_, yes := m.log.Files(uint64(len(m.log.Entries)))[path]
	return yes
}

// entries changes a bundle or a tile as what it is: a list.
func (m *vandal) entries(path string, b []byte) (string, []byte) {
	if path == "checkpoint" {
		lines := strings.SplitAfter(string(b), "\n")
		m.r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		return "lines shuffled", []byte(strings.Join(lines, ""))
	}
	bundle := strings.HasPrefix(path, "tile/entries/")
	var list [][]byte
	for len(b) > 0 {
		n := 32
		if bundle {
			n = 2 + int(binary.BigEndian.Uint16(b))
		}
		list, b = append(list, b[:n]), b[n:]
	}
	i, j := m.r.IntN(len(list)), m.r.IntN(len(list))
	name := ""
	switch m.r.IntN(5) {
	case 0:
		name = "items swapped"
		list[i], list[j] = list[j], list[i]
	case 1:
		name, list = "item deleted", slices.Delete(list, i, i+1)
	case 2:
		name, list = "item doubled", slices.Insert(list, j, list[i])
	case 3:
		name, list[i] = "item overwritten", list[j]
	case 4:
		name = "item deleted and another appended"
		list = append(slices.Delete(slices.Clone(list), i, i+1), list[j])
	}
	return name, bytes.Join(list, nil)
}

func (m *vandal) write(t *testing.T, files testlog.Files) {
	t.Helper()
	for path, b := range files {
		file := filepath.Join(m.dir, path)
		// A new file each time: some file systems sync one that is cut and
		// written again.
		err := os.Remove(file)
		if b != nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			err = os.WriteFile(file, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (m *vandal) restore(t *testing.T, changed testlog.Files) {
	back := testlog.Files{}
	for path := range changed {
		back[path] = m.files[path]
	}
	m.write(t, back)
}

func keys(files testlog.Files) (out []string) {
	for path := range files {
		out = append(out, path)
	}
	return out
}

// Files that the checkpoint does not cover are named, not refused: a mirror
// copies tiles before the checkpoint that signs them.
func TestUncoveredFilesAreCounted(t *testing.T) {
	log := testlog.New(origin, 1).Grow(600)
	dir := t.TempDir()
	log.Files(300, 600).Write(dir)
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), log.Checkpoint(300), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mirror, err := verify.OpenMirror(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	w := verify.Walk{Source: mirror, Trust: trust(t, log)}
	// Of 600: tile and bundle 1 and 2.p/88, tile/1/000.p/2; and the notes.
	if r, err := w.Run(t.Context()); err != nil || r.Uncovered != 6 || r.Tiles != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A mirror does not lead out of its directory.
func TestMirrorStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "checkpoint")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	mirror, err := verify.OpenMirror(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	if _, err := mirror.Read(t.Context(), "checkpoint", 100); err == nil {
		t.Error("a link out of the mirror was followed")
	}
}

// A pipe, a directory or a device in the place of a file does not hold the
// verifier up.
func TestAMirrorOfOtherThanFilesIsRefused(t *testing.T) {
	log := testlog.New(origin, 1).Grow(300)
	for _, path := range []string{"checkpoint", "tile/0/000", "tile/entries/001.p/44", "tile/0/001.p/7"} {
		dir := t.TempDir()
		log.Files(300).Write(dir)
		at := filepath.Join(dir, path)
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(at, 0o600); err != nil {
			t.Fatal(err)
		}
		mirror, err := verify.OpenMirror(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := verify.Walk{Source: mirror, Trust: trust(t, log)}
		if _, err := w.Run(t.Context()); !errors.Is(err, verify.ErrMalformed) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		mirror.Close()
	}
}
