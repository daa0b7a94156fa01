package credential_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	. "github.com/assent-gateway/assent/internal/credential"
)

var errLedger = errors.New("the ledger is closed")

// book is a ledger that notes how many keys there were at each entry.
type book struct {
	w      *world
	notes  []string
	keys   []int
	closed bool
}

func (b *book) Enter(ctx context.Context, t consent.TenantID, n consent.Note) (consent.Position, error) {
	if b.closed {
		return 0, errLedger
	}
	rows, err := b.w.db.Keys(ctx, t)
	if err != nil {
		return 0, err
	}
	live := 0
	for _, r := range rows {
		if r.RevokedAt == 0 {
			live++
		}
	}
	body, err := json.Marshal(n.Body)
	b.notes, b.keys = append(b.notes, fmt.Sprintf("%d %s %s", n.Kind, t, body)), append(b.keys, live)
	return consent.Position(len(b.notes)), err
}

func (b *book) Notes(_ context.Context, t consent.TenantID, kind consent.Kind, f func(consent.Position, []byte) error) error {
	for i, n := range b.notes {
		if body, ok := strings.CutPrefix(n, fmt.Sprintf("%d %s ", kind, t)); ok {
			if err := f(consent.Position(i+1), []byte(body)); err != nil {
				return err
			}
		}
	}
	return nil
}

func openWithLedger(t *testing.T) (*world, *book) {
	w := open(t)
	b := &book{w: w}
	opened := func(_ context.Context, id consent.TenantID) error {
		b.notes, b.keys = append(b.notes, "open "+string(id)), append(b.keys, 0)
		return nil
	}
	w.Service = NewService(w.db, w.system, WithBootstrap("default", operator), WithLedger(b, opened))
	return w, b
}

func TestAKeyIsInTheLedgerBeforeItIsValid(t *testing.T) {
	t.Parallel()
	w, b := openWithLedger(t)
	k, secret := w.create(t, w.admin(t), Grant{Name: name(t, "CANARY"), Scopes: Search, Purposes: []string{"p"}, Collections: []string{"CANARY"}}, 0)
	if err := w.Revoke(t.Context(), w.admin(t), k.ID); err != nil {
		t.Fatal(err)
	}
	admin, err := w.CreateTenant(t.Context(), "t2", name(t, "CANARY"))
	if err != nil {
		t.Fatal(err)
	}
	ak, err := w.Authenticate(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`7 default {"event":"created","key":"` + k.ID + `","by":"bootstrap","scopes":["search"],"purposes":["p"],"collections":1}`,
		`7 default {"event":"revoked","key":"` + k.ID + `","by":"bootstrap"}`,
		"open t2",
		`7 t2 {"event":"created","key":"` + ak.ID + `","by":"bootstrap","scopes":["` + strings.Join(AllScopes.Names(), `","`) + `"]}`,
	}
	if got := strings.Join(b.notes, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("entries:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	if fmt.Sprint(b.keys) != "[0 0 0 0]" {
		t.Errorf("keys that were valid when their entry was made, or not yet revoked: %v", b.keys)
	}
	for _, s := range []string{secret, admin, "CANARY"} {
		if strings.Contains(strings.Join(b.notes, ""), s) {
			t.Error("an entry holds a secret or a name")
		}
	}
}

func TestWithoutALedgerNoKeyIsMadeAndAnyIsRevoked(t *testing.T) {
	t.Parallel()
	w, b := openWithLedger(t)
	k, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, 0)
	b.closed = true
	if _, err := w.Create(t.Context(), w.admin(t), NewKeyID(), Grant{Name: name(t, "k"), Scopes: Search}, 0, nil); !errors.Is(err, errLedger) {
		t.Errorf("create: %v", err)
	}
	if _, err := w.CreateTenant(t.Context(), "t2", name(t, "k")); !errors.Is(err, errLedger) {
		t.Errorf("create a tenant: %v", err)
	}
	for _, id := range []consent.TenantID{"default", "t2"} {
		if rows, err := w.db.Keys(t.Context(), id); err != nil || len(rows) != map[consent.TenantID]int{"default": 1}[id] {
			t.Errorf("%s has %d keys, %v", id, len(rows), err)
		}
	}
	if err := w.Revoke(t.Context(), w.admin(t), k.ID); !errors.Is(err, errLedger) {
		t.Errorf("revoke: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), secret); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the key is valid although its revocation was asked for: %v", err)
	}
	b.closed = false
	if err := w.Revoke(t.Context(), w.admin(t), k.ID); err != nil || !strings.Contains(b.notes[len(b.notes)-1], "revoked") {
		t.Errorf("the repeat: %v, %v", err, b.notes)
	}
}

// Revoked while the ledger was closed, or revoked in the ledger alone, as in
// data put back from a backup: a start makes both agree, and a second finds
// nothing to do.
func TestAStartMakesKeysAndLedgerAgree(t *testing.T) {
	t.Parallel()
	w, b := openWithLedger(t)
	left, _ := w.create(t, w.admin(t), Grant{Name: name(t, "left"), Scopes: Search}, 0)
	live, liveSecret := w.create(t, w.admin(t), Grant{Name: name(t, "live"), Scopes: Search}, 0)
	back, backSecret := w.create(t, w.admin(t), Grant{Name: name(t, "back"), Scopes: Search}, 0)
	b.closed = true
	if err := w.Revoke(t.Context(), w.admin(t), left.ID); !errors.Is(err, errLedger) {
		t.Fatal(err)
	}
	b.closed = false
	b.notes = append(b.notes, `7 default {"event":"revoked","key":"`+back.ID+`","by":"bootstrap"}`)
	if _, err := w.Authenticate(t.Context(), backSecret); err != nil {
		t.Fatal(err)
	}
	before := len(b.notes)
	for range 2 {
		if err := w.Reconcile(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
	}
	want := `7 default {"event":"revoked","key":"` + left.ID + `","by":"start"}`
	if got := b.notes[before:]; len(got) != 1 || got[0] != want {
		t.Errorf("entered %v, want %s", got, want)
	}
	if _, err := w.Authenticate(t.Context(), backSecret); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a key that the ledger says is revoked is valid: %v", err)
	}
	if k, err := w.Authenticate(t.Context(), liveSecret); err != nil || k.ID != live.ID {
		t.Errorf("a key that nobody revoked: %v", err)
	}
}
