package consent

import (
	"context"
	"errors"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// Errors of the ledger and of the ports it calls.
var (
	// ErrUnavailable: the ledger cannot be asked, so nothing is permitted.
	ErrUnavailable = errors.New("consent: the ledger is unavailable")
	// ErrBehindJournal: the database lacks entries that the vault's journal
	// has, as after a restore from a backup. It wraps ErrUnavailable.
	ErrBehindJournal = unavailable("the ledger is behind the vault's journal: restored from a backup and not yet replayed; put newer data back if there is any, else stop every gateway and run: assent vault replay; one that runs meanwhile stays closed until it is started anew")
	// ErrDiverged: the database's entries are not those the journal names.
	ErrDiverged = unavailable("the ledger's entries differ from the vault's journal")
	// ErrJournalGap: Vault.AppendJournal met records that do not continue the
	// journal: entries before them are not in it yet.
	ErrJournalGap = errors.New("consent: entries are missing in the vault's journal")
	// ErrTampered: an entry's leaf or MAC does not fit its content.
	ErrTampered = unavailable("an entry of the ledger was altered")
	// ErrJournal: the journal could not be written after a commit.
	ErrJournal = unavailable("the vault's journal cannot be written")
	// ErrHeadBackwards: the ledger's head is lower than one seen before.
	ErrHeadBackwards = unavailable("the ledger's head went backwards")
	// ErrReplayed: the data was put back from a backup, and replayed, under a
	// gateway that has read what was there before.
	ErrReplayed = unavailable("the data was put back from a backup and replayed while this gateway ran: start it anew")
	// ErrOvertaken: a note of the same kind came after the one named.
	ErrOvertaken = errors.New("consent: another note was entered meanwhile")
	// ErrUnknownTenant: no such tenant.
	ErrUnknownTenant = errors.New("consent: unknown tenant")
	// ErrSubjectExists: Store.Append met a subject that another writer made
	// meanwhile; the caller resolves again and repeats.
	ErrSubjectExists = errors.New("consent: subject was made meanwhile")
	// ErrRemembered: Store.Append met an idempotency key that another request
	// stored meanwhile; the caller recalls it.
	ErrRemembered = errors.New("consent: idempotency key was used meanwhile")
	// ErrPublished: a consent type's version is published and never changes.
	ErrPublished = errors.New("consent: that version is published with another content")
	// ErrPolicyConflict: a policy of the same version differs from the one in force.
	ErrPolicyConflict = errors.New("consent: a policy of this version but another content is in force: raise its version")
	// ErrPurposeUnknown: the policy in force does not know the purpose.
	ErrPurposeUnknown = errors.New("consent: purpose is unknown to the policy")
	// ErrKeyGone: a person's key is destroyed; what it closed stays closed.
	ErrKeyGone = errors.New("consent: a person's key is gone")
	// ErrNoPerson: no row explains a person's number.
	ErrNoPerson = errors.New("consent: no person has that number")
	// ErrKeyMismatch: an Idempotency-Key was used before with another body.
	ErrKeyMismatch = errors.New("consent: idempotency key was used with another body")
)

type unavailableError struct{ why string }

func unavailable(why string) error               { return &unavailableError{why} }
func (e *unavailableError) Error() string        { return "consent: " + e.why }
func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

// Reason says why in words fit for an answer; it never holds request data.
func (e *unavailableError) Reason() string { return e.why }

// Why returns the safe text of an error that wraps ErrUnavailable.
func Why(err error) string {
	var u *unavailableError
	if errors.As(err, &u) {
		return u.why
	}
	return "the ledger cannot be reached"
}

// Kind says what an entry of the ledger is about. The numbers are on disk.
type Kind uint8

// The kinds of entries.
const (
	// KindLost is no kind of event: a restore left only the leaf of an entry.
	// See Row.AppendEntry and Ledger.Replay.
	KindLost Kind = 0

	KindConsent     Kind = 1  // a person's consent record
	KindPolicy      Kind = 2  // a policy, whole
	KindType        Kind = 3  // publication of a consent type
	KindAttestation Kind = 4  // documents attested to be about nobody
	KindOwners      Kind = 5  // change of a document's owners or mentions
	KindErasure     Kind = 6  // suppression of a person
	KindKey         Kind = 7  // an API key was made or revoked
	KindTenant      Kind = 8  // the tenant was made
	KindHold        Kind = 9  // an erasure is held, or released
	KindRestore     Kind = 10 // the data, or the vault, was put back from a backup
	KindVault       Kind = 11 // keys were rotated, backed up, retired
	KindManifest    Kind = 12 // a training manifest was finished
	KindRun         Kind = 13 // a training run was bound to a manifest
	KindRemoval     Kind = 14 // documents are to be erased
	KindLift        Kind = 15 // a suppression or removal was denied or cancelled
	KindErased      Kind = 16 // an erasure was completed; has the digest of its receipt
	KindIdentifier  Kind = 17 // another identifier of a person

	KindRemedy Kind = 22 // what a person decided about a training run that holds somebody who left
)

// clear reports whether what an entry of the kind says rests in clear, for
// whoever verifies the log: random ids, enums, counters and digests alone.
func (k Kind) clear() bool {
	switch k {
	case KindManifest, KindRun, KindRemedy, KindErasure, KindHold, KindRemoval, KindLift, KindErased:
		return true
	}
	return false
}

// A SubjectRow is a person as stored: no identifier in clear. Of LookupVersion 2
// it is a suppression mark, which has no Key; of 3 it is a person's who was
// suppressed, whom no Lookup leads to (mark.go).
type SubjectRow struct {
	Num           SubjectNum
	Lookup        [32]byte // HMAC of the tenant's lookup key and the normal form; or the suppression mark; or random
	LookupVersion uint8
	Key           seal.Ref // the vault slot of the person's key
	Sealed        []byte   // MAC of the row ‖ the identifier, sealed under the person's key
}

// A Row is an entry as stored. Clear columns carry nothing that names a
// person; Sealed holds the rest under the person's key (or the tenant's
// payload key where Subject is 0). Of the kinds about erasures it is in clear:
// an ErasureEvent, which names nobody.
type Row struct {
	Position     Position
	Kind         Kind
	Subject      SubjectNum
	Type         Type
	Status       Status
	Jurisdiction Jurisdiction
	ActedAt      Time // when the person acted, if the entry says; else 0
	RecordedAt   Time // the ledger database's clock at commit, never decreasing
	ExpiresAt    Time // explicit expiry; 0 is none
	Sealed       []byte
	Leaf         [32]byte // see Row.leaf
	MAC          [32]byte // of Leaf under the tenant's MAC key
}

// A Head is the newest committed position and the database's clock, read
// together on the primary.
type Head struct {
	Position Position
	Now      Time
	// Corpus and Shelf say whether another gateway changed documents or
	// collections: the tenant's corpus position, and a counter that every
	// change of a collection raises. The ledger hands them on and reads nothing
	// into them. Store.Head sets them; a store that one process writes leaves
	// them 0, and so do heads that are given to prepare and confirm.
	Corpus, Shelf uint64
	// Replayed is another number after each replay of data that was put back
	// from a backup: what was read under one number is not what rests under the
	// other, though the positions are the same. A store that one process writes
	// leaves it 0.
	Replayed uint64
}

// KeyLease is how long after keys were made a transaction that names them may
// begin to commit. A vault that several gateways share keeps keys that no row
// names for twice as long, so that no gateway wipes one that another is about
// to name. It is measured by the clock of the process that made the keys, which
// no setting of the time of day moves.
const KeyLease = 5 * time.Minute

// A Remembered is the outcome of a write under an Idempotency-Key. It holds
// no text and no identifier: Outcome is sealed, Key and Body are MACs.
type Remembered struct {
	Key     [32]byte // MAC of credential, route and Idempotency-Key
	Body    [32]byte // MAC of the body
	Outcome []byte
	At      Time
}

// A Batch is what one Append commits, all or nothing.
type Batch struct {
	Subjects []SubjectRow
	Rekey    []SubjectRow // replace the rows of people who are there, by number
	Free     [][32]byte   // lookups under which nobody has a row, nor will by an ingest that decided before
	Rows     []Row        // positions head+1, head+2, …
	Remember []Remembered
	Erasures []ErasureRow // of Version 1: new ones; else replace the version before
}

// Store keeps the ledger's rows. Implementations are internal/sqlite and
// internal/postgres; the suite is internal/storetest.
//
// Every method is safe for concurrent use. Errors of the database come
// translated and without its text.
type Store interface {
	// Head reads the newest committed position and the clock, on the primary,
	// with a read that is sent after the call. It never answers from a cache
	// that another process could make stale.
	Head(ctx context.Context, t TenantID) (Head, error)

	// Subjects calls f with every subject of t, in no particular order.
	Subjects(ctx context.Context, t TenantID, f func(SubjectRow) error) error

	// SubjectsBy returns the subjects of t with these numbers; absent ones are left out.
	SubjectsBy(ctx context.Context, t TenantID, nums []SubjectNum) ([]SubjectRow, error)

	// SubjectByLookup returns the subject with that lookup key.
	SubjectByLookup(ctx context.Context, t TenantID, lookup [32]byte) (SubjectRow, bool, error)

	// Rows calls f with every committed entry after a position, ascending.
	Rows(ctx context.Context, t TenantID, after Position, f func(Row) error) error

	// History returns at most limit entries of a subject with a position
	// below before (0: from the newest), newest first.
	History(ctx context.Context, t TenantID, s SubjectNum, before Position, limit int) ([]Row, error)

	// Append locks t's head (ErrUnknownTenant when absent), calls prepare
	// with it, and commits the batch it returns, durably, in one transaction.
	// Rows must continue the head without a gap. An error of prepare rolls
	// back and is returned as it is. An empty batch commits nothing. prepare
	// may be called again after a serialisation conflict. prepare may read
	// through the Store's other methods: it sees every committed row.
	// ErrSubjectExists, also of a Free lookup that is not, ErrRemembered and
	// ErrErasureOpen report unique conflicts, ErrErasureChanged a row that is not of the version before. Of
	// a Rekey that names nobody nothing is written: ErrNoPerson. After any other error the transaction may have happened: the caller reads Head.
	Append(ctx context.Context, t TenantID, prepare func(Head) (Batch, error)) error

	// Recall returns what Append, or a commit of the catalogue, remembered
	// under a key in the last 24 hours; one whose time is to come is kept until
	// then.
	Recall(ctx context.Context, t TenantID, key [32]byte) (Remembered, bool, error)
}

// A JournalRecord is one entry as the vault's journal keeps it: its leaf, and
// what a restored ledger is replayed from (journal.go says what).
type JournalRecord struct {
	Position Position
	Leaf     [32]byte
	Kind     Kind
	Payload  []byte // sealed by the vault; may be empty
}

// Vault keeps keys and the journal, apart from the data. It is implemented
// over internal/vault, and for several gateways over internal/pgvault.
type Vault interface {
	// Keys returns a tenant's keys; false when the tenant is unknown.
	Keys(t TenantID) (Keys, bool)

	// NewSubjectKeys makes n fresh keys, durable before it returns. They are
	// kept for KeyLease at least, named by a row or not.
	NewSubjectKeys(n int) ([]seal.Key, []seal.Ref, error)

	// SubjectKey opens a subject's key; ErrKeyGone when it is destroyed. Any
	// other error says nothing about the key.
	SubjectKey(ref seal.Ref) (seal.Key, error)

	// Destroy destroys keys, durably. Repeatable.
	Destroy(refs ...seal.Ref) error

	// JournalHead is the newest position in the journal, 0 for none, as of a
	// moment after the call.
	JournalHead(t TenantID) (Position, error)

	// JournalLeaf returns the leaf at a position the journal has.
	JournalLeaf(t TenantID, p Position) ([32]byte, error)

	// ReadJournal returns the record at a position the journal has, its
	// payload opened.
	ReadJournal(t TenantID, p Position) (JournalRecord, error)

	// AppendJournal appends records, ascending without a gap, durable before it
	// returns. Those that the journal has already are passed over, since
	// another gateway may have been faster; ErrDiverged, and nothing appended,
	// when it has another leaf there. ErrJournalGap, and nothing appended, when
	// they begin beyond the head. After any other error it is not known what
	// became durable; MendJournal reopens the journal and makes JournalHead true
	// again.
	AppendJournal(t TenantID, recs []JournalRecord) error
	MendJournal() error
}

// Tree is the transparency log over the ledgers' leaves, implemented by
// internal/translog. What it signs for is exactly what the ledger applied.
type Tree interface {
	// Replay begins a tenant's tree anew; the ledger then grows it by every
	// entry from position 1 on.
	Replay(ctx context.Context, t TenantID) (TenantTree, error)
}

// A TenantTree is the tree of one tenant. Calls come one at a time, but for
// Vouched and Wake.
type TenantTree interface {
	// Vouched is the newest position that a signed checkpoint covers: entries
	// up to there are checked by the tree, later ones by their MAC.
	Vouched() Position

	// Grow appends the leaf of the next entry. ErrDiverged or ErrTampered when
	// the tree is then not the one that was signed for.
	Grow(leaf [32]byte) error

	// Wake says that entries have been applied and are in the journal.
	Wake()
}

// noTree is for ledgers without a log.
type noTree struct{}

func (noTree) Replay(context.Context, TenantID) (TenantTree, error) { return noTree{}, nil }
func (noTree) Vouched() Position                                    { return 0 }
func (noTree) Grow([32]byte) error                                  { return nil }
func (noTree) Wake()                                                {}

// Keys are the keys of a tenant that consent uses.
type Keys struct {
	Lookup, Suppression, MAC, Payload seal.Key
}
