package retrieval

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Deps are what a Service is made of. All but Log and Step are required.
type Deps struct {
	Ledger    *consent.Ledger
	Catalogue Catalogue
	Index     Index
	Records   Records
	Embedders Embedders
	// Condemning finds what erasures delete; nil where nothing is erased.
	Condemning Condemning
	// Keys returns a tenant's keys for the catalogue; false when unknown.
	Keys func(consent.TenantID) (Keys, bool)
	Log  *slog.Logger
	// Step is called after every durable step of a write, by name:
	// "slots.synced", "tx.committed", "applied". Tests kill the process there.
	Step func(string)
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
}

// shelf is what a Service keeps of a tenant: its collections by name, and the
// lock under which a transaction of the corpus and its application to the
// index are one step, so that the index sees changes in corpus order.
type shelf struct {
	// A search that was overtaken by a change reads under it, so that rows and
	// index say the same.
	intake sync.RWMutex
	mu     sync.RWMutex
	byName map[string]*Collection
	byID   map[CollectionID]*Collection
}

// NewService returns a service without tenants; Load adds them.
func NewService(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Step == nil {
		d.Step = func(string) {}
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

// permit asks the ledger, and waits for a position when one is asked for.
func (s *Service) permit(ctx context.Context, t consent.TenantID, purpose string, min consent.Position) (consent.Permit, error) {
	if err := s.await(ctx, t, min); err != nil {
		return consent.Permit{}, err
	}
	return s.Ledger.Permit(ctx, t, purpose)
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
	deadline := time.Now().Add(positionPatience)
	for {
		head, err := s.Ledger.Head(ctx, t)
		if err != nil || head.Position >= min {
			return err
		}
		if time.Now().After(deadline) {
			return ErrPosition
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(positionInterval):
		}
	}
}
