package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/storetest"
)

// adapter has no exceptions: SQLite is the reference.
var adapter = storetest.Adapter{
	Open: func(t *testing.T, now func() time.Time) storetest.Store {
		return open(t, filepath.Join(t.TempDir(), "db"), Options{Now: now})
	},
}

func TestLedger(t *testing.T)      { storetest.Ledger(t, adapter) }
func TestCatalogue(t *testing.T)   { storetest.Catalogue(t, adapter) }
func TestLog(t *testing.T)         { storetest.Log(t, adapter) }
func TestOutside(t *testing.T)     { storetest.Outside(t, adapter) }
func TestManifests(t *testing.T)   { storetest.Manifests(t, adapter) }
func TestErasures(t *testing.T)    { storetest.Erasures(t, adapter) }
func TestEvents(t *testing.T)      { storetest.Events(t, adapter) }
func TestCredentials(t *testing.T) { storetest.Credentials(t, adapter) }

// open opens a database for a test, which may close it earlier.
func open(t testing.TB, path string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, o)
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
