package vault

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/internal/seal"
)

func TestTenantsKeepTheirKeys(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	if _, ok := v.Tenant("u"); ok {
		t.Error("a tenant that was never added")
	}
	if err := v.AddTenant("u"); err != nil {
		t.Fatal(err)
	}
	first, ok := v.Tenant("t")
	second, _ := v.Tenant("u")
	seen := map[seal.Key]bool{{}: true, v.System(): true}
	for _, k := range append(first.all(), second.all()...) {
		if seen[*k] {
			t.Error("two keys are the same, or one is zero")
		}
		seen[*k] = true
	}
	if err := v.AddTenant("t"); err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Tenant("t"); !ok || !reflect.DeepEqual(again, first) {
		t.Error("adding twice changed the keys")
	}
	v = reopen(t, v)
	if again, _ := v.Tenant("t"); !reflect.DeepEqual(again, first) {
		t.Error("other keys after reopening")
	}
	if again, _ := v.Tenant("u"); !reflect.DeepEqual(again, second) {
		t.Error("other keys after reopening")
	}
	if diff := cmp.Diff([]string{"t", "u"}, v.Tenants()); diff != "" {
		t.Error(diff)
	}
	for _, id := range []string{"", strings.Repeat("x", maxTenantID+1)} {
		if v.AddTenant(id) == nil {
			t.Errorf("added a tenant with an id of %d bytes", len(id))
		}
	}
	if err := v.AddTenant(strings.Repeat("x", maxTenantID)); err != nil {
		t.Error(err)
	}
	reopen(t, v)
}

func TestAddTenantThatFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op       string
		happened bool
	}{{"keyring.write", false}, {"keyring.renamed", true}} {
		t.Run(c.op, func(t *testing.T) {
			t.Parallel()
			v, f := newVault(t)
			before, _ := v.Tenant("t")
			f.set(c.op)
			if err := v.AddTenant("u"); !errors.Is(err, errFault) {
				t.Fatalf("got %v", err)
			}
			if _, ok := v.Tenant("u"); ok {
				t.Error("keys were given out that may not be durable")
			}
			v = reopen(t, v)
			if _, ok := v.Tenant("u"); ok != c.happened {
				t.Errorf("after reopening: %v, want %v", ok, c.happened)
			}
			if after, _ := v.Tenant("t"); !reflect.DeepEqual(after, before) {
				t.Error("an older tenant lost its keys")
			}
			if err := v.AddTenant("u"); err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

func TestOpenRemovesAnUnfinishedKeyring(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	writeFile(t, v.path(keyringFile+unfinished), []byte("torn"))
	v = reopen(t, v)
	if diff := cmp.Diff([]string{"epoch-1", "journal", "keyring", "lock", "slots"}, names(t, v.Dir())); diff != "" {
		t.Error(diff)
	}
	if _, ok := v.Tenant("t"); !ok {
		t.Error("the tenant is gone")
	}
}

func TestKeyringIsSealedAndRefusesEveryFlip(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	keys, _ := v.Tenant("t")
	good := readFile(t, v.path(keyringFile))
	for i, k := range append(keys.all(), ptr(v.System())) {
		if bytes.Contains(good, k[:8]) {
			t.Errorf("key %d is in the file in clear", i)
		}
	}
	v.Close()
	for _, name := range []string{keyringFile, "epoch-1"} {
		good := readFile(t, v.path(name))
		for i := headerSize; i < len(good); i++ {
			bad := bytes.Clone(good)
			bad[i] ^= 0x10
			writeFile(t, v.path(name), bad)
			openFails(t, v.Dir(), name+" flipped", ErrDamaged)
		}
		writeFile(t, v.path(name), good[:len(good)-1])
		openFails(t, v.Dir(), name+" cut", ErrDamaged)
		writeFile(t, v.path(name), good)
	}
	reopen(t, v)
}

func ptr(k seal.Key) *seal.Key { return &k }
