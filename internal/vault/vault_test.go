package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/internal/seal"
)

var errFault = errors.New("injected")

// faults makes chosen steps fail. The zero value lets all pass.
type faults struct {
	mu  sync.Mutex
	at  string
	saw []string
}

func (f *faults) fault(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saw = append(f.saw, op)
	if op == f.at {
		return errFault
	}
	return nil
}

func (f *faults) set(op string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.saw = op, nil
}

// newVault creates a vault with the tenant "t" whose steps can be made to fail.
func newVault(t testing.TB) (*Vault, *faults) {
	t.Helper()
	f := new(faults)
	v, err := Create(filepath.Join(t.TempDir(), "vault"), Options{Fault: f.fault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	if err := v.AddTenant("t"); err != nil {
		t.Fatal(err)
	}
	return v, f
}

func reopen(t testing.TB, v *Vault) *Vault {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(v.Dir(), Options{})
	if err != nil {
		t.Fatalf("reopen: %v", err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

func (v *Vault) path(name string) string { return filepath.Join(v.dir, name) }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func openFails(t *testing.T, dir, when string, want error) {
	t.Helper()
	v, err := Open(dir, Options{})
	if err == nil {
		v.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("open %s: got %v, want %v", when, err, want)
	}
}

func TestCreateMakesAPrivateVaultThatReopens(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	for _, e := range append([]string{"."}, names(t, v.Dir())...) {
		info, err := os.Stat(v.path(e))
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", e, info.Mode().Perm(), want)
		}
	}
	if diff := cmp.Diff([]string{"epoch-1", "journal", "keyring", "lock", "slots"}, names(t, v.Dir())); diff != "" {
		t.Error(diff)
	}
	id, system := v.ID(), v.System()
	if id == [16]byte{} || system.IsZero() {
		t.Error("no id or no system key")
	}
	again := reopen(t, v)
	if again.ID() != id || again.System() != system {
		t.Error("another id or system key after reopening")
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCreateRefusesWhatIsNotEmpty(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(full, "something"), nil)
	if _, err := Create(full, Options{}); err == nil {
		t.Error("created over something")
	}
	if diff := cmp.Diff([]string{"something"}, names(t, full)); diff != "" {
		t.Error(diff)
	}
	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	v, err := Create(empty, Options{})
	if err != nil {
		t.Fatalf("in an empty directory: %v", err)
	}
	v.Close()
	if _, err := Create(empty, Options{}); err == nil {
		t.Error("created over a vault")
	}
	if diff := cmp.Diff([]string{"empty", "full"}, names(t, parent)); diff != "" {
		t.Errorf("something is left beside: %s", diff)
	}
}

func TestCreateThatFailsLeavesNoHalfVault(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"keyring.write", "keyring.renamed"} {
		f := &faults{at: op}
		parent := t.TempDir()
		dir := filepath.Join(parent, "vault")
		if _, err := Create(dir, Options{Fault: f.fault}); !errors.Is(err, errFault) {
			t.Errorf("%s: got %v", op, err)
		}
		if left := names(t, parent); len(left) != 0 {
			t.Errorf("%s leaves %v", op, left)
		}
		openFails(t, dir, op, ErrNotExist)
	}
}

func TestOpenSaysWhenThereIsNoVault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openFails(t, filepath.Join(dir, "missing"), "where nothing is", ErrNotExist)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	openFails(t, dir, "an empty directory", ErrNotExist)
}

func TestOpenRefusesWhatOthersCanRead(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	if err := v.SetAdminKey("key"); err != nil {
		t.Fatal(err)
	}
	v.Close()
	for _, name := range append(names(t, v.Dir()), ".") {
		path := v.path(name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bit := range []fs.FileMode{0o040, 0o020, 0o004, 0o002} {
			if err := os.Chmod(path, info.Mode().Perm()|bit); err != nil {
				t.Fatal(err)
			}
			openFails(t, v.Dir(), fmt.Sprintf("with %s open by %o", name, bit), ErrPermissions)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 { // only root can give files away
		if err := os.Chown(v.path(slotsFile), 12345, -1); err != nil {
			t.Fatal(err)
		}
		openFails(t, v.Dir(), "with a file of another user", ErrPermissions)
		if err := os.Chown(v.path(slotsFile), 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	moved := v.path(slotsFile) + "-elsewhere"
	if err := errors.Join(os.Rename(v.path(slotsFile), moved), os.Symlink(moved, v.path(slotsFile))); err != nil {
		t.Fatal(err)
	}
	openFails(t, v.Dir(), "with a link", ErrPermissions)
	if err := os.Rename(moved, v.path(slotsFile)); err != nil {
		t.Fatal(err)
	}
	reopen(t, v)
}

func TestOpenRefusesASecondOpener(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	openFails(t, v.Dir(), "while open", ErrLocked)
	reopen(t, v) // and Close gives it up
}

func TestOpenNamesWhatIsMissingOrFromElsewhere(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	other, _ := newVault(t)
	v.Close()
	for _, name := range []string{"epoch-1", journalFile, keyringFile, slotsFile} {
		good := readFile(t, v.path(name))
		if err := os.Remove(v.path(name)); err != nil {
			t.Fatal(err)
		}
		openFails(t, v.Dir(), "without "+name, ErrDamaged)
		writeFile(t, v.path(name), readFile(t, other.path(name)))
		openFails(t, v.Dir(), "with another vault's "+name, ErrDamaged)
		writeFile(t, v.path(name), good[:headerSize-1])
		openFails(t, v.Dir(), "with a stump of "+name, ErrDamaged)
		for i := range headerSize {
			bad := bytes.Clone(good)
			bad[i] ^= 4
			writeFile(t, v.path(name), bad)
			openFails(t, v.Dir(), fmt.Sprintf("with byte %d of %s flipped", i, name), ErrDamaged)
		}
		future := bytes.Clone(good)
		binary.BigEndian.PutUint32(future[8:], 2)
		binary.BigEndian.PutUint32(future[28:], checksum(future[:28]))
		writeFile(t, v.path(name), future)
		openFails(t, v.Dir(), "with "+name+" from the future", ErrFormat)
		writeFile(t, v.path(name), good)
	}
	reopen(t, v)
}

func TestAdminKeyIsKept(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	if _, err := v.AdminKey(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it was set: %v", err)
	}
	for _, key := range []string{"a longer first key", "second"} {
		if err := v.SetAdminKey(key); err != nil {
			t.Fatal(err)
		}
		v = reopen(t, v)
		if got, err := v.AdminKey(); err != nil || got != key {
			t.Errorf("got %q, %v; want %q", got, err, key)
		}
	}
	if info, err := os.Stat(v.path(adminFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestVaultNeverPrintsKeys(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	keys, _ := v.Tenant("t")
	epoch := v.epochs.Load().keys[1]()
	secrets := []seal.Key{v.System(), epoch, keys.Lookup, keys.Journal, keys.Signing}
	for name, holder := range map[string]any{
		"vault": v, "inside": struct{ v *Vault }{v}, "keys": keys, "pointer": &keys,
		"exported field": struct{ K TenantKeys }{keys},
		"new key":        NewKey{Key: keys.Lookup, Parent: &epoch},
	} {
		text := ""
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			text += fmt.Sprintf(verb+"\n", holder)
		}
		var w bytes.Buffer
		slog.New(slog.NewTextHandler(&w, nil)).Info("m", "a", holder)
		slog.New(slog.NewJSONHandler(&w, nil)).Info("m", "a", holder)
		text = strings.ToLower(text + w.String())
		for _, k := range secrets {
			for _, verb := range []string{"%d", "%x", "%#v", "%s"} {
				form := strings.Trim(strings.TrimPrefix(fmt.Sprintf(verb, k[:6]), "[]byte"), "[]{}")
				if strings.Contains(text, form) || strings.Contains(text, strings.ReplaceAll(form, " ", ",")) {
					t.Errorf("%s shows a key: %s", name, text)
				}
			}
		}
	}
}
