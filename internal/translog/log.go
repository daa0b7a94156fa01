package translog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// Options of a Log. The zero Options are production's, but for Closed.
type Options struct {
	Origin   string        // prefix of every log's origin; "": "assent"
	Interval time.Duration // between two rounds of signing; 0: 250 ms
	Outlets  []Outlet
	Log      *slog.Logger
	// Closed is told when a running log finds that database, vault and ledger
	// do not agree: the tenant's ledger must permit nothing any more.
	Closed func(consent.TenantID, error)
	// Refresh brings a tenant's ledger to the database's head, so that the tree
	// has the leaves that another gateway signed for.
	Refresh func(context.Context, consent.TenantID) error
	// Step is called after every durable step that is not the store's or the
	// vault's own: "log.signed", "log.vaulted", "log.stored", "log.published".
	Step func(string)
	// Begin is called when a round begins to bring one tenant's checkpoint up
	// to its ledger, and what it returns when that ended; nil: nobody is told.
	Begin func(context.Context) (context.Context, func(error))
}

// The interval is what writes pay for checkpoints: each is two syncs beside
// theirs. What comes alone is signed for at once.
const (
	defaultOrigin   = "assent"
	defaultInterval = 250 * time.Millisecond
)

// A Log is the logs of all tenants. Its methods are safe for concurrent use.
type Log struct {
	store Store
	vault Vault
	opt   Options
	posts []*post

	wake  chan struct{} // holds one token when a tree may have grown
	mu    sync.RWMutex
	trees map[consent.TenantID]*tree
}

var _ consent.Tree = (*Log)(nil)

// New returns a log without tenants; the ledger's Open adds them. Nothing is
// signed before Run.
func New(s Store, v Vault, o Options) *Log {
	if o.Origin == "" {
		o.Origin = defaultOrigin
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Begin == nil {
		o.Begin = func(ctx context.Context) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if o.Closed == nil {
		o.Closed = func(consent.TenantID, error) {}
	}
	if o.Refresh == nil {
		o.Refresh = func(context.Context, consent.TenantID) error { return nil }
	}
	l := &Log{store: s, vault: v, opt: o, wake: make(chan struct{}, 1), trees: map[consent.TenantID]*tree{}}
	for _, out := range o.Outlets {
		l.posts = append(l.posts, newPost(out, o.Log))
	}
	return l
}

// tree returns a tenant's tree, or why it cannot be asked.
func (l *Log) tree(id consent.TenantID) (*tree, error) {
	l.mu.RLock()
	t := l.trees[id]
	l.mu.RUnlock()
	if t == nil {
		return nil, ErrNotFound
	}
	return t, t.failure()
}

// Key returns a tenant's verifier key, the newest, as
// golang.org/x/mod/sumdb/note reads it.
func (l *Log) Key(id consent.TenantID) (string, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := l.trees[id]
	if t == nil {
		return "", ErrNotFound
	}
	return t.vkey, nil
}

// BearsNewestKey reports whether a checkpoint of a tenant's log is signed with
// its newest key, be it with others, too.
func (l *Log) BearsNewestKey(id consent.TenantID, checkpoint []byte) (bool, error) {
	name, err := l.identity(id)
	if err != nil {
		return false, err
	}
	c, err := name.parseBy(checkpoint, name.known[:1])
	return err == nil && c.Size > 0, nil
}

// identity of a tenant's log.
func (l *Log) identity(id consent.TenantID) (identity, error) {
	keys, ok := l.vault.LogKeys(id)
	if !ok {
		return identity{}, fmt.Errorf("%w: the vault has no signing key of a tenant", consent.ErrUnavailable)
	}
	return newIdentity(l.opt.Origin+"/"+string(id), keys)
}
