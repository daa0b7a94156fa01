package gateway_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// What can be learned of an erased person from the data directory. Without keys:
// nothing, by anybody with a list of ids. With the keys of suppression, and every
// other key that the vault still has: that the person is suppressed. No entry
// opens, no number, document, name or lookup leads anywhere (see also
// TestWithEveryKeyTheErasedAreSuppressedAndNoMore). Of the living, whose lookups
// are there, the same search finds each: it can find.
func TestOfAnErasedPersonOnlyTheSuppressionIsLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("user:forgettable-person-%d", i))
	}
	erased, other := ids[0], "email:another-name@example.org"
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
	say(t, g, consent.Granted, ids, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(ids[:4]...))
	if _, err := g.Ledger.Identify(t.Context(), gateway.DefaultTenant, subject(t, erased), subject(t, other)); err != nil {
		t.Fatal(err)
	}
	num, err := g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, erased))
	if err != nil {
		t.Fatal(err)
	}
	wantPurged(t, ended(t, g, erase(t, g, erased).ID))
	g.Close()

	v, err := vault.Open(dir+".vault", vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	tk, _ := v.Tenant("default")
	lookup := func(id string) [32]byte { return seal.MAC(tk.Lookup, "assent subject", []byte(id)) }
	mark := func(id string) [32]byte {
		l := lookup(id)
		return seal.MAC(tk.Suppression, "assent suppression", l[:])
	}

	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "assent.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, tried := opens(t, liteDB{store}, v, num); n != 0 || tried < 50 {
		t.Errorf("%d of %d attempts opened a record of the erased", n, tried)
	}
	for i, id := range ids {
		row, found, err := store.SubjectByLookup(t.Context(), gateway.DefaultTenant, mark(id))
		if err != nil || found != (i == 0) {
			t.Errorf("the mark of person %d: %v, %v", i, found, err)
		}
		if found && (row.Num == num || !row.Key.IsZero() || len(row.Sealed) != len([32]byte{})) {
			t.Errorf("beside the mark there is %+v", row)
		}
	}
	store.Close()

	db, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	links := 0
	if err := db.QueryRow(`SELECT count(*) FROM document_subjects WHERE subject = ?`, int64(num)).Scan(&links); err != nil || links != 0 {
		t.Errorf("%d links to documents, %v", links, err)
	}
	keys := blobs(t, db, "meta", "tenants", "api_keys", "subjects", "ledger", "collections", "documents", "heads", "bodies", "remembered",
		"erasures", "manifests", "log_heads", "log_nodes")

	without := &bruteForce{digests: map[[12]byte]bool{}}
	for _, id := range append([]string{other}, ids...) {
		without.know(keys, id)
	}
	without.findsPlanted(t, keys[3], erased)
	if n, _ := without.linksIn(t, dir); n != 0 {
		t.Errorf("without keys of the vault: %d links to ids in the data directory", n)
	}
	with := func(id string) int {
		f := &bruteForce{digests: map[[12]byte]bool{}}
		for _, k := range tk.All() {
			f.know([][]byte{k[:]}, id)
		}
		l := lookup(id)
		f.add(l[:])
		n, _ := f.linksIn(t, dir)
		return n
	}
	for _, id := range []string{erased, other} {
		if n := with(id); n != 0 {
			t.Errorf("with the vault's keys, but for the mark: %d links to %s", n, id)
		}
	}
	if with(ids[5]) == 0 {
		t.Error("of a living person the lookup is not found: the search shows nothing")
	}
}
