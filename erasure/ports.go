package erasure

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Store keeps erasures beside the ledger, in the same database: the ledger
// commits new ones and those that an entry changes (consent.Batch.Erasures).
// Implementations: internal/sqlite, internal/postgres; the suite is
// internal/storetest.
type Store interface {
	// Erasure returns one; false when the tenant has none of that id.
	Erasure(ctx context.Context, t consent.TenantID, id string) (consent.ErasureRow, bool, error)
	// OpenErasure returns the open one of a name.
	OpenErasure(ctx context.Context, t consent.TenantID, name [32]byte) (consent.ErasureRow, bool, error)
	// Erasures returns a page, by time of creation and id.
	Erasures(ctx context.Context, t consent.TenantID, p Page) ([]consent.ErasureRow, error)
	// ChangeErasure replaces the row of the version before, durably;
	// consent.ErrErasureChanged, and nothing changed, when that is not the
	// stored one. id, name and time of creation do not change.
	ChangeErasure(ctx context.Context, t consent.TenantID, row consent.ErasureRow) error
	// HoldErasure gives the lease of an open erasure to a holder, or renews it,
	// by the database's clock; false when another's has not ended, or when there
	// is no open erasure of that id. A lease of 0 gives it back. It is not a
	// change of the row.
	HoldErasure(ctx context.Context, t consent.TenantID, id string, holder [16]byte, lease time.Duration) (bool, error)
}

// A Page selects erasures.
type Page struct {
	State    State // 0: any
	OpenOnly bool
	After    Cursor // the last one of the page before
	Limit    int
}

// A Cursor is where a page ended.
type Cursor struct {
	Created consent.Time
	ID      string
}

// A Corpus knows which documents a request names.
type Corpus interface {
	// Resolve says what a request for documents is about. What is not there
	// resolves to something that covers nothing: nobody hears the difference.
	Resolve(ctx context.Context, t consent.TenantID, s Scope, d Documents) (consent.Removal, error)
	// Since reports whether there are documents that a removal is about, but for one
	// that was entered at a position: they were decided later.
	Since(ctx context.Context, t consent.TenantID, r consent.Removal, at consent.Position) (bool, error)
	// Expired reports whether any document is past its retention.
	Expired(ctx context.Context, t consent.TenantID, now consent.Time) (bool, error)
	// Withdrawn says which documents are to go, whole or in part, because what
	// their people said has ended what they were stored for.
	Withdrawn(ctx context.Context, t consent.TenantID) ([]Withdrawal, error)
	// Orphans reports whether there are documents of a person that a
	// suppression at a position should have taken away.
	Orphans(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (bool, error)
}

// A Withdrawal is documents that are to go, and what the ledger judges of them
// again when their erasure is entered.
type Withdrawal struct {
	Removal consent.Removal
	Storage []consent.Storage
}

// A Step is a node of the cascade. Run deletes, and may be called again after
// any error or crash: what is gone already is no error. It returns what it
// deleted by target, and whether it has to be called again to go on. A NotBefore
// as error says when it is worth to call again; that is no failure.
type Step struct {
	Name    string
	After   []string // steps that must have ended
	Targets []string
	Spares  bool // nothing is deleted: before any other step, the erasure can be taken back
	Says    bool // what it returns is all that there was, whenever it runs: it is counted once
	Looks   bool // suspected mentions are looked for (Reviewer), once Run has ended
	Run     func(ctx context.Context, o Order) (deleted map[string]uint64, more bool, err error)
}

// NotBefore is the error of a step that has to wait until a time by the
// database's clock.
type NotBefore consent.Time

func (NotBefore) Error() string { return "erasure: a step has to wait" }

// Waiting is the error of a step that waits for something that has a name, and
// which a reader of the erasure is told. Meanwhile it is verified how far
// everything but its target is.
type Waiting struct {
	Until  consent.Time // when it is worth to look again, by the database's clock
	Target string       // "": all of them wait, and nothing was looked for
	For    string       // a word, such as "rebuild"
}

func (*Waiting) Error() string { return "erasure: a step has to wait" }

// A Checker verifies, and shares no code with any Step.
type Checker interface {
	// Gather makes what will be looked for durable, under o.Probe, before
	// anything is deleted. Again for the same order, it replaces what it wrote.
	Gather(ctx context.Context, o Order) (Gathered, error)
	// Check looks for it. Each target it knows gets a finding; one that it
	// could not look for is an error, never a level.
	Check(ctx context.Context, o Order) ([]Finding, []Probe, error)
	// Discard removes the probe material, whose key the caller destroys.
	Discard(ctx context.Context, o Order) error
}

// Vault keeps one-time keys.
type Vault interface {
	NewKey() (seal.Ref, error)
	// Key opens one; consent.ErrKeyGone when it is destroyed. It has no parent.
	Key(ref seal.Ref, parent *seal.Key) (seal.Key, error)
	Destroy(refs ...seal.Ref) error
}

// A Log signs, and shows that entries are in it.
type Log interface {
	Origin(t consent.TenantID) (string, error)
	// Sign signs a message under a domain of its own with the tenant's log key.
	Sign(t consent.TenantID, domain string, msg []byte) ([]byte, error)
	// Prove waits for a checkpoint that covers all positions, and returns a
	// proof of each under that one.
	Prove(ctx context.Context, t consent.TenantID, positions []consent.Position) ([]Proof, []byte, error)
}

// A Proof shows that an entry is in the tree of a checkpoint.
type Proof struct {
	Index  uint64
	Entry  []byte
	Hashes [][]byte
}

// Keys are a tenant's keys for erasures.
type Keys struct {
	Name    seal.Key // MACs of what is erased
	Payload seal.Key // seals jobs
	Archive seal.Key // seals evidence
	Claim   seal.Key // makes claims
}
