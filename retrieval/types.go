package retrieval

import (
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: absent, or not visible to the caller. The two look the same.
	ErrNotFound = errors.New("retrieval: not found")
	// ErrForbidden: the caller sees it, and may not change it so.
	ErrForbidden = errors.New("retrieval: the caller may not do that")
	// ErrEmbedderMismatch: the collection was built with another embedder.
	ErrEmbedderMismatch = errors.New("retrieval: the collection was built with another embedder")
	// ErrModeUnavailable: the collection cannot be searched in that mode.
	ErrModeUnavailable = errors.New("retrieval: the collection lacks that mode")
	// ErrPosition: the position asked for was not reached in time.
	ErrPosition = errors.New("retrieval: position not reached")
	// ErrConflict: a row changed meanwhile; look again and repeat.
	ErrConflict = errors.New("retrieval: changed meanwhile")
	// ErrEmbedder: the embedder failed or answered something else than vectors.
	ErrEmbedder = errors.New("retrieval: the embedder gave no usable answer")
	// ErrKeyGone: a record's key is destroyed, so the record is closed.
	ErrKeyGone = errors.New("retrieval: the key of a record is gone")

	// errAltered: a stored row does not say what is sealed in it.
	errAltered = errors.New("retrieval: a stored row was altered")
)

// An InputError names the field of a request that is not valid. It never
// holds the field's value.
type InputError struct {
	Field  string // JSON path, e.g. "filter.and[1].op"
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "retrieval: " + e.Field + ": " + e.Reason }

// Invalid returns an InputError.
func Invalid(field, reason string) error { return &InputError{field, reason} }

// CollectionID is the random internal number of a collection.
type CollectionID int64

// DocNum is the random internal number of one stored version of a document;
// never used again.
type DocNum int64

// CorpusPosition numbers changes of documents in a tenant: from 1, without
// gaps, in commit order.
type CorpusPosition uint64

// Level is who may see a document besides its owners.
type Level uint8

// The levels. The numbers are on disk.
const (
	LevelDefault Level = 0 // the collection's default; never stored on a document
	Private      Level = 1 // its owners alone
	Listed       Level = 2 // its owners, and the users and groups named
	TenantWide   Level = 3 // everyone in the tenant
)

// Visibility says who may see a document, whatever consent says.
type Visibility struct {
	Level  Level
	Users  []consent.Subject
	Groups []string
}

// A Principal is the end user on whose behalf a caller asks: from a verified
// token or a key trusted to assert it. The zero Principal sees only what is
// visible to the whole tenant.
type Principal struct {
	Subject consent.Subject
	Groups  []string
}

// Mode is how a search ranks.
type Mode uint8

// The modes.
const (
	ModeDefault Mode = iota
	ModeVector
	ModeKeyword
	ModeHybrid
)

// Ranking constants (DESIGN §5).
const (
	BM25K1   = 1.2
	BM25B    = 0.75
	RRFConst = 60
	// RRFScale makes first-in-both show as 1.00: 2/61 × 30.5.
	RRFScale = 30.5
)

// FuseDepth is how many of each mode's first results a hybrid search fuses.
func FuseDepth(k int) int { return max(100, 5*k) }

// A PassageRef names a passage inside: a version of a document and the
// passage's number in it, from 0.
type PassageRef struct {
	Doc DocNum
	N   uint32
}

// A TermCount is a keyed 64-bit hash of an analysed term and how often it
// stands in a passage.
type TermCount struct {
	Hash  uint64
	Count uint32
}

// Codes are the int8 codes of a unit vector v: v ≈ Scale·Code, and Residual
// ≥ ‖v − Scale·Code‖₂, so that |q·v − Scale·(q·Code)| ≤ Residual for every
// unit q. Len(Code) is the collection's dimensions.
type Codes struct {
	Code     []int8
	Scale    float32
	Residual float32
}

// A Head is the small part of a passage that is read at start: enough to
// rank, filter and gate, nothing readable. Its encoding (Head.AppendBinary)
// rests sealed under the document's record key.
type Head struct {
	Ref        PassageRef
	DocID      string // orders ties, bytewise
	Personal   bool   // false: attested to be about nobody
	Visibility Visibility
	Values     map[string]Value // metadata to filter on
	Terms      []TermCount      // ascending by Hash
	Length     uint32           // analysed terms in title and text
	Codes      Codes
}

// An IndexPassage is a passage as an index takes it. Vector is the stored
// unit float32 vector, or nil when the passage comes from the disk: then the
// index asks its Vectors port when it must rank exactly.
type IndexPassage struct {
	Head     Head
	Owners   []consent.SubjectNum
	Mentions []consent.SubjectNum
	// RetainUntil: from then on (ledger clock) the passage is not found; 0 is never.
	RetainUntil consent.Time
	Vector      []float32
	// Text is title and text, for an index outside that may keep it; else "".
	Text string
}

// A Change of a collection's index: whole document versions go and come.
type Change struct {
	Remove []DocNum
	Add    []IndexPassage // all passages of each added version
}

// Query is one search inside a collection.
type Query struct {
	Collection CollectionID
	Rule       consent.Rule // how owners and mentions combine in this collection
	Principal  Principal
	// PrincipalNum is the number of Principal.Subject, by which owners see
	// their own documents; 0 when the tenant does not know the person.
	PrincipalNum consent.SubjectNum
	K            int
	Mode         Mode      // never ModeDefault
	Vector       []float32 // unit length; for ModeVector and ModeHybrid
	// Terms are the keyed hashes of the distinct query terms, in the byte
	// order of the terms themselves: the order in which BM25 adds up.
	Terms  []uint64
	Text   string  // the query itself, for an index outside that ranks texts
	Exact  bool    // vectors by an exact scan; an index that always ranks exactly ignores it
	Filter *Filter // nil: everything
}

// Found is a passage and its score: cosine, BM25 or the fusion sum, before
// any scaling or rounding.
type Found struct {
	Ref   PassageRef
	Score float64
}
