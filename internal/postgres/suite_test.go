package postgres

import (
	"os"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testpg"
)

// shared is the server of all tests that do not change it, and why there is none.
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

// database makes an empty database on the shared server.
func database(t testing.TB) string {
	t.Helper()
	testpg.Require(t, sharedErr)
	return shared.Database(t)
}

// adapter has no exceptions. Each case has a schema of its own.
var adapter = storetest.Adapter{
	Open: func(t *testing.T, now func() time.Time) storetest.Store {
		testpg.Require(t, sharedErr)
		return open(t, shared.Schema(t), Options{Now: now, Writers: 4, Readers: 4})
	},
}

func TestLedger(t *testing.T)      { storetest.Ledger(t, adapter) }
func TestLog(t *testing.T)         { storetest.Log(t, adapter) }
func TestCatalogue(t *testing.T)   { storetest.Catalogue(t, adapter) }
func TestOutside(t *testing.T)     { storetest.Outside(t, adapter) }
func TestManifests(t *testing.T)   { storetest.Manifests(t, adapter) }
func TestErasures(t *testing.T)    { storetest.Erasures(t, adapter) }
func TestEvents(t *testing.T)      { storetest.Events(t, adapter) }
func TestCredentials(t *testing.T) { storetest.Credentials(t, adapter) }

// open opens a database for a test, which may close it earlier.
func open(t testing.TB, url string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
