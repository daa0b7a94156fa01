package pgvault

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/vault"
)

func copyEpoch(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, "epoch-1"))
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "epoch-1"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// change runs a statement in a vault's database.
func change(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if tag, err := c.Exec(t.Context(), sql, args...); err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%d rows, %v", tag.RowsAffected(), err)
	}
}

// The first gateway makes the epoch key; another one opens what it keeps with a
// copy of it, and with nothing else.
func TestAVaultOpensWithItsEpochKeyOnly(t *testing.T) {
	t.Parallel()
	url, base := database(t), t.TempDir()
	dir := func(name string) string { return filepath.Join(base, name) }
	if _, err := Open(t.Context(), url, dir("a"), Options{MustExist: true}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no vault there: %v", err)
	}
	a := open(t, url, dir("a"), nil)
	if err := a.AddTenant(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	keys, refs, err := a.Consent().NewSubjectKeys(1)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := Open(t.Context(), url, dir("none"), Options{}); !errors.Is(err, ErrNoEpoch) {
		t.Errorf("without an epoch key: %v", err)
	}
	if _, err := os.Stat(dir("none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused start left a directory: %v", err)
	}
	copyEpoch(t, dir("a"), dir("b"))
	b := open(t, url, dir("b"), nil)
	if k, err := b.Consent().SubjectKey(refs[0]); err != nil || k != keys[0] {
		t.Errorf("a person's key at the other gateway: %v", err)
	}
	mine, _ := a.Consent().Keys("t")
	if theirs, ok := b.Consent().Keys("t"); !ok || theirs != mine || a.System() != b.System() || a.ID() != b.ID() {
		t.Error("the gateways have different keys")
	}
	// One that is added later is read when it is asked for.
	if err := b.AddTenant(t.Context(), "later"); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Consent().Keys("later"); !ok {
		t.Error("a tenant of another gateway has no keys")
	}

	open(t, database(t), dir("foreign"), nil)
	if _, err := Open(t.Context(), url, dir("foreign"), Options{}); !errors.Is(err, ErrForeignEpoch) {
		t.Errorf("with another vault's epoch key: %v", err)
	}
	own, err := vault.Create(dir("own"), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own.Close()
	if _, err := Open(t.Context(), url, dir("own"), Options{}); !errors.Is(err, vault.ErrOwnKeys) {
		t.Errorf("in the directory of a whole vault: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir("b"), "epoch-1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url, dir("b"), Options{}); !errors.Is(err, vault.ErrPermissions) {
		t.Errorf("an epoch key that others may read: %v", err)
	}
}

// Of gateways that start at once on an empty database, in directories of their
// own, one makes the vault; the others are told what they lack, and keep no key
// that would be in the way of the right one.
func TestGatewaysThatStartAtOnceBeginOneVault(t *testing.T) {
	t.Parallel()
	url, base := database(t), t.TempDir()
	const n = 4
	var wg sync.WaitGroup
	opened := make([]bool, n)
	dir := func(i int) string { return filepath.Join(base, string(rune('a'+i))) }
	for i := range n {
		wg.Go(func() {
			v, err := Open(t.Context(), url, dir(i), Options{})
			if err == nil {
				opened[i] = true
				err = v.Close()
			} else if errors.Is(err, ErrNoEpoch) {
				err = nil
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	winner := -1
	for i, ok := range opened {
		_, err := os.Stat(filepath.Join(dir(i), "epoch-1"))
		if ok != (err == nil) {
			t.Errorf("opened %v, and its epoch key: %v", ok, err)
		}
		if ok && winner >= 0 {
			t.Error("two began a vault")
		} else if ok {
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("nobody began a vault")
	}
	for i := range n {
		if i != winner {
			copyEpoch(t, dir(winner), dir(i))
			open(t, url, dir(i), nil)
		}
	}
	// In one directory all of them open.
	url = database(t)
	for range n {
		wg.Go(func() {
			if v, err := Open(t.Context(), url, filepath.Join(base, "same"), Options{}); err != nil {
				t.Error(err)
			} else {
				v.Close()
			}
		})
	}
	wg.Wait()
}

// A start that was cut short after it made the epoch key goes on with it.
func TestAnEpochKeyWithoutItsVaultIsUsed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "v")
	e, err := vault.CreateEpoch(dir, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v := open(t, database(t), dir, nil); v.ID() != e.ID() {
		t.Error("another vault was begun")
	}
}

// The bootstrap key is the same at every gateway, and made by one.
func TestTheBootstrapKeyIsTheSameAtEveryGateway(t *testing.T) {
	t.Parallel()
	url, base := database(t), t.TempDir()
	a := open(t, url, filepath.Join(base, "a"), nil)
	copyEpoch(t, a.Dir(), filepath.Join(base, "b"))
	b := open(t, url, filepath.Join(base, "b"), nil)
	first, made, err := a.AdminKey(t.Context(), "first")
	if err != nil || !made || first != "first" {
		t.Fatalf("%q, made %v, %v", first, made, err)
	}
	for _, v := range []*Vault{b, a} {
		if key, made, err := v.AdminKey(t.Context(), "second"); err != nil || made || key != "first" {
			t.Errorf("%q, made %v, %v", key, made, err)
		}
		path := filepath.Join(v.Dir(), "admin.key")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its file: %v, %v", info, err)
		}
		if b, _ := os.ReadFile(path); string(b) != "first" {
			t.Errorf("its file holds %q", b)
		}
	}
	open(t, url, a.Dir(), nil) // the directory is still fit to be opened
}

// What was altered, exchanged or cut in the database is not believed.
func TestAlteredBoxesAreRefused(t *testing.T) {
	t.Parallel()
	url, dir := database(t), filepath.Join(t.TempDir(), "v")
	v := open(t, url, dir, nil)
	for _, id := range []string{"a", "b"} {
		if err := v.AddTenant(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	_, refs, err := v.Consent().NewSubjectKeys(3)
	if err != nil {
		t.Fatal(err)
	}
	change(t, url, `UPDATE slots SET wrapped = set_byte(wrapped, 40, get_byte(wrapped, 40) # 1) WHERE id = $1`, refs[0].ID[:])
	change(t, url, `UPDATE slots SET wrapped = (SELECT wrapped FROM slots WHERE id = $2) WHERE id = $1`, refs[1].ID[:], refs[2].ID[:])
	for _, ref := range refs[:2] {
		if _, err := v.Consent().SubjectKey(ref); !errors.Is(err, consent.ErrKeyGone) {
			t.Errorf("an altered key: %v", err)
		}
	}
	if _, err := v.Consent().SubjectKey(refs[2]); err != nil {
		t.Errorf("the one beside it: %v", err)
	}
	change(t, url, `UPDATE keyrings SET keys = (SELECT keys FROM keyrings WHERE tenant = 'b') WHERE tenant = 'a'`)
	fresh := open(t, url, dir, nil)
	if _, ok := fresh.Consent().Keys("a"); ok {
		t.Error("a tenant has the keys of another")
	}
	change(t, url, `UPDATE vault SET system = set_byte(system, 50, get_byte(system, 50) # 1)`)
	if _, err := Open(t.Context(), url, dir, Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("an altered system key: %v", err)
	}
}

// An entry's payload comes back as it was, at its place and no other.
func TestJournalPayloadsAreSealedToTheirPlace(t *testing.T) {
	t.Parallel()
	url := database(t)
	v := open(t, url, filepath.Join(t.TempDir(), "v"), nil)
	if err := v.AddTenant(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	recs := []consent.JournalRecord{
		{Position: 1, Leaf: [32]byte{1}, Kind: consent.KindConsent, Payload: []byte("restriction one")},
		{Position: 2, Leaf: [32]byte{2}, Kind: consent.KindConsent},
		{Position: 3, Leaf: [32]byte{3}, Kind: consent.KindErasure, Payload: []byte("restriction three")},
	}
	if err := v.Consent().AppendJournal("t", recs); err != nil {
		t.Fatal(err)
	}
	for _, want := range recs {
		got, err := v.Read(t.Context(), "t", want.Position)
		if err != nil || string(got.Payload) != string(want.Payload) || got.Leaf != want.Leaf || got.Kind != byte(want.Kind) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, none := range []consent.Position{0, 4} {
		if _, err := v.Read(t.Context(), "t", none); !errors.Is(err, vault.ErrNotExist) {
			t.Errorf("at %d: %v", none, err)
		}
	}
	change(t, url, `UPDATE journal SET payload = (SELECT payload FROM journal WHERE position = 1) WHERE position = 3`)
	if _, err := v.Read(t.Context(), "t", 3); !errors.Is(err, ErrDamaged) {
		t.Errorf("a payload from another place: %v", err)
	}
	// Without one, a replay would take a refusal for something that is lost.
	change(t, url, `UPDATE journal SET payload = NULL, kind = 0 WHERE position = 1`)
	if _, err := v.Read(t.Context(), "t", 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("a payload that was taken out: %v", err)
	}
}

// Nothing in the database opens anything: no key is there as it is used.
func TestNoKeyRestsInClear(t *testing.T) {
	t.Parallel()
	url := database(t)
	v := open(t, url, filepath.Join(t.TempDir(), "v"), nil)
	if err := v.AddTenant(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	keys, _, err := v.Consent().NewSubjectKeys(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.AdminKey(t.Context(), "the operator's key"); err != nil {
		t.Fatal(err)
	}
	if err := v.Consent().AppendJournal("t", []consent.JournalRecord{{Position: 1, Payload: []byte("the journal's payload")}}); err != nil {
		t.Fatal(err)
	}
	ledger, _ := v.Consent().Keys("t")
	logKeys, _ := v.Log().LogKeys("t")
	seed := logKeys.Seeds()[0]
	needles := [][]byte{[]byte("the operator's key"), []byte("the journal's payload"), seed[:]}
	system := v.System()
	for _, k := range append(keys, system, ledger.Lookup, ledger.MAC, ledger.Payload, ledger.Suppression) {
		needles = append(needles, k[:])
	}
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	count := func(needle []byte) (n int) {
		t.Helper()
		err := c.QueryRow(t.Context(), `SELECT
			(SELECT count(*) FROM vault WHERE position($1::bytea IN system) + position($1 IN coalesce(admin, '')) + position($1 IN id) > 0)
			+ (SELECT count(*) FROM keyrings WHERE position($1::bytea IN keys) > 0)
			+ (SELECT count(*) FROM slots WHERE position($1::bytea IN wrapped) + position($1 IN id) > 0)
			+ (SELECT count(*) FROM journal WHERE position($1::bytea IN coalesce(payload, '')) > 0)`, needle).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i, needle := range needles {
		if n := count(needle); n != 0 {
			t.Errorf("needle %d is in %d rows", i, n)
		}
	}
	if id := v.ID(); count(id[:]) != 1 {
		t.Error("the search finds nothing: not even what is there")
	}
}
