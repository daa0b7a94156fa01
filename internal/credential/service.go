package credential

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

var (
	// ErrUnauthenticated: no such key, or it is revoked or expired. Which, it
	// does not say.
	ErrUnauthenticated = errors.New("credential: not a valid key")
	// ErrForbidden: the key may not do that.
	ErrForbidden = errors.New("credential: the key may not do that")
	// ErrUnavailable: keys cannot be read now, so nobody is let in.
	ErrUnavailable = errors.New("credential: keys cannot be read")
)

// A Service verifies and makes API keys. It is safe for concurrent use.
type Service struct {
	store      Store
	mac, seal  func() seal.Key  // see seal.Hold
	bootstrap  map[[32]byte]Key // by MAC of the secret: at most one
	uncached   bool
	ledger     Ledger // nil: events of keys are not recorded
	openLedger func(context.Context, consent.TenantID) error

	mu         sync.RWMutex
	generation uint64 // of the cache; Revoke raises it
	cache      map[[32]byte]Key
	suspended  map[consent.TenantID]bool
}

// An Option changes a Service that NewService makes.
type Option func(*Service)

// WithBootstrap makes a secret valid that is in no store: the operator's, for
// one tenant, with everything, and alone fit to make tenants. "" is none.
func WithBootstrap(t consent.TenantID, secret string) Option {
	return func(s *Service) {
		if secret != "" {
			s.bootstrap = map[[32]byte]Key{
				s.hash(secret): {ID: BootstrapID, Tenant: t, Grant: Everything(Name{}), Bootstrap: true},
			}
		}
	}
}

// WithoutCache makes every Authenticate read the store.
func WithoutCache() Option { return func(s *Service) { s.uncached = true } }

// WithLedger records what becomes of keys in the ledger of their tenant; open
// opens that of a tenant which was just made.
func WithLedger(l Ledger, open func(context.Context, consent.TenantID) error) Option {
	return func(s *Service) { s.ledger, s.openLedger = l, open }
}

// NewService returns a service over a store; system is the vault's system key.
func NewService(store Store, system seal.Key, options ...Option) *Service {
	s := &Service{
		store: store,
		mac:   seal.Hold(seal.Derive(system, "credential/mac")),
		seal:  seal.Hold(seal.Derive(system, "credential/seal")),
		cache: map[[32]byte]Key{},
	}
	for _, o := range options {
		o(s)
	}
	return s
}

func (s *Service) hash(secret string) [32]byte {
	return seal.MAC(s.mac(), "assent api key", []byte(secret))
}

// maxSecret bounds what is hashed for a stranger.
const maxSecret = 512

// Authenticate returns the key that has this secret; ErrUnauthenticated, or an
// error that wraps ErrUnavailable.
func (s *Service) Authenticate(ctx context.Context, secret string) (Key, error) {
	if secret == "" || len(secret) > maxSecret {
		return Key{}, ErrUnauthenticated
	}
	hash := s.hash(secret)
	if k, ok := s.bootstrap[hash]; ok {
		return k, nil
	}
	s.mu.RLock()
	k, cached := s.cache[hash]
	generation := s.generation
	suspended := len(s.suspended) > 0
	s.mu.RUnlock()
	if !cached {
		row, err := s.store.KeyByHash(ctx, hash)
		if errors.Is(err, ErrNotFound) {
			return Key{}, ErrUnauthenticated
		}
		if err != nil {
			return Key{}, unavailable(err)
		}
		if row.RevokedAt != 0 || row.Hash != hash {
			return Key{}, ErrUnauthenticated
		}
		if k, err = s.open(row); err != nil {
			return Key{}, unavailable(err)
		}
		s.keep(hash, k, generation)
	}
	if suspended && s.isSuspended(k.Tenant) {
		return Key{}, ErrUnavailable
	}
	if k.ExpiresAt != 0 {
		now, err := s.store.Now(ctx)
		if err != nil {
			return Key{}, unavailable(err)
		}
		if now >= k.ExpiresAt {
			return Key{}, ErrUnauthenticated
		}
	}
	return k, nil
}

// Suspend lets in no key of a tenant, for as long as the process lives, but the
// bootstrap key: its ledger could not be read, and which of its keys are revoked
// is not known. A database put back from a backup has keys that were revoked
// since.
func (s *Service) Suspend(t consent.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suspended == nil {
		s.suspended = map[consent.TenantID]bool{}
	}
	s.suspended[t] = true
}

func (s *Service) isSuspended(t consent.TenantID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.suspended[t]
}

// keep caches a key unless one was revoked since it was read: it may be that one.
func (s *Service) keep(hash [32]byte, k Key, generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == generation && !s.uncached {
		s.cache[hash] = k
	}
}

func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	clear(s.cache)
}

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// open reads what a row seals.
func (s *Service) open(row KeyRow) (Key, error) {
	plain, err := seal.Open(s.seal(), row.Sealed, keyAAD(row.Tenant, row.ID, row.Hash))
	if err != nil {
		return Key{}, errGrant
	}
	g, err := decode(plain, row.ExpiresAt)
	if err != nil {
		return Key{}, err
	}
	return Key{
		ID: row.ID, Tenant: row.Tenant, Grant: g,
		CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt, RevokedAt: row.RevokedAt,
	}, nil
}

// keyAAD binds a grant to its key, and the key to its secret.
func keyAAD(t consent.TenantID, id string, hash [32]byte) []byte {
	b := []byte("assent api key\x00")
	for _, part := range []string{string(t), id} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return append(b, hash[:]...)
}
