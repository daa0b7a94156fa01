package retrieval

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Index finds passages under a permit. Implementations: internal/embedded,
// internal/weaviate; the suite is internal/storetest.
//
// Search returns the top K of exactly those passages that the permit, the
// rule, the principal's visibility, retention (against Permit.Now) and the
// filter allow, ranked by DESIGN §5's formulas, ties by document id bytewise,
// then passage number; fewer than K only when fewer match. In keyword mode N,
// df and lengths are taken over those allowed passages only, and a passage
// without any query term does not match. A zero Permit allows nothing and is
// an error. An error means no result, never a partial one.
//
// Apply makes a change visible atomically: no Search sees a removed version
// together with, or instead of neither with, its replacement. When it returns,
// every Search that begins later sees it, and nothing of the removed versions
// remains in memory. Removing what is absent is not an error; adding a version
// that is present replaces it.
//
// An index outside (see Outside) cannot do all of that in one moment: it holds a
// new version before its row is live, and an old one after. What Search returns
// must be live all the same.
//
// Create is idempotent; a Rule that changed is taken over. Where the shape has a
// canary, the index holds it from then on like any passage, and puts it back when
// it is not there; no permit allows it, nothing counts it, and Apply does not
// concern it. Drop forgets a collection. Search in an unknown
// collection finds nothing. All methods are safe for concurrent use.
type Index interface {
	Create(ctx context.Context, c CollectionID, s Shape) error
	Apply(ctx context.Context, c CollectionID, ch Change) error
	Search(ctx context.Context, p consent.Permit, q Query) ([]Found, error)
	Drop(ctx context.Context, c CollectionID) error
}

// A Shape is what an index must know of a collection.
type Shape struct {
	Dimensions int
	Canary     *IndexPassage // nil: none; its owner is consent.Canary
	// The rest is for an index outside the gateway's memory.
	Tenant     consent.TenantID
	Rule       consent.Rule
	Filterable []string // declared fields, in the order that the collection is fixed to
	Keyword    bool     // texts may rest in the index
	Key        seal.Key // what names passages, people and groups there
	// Generations are where its passages are there (rebuild.go). Create never
	// goes back to fewer Changes than it was told of before.
	Generations Generations
}

// Vectors returns the stored unit vectors of passages, in order; nil for one
// that is gone. The embedded index asks it for what it holds only as codes.
type Vectors interface {
	Vectors(ctx context.Context, c CollectionID, refs []PassageRef) ([][]float32, error)
}

// Embedder turns texts into vectors. Vectors need not be of unit length.
type Embedder interface {
	// Identity pins a collection to what made its vectors.
	Identity() EmbedderPin
	// Embed returns one finite, non-zero vector of Identity().Dimensions per text.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// EmbedderPin says what made a collection's vectors. The zero pin is none yet.
type EmbedderPin struct {
	Name       string `json:"name"` // "client" for supplied vectors
	Model      string `json:"model,omitzero"`
	Revision   string `json:"revision,omitzero"`
	Dimensions int    `json:"dimensions"`
}

// A CollectionRow is a collection as stored.
type CollectionRow struct {
	ID     CollectionID
	Lookup [32]byte // MAC of the name
	Sealed []byte   // name, spec and pins, sealed
}

// A DocRow is one version of a document as stored. Of a version that ended,
// only positions and numbers remain.
type DocRow struct {
	Num         DocNum
	Collection  CollectionID
	Lookup      [32]byte // MAC of collection and document id
	Digest      [32]byte // MAC of the ingested content, to recognise a repeat
	Source      [32]byte // MAC of the source's name
	Key         seal.Ref // the vault slot of the record key
	Owners      []consent.SubjectNum
	Mentions    []consent.SubjectNum
	Personal    bool
	RetainUntil consent.Time
	Passages    uint32
	DecidedAt   consent.Position // ledger position at which ingest was decided
	From, To    CorpusPosition   // To is 0 while it is live
	Sealed      []byte           // DocMeta, sealed under the record key
}

// A Version is a version of a document that was live once, as far as it is
// left: all of a live one, of an ended one (To is not 0) numbers, people and
// positions.
type Version struct {
	DocRow
	Mark   int64     // its place in an order that never changes, above 0
	Bodies []PartRow // ascending; none of an ended one
}

// MaxVersionParts bounds the passages of what one call of VersionsAt returns.
const MaxVersionParts = 4096

// A PartRow is one sealed part of a passage: its head or its body.
type PartRow struct {
	Ref    PassageRef
	Sealed []byte
}

// Intake is one transaction's worth of corpus changes.
type Intake struct {
	Subjects []consent.SubjectRow // new people, known by no ledger entry
	Docs     []DocRow             // From is set by the store
	Heads    []PartRow
	Bodies   []PartRow
	Retire   []DocNum // live versions that end: replaced or deleted
	Remember []consent.Remembered
	// Outside is set where the index rests outside: every new version was
	// reserved (see Outside) and ends its reservation, ErrConflict when the
	// lease has ended; retired versions become debts.
	Outside bool
	// Collection, when not nil, replaces that collection's row (the embedder
	// and analyser pins of its first document).
	Collection *CollectionRow
}

// Catalogue keeps collections and documents. Implementations:
// internal/sqlite, internal/postgres; the suite is internal/storetest.
type Catalogue interface {
	Collections(ctx context.Context, t consent.TenantID) ([]CollectionRow, error)
	CollectionByLookup(ctx context.Context, t consent.TenantID, lookup [32]byte) (CollectionRow, bool, error)
	// PutCollection inserts a row (was is empty), or puts it in place of that of
	// its ID, if what is sealed there is was: otherwise another gateway changed
	// it meanwhile, which is ErrConflict, as is another row that has the lookup.
	// consent.ErrRemembered as in Append.
	PutCollection(ctx context.Context, t consent.TenantID, row CollectionRow, was []byte, remember []consent.Remembered) error

	// Commit locks the tenant's corpus head, then the rows of the subjects
	// named, ascending, and calls confirm with the ledger's head as it is
	// under those locks. What confirm returns is written, durably, in one
	// transaction: every new or retired version takes one corpus position,
	// retired ones first; retired versions lose heads, bodies, sealed parts,
	// lookup and digest and keep numbers and positions. It returns the corpus
	// head after it and the rows of the versions retired. An error of confirm
	// rolls back. A Retire of what is not live, or a new version of a document
	// (same collection and lookup) while another is live and not retired, is
	// ErrConflict: the caller looks again and repeats; so is a new version in a
	// collection that was dropped meanwhile. consent.ErrSubjectExists,
	// consent.ErrRemembered and consent.ErrUnknownTenant as in consent.Store's
	// Append. confirm may read through the ledger's store, and must not write.
	Commit(ctx context.Context, t consent.TenantID, subjects []consent.SubjectNum,
		confirm func(consent.Head) (Intake, error)) (CorpusPosition, []DocRow, error)

	// DropCollection retires every live version in a collection (at most
	// limit per call; call until it returns none) and, when none is left,
	// removes the collection's row.
	DropCollection(ctx context.Context, t consent.TenantID, c CollectionID, limit int) (retired []DocRow, err error)

	CorpusHead(ctx context.Context, t consent.TenantID) (CorpusPosition, error)

	// AdvanceCorpus raises the corpus head to at least p, durably: the next
	// change takes a position above it. consent.ErrUnknownTenant.
	AdvanceCorpus(ctx context.Context, t consent.TenantID, p CorpusPosition) error

	// DocsByLookup returns the live versions with these lookups, in any order.
	DocsByLookup(ctx context.Context, t consent.TenantID, c CollectionID, lookups [][32]byte) ([]DocRow, error)
	// Docs returns the live versions with these numbers, in any order.
	Docs(ctx context.Context, t consent.TenantID, nums []DocNum) ([]DocRow, error)
	// Bodies returns the bodies of live versions, in any order.
	Bodies(ctx context.Context, t consent.TenantID, refs []PassageRef) ([]PartRow, error)

	// Live calls f with every live version of t, in any order, and its heads,
	// ascending by passage number. f may keep what it is given.
	Live(ctx context.Context, t consent.TenantID, f func(DocRow, []PartRow) error) error

	// VersionsAt returns versions in some collections that were live at a
	// corpus position, ascending by Mark from after a mark on: at most limit,
	// and of at most MaxVersionParts passages together, but at least one when there
	// is one. A version that has ended since has only what is left of it.
	VersionsAt(ctx context.Context, t consent.TenantID, in []CollectionID, at CorpusPosition, after int64, limit int) ([]Version, error)

	// KeyRefs calls f with every vault slot that a row of any tenant names:
	// subjects', live documents', open erasures' and those of manifests whose
	// files are kept. The key of a person who was erased is named by nothing.
	KeyRefs(ctx context.Context, f func(seal.Ref) error) error
}

// A Feed tells an index of this process what other processes changed in the
// corpus. Implementation: internal/postgres.
type Feed interface {
	// Changed calls f, in any order, with every live version that came after a
	// corpus position, as Live does, and with every version that ended after it:
	// of that Num, Collection, From and To are set, and nothing else. It returns
	// the position up to which that is everything, as one snapshot shows it. f
	// may keep what it is given.
	Changed(ctx context.Context, t consent.TenantID, after CorpusPosition, f func(DocRow, []PartRow) error) (CorpusPosition, error)
}

// Condemning is what an erasure needs of the catalogue, implemented by the
// same adapters.
type Condemning interface {
	// Condemned returns at most limit live versions that w selects, in the
	// order of their ingest. A document of several people comes once.
	Condemned(ctx context.Context, t consent.TenantID, w Which, limit int) ([]DocRow, error)
	// Heads returns the heads of live versions, in any order.
	Heads(ctx context.Context, t consent.TenantID, refs []PassageRef) ([]PartRow, error)
	// Unlink forgets which ended versions, decided before a position, a person
	// had to do with. Repeatable.
	Unlink(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) error
	// Purge makes what was deleted before leave the files, as far as the
	// database can; an error when something holds it back: repeat it.
	Purge(ctx context.Context) error
	// SweepParts looks at heads and bodies that come after a mark (0: at the
	// first), at most limit of each, and deletes those of no live version, of any
	// tenant. It returns how many it deleted, and the mark to go on from; 0 when
	// there are no more.
	SweepParts(ctx context.Context, after int64, limit int) (deleted int, mark int64, err error)
}

// Which documents: those of a person (owned, or mentioned in), else those past
// their retention at a time, else those of a collection, one of it, or those of
// a source (everywhere, when no collection is named); of all of them those
// decided before a position. A Which that names nothing selects nothing.
type Which struct {
	Before     consent.Position
	After      CorpusPosition // of these, those that came later: to go through them in pages (Pass)
	Subject    consent.SubjectNum
	ExpiredAt  consent.Time
	Collection CollectionID
	Lookup     [32]byte
	Source     [32]byte
	// Versions, when there are any, are all that is selected; no store sees them.
	Versions []DocNum
	// Behind is the version that came at After, live or ended, 0: not known. By it a
	// store finds where to go on, instead of going through all that came before once
	// more for every page: of 20 000 documents that was half of an erasure.
	Behind DocNum
}

// Pass lets w go on behind a version.
func (w *Which) Pass(r *DocRow) {
	if r.From > w.After {
		w.After, w.Behind = r.From, r.Num
	}
}

// Records keeps the record keys of documents in the vault.
type Records interface {
	// Put makes keys durable, wrapped under the keys of their subjects; a
	// nil parent is for documents about nobody. They are kept for
	// consent.KeyLease at least, named by a row or not.
	Put(keys []RecordKey) ([]seal.Ref, error)
	// Open returns a record key; ErrKeyGone when it or a parent is gone.
	Open(ref seal.Ref, parent *seal.Key) (seal.Key, error)
	// Warm is told which keys are about to be opened, people's too: what reads
	// each from afar reads them at once. An error means that it could not.
	Warm(ctx context.Context, refs []seal.Ref) error
	// Destroy destroys record keys, durably. Repeatable.
	Destroy(refs ...seal.Ref) error
}

// A RecordKey is a document's key and what wraps it.
type RecordKey struct {
	Key    seal.Key
	Parent *seal.Key
}
