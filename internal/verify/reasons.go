package verify

import "fmt"

// A Refusal is a reason for which something does not verify. Errors that hold
// none (errors.As) say nothing about the log, only that it was not checked.
type Refusal struct{ text string }

func (r *Refusal) Error() string { return r.text }

// The reasons.
var (
	// ErrMalformed: the bytes are not the canonical form of what they should be.
	ErrMalformed = &Refusal{"malformed"}
	// ErrTruncated: something ends too early: a path, a tile, a bundle, a file.
	ErrTruncated = &Refusal{"truncated"}
	// ErrTrailing: something goes on after its end.
	ErrTrailing = &Refusal{"trailing data"}
	// ErrUnsigned: no valid signature by a pinned key, or an invalid one.
	ErrUnsigned = &Refusal{"no valid signature by the pinned key"}
	// ErrOrigin: validly signed, but for another log than the pinned one.
	ErrOrigin = &Refusal{"the checkpoint is of another origin than the pinned one"}
	// ErrReplayed: what was given as newer is older than what is known already.
	ErrReplayed = &Refusal{"an older checkpoint was replayed"}
	// ErrForked: two signed checkpoints of one size with two roots.
	ErrForked = &Refusal{"the log is forked: two checkpoints of the same size have different roots"}
	// ErrRewritten: a larger tree does not begin with the smaller one.
	ErrRewritten = &Refusal{"the log was rewritten: the newer tree does not contain the older one"}
	// ErrIndex: the entry's index is not inside the tree.
	ErrIndex = &Refusal{"the index is out of range"}
	// ErrPath: entry and path of a single proof do not lead to the signed root.
	ErrPath = &Refusal{"the entry and the hashes beside it do not lead to the signed root: one of them was altered"}
	// ErrNode: a node of the tree is not the hash of what is below it.
	ErrNode = &Refusal{"a node of the tree is not the hash of the tiles below it"}
	// ErrLeaf: an entry does not hash to its leaf.
	ErrLeaf = &Refusal{"an entry does not match its leaf"}
	// ErrPosition: an entry says another position than the one it stands at.
	ErrPosition = &Refusal{"an entry is not at the position it names"}
	// ErrLost: the log holds a leaf, but not the entry.
	ErrLost = &Refusal{"an entry is gone; only its leaf remains"}
	// ErrMissing: the log does not hold a file that a log of its size must hold.
	ErrMissing = &Refusal{"a part of the log is missing"}
	// ErrFile: a file of a manifest is not the one that the statement names.
	ErrFile = &Refusal{"a file is not the one that was signed for"}
	// ErrStatement: a statement says something else than what it is about.
	ErrStatement = &Refusal{"it differs from what the statement says"}
	// ErrOrder: rows of a manifest are out of order, or there twice.
	ErrOrder = &Refusal{"a row is out of order"}
	// ErrExpired: a manifest's lease has ended.
	ErrExpired = &Refusal{"the manifest has expired"}
	// ErrKind: a proof of an entry that is no consent receipt was given as one.
	ErrKind = &Refusal{"the entry is not a consent record"}
	// ErrAltered: an erasure's receipt says something else than what was signed.
	ErrAltered = &Refusal{"the statement is not what the log's key signed: it was altered, or is of another log"}
	// ErrUnrelated: an entry of an erasure's receipt is not of this erasure.
	ErrUnrelated = &Refusal{"an entry in the log is not of this erasure, or names another statement"}
	// ErrOverstated: a statement claims a level that its own findings do not bear.
	ErrOverstated = &Refusal{"the statement claims more than its own findings bear"}
	// ErrFailed: the report of a drill is genuine, and says that it was not passed.
	ErrFailed = &Refusal{"the report is genuine, and the drill was not passed"}
	// ErrClaim: the claim is not the one that the receipt was made for.
	ErrClaim = &Refusal{"the claim is not of this receipt"}
)

// refuse adds to a reason where it was found.
func refuse(r *Refusal, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, r)...)
}
