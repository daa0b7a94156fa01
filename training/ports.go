package training

import (
	"context"
	"io"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Collection is one of the selection, with how its people combine.
type Collection struct {
	ID   int64
	Name string
	Rule consent.Rule
}

// A Selection is the documents a manifest chooses from.
type Selection struct {
	Collections  []Collection
	Filter       []byte // nil: none
	Visibilities []string
	At           uint64 // corpus position
}

// A Document is one of a selection, as it was. Of one that is Gone only
// number, collection and passages are known.
type Document struct {
	Num         int64
	Collection  int64
	ID          string
	Source      string
	StoredAt    consent.Time
	People      consent.People
	RetainUntil consent.Time
	Passages    int
	Gone        bool
	Texts       []string
	PassageID   func(n int) string
}

// Corpus gives documents as they were at a corpus position; implemented over
// retrieval. What it gives is opened by the keys of its people, and not yet
// decided upon.
type Corpus interface {
	// Head is the newest corpus position.
	Head(ctx context.Context, t consent.TenantID) (uint64, error)
	// Select returns collections by name and checks a filter over them.
	// ErrNotFound for one the caller may not know of; an InputError for a
	// filter that cannot be mapped.
	Select(ctx context.Context, c Caller, names []string, filter []byte) ([]Collection, error)
	// Rule returns how people combine in a collection now; false when it is gone.
	Rule(ctx context.Context, t consent.TenantID, id int64) (consent.Rule, bool, error)
	// Condemned returns the numbers of the documents that a removal is about and
	// that are not deleted yet.
	Condemned(ctx context.Context, t consent.TenantID, r consent.Removing) ([]int64, error)
	// Page calls f with some documents of a selection, in an order that never
	// changes, from after a mark (0: the first), and returns the mark to go on
	// from; done when there are no more.
	Page(ctx context.Context, t consent.TenantID, s Selection, after int64, f func(*Document) error) (mark int64, done bool, err error)
}

// A ManifestRow is a manifest as stored.
type ManifestRow struct {
	ID        string
	State     State
	Holder    string   // who builds it and keeps its files
	Inputs    [32]byte // MAC of the inputs
	Key       seal.Ref // of the files' key; zero once they are gone
	CreatedAt consent.Time
	Sealed    []byte
}

// A PartRow is a written shard as stored.
type PartRow struct {
	Part   int
	Sealed []byte
}

// A RunRow is a training run bound to a manifest, as stored.
type RunRow struct {
	Manifest string
	Lookup   [32]byte // MAC of the run's id
	Position consent.Position
	Sealed   []byte
}

// A Held is a manifest of some tenant.
type Held struct {
	Tenant consent.TenantID
	Row    ManifestRow
}

// Manifests keeps manifests. Implementations: internal/sqlite,
// internal/postgres; the suite is internal/storetest. Writes are durable when
// they return and may be repeated.
type Manifests interface {
	// AddManifest inserts a manifest. consent.ErrRemembered, and nothing
	// changed, as in consent.Store's Append; consent.ErrUnknownTenant;
	// ErrConflict when the id is taken.
	AddManifest(ctx context.Context, t consent.TenantID, row ManifestRow, remember []consent.Remembered) error
	// SaveManifest replaces state, inputs, key and what is sealed, where state and
	// key are still those of was; ErrConflict, and nothing changed, where they are
	// not, unless it is this very write that was made before; ErrNotFound.
	SaveManifest(ctx context.Context, t consent.TenantID, row, was ManifestRow) error
	// Manifest returns a manifest; false when there is none.
	Manifest(ctx context.Context, t consent.TenantID, id string) (ManifestRow, bool, error)
	// ManifestsLike returns the ready manifests of some inputs, newest first.
	ManifestsLike(ctx context.Context, t consent.TenantID, inputs [32]byte) ([]ManifestRow, error)
	// Unfinished returns what a holder is building, or what failed there, of
	// every tenant, oldest first.
	Unfinished(ctx context.Context, holder string, s State) ([]Held, error)
	// PutPart inserts or replaces a part. Parts returns them, ascending;
	// DropParts forgets them.
	PutPart(ctx context.Context, t consent.TenantID, id string, p PartRow) error
	Parts(ctx context.Context, t consent.TenantID, id string) ([]PartRow, error)
	DropParts(ctx context.Context, t consent.TenantID, id string) error
}

// Lineage keeps who and what is bound to manifests; with Manifests.
type Lineage interface {
	// AddMembers records that a manifest holds people. Repeatable.
	AddMembers(ctx context.Context, t consent.TenantID, id string, who []consent.SubjectNum) error
	// ManifestsOf returns the manifests that hold a person, oldest first.
	ManifestsOf(ctx context.Context, t consent.TenantID, who consent.SubjectNum) ([]ManifestRow, error)
	// AddRun binds a run. One that is bound already (same manifest and lookup)
	// stays as it is and is returned, with false.
	AddRun(ctx context.Context, t consent.TenantID, r RunRow) (RunRow, bool, error)
	// RunsOf returns the runs of a manifest by position, then lookup.
	RunsOf(ctx context.Context, t consent.TenantID, id string) ([]RunRow, error)
	// AddRunNote records something about a run that is bound; ErrNotFound.
	// Repeatable. RunNotesOf returns what was recorded about the runs of a
	// manifest, by position.
	AddRunNote(ctx context.Context, t consent.TenantID, n RunRow) error
	RunNotesOf(ctx context.Context, t consent.TenantID, id string) ([]RunRow, error)
}

// A Departed is a manifest that held a person until they were erased.
type Departed struct {
	Manifest string
	At       consent.Position // of the suppression
}

// Departures knows what erased people left behind.
type Departures interface {
	// Departed returns the manifests that held a person before an erasure of
	// theirs, also of one that is open. It may name some twice.
	Departed(ctx context.Context, t consent.TenantID, who consent.Subject) ([]Departed, error)
	// LastDeparture returns the position of the newest suppression after one by
	// which a manifest may have lost somebody it held; 0 when there is none. An
	// erasure of which nobody knows what it was about counts.
	LastDeparture(ctx context.Context, t consent.TenantID, manifest string, after consent.Position) (consent.Position, error)
}

// Contents keeps which documents manifests hold, and which of these were erased;
// with Manifests.
type Contents interface {
	// PutDocuments inserts or replaces the list of a shard's documents; DocumentsOf
	// returns those of a manifest, ascending.
	PutDocuments(ctx context.Context, t consent.TenantID, id string, p PartRow) error
	DocumentsOf(ctx context.Context, t consent.TenantID, id string) ([]PartRow, error)
	// AllManifests returns every manifest of a tenant, oldest first.
	AllManifests(ctx context.Context, t consent.TenantID) ([]ManifestRow, error)
	// AddErased notes documents that were erased, of a manifest that held them, or
	// of an erasure that has not come to manifests yet. Erased returns them,
	// ascending; DropErased forgets them.
	AddErased(ctx context.Context, t consent.TenantID, of string, docs []int64) error
	Erased(ctx context.Context, t consent.TenantID, of string) ([]int64, error)
	DropErased(ctx context.Context, t consent.TenantID, of string) error
}

// Files keeps the files of manifests, sealed. A name is a path with slashes,
// of which the first element is the manifest's id. ErrFull when there is no
// room; ErrDamaged for what does not open; fs.ErrNotExist for what is absent.
type Files interface {
	// Holder names this place among those of other gateways, for ever.
	Holder() string
	// Create begins a file. Nobody sees it before Commit, which makes it
	// durable, in place of one of the same name.
	Create(name string, key seal.Key) (File, error)
	// Scratch is Create for a file that need not outlive a crash: after one it
	// is absent, or does not open, or is whole.
	Scratch(name string, key seal.Key) (File, error)
	// Open reads a file. What is read is authentic up to there; the end comes
	// only at the end that was written.
	Open(name string, key seal.Key) (io.ReadCloser, error)
	// Remove removes a file, or all below a directory; absent is fine.
	Remove(name string) error
}

// A File is being written.
type File interface {
	io.Writer
	Commit() error
	Abort() // after Commit it does nothing
}

// A Format writes rows. The bytes depend on nothing but the rows and columns.
type Format interface {
	Name() string // as asked for, and the files' extension
	NewWriter(w io.Writer, c Columns) RowWriter
}

// A RowWriter writes one file.
type RowWriter interface {
	Write(*Row) error // keeps nothing of the row
	Close() error
}

// Vault keeps keys; implemented over internal/vault.
type Vault interface {
	// ManifestKeys returns a tenant's keys; false when unknown.
	ManifestKeys(t consent.TenantID) (Keys, bool)
	// NewFileKey makes a key, durable before it returns.
	NewFileKey() (seal.Key, seal.Ref, error)
	// FileKey opens one; ErrErased when it is destroyed.
	FileKey(ref seal.Ref) (seal.Key, error)
	// Destroy destroys keys, durably. Repeatable.
	Destroy(refs ...seal.Ref) error
}

// Keys are a tenant's keys for manifests.
type Keys struct {
	Derive  seal.Key // keys of manifests come from it and their inputs
	Payload seal.Key // seals what rests of manifests, beside their files
}

// Notary proves entries and signs statements; implemented over
// internal/translog.
type Notary interface {
	// Prove waits for a checkpoint that covers a position and returns the
	// entry's proof, c2sp.org/tlog-proof@v1.
	Prove(ctx context.Context, t consent.TenantID, p consent.Position) ([]byte, error)
	// Sign returns a DSSE envelope, signed with the key of the tenant's log.
	Sign(ctx context.Context, t consent.TenantID, payloadType string, payload []byte) ([]byte, error)
}
