package sealedfile_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sealedfile"
	"github.com/assent-gateway/assent/training"
)

func open(t *testing.T, root string, fault func(string) error) *sealedfile.Dir {
	t.Helper()
	d, err := sealedfile.Open(root, fault)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, d *sealedfile.Dir, name string, key seal.Key, content []byte) {
	t.Helper()
	f, err := d.Create(name, key)
	if err != nil {
		t.Fatal(err)
	}
	for p := content; len(p) > 0; p = p[min(len(p), 7000):] {
		if _, err := f.Write(p[:min(len(p), 7000)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
}

func read(d *sealedfile.Dir, name string, key seal.Key) ([]byte, error) {
	f, err := d.Open(name, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func TestWhatWasWrittenComesBack(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, key := open(t, root, nil), seal.NewKey()
	for _, n := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
		content := bytes.Repeat([]byte("<marked>"), n/8+1)[:n]
		write(t, d, "m/files/data/x.jsonl", key, content)
		got, err := read(d, "m/files/data/x.jsonl", key)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		if raw, _ := os.ReadFile(filepath.Join(root, "m/files/data/x.jsonl")); bytes.Contains(raw, []byte("<marked>")) {
			t.Error("it rests in clear")
		}
	}
	if open(t, root, nil).Holder() != d.Holder() || len(d.Holder()) != 24 {
		t.Error("the holder's name changed")
	}
}

// A file altered, cut, put in another's place or opened with another key is
// damaged; what was read before is what was written.
func TestAlteredFilesAreDamaged(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, key := open(t, root, nil), seal.NewKey()
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	write(t, d, "a", key, content)
	path := filepath.Join(root, "a")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := read(d, "a", key)
		if !errors.Is(err, training.ErrDamaged) || !bytes.HasPrefix(content, got) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	for i := 0; i < len(whole); i += 997 {
		raw := bytes.Clone(whole)
		raw[i] ^= 1
		damaged("altered", raw)
		damaged("cut", whole[:i])
	}
	head, box := len("assent sealed file 1\n"), 4+64<<10+seal.Overhead
	damaged("cut between chunks", whole[:head+box])
	damaged("chunks exchanged", append(append(append(bytes.Clone(whole[:head]), whole[head+box:head+2*box]...), whole[head:head+box]...), whole[head+2*box:]...))
	damaged("something behind it", append(bytes.Clone(whole), 0))
	if err := os.WriteFile(filepath.Join(root, "b"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(d, "b", key); !errors.Is(err, training.ErrDamaged) {
		t.Errorf("in another's place: %v", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(d, "a", seal.NewKey()); !errors.Is(err, training.ErrDamaged) {
		t.Errorf("another key: %v", err)
	}
}

func TestNothingIsThereBeforeCommit(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"file.write", "file.sync", "file.rename"} {
		root := t.TempDir()
		full := false
		d, key := open(t, root, func(at string) error {
			if full && at == op {
				return syscall.ENOSPC
			}
			return nil
		}), seal.NewKey()
		write(t, d, "a", key, []byte("old"))
		full = true
		f, err := d.Create("a", key)
		if err == nil {
			_, err = f.Write(make([]byte, 200_000))
			if commit := f.Commit(); err == nil {
				err = commit
			}
			f.Abort()
		}
		if !errors.Is(err, training.ErrFull) {
			t.Errorf("%s: %v", op, err)
		}
		full = false
		if got, err := read(d, "a", key); err != nil || string(got) != "old" {
			t.Errorf("%s: %q %v", op, got, err)
		}
		left, _ := filepath.Glob(filepath.Join(root, "*.new"))
		if len(left) > 0 {
			t.Errorf("%s: left behind: %d files", op, len(left))
		}
	}
}

func TestNamesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, key := open(t, filepath.Join(root, "in"), nil), seal.NewKey()
	for _, name := range []string{"../x", "/etc/x", ".", "", "a/../../x", "holder"} {
		if f, err := d.Create(name, key); err == nil {
			f.Abort()
			t.Errorf("%q was made", name)
		}
		if _, err := read(d, name, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
		if err := d.Remove(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	write(t, d, "m/files/a", key, nil)
	if err := d.Remove("m"); err != nil {
		t.Fatal(err)
	}
	if _, err := read(d, "m/files/a", key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "in", "holder")); err != nil {
		t.Error("the holder's name is gone")
	}
}

// A scratch file is sealed and renamed as any, and syncs nothing.
func TestScratchFilesAreNotSynced(t *testing.T) {
	t.Parallel()
	synced := 0
	root := t.TempDir()
	d, key := open(t, root, func(op string) error {
		if op == "file.sync" {
			synced++
		}
		return nil
	}), seal.NewKey()
	content := bytes.Repeat([]byte("<marked>"), 20_000)
	f, err := d.Scratch("m/work/run", key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if _, err := read(d, "m/work/run", key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is whole: %v", err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(d, "m/work/run", key); err != nil || !bytes.Equal(got, content) || synced != 0 {
		t.Errorf("%d bytes, %v, synced %d times", len(got), err, synced)
	}
	if b, err := os.ReadFile(filepath.Join(root, "m/work/run")); err != nil || bytes.Contains(b, []byte("<marked>")) {
		t.Errorf("in clear, or %v", err)
	}
	write(t, d, "m/work/run", key, content)
	if synced != 1 {
		t.Errorf("an ordinary file was synced %d times", synced)
	}
}
