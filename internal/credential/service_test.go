package credential_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
	. "github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sqlite"
)

const operator = "assent_operator"

// world is a service over a real database whose clock the test turns.
type world struct {
	*Service
	db     *sqlite.DB
	system seal.Key
	mu     sync.Mutex
	now    time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), system: seal.NewKey()}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), sqlite.Options{Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.db = db
	w.Service = NewService(db, w.system, WithBootstrap("default", operator))
	if err := db.AddTenant(t.Context(), TenantRow{ID: "default", CreatedAt: 1}, nil, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) admin(t *testing.T) Key {
	t.Helper()
	k, err := w.Authenticate(t.Context(), operator)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func name(t *testing.T, s string) Name {
	t.Helper()
	n, err := ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) create(t *testing.T, by Key, g Grant, expires consent.Time) (Key, string) {
	t.Helper()
	if g.Name == (Name{}) {
		g.Name = name(t, "a key")
	}
	secret, err := w.Create(t.Context(), by, NewKeyID(), g, expires, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := w.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

func TestAKeyIsWhatItWasGranted(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, g := range []Grant{
		{Scopes: Search | ActAs, Purposes: []string{"rag_retrieval"}, Collections: []string{"mail"}, Namespaces: []string{"user"}},
		{Scopes: Search, Purposes: []string{}, Collections: []string{}, Namespaces: []string{}}, // none
		{Scopes: AllScopes}, // all
	} {
		g.Name = name(t, "søk")
		_, secret := w.create(t, w.admin(t), g, 0)
		fresh := NewService(w.db, w.system) // nothing in memory
		k, err := fresh.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		// cmp tells nil from empty: all from none.
		if diff := cmp.Diff(g, k.Grant, cmp.Comparer(func(a, b Name) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		if k.Tenant != "default" || k.Bootstrap || k.ID == "" {
			t.Errorf("got %v", k)
		}
	}
}

func TestNobodyElseIsLetIn(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, 0)
	for _, s := range []string{"", "x", secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), operator + " ", strings.Repeat("a", 1<<20)} {
		if _, err := w.Authenticate(t.Context(), s); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("a secret of %d bytes: %v", len(s), err)
		}
	}
	if _, err := NewService(w.db, w.system).Authenticate(t.Context(), operator); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the bootstrap key rests in the database: %v", err)
	}
	if _, err := NewService(w.db, seal.NewKey()).Authenticate(t.Context(), secret); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("another vault's gateway knows the key: %v", err)
	}
	if _, err := NewService(w.db, w.system, WithBootstrap("default", "")).Authenticate(t.Context(), ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an empty bootstrap secret is one: %v", err)
	}
}

func TestARevokedKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	k, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, 0) // now cached
	if err := w.Revoke(t.Context(), w.admin(t), k.ID); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*Service{w.Service, NewService(w.db, w.system)} {
		if _, err := s.Authenticate(t.Context(), secret); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("service %d: %v", i, err)
		}
	}
	if err := w.Revoke(t.Context(), w.admin(t), k.ID); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := w.Revoke(t.Context(), w.admin(t), "key-none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that never was: %v", err)
	}
}

// slowStore answers KeyByHash with a row read before something else happened.
type slowStore struct {
	Store
	meanwhile func()
}

func (s *slowStore) KeyByHash(ctx context.Context, h [32]byte) (KeyRow, error) {
	row, err := s.Store.KeyByHash(ctx, h)
	if s.meanwhile != nil {
		s.meanwhile()
	}
	return row, err
}

func TestARevocationThatOvertakesALookupIsNotCachedOver(t *testing.T) {
	t.Parallel()
	w := open(t)
	k, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, 0)
	store := &slowStore{Store: w.db}
	s := NewService(store, w.system)
	store.meanwhile = func() {
		store.meanwhile = nil
		if err := s.Revoke(t.Context(), w.admin(t), k.ID); err != nil {
			t.Error(err)
		}
	}
	s.Authenticate(t.Context(), secret) // began before the revocation: either answer
	if _, err := s.Authenticate(t.Context(), secret); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a revoked key came back from the cache: %v", err)
	}
}

func TestAKeyExpiresByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	w := open(t)
	expires := consent.TimeOf(w.clock().Add(time.Hour))
	_, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, expires)
	w.pass(time.Hour - 1)
	if _, err := w.Authenticate(t.Context(), secret); err != nil {
		t.Errorf("a nanosecond before: %v", err)
	}
	w.pass(1)
	if _, err := w.Authenticate(t.Context(), secret); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("at its time: %v", err)
	}
}

func TestAKeyGrantsNoMoreThanItsMakerHas(t *testing.T) {
	t.Parallel()
	w := open(t)
	maker, _ := w.create(t, w.admin(t), Grant{
		Scopes: Admin | Search | ActAs, Purposes: []string{"p"}, Collections: []string{"c"}, Namespaces: []string{"n"},
	}, consent.TimeOf(w.clock().Add(time.Hour)))
	within := Grant{Scopes: Search, Purposes: []string{"p"}, Collections: []string{"c"}, Namespaces: []string{"n"}}
	soon := consent.TimeOf(w.clock().Add(time.Minute))
	cases := map[string]struct {
		change  func(*Grant)
		expires consent.Time
		field   string
	}{
		"within":                {func(*Grant) {}, soon, ""},
		"nothing at all":        {func(g *Grant) { g.Purposes, g.Collections, g.Namespaces = []string{}, []string{}, []string{} }, soon, ""},
		"another scope":         {func(g *Grant) { g.Scopes |= Scores }, soon, "scopes"},
		"no scope":              {func(g *Grant) { g.Scopes = 0 }, soon, "scopes"},
		"another purpose":       {func(g *Grant) { g.Purposes = []string{"p", "q"} }, soon, "purposes"},
		"every purpose":         {func(g *Grant) { g.Purposes = nil }, soon, "purposes"},
		"another collection":    {func(g *Grant) { g.Collections = []string{"d"} }, soon, "collections"},
		"every collection":      {func(g *Grant) { g.Collections = nil }, soon, "collections"},
		"another namespace":     {func(g *Grant) { g.Namespaces = []string{"m"} }, soon, "namespaces"},
		"every namespace":       {func(g *Grant) { g.Namespaces = nil }, soon, "namespaces"},
		"never expires":         {func(*Grant) {}, 0, "expires_at"},
		"outlives its maker":    {func(*Grant) {}, soon + consent.Time(time.Hour), "expires_at"},
		"expired when made":     {func(*Grant) {}, consent.TimeOf(w.clock()), "expires_at"},
		"without a name":        {func(g *Grant) { g.Name = Name{} }, soon, "name"},
		"more than can be read": {func(g *Grant) { g.Purposes = make([]string, 1001) }, soon, "purposes"},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := within
			g.Name = name(t, "k")
			c.change(&g)
			_, err := w.Create(t.Context(), maker, NewKeyID(), g, c.expires, nil)
			var input *InputError
			switch {
			case c.field == "" && err != nil:
				t.Error(err)
			case c.field != "" && (!errors.As(err, &input) || input.Field != c.field):
				t.Errorf("got %v, want field %s", err, c.field)
			}
		})
	}
}

func TestOnlyAdminsManageKeys(t *testing.T) {
	t.Parallel()
	w := open(t)
	k, _ := w.create(t, w.admin(t), Grant{Scopes: AllScopes &^ Admin}, 0)
	if _, err := w.Create(t.Context(), k, NewKeyID(), Grant{Name: name(t, "k"), Scopes: Search}, 0, nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("create: %v", err)
	}
	if _, err := w.List(t.Context(), k); !errors.Is(err, ErrForbidden) {
		t.Errorf("list: %v", err)
	}
	if err := w.Revoke(t.Context(), k, k.ID); !errors.Is(err, ErrForbidden) {
		t.Errorf("revoke: %v", err)
	}
}

func TestTenantsDoNotSeeEachOthersKeys(t *testing.T) {
	t.Parallel()
	w := open(t)
	mine, _ := w.create(t, w.admin(t), Grant{Scopes: Search}, 0)
	secret, err := w.CreateTenant(t.Context(), "t2", name(t, "Two"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Authenticate(t.Context(), secret)
	if err != nil || other.Tenant != "t2" || other.Bootstrap || other.Scopes != AllScopes {
		t.Fatalf("%v, %v", other, err)
	}
	keys, err := w.List(t.Context(), other)
	if err != nil || len(keys) != 1 || keys[0].ID != other.ID {
		t.Errorf("listed %d keys: %v", len(keys), err)
	}
	if err := w.Revoke(t.Context(), other, mine.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked another tenant's key: %v", err)
	}
	if _, err := w.CreateTenant(t.Context(), "t2", name(t, "Again")); !errors.Is(err, ErrExists) {
		t.Errorf("again: %v", err)
	}
	tenants, err := w.Tenants(t.Context())
	if err != nil || len(tenants) != 2 {
		t.Fatalf("%d tenants: %v", len(tenants), err)
	}
}

// alter serves rows that somebody with the database changed.
type alter struct {
	Store
	change func(*KeyRow)
}

func (s alter) KeyByHash(ctx context.Context, h [32]byte) (KeyRow, error) {
	row, err := s.Store.KeyByHash(ctx, h)
	s.change(&row)
	return row, err
}

func TestAnAlteredRowOpensNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, weak := w.create(t, w.admin(t), Grant{Scopes: Search}, consent.TimeOf(w.clock().Add(time.Hour)))
	strong, strongSecret := w.create(t, w.admin(t), Grant{Scopes: AllScopes}, 0)
	var strongRow KeyRow
	rows, err := w.db.Keys(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.ID == strong.ID {
			strongRow = r
		}
	}
	for what, change := range map[string]func(*KeyRow){
		"another key's grant":        func(r *KeyRow) { r.Sealed = strongRow.Sealed },
		"another key's row, my hash": func(r *KeyRow) { h := r.Hash; *r = strongRow; r.Hash = h },
		"another key's row":          func(r *KeyRow) { *r = strongRow },
		"another tenant":             func(r *KeyRow) { r.Tenant = "t2" },
		"no expiry":                  func(r *KeyRow) { r.ExpiresAt = 0 },
		"a flipped bit of the grant": func(r *KeyRow) { r.Sealed[len(r.Sealed)-1] ^= 1 },
		"an empty grant":             func(r *KeyRow) { r.Sealed = nil },
		"revoked":                    func(r *KeyRow) { r.RevokedAt = 1 },
	} {
		s := NewService(alter{w.db, change}, w.system)
		if k, err := s.Authenticate(t.Context(), weak); err == nil {
			t.Errorf("%s: let in with %v", what, k.Scopes.Names())
		}
	}
	// The fixture can let somebody in at all:
	if _, err := NewService(alter{w.db, func(*KeyRow) {}}, w.system).Authenticate(t.Context(), strongSecret); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatFailsLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, secret := w.create(t, w.admin(t), Grant{Scopes: Search}, 0)
	fresh := NewService(w.db, w.system)
	w.db.Close()
	if _, err := fresh.Authenticate(t.Context(), secret); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestCreateCommitsWhatIsRemembered(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := []consent.Remembered{{Key: [32]byte{1}, Body: [32]byte{2}, Outcome: []byte{3}}}
	g := Grant{Name: name(t, "k"), Scopes: Search}
	if _, err := w.Create(t.Context(), w.admin(t), NewKeyID(), g, 0, r); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(t.Context(), w.admin(t), NewKeyID(), g, 0, r); !errors.Is(err, consent.ErrRemembered) {
		t.Errorf("got %v", err)
	}
	if keys, err := w.List(t.Context(), w.admin(t)); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestScopesAreAClosedSet(t *testing.T) {
	t.Parallel()
	all, err := ParseScopes(AllScopes.Names())
	if err != nil || all != AllScopes || len(AllScopes.Names()) != 14 {
		t.Errorf("%v %v", all.Names(), err)
	}
	for _, s := range []string{"", "Search", "search ", "ingest:", "*", "admin\x00"} {
		if _, err := ParseScopes([]string{"search", s}); !errors.Is(err, ErrScope) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestSecretsAreDistinctAndOfOneShape(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := NewSecret()
		if seen[s] || len(s) != len("assent_")+43 || !strings.HasPrefix(s, "assent_") {
			t.Fatalf("a secret of %d bytes", len(s))
		}
		seen[s] = true
	}
}

func TestNothingThatPeopleChosePrints(t *testing.T) {
	t.Parallel()
	w := open(t)
	k, _ := w.create(t, w.admin(t), Grant{Scopes: Search, Name: name(t, "CANARY")}, 0)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k.Name) + fmt.Sprintf(verb, struct{ n Name }{k.Name}) + fmt.Sprintf(verb, k); strings.Contains(got, "CANARY") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if _, err := ParseName("bad\nCANARY"); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %v", err)
	}
}
