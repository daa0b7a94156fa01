package vault_test

import (
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/vault"
)

func TestPorts(t *testing.T) {
	storetest.Vault(t, storetest.VaultAdapter{Open: func(t *testing.T, tenants ...consent.TenantID) storetest.VaultUnderTest {
		v, err := vault.Create(filepath.Join(t.TempDir(), "vault"), vault.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		for _, id := range tenants {
			if err := v.AddTenant(string(id)); err != nil {
				t.Fatal(err)
			}
		}
		return storetest.VaultUnderTest{Ledger: v.Consent(), Records: v.Records(), Log: v.Log()}
	}})
}
