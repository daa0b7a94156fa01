package retrieval

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Deps are what a Service is made of. All but Feed, Outside, Log, Step and
// Observer are required.
type Deps struct {
	Ledger    *consent.Ledger
	Catalogue Catalogue
	Index     Index
	// Feed is for an index of this process over a corpus that other processes
	// change, too; nil where nobody else does, or where they share the index.
	Feed      Feed
	Records   Records
	Embedders Embedders
	// Outside is set where the index rests outside the gateway's memory and is
	// shared: then versions are reserved before they are put there, and their
	// absence is confirmed after they were taken out. Nil for one in memory.
	Outside Outside
	// Condemning finds what erasures delete; nil where nothing is erased.
	Condemning Condemning
	// Keys returns a tenant's keys for the catalogue; false when unknown.
	Keys func(consent.TenantID) (Keys, bool)
	Log  *slog.Logger
	// Step is called after every durable step of a write, by name:
	// "slots.synced", "tx.committed", "applied". Tests kill the process there.
	Step func(string)
	// Observer is told what the service does; nil: nobody.
	Observer Observer
}

// Keys are a tenant's keys for what is not a person's own.
type Keys struct {
	Catalogue seal.Key // MACs of names, ids and contents
	Terms     seal.Key // keyed hashes of analysed terms
	Payload   seal.Key // seals collections
}

// Embedders gives the embedder for a number of dimensions; 0 is its own
// choice. ErrEmbedderMismatch when it has none for that number.
type Embedders interface {
	For(dimensions int) (Embedder, error)
}

// A Service ingests, searches, checks and deletes. Every way out of it that
// carries a text or says that one exists asks the ledger first and passes the
// second gate last.
type Service struct {
	Deps
	mu      sync.Mutex
	tenants map[consent.TenantID]*shelf
	// limbo are keys of what is deleted that could not be destroyed yet.
	limbo []seal.Ref

	alarms atomic.Uint64 // canaries that came out of the index
}

// NewService returns a service without tenants; Load adds them.
func NewService(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Step == nil {
		d.Step = func(string) {}
	}
	if d.Observer == nil {
		d.Observer = unobserved{}
	}
	return &Service{Deps: d, tenants: map[consent.TenantID]*shelf{}}
}

// A Caller is who asks, from a verified credential, never from a body.
type Caller struct {
	Tenant      consent.TenantID
	KeyID       string
	Principal   Principal
	Collections []string // those the credential is limited to; nil: all
	Rights      Rights
}

// Rights are scopes that change what a call may do or tell.
type Rights uint8

// The rights.
const (
	MayIngestNonPersonal Rights = 1 << iota // scope ingest:nonpersonal
	MayChangeOwners                         // scope ingest:owners
	MayHearReasons                          // scope consent:read
	MayChangeRules                          // scope admin
)

func (c Caller) may(r Rights) bool { return c.Rights&r != 0 }

// shelf returns a loaded tenant's shelf. A tenant whose ledger is closed was
// not loaded: then the ledger says why.
func (s *Service) shelf(ctx context.Context, t consent.TenantID) (*shelf, error) {
	s.mu.Lock()
	sh := s.tenants[t]
	s.mu.Unlock()
	if sh != nil {
		return sh, nil
	}
	if _, err := s.Ledger.Head(ctx, t); err != nil {
		return nil, err
	}
	return nil, consent.ErrUnknownTenant
}

func (s *Service) keys(t consent.TenantID) (Keys, error) {
	k, ok := s.Keys(t)
	if !ok {
		return Keys{}, consent.ErrUnknownTenant
	}
	return k, nil
}

// permit asks the ledger, and waits for a position when one is asked for. What
// this gateway keeps of the tenant is then as new as the permit.
func (s *Service) permit(ctx context.Context, t consent.TenantID, purpose string, min consent.Position) (consent.Permit, error) {
	if err := s.await(ctx, t, min); err != nil {
		return consent.Permit{}, err
	}
	p, err := s.Ledger.Permit(ctx, t, purpose)
	if err != nil {
		return consent.Permit{}, err
	}
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return consent.Permit{}, err
	}
	if err := s.follow(ctx, t, sh, p.Head(), nil); err != nil {
		return consent.Permit{}, err
	}
	return p, nil
}

// Waiting for a position: how long at most, and how often the head is read.
const (
	positionPatience = 2 * time.Second
	positionInterval = 10 * time.Millisecond
)

// await waits until the ledger has reached a position; ErrPosition.
func (s *Service) await(ctx context.Context, t consent.TenantID, min consent.Position) error {
	if min == 0 {
		return nil
	}
	enough := time.NewTimer(positionPatience)
	defer enough.Stop()
	for {
		head, err := s.Ledger.Head(ctx, t)
		if err != nil || head.Position >= min {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough.C:
			return ErrPosition
		case <-time.After(positionInterval):
		}
	}
}
