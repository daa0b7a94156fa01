package pgvault

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testpg"
)

var (
	shared    *testpg.Server
	sharedErr error
)

func TestMain(m *testing.M) {
	shared, sharedErr = testpg.New()
	code := m.Run()
	if shared != nil {
		shared.Stop()
	}
	os.Exit(code)
}

// database makes an empty schema for a vault. Two vaults of one database do
// not meet in it.
func database(t testing.TB) string {
	t.Helper()
	testpg.Require(t, sharedErr)
	return shared.Schema(t)
}

// open opens a vault for a test, whose clock is now when that is not nil.
func open(t testing.TB, url, dir string, now func() time.Time) *Vault {
	t.Helper()
	v, err := Open(t.Context(), url, dir, Options{Database: postgres.Options{Writers: 3, Readers: 3, Now: now}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func TestPorts(t *testing.T) {
	storetest.Vault(t, storetest.VaultAdapter{Open: func(t *testing.T, tenants ...consent.TenantID) storetest.VaultUnderTest {
		url, dir := database(t), filepath.Join(t.TempDir(), "vault")
		v := open(t, url, dir, nil)
		for _, id := range tenants {
			if err := v.AddTenant(t.Context(), string(id)); err != nil {
				t.Fatal(err)
			}
		}
		// Some calls go to one gateway, some to another.
		other := open(t, url, dir, nil)
		return storetest.VaultUnderTest{Ledger: v.Consent(), Records: other.Records(), Log: other.Log()}
	}})
}
