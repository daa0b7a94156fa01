package translog

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

var (
	// ErrConflict: the newest checkpoint is not the one that was to be replaced.
	ErrConflict = errors.New("translog: another checkpoint is the newest")
	// ErrNotFound: the log has no such tenant, tile or entry, at its size.
	ErrNotFound = errors.New("translog: not in the log")
	// ErrPending: no checkpoint covers the entry yet.
	ErrPending = errors.New("translog: no checkpoint covers that position yet")
	// ErrOrigin: the log was begun under another origin, which it keeps.
	ErrOrigin = errors.New("translog: the log was begun under another origin: set ASSENT_LOG_ORIGIN to the prefix it had")
)

// A Hash is a SHA-256 of RFC 6962.
type Hash = [32]byte

// A Node is a hash that a tile of level 1 or above holds: the root over
// 256^Level leaves from Index × 256^Level on.
type Node struct {
	Level uint8
	Index uint64
	Hash  Hash
}

// Store keeps the tree beside the ledger. Implementations: internal/sqlite,
// internal/postgres; the suite is internal/storetest. Methods are safe for
// concurrent use.
type Store interface {
	// LogCheckpoint returns a tenant's newest checkpoint; nil when there is none.
	LogCheckpoint(ctx context.Context, t consent.TenantID) ([]byte, error)

	// AdvanceLog puts a checkpoint in place of old (nil: of none) together
	// with nodes, in one durable transaction. ErrConflict, and nothing
	// changed, when the newest is not old; consent.ErrUnknownTenant. A node
	// that is there already is overwritten. After any other error it may have
	// happened.
	AdvanceLog(ctx context.Context, t consent.TenantID, old, checkpoint []byte, nodes []Node) error

	// LogHashes returns at most n hashes of a level from index on, ascending,
	// up to the first that is missing. Level 0 are the leaves of committed
	// entries: index 0 is that of position 1.
	LogHashes(ctx context.Context, t consent.TenantID, level uint8, index uint64, n int) ([]Hash, error)

	// LogEntries returns at most n committed entries after a position, ascending.
	LogEntries(ctx context.Context, t consent.TenantID, after consent.Position, n int) ([]consent.Row, error)
}

// Keys are those of a log.
type Keys struct {
	// Seeds are the Ed25519 seeds that sign every checkpoint, the newest first:
	// one, or, between a rotation and its end, two. Behind a func, so that they
	// do not print.
	Seeds func() [][32]byte
	// Retired are public keys that no longer sign: what a copy of the data, or
	// a vault that nothing was signed with since, may bear.
	Retired [][32]byte
}

// Vault is what the log needs of the vault.
type Vault interface {
	// LogKeys returns the keys of a tenant's log; false for an unknown tenant.
	LogKeys(t consent.TenantID) (Keys, bool)

	// JournalHead is the newest position that is durable in the journal.
	JournalHead(t consent.TenantID) (consent.Position, error)

	// Checkpoint returns a tenant's newest checkpoint; nil when there is none.
	Checkpoint(t consent.TenantID) ([]byte, error)

	// SetCheckpoint puts one in place of old (nil: of none), durable on return.
	// ErrConflict, and nothing changed, when the newest is not old. After any
	// other error it may have happened.
	SetCheckpoint(t consent.TenantID, old, checkpoint []byte) error
}

// An Outlet takes checkpoints off the machine. Send is called for one at a
// time; it may be called again for the same one. An error is retried, with a
// newer one when there is one by then.
type Outlet interface {
	Send(ctx context.Context, origin string, size uint64, checkpoint []byte) error
}
