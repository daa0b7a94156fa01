package training

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: no such manifest, or none the caller may know of.
	ErrNotFound = errors.New("training: no such manifest")
	// ErrNotReady: it is being built, or its build failed.
	ErrNotReady = errors.New("training: the manifest is not ready")
	// ErrStale: it holds rows of people who no longer permit.
	ErrStale = errors.New("training: the manifest is stale")
	// ErrExpired: its lease has ended.
	ErrExpired = errors.New("training: the manifest has expired")
	// ErrErased: it holds rows of an erased person, or its files are gone.
	ErrErased = errors.New("training: the files of the manifest are erased")
	// ErrElsewhere: another gateway builds it, or keeps its files and the list of
	// its rows; only that one can go on with it, judge it, serve it.
	ErrElsewhere = errors.New("training: another gateway keeps the files of the manifest")
	// ErrConflict: what is recorded stands against this change.
	ErrConflict = errors.New("training: recorded otherwise before")
	// ErrFull: no room for the files.
	ErrFull = errors.New("training: no room for the files of a manifest")
	// ErrDamaged: a file does not open, or is not what was written.
	ErrDamaged = errors.New("training: a file of a manifest is damaged")

	errDiverged = errors.New("training: a rebuild does not lead to the digests that were kept")
	errMoved    = errors.New("training: somebody of the manifest spoke meanwhile")
)

// An InputError names the field of a request that is not valid, never its value.
type InputError struct {
	Field  string
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "training: " + e.Field + ": " + e.Reason }

func invalid(field, reason string) error { return &InputError{field, reason} }

// A Caller is who asks, from a verified credential.
type Caller struct {
	Tenant      consent.TenantID
	Collections []string // those the credential is limited to; nil: all
	// MayPurpose reports whether the credential is for a purpose.
	MayPurpose func(string) bool
}

// A Split is a part of a manifest and its share of the people, in millionths.
type Split struct {
	Name  string `json:"name"`
	Share uint32 `json:"share_ppm"`
}

// Shares is what the shares of all splits add up to.
const Shares = 1_000_000

// A Spec is what is asked for. Lists are sorted and without repeats.
type Spec struct {
	Purpose        string
	Collections    []string
	Filter         json.RawMessage `json:",omitempty"` // canonical; nil: none
	Splits         []Split
	Formats        []string
	IncludeText    bool
	Linkable       bool
	Visibilities   []string
	ExpiresIn      time.Duration
	AtPosition     consent.Position // 0: the head
	AtCorpus       uint64           // with AtCorpusHead false
	AtCorpusHead   bool
	ResumeOnChange bool // positions were not asked for: a corpus that moved is pinned anew
}

// A Token is a name inside one manifest.
type Token [16]byte

func (t Token) String() string { return hex.EncodeToString(t[:]) }

// A Row is one passage of a manifest.
type Row struct {
	Token    Token
	Document Token
	Source   Token // zero: the document names none
	Content  [32]byte
	Subjects []Token  // ascending
	Types    []string // consent types relied on, ascending
	Basis    string   // lawful bases, ascending, joined by a comma
	Split    string
	Text     string // with Spec.IncludeText

	// With Spec.Linkable:
	PassageID, DocumentID string
	SHA256                [32]byte
}

// Columns says which optional fields rows have.
type Columns struct{ Text, Linkable bool }

// A FileInfo is a file of a manifest. The name may hold slashes.
type FileInfo struct {
	Name   string `json:"name"`
	Rows   uint64 `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// State is where a manifest is. The numbers are on disk.
type State uint8

// The states.
const (
	Building State = 1
	Ready    State = 2
	Failed   State = 3
)

func (s State) String() string {
	return [...]string{"unknown", "building", "ready", "failed"}[min(s, 3)]
}

// A Manifest is what is told of one.
type Manifest struct {
	ID         string
	State      State
	Problem    string  // why it failed: "disk_full", "purpose_unknown", "no_policy", "damaged", "erased", "diverged", "internal"
	Progress   float64 // 0 to 1
	Spec       Spec
	Header     *Header // nil until the rows are known
	Rows       uint64  // in the files
	Withheld   uint64
	Digest     string // of manifest.json
	Entry      consent.Position
	ExpiresAt  consent.Time
	Files      []FileInfo
	FilesGone  bool
	FilesHere  bool // this gateway builds it, and keeps its files
	LedgerPos  consent.Position
	CorpusPos  uint64
	PolicyHash string
}
