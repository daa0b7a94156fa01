package weaviate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// Errors that callers tell apart; all others wrap retrieval.ErrIndex.
var (
	// ErrSchema: a class is not as this package makes it, and is not used.
	ErrSchema = errors.New("weaviate: a class there is not one that can be trusted")
	// ErrOpen: anyone who reaches the server may read it.
	ErrOpen = errors.New("weaviate: the server takes requests without a key, and its address is not loopback: give it a key and set ASSENT_WEAVIATE_API_KEY, or override by name with ASSENT_ALLOW_OPEN_WEAVIATE=1")
	// ErrAutoSchema: a late insert would make a dropped class anew.
	ErrAutoSchema = errors.New("weaviate: the server makes classes by itself: set AUTOSCHEMA_ENABLED=false there")
)

var (
	errPermit = errors.New("weaviate: a search needs a permit")
	errQuery  = errors.New("weaviate: the query's mode, k or vector does not fit the collection")
)

// Options say where the server is and how it is asked.
type Options struct {
	URL     string // http://host:port or https://host:port
	GRPC    string // host:port; "": the URL's host, port 50051
	APIKey  string
	Open    bool          // allow a server without a key off loopback
	Timeout time.Duration // of one request that reads; 0 is 10 s
	// Idle leaves the applier unstarted, for tests of what happens then.
	Idle bool
	Log  *slog.Logger
	// Begin times the applier's rounds, and Dropped counts hits of the store that
	// did not count, by reason; nil: nobody does.
	Begin   func(context.Context) (context.Context, func(error))
	Dropped func(why string, n int64)
	// Dial is added to the options of the gRPC connection. Tests put what
	// disturbs the store there.
	Dial []grpc.DialOption
}

// A Source is what the gateway itself knows of passages: retrieval.Service.
type Source interface {
	Known(ctx context.Context, c retrieval.CollectionID, refs []retrieval.PassageRef) ([]retrieval.IndexPassage, error)
	// EachKnown gives one that went meanwhile, or does not open, without a Vector.
	EachKnown(ctx context.Context, c retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error
	// Refresh makes the index know a tenant's collections as they are now: one
	// that another gateway dropped has no class to work in.
	Refresh(ctx context.Context, t consent.TenantID) error
	// EachLive is as EachKnown, with no transaction open between two calls of f.
	EachLive(ctx context.Context, c retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error
	// IndexHome is the key that marks a tenant's classes as its own.
	IndexHome(t consent.TenantID) (seal.Key, error)
}

// Ledger is what the applier asks: consent.Ledger.
type Ledger interface {
	Permit(ctx context.Context, t consent.TenantID, purpose string) (consent.Permit, error)
	Purposes(ctx context.Context, t consent.TenantID) (purposes []string, digest string, err error)
}

// An Index is the index outside. See the package comment.
type Index struct {
	server  *server
	outside retrieval.Outside
	log     *slog.Logger
	begin   func(context.Context) (context.Context, func(error))
	count   func(why string, n int64)
	source  Source
	ledger  Ledger

	mu          sync.RWMutex
	collections map[retrieval.CollectionID]*collection
	minds       map[consent.TenantID]*mind
	books       map[bookKey]*book

	making map[string]int // classes that are being made

	dropped [reasons]atomic.Int64
	applier applier
}

var _ retrieval.Index = (*Index)(nil)

// A collection is what the index knows of one; nothing of its passages.
type collection struct {
	id    retrieval.CollectionID
	shape retrieval.Shape
	names names   // of the generation that searches ask
	also  []names // of those that changes go to as well
	// rewrites: the store's keyword index (BlockMax) of the generation that
	// searches ask takes a text out and puts it back whenever another property
	// changes, and then loses some: measured with 1.35.2. Others
	// (USE_INVERTED_SEARCHABLE=false) leave it alone.
	rewrites bool

	mu       sync.Mutex
	overlays map[overlayKey]*overlay
}

// Open connects, and refuses a server that must not be trusted. Connect must
// follow before anything else is called.
func Open(ctx context.Context, outside retrieval.Outside, o Options) (*Index, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Begin == nil {
		o.Begin = func(ctx context.Context) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if o.Dropped == nil {
		o.Dropped = func(string, int64) {}
	}
	s, err := dial(o)
	if err != nil {
		return nil, err
	}
	if err := s.trust(ctx, o); err != nil {
		s.close()
		return nil, err
	}
	return &Index{
		server: s, outside: outside, log: o.Log, begin: o.Begin, count: o.Dropped, collections: map[retrieval.CollectionID]*collection{},
		minds: map[consent.TenantID]*mind{}, books: map[bookKey]*book{}, making: map[string]int{}, applier: newApplier(),
	}, nil
}

// Connect sets what needs the index first.
func (x *Index) Connect(s Source, l Ledger) { x.source, x.ledger = s, l }

// Close ends the connections.
func (x *Index) Close() error { return x.server.close() }

// Ready reports whether the server answers.
func (x *Index) Ready(ctx context.Context) error { return x.server.ready(ctx) }

func (x *Index) collection(id retrieval.CollectionID) *collection {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.collections[id]
}

// of returns a tenant's collections.
func (x *Index) of(t consent.TenantID) []*collection {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []*collection
	for _, c := range x.collections {
		if c.shape.Tenant == t {
			out = append(out, c)
		}
	}
	return out
}

// Create implements retrieval.Index.
func (x *Index) Create(ctx context.Context, id retrieval.CollectionID, s retrieval.Shape) error {
	c := newCollection(id, s)
	defer x.make(c)()
	for _, n := range c.all() {
		if err := x.ensure(ctx, c, n); err != nil {
			return err
		}
		if err := c.perchWhenMade(ctx, x.server, n); err != nil {
			return err
		}
	}
	if s.Keyword && c.rewrites {
		x.log.Warn("keyword answers of this Weaviate may lack texts and say so: set USE_INVERTED_SEARCHABLE there to false before collections with keywords are made")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.collections[id]
	if old == nil || !old.like(s) && old.shape.Generations.Change <= s.Generations.Change { // what is worked out of one that stays as it is, stays
		x.collections[id] = c
	}
	return nil
}

// like reports whether a collection has a shape already.
func (c *collection) like(s retrieval.Shape) bool {
	o := c.shape
	return o.Dimensions == s.Dimensions && o.Tenant == s.Tenant && o.Rule == s.Rule && slices.Equal(o.Filterable, s.Filterable) &&
		o.Keyword == s.Keyword && o.Key == s.Key && o.Generations.Change == s.Generations.Change && (o.Canary == nil) == (s.Canary == nil) &&
		(o.Canary == nil || o.Canary.Head.Ref == s.Canary.Head.Ref)
}

// Drop implements retrieval.Index.
func (x *Index) Drop(ctx context.Context, id retrieval.CollectionID) error {
	c := x.collection(id)
	if c == nil {
		return nil
	}
	// Known until it is gone: what is asked to leave an unknown one counts as gone.
	for _, n := range c.everything() {
		if err := x.server.deleteClass(ctx, n.class); err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.collections[id] == c { // else it was made anew meanwhile
		delete(x.collections, id)
	}
	return nil
}

// Apply implements retrieval.Index, as far as the package comment says.
func (x *Index) Apply(ctx context.Context, id retrieval.CollectionID, ch retrieval.Change) error {
	c := x.collection(id)
	if c == nil {
		if len(ch.Add) == 0 {
			return nil
		}
		return faultOf("put objects into an unknown collection")
	}
	if len(ch.Remove) > 0 {
		if err := x.remove(ctx, c, ch.Remove); err != nil {
			return err
		}
	}
	if len(ch.Add) == 0 {
		return nil
	}
	if err := x.insert(ctx, c, ch.Add); err != nil {
		return err
	}
	x.applier.wake()
	return nil
}

// removeAtOnce bounds the versions that one request deletes.
const removeAtOnce = 200

func (x *Index) remove(ctx context.Context, c *collection, nums []retrieval.DocNum) error {
	for len(nums) > 0 {
		n := min(len(nums), removeAtOnce)
		for _, in := range c.all() {
			docs := make([]string, n)
			for i, num := range nums[:n] {
				docs[i] = in.doc(num)
			}
			if err := x.server.remove(ctx, in.class, oneOf(propDoc, docs...)); err != nil {
				return err
			}
		}
		nums = nums[n:]
	}
	return nil
}
