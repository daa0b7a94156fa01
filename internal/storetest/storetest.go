// Package storetest is the contract of the database ports as tests: one suite
// each for consent.Store, translog.Store, retrieval.Catalogue, credential.Store,
// erasure.Store, events.Store and training.Manifests with training.Lineage, run by every
// adapter against itself.
//
// Each case gets a store of its own, is named for the outcome it expects and
// quotes the sentence of the contract it checks; the quote is printed when the
// case fails. Sentences without a port's file are from DESIGN.md.
//
// What an adapter cannot do it names in Adapter.Except with a reason; such a
// case shows as skipped with that reason. A name that no suite has is a
// failure, so that exceptions do not outlive what they except.
//
// Not said by the ports, and therefore checked only as far as no caller can
// tell the difference: whether an empty box comes back as nil or as empty.
package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// A Store is what an adapter offers: the ports over one database.
type Store interface {
	consent.Store
	translog.Store
	retrieval.Catalogue
	retrieval.Outside
	credential.Store
	training.Manifests
	training.Lineage
	training.Contents
	erasure.Store
	retrieval.Condemning
	events.Store
	// What verification asks (internal/erasecheck.Rows).
	Linked(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (int, error)
	Traces(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (int, error)
	Named(ctx context.Context, t consent.TenantID, lookup [32]byte) (bool, error)
}

// An Adapter is a database under test.
type Adapter struct {
	// Open returns a store that is fresh and empty, closed by t.Cleanup, and
	// takes now for its clock. An adapter whose clock is not ours ignores now
	// and excepts the cases that move it.
	Open func(t *testing.T, now func() time.Time) Store
	// Except maps "Suite/name of the case" to the reason why the adapter
	// cannot pass it.
	Except map[string]string
}

// Ledger checks consent.Store.
func Ledger(t *testing.T, a Adapter) {
	run(t, a, "Ledger", slices.Concat(ledgerCases, ledgerConflictCases, ledgerTenantCases, replayCases))
}

// Log checks translog.Store.
func Log(t *testing.T, a Adapter) { run(t, a, "Log", logCases) }

// Catalogue checks retrieval.Catalogue.
func Catalogue(t *testing.T, a Adapter) {
	run(t, a, "Catalogue", slices.Concat(catalogueCases, pastCases, commitCases, deletionCases, catalogueTenantCases))
}

// Manifests checks training.Manifests and training.Lineage.
func Manifests(t *testing.T, a Adapter) { run(t, a, "Manifests", manifestCases) }

// Credentials checks credential.Store.
func Credentials(t *testing.T, a Adapter) { run(t, a, "Credentials", credentialCases) }

// Erasures checks erasure.Store, retrieval.Condemning and what verification asks.
func Erasures(t *testing.T, a Adapter) { run(t, a, "Erasures", erasureCases) }

// A testCase is one sentence of a contract.
type testCase struct {
	name     string // the outcome
	contract string // the sentence
	run      func(*testing.T, *fixture)
}

// A fixture is a fresh store with two tenants in it.
type fixture struct {
	Store
	ctx   context.Context
	clock *clock
	again func() Store // another fresh store, without tenants
}

// Tenants of every fixture. Their ids differ in letter case only: ids are
// compared bytewise.
const (
	tenantA consent.TenantID = "tenant"
	tenantB consent.TenantID = "Tenant"
	nowhere consent.TenantID = "nowhere"
)

func run(t *testing.T, a Adapter, suite string, cases []testCase) {
	names := map[string]bool{}
	for _, c := range cases {
		names[suite+"/"+c.name] = true
	}
	for name := range a.Except {
		if strings.HasPrefix(name, suite+"/") && !names[name] {
			t.Errorf("exception for a case that does not exist: %q", name)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if why := a.Except[suite+"/"+c.name]; why != "" {
				t.Skip("exception: " + why)
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the contract: %s", c.contract)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // against deadlocks
			defer cancel()
			f := &fixture{ctx: ctx, clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)}}
			f.Store = a.Open(t, f.clock.Now)
			f.again = func() Store { return a.Open(t, f.clock.Now) }
			for _, id := range []consent.TenantID{tenantA, tenantB} {
				must(t, f.AddTenant(ctx, credential.TenantRow{ID: id, Sealed: []byte(id), CreatedAt: 1}, nil, nil))
			}
			c.run(t, f)
		})
	}
}

// A clock is a store's clock in the hands of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now reads the clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("error is %v, want %v", got, want)
	}
}
