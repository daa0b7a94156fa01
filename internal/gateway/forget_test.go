package gateway_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// bruteForce is somebody with a list of ids and everything in the database, but
// not the vault. It looks for ids in any form in files.
type bruteForce struct {
	texts   [][]byte
	digests map[[12]byte]bool // the first bytes of what an id may have become
}

// know adds an id, as people write it and in full.
func (f *bruteForce) know(keys [][]byte, id string) {
	hashes := []func() hash.Hash{md5.New, sha1.New, sha256.New}
	for _, form := range []string{id, strings.TrimPrefix(id, "user:"), strings.ToUpper(id)} {
		f.texts = append(f.texts, []byte(form))
		f.add([]byte(form))
		for _, h := range hashes {
			d := h()
			d.Write([]byte(form))
			f.add(d.Sum(nil))
			for _, key := range keys {
				m := hmac.New(h, key)
				m.Write([]byte(form))
				f.add(m.Sum(nil))
			}
		}
	}
}

// add adds bytes as they are, in hex and in base64.
func (f *bruteForce) add(b []byte) {
	for _, form := range [][]byte{
		b, []byte(hex.EncodeToString(b)), []byte(strings.ToUpper(hex.EncodeToString(b))),
		[]byte(base64.StdEncoding.EncodeToString(b)), []byte(base64.URLEncoding.EncodeToString(b)),
	} {
		if len(form) >= 12 {
			f.digests[[12]byte(form)] = true
		}
	}
}

// links counts the places at which content links to an id.
func (f *bruteForce) links(content []byte) (n int) {
	for _, text := range f.texts {
		n += bytes.Count(content, text)
	}
	for i := 0; i+12 <= len(content); i++ {
		if f.digests[[12]byte(content[i:i+12])] {
			n++
		}
	}
	return n
}

// linksIn counts them in every file below a directory.
func (f *bruteForce) linksIn(t *testing.T, dir string) (n int, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a server's temporary file
		}
		size += int64(len(b))
		n += f.links(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, size
}

// blobs are all values in the tables that could be keys.
func blobs(t *testing.T, db *sql.DB, tables ...string) (keys [][]byte) {
	t.Helper()
	seen := map[string]bool{}
	add := func(b []byte) {
		if len(b) >= 16 && !seen[string(b)] {
			seen[string(b)] = true
			keys = append(keys, b)
		}
	}
	for _, table := range tables {
		rows, err := db.Query("SELECT * FROM " + table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, dst := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				dst[i] = &values[i]
			}
			if err := rows.Scan(dst...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				switch v := v.(type) {
				case []byte:
					add(v)
					add(v[:min(32, len(v))])
					add(v[max(0, len(v)-32):])
				case string:
					add([]byte(v))
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// findsPlanted shows that the search would find what is there.
func (f *bruteForce) findsPlanted(t *testing.T, key []byte, id string) {
	t.Helper()
	m := hmac.New(sha1.New, key)
	m.Write([]byte(id))
	sum := sha256.Sum256([]byte(id))
	for _, planted := range [][]byte{[]byte(id), sum[:], m.Sum(nil), []byte(hex.EncodeToString(sum[:]))} {
		if f.links(append(append([]byte("before"), planted...), "after"...)) == 0 {
			t.Error("the search does not find what was planted")
		}
	}
}

// opens tries every key that is left on every entry of a person and on the row
// that names them; what still opens is counted.
func opens(t *testing.T, store interface {
	consent.Store
	KeyRefs(t *testing.T) []seal.Ref
}, v *vault.Vault, who consent.SubjectNum) (opened, tried int) {
	t.Helper()
	tk, _ := v.Tenant("default")
	keys := []seal.Key{tk.Lookup, tk.Suppression, tk.MAC, tk.Payload, tk.Journal, tk.Index, v.System()}
	for _, ref := range store.KeyRefs(t) {
		if k, err := v.Key(ref, nil); err == nil {
			keys = append(keys, k)
		}
	}
	rows, err := store.History(t.Context(), gateway.DefaultTenant, who, 0, 1000)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d entries, %v", len(rows), err)
	}
	for _, row := range rows {
		aad := append([]byte("assent ledger\x00default\x00"), binary.BigEndian.AppendUint64(nil, uint64(row.Position))...)
		for _, k := range keys {
			tried++
			if _, err := seal.Open(k, row.Sealed, aad); err == nil {
				opened++
			}
		}
	}
	people, err := store.SubjectsBy(t.Context(), gateway.DefaultTenant, []consent.SubjectNum{who})
	if err != nil || len(people) != 1 {
		t.Fatal(err)
	}
	aad := append([]byte("assent subject\x00default\x00"), binary.BigEndian.AppendUint64(nil, uint64(who))...)
	for _, k := range keys {
		tried++
		if _, err := seal.Open(k, people[0].Sealed[32:], aad); err == nil {
			opened++
		}
	}
	return opened, tried
}

// liteDB lists the key refs of a SQLite file.
type liteDB struct{ *sqlite.DB }

func (db liteDB) KeyRefs(t *testing.T) (refs []seal.Ref) {
	t.Helper()
	if err := db.DB.KeyRefs(t.Context(), func(r seal.Ref) error { refs = append(refs, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return refs
}

// After a person's key is destroyed nothing that is left opens an entry of
// theirs, the data directory links nobody's id to anything, and everyone's
// receipts verify, those of the person too.
func TestADestroyedKeyForgetsInSQLite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("user:forgetful-person-%d", i))
	}
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	h := g.Handler()
	say(t, g, consent.Granted, ids, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(ids[:4]...))
	_, vkey, _ := get(t, h, adminKey, "/v1/log/key")
	before := receipts(t, g, 82)
	num, err := g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	open := func() (int, int) {
		db, err := sqlite.Open(t.Context(), filepath.Join(dir, "assent.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		v, err := vault.Open(dir+".vault", vault.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		return opens(t, liteDB{db}, v, num)
	}
	if n, _ := open(); n != 3 {
		t.Errorf("%d records opened with the key there; want two entries and a name", n)
	}
	g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	if err := g.DestroyPersonsKey(t.Context(), subject(t, ids[0])); err != nil {
		t.Fatal(err)
	}
	for i, text := range receipts(t, g, 82) {
		verifyProof(t, vkey, text)
		verifyProof(t, vkey, before[i])
	}
	g.Close()
	if n, tried := open(); n != 0 || tried < 100 {
		t.Errorf("%d of %d attempts opened a record of the forgotten", n, tried)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
	if err != nil {
		t.Fatal(err)
	}
	keys := blobs(t, db, "meta", "tenants", "api_keys", "subjects", "ledger", "collections", "documents", "heads", "bodies", "remembered", "log_heads", "log_nodes")
	db.Close()
	f := &bruteForce{digests: map[[12]byte]bool{}}
	for _, id := range ids {
		f.know(keys, id)
	}
	f.findsPlanted(t, keys[3], ids[0])
	n, size := f.linksIn(t, dir)
	if n != 0 {
		t.Errorf("%d links to ids in the data directory", n)
	}
	t.Logf("%d forms of %d ids, %d possible keys, %d bytes", len(f.digests), len(ids), len(keys), size)
}

// receipts are the proofs of the first n entries.
func receipts(t *testing.T, g *gateway.Gateway, n int) (texts []string) {
	t.Helper()
	h := g.Handler()
	for i := range n {
		texts = append(texts, covered(t, h, uint64(i+1)))
	}
	return texts
}

type pgDB struct{ *postgres.DB }

func (db pgDB) KeyRefs(t *testing.T) (refs []seal.Ref) {
	t.Helper()
	err := db.Subjects(t.Context(), gateway.DefaultTenant, func(s consent.SubjectRow) error {
		refs = append(refs, s.Key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

// The same in the files of a Postgres cluster, its write-ahead log among them.
func TestADestroyedKeyForgetsInPostgres(t *testing.T) {
	t.Parallel()
	server := testpg.Start(t)
	url := server.Database(t)
	ctx, id := t.Context(), gateway.DefaultTenant
	store, err := postgres.Open(ctx, url, postgres.Options{AllowParameterLogging: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v, err := vault.Create(filepath.Join(t.TempDir(), "vault"), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ledger := consent.NewLedger(store, v.Consent(), consent.Options{})
	err = errors.Join(v.AddTenant(string(id)), store.AddTenant(ctx, credential.TenantRow{ID: id, CreatedAt: 1}, nil, nil), ledger.Open(ctx, id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.EnterPolicy(ctx, id, nil); err != nil {
		t.Fatal(err)
	}
	typ, err := consent.ParseType(rag)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("user:forgetful-person-%d", i))
		_, err := ledger.Record(ctx, id, []consent.Entry{{Subject: subject(t, ids[i]), Type: typ, Status: consent.Granted}}, consent.Once{})
		if err != nil {
			t.Fatal(err)
		}
	}
	num, err := ledger.Find(ctx, id, subject(t, ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := opens(t, pgDB{store}, v, num); n != 2 {
		t.Errorf("%d records opened with the key there; want an entry and a name", n)
	}
	people, err := store.SubjectsBy(ctx, id, []consent.SubjectNum{num})
	if err != nil || v.Destroy(people[0].Key) != nil {
		t.Fatal(err)
	}
	if n, tried := opens(t, pgDB{store}, v, num); n != 0 || tried < 80 {
		t.Errorf("%d of %d attempts opened a record of the forgotten", n, tried)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys := blobs(t, db, "tenants", "api_keys", "subjects", "ledger", "remembered", "log_heads", "log_nodes")
	f := &bruteForce{digests: map[[12]byte]bool{}}
	for _, id := range ids {
		f.know(keys, id)
	}
	f.findsPlanted(t, keys[3], ids[0])
	var dir string
	if err := db.QueryRow("SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	n, size := f.linksIn(t, dir)
	if n != 0 {
		t.Errorf("%d links to ids in the cluster's files", n)
	}
	t.Logf("%d forms of %d ids, %d possible keys, %d bytes", len(f.digests), len(ids), len(keys), size)
}
