package retrieval

import (
	"time"

	"github.com/assent-gateway/assent/consent"
)

// Limits of a document.
const (
	MaxDocumentID = 512
	MaxTitle      = 4 << 10
	MaxText       = 4 << 20
	MaxPassages   = 4096 // supplied, and made by chunking
	MaxPeople     = 256  // owners and mentions together
	MaxSource     = 256
	MaxDimensions = 4096
	MaxGroup      = 512
	MaxAudience   = 256 // users and groups of a visibility together
)

// A Document is what is ingested. It holds either Text or Passages.
type Document struct {
	ID          string
	Owners      []consent.Subject
	Mentions    []consent.Subject
	Nobody      bool // "personal": false
	Title       string
	Text        string
	Passages    []Passage
	Metadata    map[string]Value
	Visibility  Visibility // LevelDefault: the collection's
	Source      string
	RetainUntil time.Time
}

// A Passage is supplied as it is to be returned. Vector is optional: all
// passages of a collection have one, or none has.
//
// Author wrote it, and Mentions are named in it, where the ingest says so: each
// is among the document's owners or mentions. When one of them is erased and
// the document is kept without them, the passage goes.
type Passage struct {
	Text     string
	Vector   []float32
	Author   consent.Subject // zero: nobody says
	Mentions []consent.Subject
}

// A Submission is a document to ingest, or why it could not be read: then ID
// may still be known, and Err is an *InputError.
type Submission struct {
	Document
	Err error
}

// DocStatus is what became of a document.
type DocStatus string

// The statuses.
const (
	Stored     DocStatus = "stored"
	Unchanged  DocStatus = "unchanged"
	Refused    DocStatus = "refused"
	InvalidDoc DocStatus = "invalid"
)

// A DocResult is what became of one document. Reason is the ledger's for
// callers that may hear it, else "not_permitted"; Field is set when invalid.
type DocResult struct {
	ID       string
	Status   DocStatus
	Reason   string
	Field    string
	Passages int
}

// Ingested is the outcome of one batch.
type Ingested struct {
	Ledger  consent.Position // at which it was decided
	Corpus  CorpusPosition   // the corpus head after it
	Results []DocResult      // in the order of the documents
}

// SearchRequest is one search. Query or Vector is required.
type SearchRequest struct {
	Query       string
	Vector      []float32
	K           int // 1 to MaxK
	Purpose     string
	Mode        Mode
	Filter      []byte // JSON, as ParseFilter reads it; nil: none
	MinPosition consent.Position
	Exact       bool // scan vectors exactly, where the index would not by itself
}

// MaxK is the most passages one search returns.
const MaxK = 1000

// A Hit is a passage that passed both gates.
type Hit struct {
	PassageID  string
	DocumentID string
	Score      float64 // unrounded: cosine, BM25, or the fusion sum × RRFScale
	Title      string
	Text       string
	Metadata   map[string]Value
	Source     string
}

// Completeness says whether an answer holds all it could.
type Completeness string

// Complete: all k are there. Short: fewer match, and all of them are there.
// Degraded: some may be missing; Privacy.CompletenessReason says why.
const (
	Complete Completeness = "complete"
	Short    Completeness = "short"
	Degraded Completeness = "degraded"
)

// Privacy says from which state an answer was given.
type Privacy struct {
	Position           consent.Position
	PolicyDigest       string
	Purpose            string
	Completeness       Completeness
	CompletenessReason string
	DecisionID         string
}

// Answer is the outcome of a search. Mode is the one that was used.
type Answer struct {
	Hits    []Hit
	Mode    Mode
	Privacy Privacy
}

// DocumentAnswer is a document that passed both gates.
type DocumentAnswer struct {
	ID       string
	Title    string
	Text     string // as ingested; "" where passages were supplied
	Passages []Hit  // PassageID and Text
	Metadata map[string]Value
	Source   string
	StoredAt time.Time
	Privacy  Privacy
}

// Checked says which passages may still be used.
type Checked struct {
	Position  consent.Position
	Permitted []string // in the order asked
}
