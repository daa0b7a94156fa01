package translog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/translog"
)

const tenant = consent.TenantID("t1")

var errFault = errors.New("fault")

// memVault is a vault that may fail, before or after the fact, and remembers
// everything that was ever signed into it.
type memVault struct {
	mu     sync.Mutex
	newest []byte
	head   consent.Position
	all    [][]byte
	fault  func(op string) error // "vault.set", "vault.happened"
}

func (v *memVault) LogKeys(t consent.TenantID) (translog.Keys, bool) {
	return translog.Keys{Seeds: func() [][32]byte { return [][32]byte{sha256.Sum256([]byte(t))} }}, t == tenant
}

func (v *memVault) JournalHead(consent.TenantID) (consent.Position, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.head, nil
}

func (v *memVault) Checkpoint(consent.TenantID) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.newest, nil
}

func (v *memVault) SetCheckpoint(_ consent.TenantID, old, c []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault != nil {
		if err := v.fault("vault.set"); err != nil {
			return err
		}
	}
	if !bytes.Equal(v.newest, old) {
		return translog.ErrConflict
	}
	v.newest, v.all = c, append(v.all, c)
	if v.fault != nil {
		return v.fault("vault.happened")
	}
	return nil
}

// rig is a database with a ledger's rows, without the ledger: leaves are given
// to logs by hand.
type rig struct {
	t      testing.TB
	dir    string
	db     *sqlite.DB
	vault  *memVault
	rows   []consent.Row
	leaves []translog.Hash
	fault  func(op string) error
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, dir: t.TempDir(), vault: &memVault{}}
	r.open()
	if err := r.db.AddTenant(t.Context(), credential.TenantRow{ID: tenant}, nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	db, err := sqlite.Open(r.t.Context(), filepath.Join(r.dir, "db"), sqlite.Options{Fault: func(op string) error {
		if r.fault != nil {
			return r.fault(op)
		}
		return nil
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.db = db
}

// add commits n more entries, and the journal has them.
func (r *rig) add(n int) {
	r.t.Helper()
	err := r.db.Append(r.t.Context(), tenant, func(h consent.Head) (consent.Batch, error) {
		var b consent.Batch
		for i := range n {
			p := h.Position + consent.Position(i) + 1
			row := consent.Row{Position: p, Kind: consent.KindConsent, RecordedAt: h.Now, Sealed: fmt.Appendf(nil, "sealed %d", p)}
			row.Leaf = sha256.Sum256(row.AppendEntry([]byte{0}))
			b.Rows = append(b.Rows, row)
		}
		return b, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.db.Rows(r.t.Context(), tenant, consent.Position(len(r.rows)), func(row consent.Row) error {
		r.rows, r.leaves = append(r.rows, row), append(r.leaves, row.Leaf)
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	r.vault.mu.Lock()
	r.vault.head = consent.Position(len(r.rows))
	r.vault.mu.Unlock()
}

// writer is a log and how many leaves it was given.
type writer struct {
	*translog.Log
	r    *rig
	mu   sync.Mutex
	tree consent.TenantTree
	fed  int
}

// start opens a log as a gateway does: every leaf is replayed.
func (r *rig) start(o translog.Options) (*writer, error) {
	w := &writer{r: r}
	o.Refresh = func(context.Context, consent.TenantID) error { return w.feed(len(r.leaves)) }
	w.Log = translog.New(r.db, r.vault, o)
	tree, err := w.Replay(r.t.Context(), tenant)
	if err != nil {
		return nil, err
	}
	w.tree = tree
	return w, w.feed(len(r.leaves))
}

func (w *writer) feed(to int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.fed < to; w.fed++ {
		if err := w.tree.Grow(w.r.leaves[w.fed]); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) mustStart() *writer {
	r.t.Helper()
	w, err := r.start(translog.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (w *writer) integrate() translog.Checkpoint {
	w.r.t.Helper()
	if err := w.feed(len(w.r.leaves)); err != nil {
		w.r.t.Fatal(err)
	}
	if err := w.Integrate(w.r.t.Context(), tenant); err != nil {
		w.r.t.Fatal(err)
	}
	c, err := w.Checkpoint(w.r.t.Context(), tenant)
	if err != nil {
		w.r.t.Fatal(err)
	}
	return c
}

// mth is RFC 6962's Merkle tree hash, from its definition.
func mth(leaves []translog.Hash) translog.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := mth(leaves[:k]), mth(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
}

// read opens a checkpoint with the public key alone, as a verifier does.
func read(t testing.TB, vkey string, text []byte) (size uint64, root string) {
	t.Helper()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	var origin string
	if _, err := fmt.Sscanf(n.Text, "%s\n%d\n%s\n", &origin, &size, &root); err != nil || origin != v.Name() {
		t.Fatalf("%v: %q", err, n.Text)
	}
	return size, root
}

// consistent fails unless everything that was ever signed is over the leaves.
func (r *rig) consistent(vkey string) {
	r.t.Helper()
	for _, text := range r.vault.all {
		size, root := read(r.t, vkey, text)
		if size > uint64(len(r.leaves)) {
			r.t.Fatalf("signed for %d of %d entries", size, len(r.leaves))
		}
		if want := mth(r.leaves[:size]); root != b64(want[:]) {
			r.t.Fatalf("a fork was signed at size %d", size)
		}
	}
}
