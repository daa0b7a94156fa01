package vault

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A log's keys survive reopening, a rotation of the epoch, backup and restore;
// the older one signs until it is retired, and of it only the public half stays.
func TestLogKeysAreRotatedAndRetired(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	for _, id := range []string{"a", "b", "c"} {
		if err := v.AddTenant(id); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := v.Tenant("b")
	first := before.LogKeys()
	if err := v.RetireLogKey("b"); !errors.Is(err, ErrNotRetiring) {
		t.Errorf("retired the only key: %v", err)
	}
	if err := errors.Join(v.RotateLogKey("b"), v.RotateLogKey("c")); err != nil {
		t.Fatal(err)
	}
	if err := v.RotateLogKey("b"); !errors.Is(err, ErrRetiring) {
		t.Errorf("rotated twice: %v", err)
	}
	if err := v.RotateLogKey("nobody"); !errors.Is(err, ErrNoTenant) {
		t.Errorf("no such tenant: %v", err)
	}
	both, _ := v.Tenant("b")
	if both.Retiring != before.Signing || both.Signing == before.Signing || len(both.LogKeys()) != 2 || both.LogKeys()[0] != first[0] {
		t.Error("the older key does not sign beside the newer one")
	}
	if err := v.RetireLogKey("b"); err != nil {
		t.Fatal(err)
	}
	retired, _ := v.Tenant("b")
	if retired.Retiring != [32]byte{} || len(retired.Retired) != 1 || retired.Retired[0] != first[0] || retired.Signing != both.Signing {
		t.Error("the older key is not retired")
	}
	if err := errors.Join(v.RotateLogKey("b"), v.Rotate(t.Context())); err != nil {
		t.Fatal(err)
	}
	want, _ := v.Tenant("b")
	v = reopen(t, v)
	if got, _ := v.Tenant("b"); !reflect.DeepEqual(got, want) || len(got.LogKeys()) != 3 {
		t.Error("other keys after reopening")
	}
	var backup bytes.Buffer
	if _, err := v.Backup(&backup, []byte(strings.Repeat("p", MinPassphrase))); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := Restore(&backup, dir, []byte(strings.Repeat("p", MinPassphrase)), Options{}); err != nil {
		t.Fatal(err)
	}
	w, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, id := range []string{"a", "b", "c"} {
		got, _ := w.Tenant(id)
		if want, _ := v.Tenant(id); !reflect.DeepEqual(got, want) {
			t.Errorf("other keys of %s after a restore", id)
		}
	}
	// A tenant added afterwards has none of it.
	if err := w.AddTenant("d"); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.Tenant("d"); len(got.LogKeys()) != 1 {
		t.Error("a new tenant's log has more than one key")
	}
}

// What is cut off or altered in the keyring's plain content is refused, whatever
// it is: it was sealed, so that nobody but us can have written it.
func TestLogKeysThatWereNotWrittenAreRefused(t *testing.T) {
	t.Parallel()
	k := &keyring{tenants: map[string]*TenantKeys{"a": {Signing: [32]byte{1}, Retiring: [32]byte{2}, Retired: [][32]byte{{3}, {4}}}}}
	whole := k.appendLogKeys(nil)[1:]
	for n := 1; n < len(whole); n++ {
		if (&keyring{tenants: map[string]*TenantKeys{"a": {}}}).parseLogKeys(whole[:n]) {
			t.Errorf("read %d of %d bytes", n, len(whole))
		}
	}
	if (&keyring{tenants: map[string]*TenantKeys{"b": {}}}).parseLogKeys(whole) {
		t.Error("read keys of a tenant that is not there")
	}
	got := &keyring{tenants: map[string]*TenantKeys{"a": {Signing: [32]byte{1}}}}
	if !got.parseLogKeys(whole) || !reflect.DeepEqual(got.tenants, k.tenants) {
		t.Error("what was written is not read")
	}
}

// An event stays until each tenant that was there has been told; a replay that
// goes on is the same event; eras and starts only grow.
func TestEventsStayUntilTheyAreEntered(t *testing.T) {
	t.Parallel()
	v, err := Create(filepath.Join(t.TempDir(), "vault"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	for _, id := range []string{"a", "b"} {
		if err := v.AddTenant(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(v.Rotate(t.Context()), v.Rotate(t.Context()), v.Accept(), v.Accept()); err != nil {
		t.Fatal(err)
	}
	events := func() (out []Event) {
		out, err := v.Events()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := events()
	if len(got) != 2 || got[0].Event != Accepted || got[1].Event != Rotated || got[1].Epoch != 3 || len(got[0].Tenants) != 2 {
		t.Fatalf("%+v", got)
	}
	v = reopen(t, v)
	if again := events(); !reflect.DeepEqual(again, got) {
		t.Errorf("after reopening %+v, before %+v", again, got)
	}
	if err := errors.Join(v.AddTenant("c"), v.Entered(got[0].ID, "a"), v.Entered(got[0].ID, "b"), v.Entered(got[1].ID, "a")); err != nil {
		t.Fatal(err)
	}
	if left := events(); len(left) != 1 || !reflect.DeepEqual(left[0].Tenants, []string{"b"}) {
		t.Errorf("left %+v", left)
	}
	if err := v.Entered(got[1].ID, "b"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.BeginReplay(map[string]Gap{"a": {From: 5, To: 9, Lost: 2}}), v.BeginReplay(map[string]Gap{"a": {From: 7, To: 9, Lost: 1}, "b": {From: 1, To: 2}})); err != nil {
		t.Fatal(err)
	}
	got = events()
	if len(got) != 2 || got[0].Gaps["a"] != (Gap{From: 5, To: 9, Lost: 2}) || got[1].Gaps["b"] != (Gap{From: 1, To: 2}) || len(got[1].Gaps) != 1 {
		t.Errorf("replays %+v", got)
	}
	before, err := v.NextEra()
	if err != nil {
		t.Fatal(err)
	}
	started, err := v.Advance(7)
	if err != nil || v.Started() != started {
		t.Error(err, v.Started(), started)
	}
	v = reopen(t, v)
	if era, err := v.NextEra(); err != nil || era != before+1 || v.Started() != started {
		t.Errorf("era %d after %d, started %d", era, before, v.Started())
	}
}
