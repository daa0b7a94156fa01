package training

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Deps are what a Service is made of. All but Log, Step, Workers, ShardRows and
// SortBytes are required.
type Deps struct {
	Ledger     *consent.Ledger
	Corpus     Corpus
	Manifests  Manifests
	Lineage    Lineage
	Contents   Contents
	Departures Departures // nil: nobody was ever erased
	Files      Files
	Formats    []Format
	Vault      Vault
	Notary     Notary
	Log        *slog.Logger
	// Step is called after every durable step of a build, by name: "scanned",
	// "merged", "part", "settled", "entered", "signed", "ready", and "failed". Tests kill the process there.
	Step      func(string)
	Workers   int // that render shards; 0: one a core
	ShardRows int // rows of a shard; 0: 100 000
	SortBytes int // of memory for sorting; 0: 32 MiB
}

// A Service builds manifests, serves them, and says whether they hold.
type Service struct {
	Deps
	wake chan struct{} // holds one token when something is to be built
	// turn is held by who takes files away and by who lets a build begin anew, so
	// that nobody removes what the next build has written.
	turn  sync.Mutex
	limbo []seal.Ref // keys that no row names, and that could not be destroyed; guarded by turn

	mu       sync.Mutex
	progress map[string]float64 // of builds in this process
	folds    map[consent.TenantID]*consent.Fold
	watches  map[string]*watch // by manifest
	looks    uint64
}

// NewService returns a service; Run makes it build.
func NewService(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Step == nil {
		d.Step = func(string) {}
	}
	if d.Workers == 0 {
		d.Workers = runtime.GOMAXPROCS(0)
	}
	if d.ShardRows == 0 {
		d.ShardRows = 100_000
	}
	if d.SortBytes == 0 {
		d.SortBytes = 32 << 20
	}
	return &Service{Deps: d, wake: make(chan struct{}, 1), progress: map[string]float64{}, folds: map[consent.TenantID]*consent.Fold{}, watches: map[string]*watch{}}
}

// How long it takes until what failed for want of a ledger is tried again.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Run builds what is to be built, one manifest after the other, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.forgetFailed(ctx)
	for wait := firstRetry; ; {
		held, err := s.Manifests.Unfinished(ctx, s.Files.Holder(), Building)
		settled := err == nil
		for _, h := range held {
			settled = s.build(ctx, h.Tenant, h.Row) && settled
			if ctx.Err() != nil {
				return nil
			}
		}
		if settled && len(held) > 0 {
			wait = firstRetry
			continue // what came meanwhile
		}
		again := time.NewTimer(wait)
		if settled {
			again.Stop() // there is nothing to do until somebody asks
		} else {
			wait = min(2*wait, lastRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-again.C:
		}
	}
}

func (s *Service) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// foldTo returns a tenant's ledger as it stood at a position. One is kept, so
// that the next build does not begin at the first entry again; only Run's
// goroutine uses it.
func (s *Service) foldTo(ctx context.Context, t consent.TenantID, to consent.Position) (*consent.Fold, error) {
	f := s.folds[t]
	if f == nil || f.Position() > to {
		var err error
		if f, err = s.Ledger.Fold(ctx, t); err != nil {
			return nil, err
		}
	}
	if err := f.Advance(ctx, to); err != nil {
		delete(s.folds, t)
		return nil, err
	}
	s.folds[t] = f
	return f, nil
}

func (s *Service) setProgress(id string, p float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress[id] = p
}

func (s *Service) keys(t consent.TenantID) (Keys, error) {
	k, ok := s.Vault.ManifestKeys(t)
	if !ok {
		return Keys{}, consent.ErrUnknownTenant
	}
	return k, nil
}
