package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// Deps are what the HTTP interface is made of. What stands below Outages, and
// Enter, may be left out.
type Deps struct {
	Ledger      *consent.Ledger
	Retrieval   *retrieval.Service
	Training    *training.Service
	Credentials *credential.Service
	Erasure     *erasure.Service
	Events      *events.Stream
	Processors  *events.Processors
	Tenants     TenantMaker
	// Enter returns when a tenant can be used; nil: every one can. It is called
	// before anything is asked of a tenant whose key was verified.
	Enter func(context.Context, consent.TenantID) error
	Tree  *translog.Log
	// PublicLog lets everybody read the log of every tenant.
	PublicLog bool
	// Rebuild begins a rebuild of what an index outside has of a tenant; nil: it
	// has nothing.
	Rebuild func(context.Context, consent.TenantID) error
	// Ready says whether the gateway may serve, and why not.
	Ready func(context.Context) error
	// Alarms name, in words of a closed list, what is wrong though the gateway may
	// serve; nil: nothing.
	Alarms func() []string
	// Outages are errors of adapters that mean a dependency failed: 503.
	Outages []error

	// Log is one of internal/logging: what is not on its list is dropped.
	Log *slog.Logger
	// Metrics serves /metrics; nil: it is not there.
	Metrics http.Handler
	// Observer is told of requests; nil: nobody.
	Observer Observer
	// RateLimit is how many requests a second one API key may make; 0: any.
	RateLimit float64
	// Now is the clock of the limit; nil: time.Now.
	Now func() time.Time
	// Heartbeat is how long a stream of events is silent at most; 0: 10 seconds.
	Heartbeat time.Duration
	// Stopping is closed when streams of events are to end; nil: never.
	Stopping <-chan struct{}
}

// An Observer is told of requests, for metrics and traces: by method and the
// template of the route, never of path, header, query, body or key.
type Observer interface {
	// Request says that a request begins; the function it returns is called
	// once, with its status. The context is for what happens within.
	Request(ctx context.Context, method, route string) (context.Context, func(status int))
	// Limited says that a request was answered 429.
	Limited(route string)
}

// unobserved hears nothing.
type unobserved struct{}

func (unobserved) Request(ctx context.Context, _, _ string) (context.Context, func(int)) {
	return ctx, func(int) {}
}
func (unobserved) Limited(string) {}

// A TenantMaker makes tenants.
type TenantMaker interface {
	// CreateTenant makes a tenant that can be used when it returns: its keys
	// are in the vault, its ledger is open and has a policy. It returns the
	// secret of the tenant's admin key, which nothing keeps.
	CreateTenant(ctx context.Context, name credential.Name) (id consent.TenantID, secret string, err error)
}
