package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/internal/verify"
)

// Sizes of the log that is mutated: tiles of two levels, full and partial. An
// auditor holds the checkpoint of oldSize.
const (
	oldSize = 400
	allSize = 530
)

type logStore interface {
	consent.Store
	translog.Store
	credential.Store
}

// victim is a log in a database that its superuser changes at will.
type victim struct {
	db          *sql.DB
	numbered    bool // placeholders are $1, $2
	trust       verify.Trust
	seed        [32]byte
	checkpoints map[int][]byte // by size
}

// makeVictim writes a ledger and its log as a gateway does.
func makeVictim(t *testing.T, store logStore) *victim {
	t.Helper()
	ctx, id := t.Context(), gateway.DefaultTenant
	v, err := vault.Create(filepath.Join(t.TempDir(), "vault"), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	tree := translog.New(store, v.Log(), translog.Options{})
	ledger := consent.NewLedger(store, v.Consent(), consent.Options{Tree: tree})
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
	x := &victim{checkpoints: map[int][]byte{}}
	for _, size := range []int{100, oldSize, 480, allSize} {
		for i := 0; ; i++ {
			head, err := ledger.Head(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if int(head.Position) == size {
				break
			}
			if i%10 == 0 {
				_, err = ledger.Enter(ctx, id, consent.Note{Kind: consent.KindKey, Body: "k"})
			} else {
				status := []consent.Status{consent.Granted, consent.Revoked}[i%2]
				_, err = ledger.Record(ctx, id, []consent.Entry{{Subject: subject(t, fmt.Sprint("u", i/2%97)), Type: typ, Status: status, Jurisdiction: "DE"}}, consent.Once{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := tree.Integrate(ctx, id); err != nil {
			t.Fatal(err)
		}
		c, err := tree.Checkpoint(ctx, id)
		if err != nil || int(c.Size) != size {
			t.Fatal(c.Size, err)
		}
		x.checkpoints[size] = c.Text
	}
	vkey, err := tree.Key(id)
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := v.Tenant(string(id))
	x.trust, x.seed = verify.Trust{Keys: []*verify.Key{key}}, keys.Signing
	return x
}

// run is a statement of the superuser; it must change something.
func (x *victim) run(t *testing.T, tx *sql.Tx, statement string, args ...any) {
	t.Helper()
	if x.numbered {
		for i := 1; strings.Contains(statement, "?"); i++ {
			statement = strings.Replace(statement, "?", fmt.Sprint("$", i), 1)
		}
	}
	r, err := tx.Exec(statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed nothing: %v", statement, err)
	}
}

// export is the log as the database has it: what whoever holds it could serve.
// It is written here from the tables' own comments, so that no check of the
// gateway's stands between.
type export map[string][]byte

func (e export) Read(_ context.Context, path string, limit int) ([]byte, error) {
	b, ok := e[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, verify.ErrMissing)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: %w", path, verify.ErrTrailing)
	}
	return b, nil
}

func (x *victim) export(t *testing.T, tx *sql.Tx) export {
	t.Helper()
	out := export{}
	var checkpoint []byte
	if err := tx.QueryRow(`SELECT checkpoint FROM log_heads`).Scan(&checkpoint); err == nil {
		out["checkpoint"] = checkpoint
	} else if !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	rows, err := tx.Query(`SELECT position, kind, subject, purpose, major, minor, status, jurisdiction,
		acted_at, recorded_at, expires_at, sealed, leaf FROM ledger ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	var leaves, entries [][]byte
	for rows.Next() {
		var r consent.Row
		var leaf []byte
		err := rows.Scan(&r.Position, &r.Kind, &r.Subject, &r.Type.Purpose, &r.Type.Major, &r.Type.Minor, &r.Status, &r.Jurisdiction, &r.ActedAt, &r.RecordedAt, &r.ExpiresAt, &r.Sealed, &leaf)
		if err != nil {
			t.Fatal(err)
		}
		entry := r.AppendEntry([]byte{0, 0})
		binary.BigEndian.PutUint16(entry, uint16(len(entry)-2))
		leaves, entries = append(leaves, leaf), append(entries, entry)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	out.tiles("tile/0/", leaves)
	out.tiles("tile/entries/", entries)
	rows, err = tx.Query(`SELECT hash FROM log_nodes WHERE level = 1 ORDER BY idx`)
	if err != nil {
		t.Fatal(err)
	}
	var nodes [][]byte
	for rows.Next() {
		var h []byte
		if err := rows.Scan(&h); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, h)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	out.tiles("tile/1/", nodes)
	return out
}

// tiles cuts hashes or entries as a log of allSize entries has them, as far as
// they go.
func (e export) tiles(prefix string, parts [][]byte) {
	for n := 0; len(parts) > 0; n++ {
		path, width := fmt.Sprintf("%s%03d", prefix, n), min(256, len(parts))
		if n == allSize/256 { // more entries than are signed for are not served
			width = min(allSize%256, width)
			path += fmt.Sprint(".p/", allSize%256)
		} else if prefix == "tile/1/" {
			path += fmt.Sprint(".p/", allSize/256)
		}
		e[path] = bytes.Join(parts[:width], nil)
		parts = parts[width:]
	}
}

// mutations are what a superuser may do, by name. Each changes what the
// checkpoint of oldSize or of allSize covers.
var mutations = map[string]func(*testing.T, *victim, *sql.Tx, *rand.Rand){
	"an entry's columns": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		column := []string{"kind", "subject", "major", "minor", "status", "acted_at", "recorded_at", "expires_at"}[r.IntN(8)]
		x.run(t, tx, "UPDATE ledger SET "+column+" = "+column+" + ? WHERE position = ?", 1+r.IntN(9), 1+r.IntN(allSize))
	},
	"an entry's texts": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		column := []string{"purpose", "jurisdiction"}[r.IntN(2)]
		x.run(t, tx, "UPDATE ledger SET "+column+" = "+column+" || ? WHERE position = ?", "x", 1+r.IntN(allSize))
	},
	"an entry's sealed part": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.flip(t, tx, r, "ledger", "sealed", "position", 1+r.IntN(allSize))
	},
	"a leaf": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.flip(t, tx, r, "ledger", "leaf", "position", 1+r.IntN(allSize))
	},
	"an entry called lost": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.run(t, tx, "UPDATE ledger SET kind = 0 WHERE position = ?", 1+r.IntN(allSize))
	},
	"a deletion": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.run(t, tx, "DELETE FROM ledger WHERE position = ?", 1+r.IntN(allSize))
	},
	"a deletion, closed up": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		at := 1 + r.IntN(allSize-1)
		x.run(t, tx, "DELETE FROM ledger WHERE position = ?", at)
		x.shift(t, tx, at, -1)
	},
	"a tail": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.run(t, tx, "DELETE FROM ledger WHERE position > ?", r.IntN(allSize))
	},
	"an insertion": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		at := 1 + r.IntN(allSize)
		from := 1 + r.IntN(allSize)
		x.shift(t, tx, at, 1)
		if from >= at {
			from++
		}
		x.run(t, tx, `INSERT INTO ledger SELECT tenant, CAST(? AS bigint), kind, subject, purpose, major, minor, status, jurisdiction,
			acted_at, recorded_at, expires_at, sealed, leaf, mac FROM ledger WHERE position = ?`, at, from)
	},
	"a swap of rows": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.swap(t, tx, r, "ledger", "position", 1, allSize)
	},
	"a swap of sealed parts": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		a, b := two(r, 1, allSize)
		x.run(t, tx, `UPDATE ledger SET sealed = (SELECT sealed FROM ledger WHERE position = ?) WHERE position = ?`, a, b)
	},
	"a node": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.flip(t, tx, r, "log_nodes", "hash", "idx", r.IntN(allSize/256))
	},
	"a node deleted": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.run(t, tx, "DELETE FROM log_nodes WHERE idx = ?", r.IntN(allSize/256))
	},
	"a swap of nodes": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.swap(t, tx, r, "log_nodes", "idx", 0, allSize/256)
	},
	"a checkpoint's byte": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		b := slices.Clone(x.checkpoints[allSize])
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		x.run(t, tx, "UPDATE log_heads SET checkpoint = ?", b)
	},
	"no checkpoint": func(t *testing.T, x *victim, tx *sql.Tx, _ *rand.Rand) {
		x.run(t, tx, "DELETE FROM log_heads WHERE 1 = ?", 1)
	},
	"an older checkpoint": func(t *testing.T, x *victim, tx *sql.Tx, _ *rand.Rand) {
		x.run(t, tx, "UPDATE log_heads SET checkpoint = ?", x.checkpoints[100])
	},
	"history rewritten whole, with the real key": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.flip(t, tx, r, "ledger", "sealed", "position", 1+r.IntN(oldSize))
		x.resign(t, tx)
	},
	"a tail dropped, with the real key": func(t *testing.T, x *victim, tx *sql.Tx, r *rand.Rand) {
		x.run(t, tx, "DELETE FROM ledger WHERE position > ?", oldSize-1-r.IntN(100))
		x.resign(t, tx)
	},
}

func (x *victim) flip(t *testing.T, tx *sql.Tx, r *rand.Rand, table, column, by string, at int) {
	t.Helper()
	var b []byte
	query := "SELECT " + column + " FROM " + table + " WHERE " + by + " = " + fmt.Sprint(at)
	if err := tx.QueryRow(query).Scan(&b); err != nil || len(b) == 0 {
		t.Fatal(query, err)
	}
	b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
	x.run(t, tx, "UPDATE "+table+" SET "+column+" = ? WHERE "+by+" = ?", b, at)
}

// shift moves every row from a position on.
func (x *victim) shift(t *testing.T, tx *sql.Tx, from, by int) {
	t.Helper()
	x.run(t, tx, "UPDATE ledger SET position = -position WHERE position >= ?", from)
	x.run(t, tx, "UPDATE ledger SET position = ? - position WHERE position < 0", by)
}

func two(r *rand.Rand, first, n int) (a, b int) {
	a, b = first+r.IntN(n), first+r.IntN(n-1)
	if b >= a {
		b++
	}
	return a, b
}

func (x *victim) swap(t *testing.T, tx *sql.Tx, r *rand.Rand, table, column string, first, n int) {
	t.Helper()
	a, b := two(r, first, n)
	for _, move := range [][2]int{{a, -7}, {b, a}, {-7, b}} {
		x.run(t, tx, "UPDATE "+table+" SET "+column+" = ? WHERE "+column+" = ?", move[1], move[0])
	}
}

// resign makes leaves, nodes and checkpoint anew for what the rows say.
func (x *victim) resign(t *testing.T, tx *sql.Tx) {
	t.Helper()
	rng := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	e := x.export(t, tx)
	position := 0
	for n := 0; ; n++ {
		path := fmt.Sprintf("tile/entries/%03d", n)
		if n == allSize/256 {
			path += fmt.Sprint(".p/", allSize%256)
		}
		b, ok := e[path]
		if !ok {
			break
		}
		for len(b) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(b))
			leaf := rfc6962.DefaultHasher.HashLeaf(b[2:end])
			b, position = b[end:], position+1
			x.run(t, tx, "UPDATE ledger SET leaf = ? WHERE position = ?", leaf, position)
			err := rng.Append(leaf, func(id compact.NodeID, hash []byte) {
				if id.Level == 8 {
					x.run(t, tx, "UPDATE log_nodes SET hash = ? WHERE level = 1 AND idx = ?", hash, int(id.Index))
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := rng.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("assent/default\n%d\n%s\n", position, base64.StdEncoding.EncodeToString(root))
	signed, err := note.Sign(&note.Note{Text: text}, realKey{x})
	if err != nil {
		t.Fatal(err)
	}
	x.run(t, tx, "UPDATE log_heads SET checkpoint = ?", signed)
}

// realKey signs with the log's own key.
type realKey struct{ x *victim }

func (k realKey) Name() string { return "assent/default" }
func (k realKey) KeyHash() uint32 {
	vkey, _ := note.NewEd25519VerifierKey(k.Name(), ed25519.NewKeyFromSeed(k.x.seed[:]).Public().(ed25519.PublicKey))
	v, _ := note.NewVerifier(vkey)
	return v.KeyHash()
}
func (k realKey) Sign(msg []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.NewKeyFromSeed(k.x.seed[:]), msg), nil
}

// mutate has n mutations judged, each in a transaction that is rolled back.
func (x *victim) mutate(t *testing.T, n int) {
	if testing.Short() {
		n = 500
	}
	var names, whole []string // whole rewritings take long
	for name := range mutations {
		if strings.HasSuffix(name, "with the real key") {
			whole = append(whole, name)
		} else {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Sort(whole)
	judge := func(tx *sql.Tx, lost bool) error {
		w := verify.Walk{Source: x.export(t, tx), Trust: x.trust, Old: x.checkpoints[oldSize], Lost: lost}
		_, err := w.Run(t.Context())
		return err
	}
	in := func(f func(*sql.Tx)) {
		tx, err := x.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		f(tx)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	in(func(tx *sql.Tx) {
		if err := judge(tx, false); err != nil {
			t.Fatalf("the honest log is refused: %v", err)
		}
	})
	reasons := map[string]int{}
	for seed := range n {
		if x.numbered && seed%100 == 0 { // what was rolled back is in the way
			if _, err := x.db.Exec("VACUUM ledger"); err != nil {
				t.Fatal(err)
			}
		}
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		name := names[seed%len(names)]
		if seed%50 == 0 {
			name = whole[seed/50%len(whole)]
		}
		in(func(tx *sql.Tx) {
			mutations[name](t, x, tx, r)
			err := judge(tx, false)
			var why *verify.Refusal
			if !errors.As(err, &why) {
				t.Fatalf("seed %d, %s: not refused: %v", seed, name, err)
			}
			reasons[why.Error()]++
		})
	}
	in(func(tx *sql.Tx) {
		if err := judge(tx, false); err != nil {
			t.Fatalf("the honest log is refused afterwards: %v", err)
		}
	})
	t.Logf("%d mutations of %d kinds refused: %v", n, len(mutations), reasons)
}

// Whatever the database's superuser changes of what was signed for, and be it
// with the log's own key behind what an auditor's checkpoint covers, the
// verifier refuses.
func TestMutationsInSQLiteAreDetected(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "assent.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := makeVictim(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if x.db, err = sql.Open("sqlite", path); err != nil {
		t.Fatal(err)
	}
	defer x.db.Close()
	x.mutate(t, 10_000)
}

func TestMutationsInPostgresAreDetected(t *testing.T) {
	t.Parallel()
	server := testpg.Start(t)
	url := server.Database(t)
	store, err := postgres.Open(t.Context(), url, postgres.Options{AllowParameterLogging: true})
	if err != nil {
		t.Fatal(err)
	}
	x := makeVictim(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	x.numbered = true
	if x.db, err = sql.Open("pgx", url); err != nil {
		t.Fatal(err)
	}
	defer x.db.Close()
	x.mutate(t, 3_000)
}

// The same through a running gateway, over HTTP, committed: nothing that was
// mutated verifies, be it that the verifier refuses it or that the gateway does.
// What it refuses while running, and at a start, it does by itself.
func TestAGatewayDoesNotPassMutationsOn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "assent.db")
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	var people []string
	for i := range allSize - 2 {
		people = append(people, fmt.Sprint("u", i))
	}
	say(t, g, consent.Granted, people[:oldSize-2], rag)
	h := g.Handler()
	x := &victim{checkpoints: map[int][]byte{}}
	keep := func(size int) {
		covered(t, h, uint64(size))
		_, text, _ := get(t, h, adminKey, "/log/default/checkpoint")
		x.checkpoints[size] = []byte(text)
	}
	keep(oldSize)
	x.checkpoints[100] = x.checkpoints[oldSize] // an older one; which does not matter
	say(t, g, consent.Granted, people[oldSize-2:], rag)
	keep(allSize)
	_, vkey, _ := get(t, h, adminKey, "/v1/log/key")
	vkey = strings.TrimSpace(vkey)
	old := filepath.Join(dir, "..", "old")
	if err := os.WriteFile(old, x.checkpoints[allSize], 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	var err error
	if x.db, err = sql.Open("sqlite", path); err != nil {
		t.Fatal(err)
	}
	defer x.db.Close()
	for _, table := range []string{"ledger", "log_nodes", "log_heads"} {
		execSQL(t, path, "CREATE TABLE spare_"+table+" AS SELECT * FROM "+table)
	}
	restore := func() {
		for _, table := range []string{"ledger", "log_nodes", "log_heads"} {
			execSQL(t, path, "DELETE FROM "+table+"; INSERT INTO "+table+" SELECT * FROM spare_"+table)
		}
	}
	byGateway, byVerifier := 0, 0
	seed := uint64(0)
	for name, mutation := range mutations {
		if strings.HasSuffix(name, "with the real key") {
			continue // the test has no such key; the verifier's part is above
		}
		seed++
		tx, err := x.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		mutation(t, x, tx, rand.New(rand.NewPCG(seed, 5)))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		code, said := assentVerify(t, "log", "--key", vkey, "--old", old, server.URL+"/log/default")
		switch code {
		case 0:
			// A checkpoint that is not one is not served: the one in memory is.
			if !strings.Contains(name, "checkpoint") {
				t.Errorf("%s: %s", name, said)
			}
		case 1:
			byVerifier++
		default:
			byGateway++
		}
		restore()
	}
	if code, said := assentVerify(t, "log", "--key", vkey, "--old", old, server.URL+"/log/default"); code != 0 {
		t.Errorf("the honest log: %s", said)
	}
	if byGateway == 0 || byVerifier == 0 {
		t.Error("one of the two never refused")
	}
	t.Logf("refused by the verifier %d, by the gateway %d", byVerifier, byGateway)
}
