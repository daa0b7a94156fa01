package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func checkpointVault(t *testing.T, dir string, o Options) *Vault {
	t.Helper()
	v, err := Open(dir, o)
	if errors.Is(err, ErrNotExist) {
		v, err = Create(dir, o)
	}
	if err == nil {
		err = errors.Join(v.AddTenant("a"), v.AddTenant("b"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func newestCheckpoint(t *testing.T, v *Vault, tenant, want string) {
	t.Helper()
	if got, err := v.Checkpoint(tenant); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", tenant, got, err, want)
	}
}

func TestACheckpointTakesThePlaceOfTheOneBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	v := checkpointVault(t, dir, Options{})
	newestCheckpoint(t, v, "a", "")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(v.SetCheckpoint("a", nil, []byte("one")))
	for _, old := range []string{"", "other"} {
		if err := v.SetCheckpoint("a", []byte(old), []byte("two")); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("in place of %q: %v", old, err)
		}
	}
	must(v.SetCheckpoint("a", []byte("one"), []byte("two")))
	must(v.SetCheckpoint("a", []byte("two"), []byte("two")))
	if err := v.SetCheckpoint("nobody", nil, []byte("x")); !errors.Is(err, ErrNoTenant) {
		t.Errorf("of no tenant: %v", err)
	}
	if err := v.SetCheckpoint("a", []byte("two"), nil); err == nil {
		t.Error("an empty one is taken")
	}
	newestCheckpoint(t, v, "b", "")
	must(v.Close())
	newestCheckpoint(t, checkpointVault(t, dir, Options{}), "a", "two")
}

func TestOneOfManyWritersOfACheckpointWins(t *testing.T) {
	v := checkpointVault(t, filepath.Join(t.TempDir(), "vault"), Options{})
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if v.SetCheckpoint("a", nil, []byte{byte('a' + i)}) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d writers won", won.Load())
	}
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	v := checkpointVault(t, dir, Options{})
	for _, tenant := range []string{"a", "b"} {
		if err := v.SetCheckpoint(tenant, nil, []byte("checkpoint of "+tenant)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, checkpointFile("a"))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(dir, checkpointFile("b")))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{"empty": {}, "another tenant's": other}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x40
		damage["flipped "+string(rune('0'+i%10))+"/"+string(rune('0'+i/10))] = flipped
		damage["cut "+string(rune('0'+i%10))+"/"+string(rune('0'+i/10))] = whole[:i]
	}
	for what, b := range damage {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Checkpoint("a"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		if err := v.SetCheckpoint("a", nil, []byte("new")); err == nil {
			t.Errorf("%s is overwritten", what)
		}
	}
}

func TestASetCheckpointFailsOrHappens(t *testing.T) {
	for op, want := range map[string]string{"checkpoint.write": "old", "checkpoint.renamed": "new"} {
		dir := filepath.Join(t.TempDir(), "vault")
		armed := false
		v := checkpointVault(t, dir, Options{Fault: func(at string) error {
			if armed && at == op {
				return errors.New("fault")
			}
			return nil
		}})
		if err := v.SetCheckpoint("a", nil, []byte("old")); err != nil {
			t.Fatal(err)
		}
		armed = true
		if err := v.SetCheckpoint("a", []byte("old"), []byte("new")); err == nil {
			t.Errorf("%s: no error", op)
		}
		newestCheckpoint(t, v, "a", want)
		v.Close()
		newestCheckpoint(t, checkpointVault(t, dir, Options{}), "a", want)
	}
}
