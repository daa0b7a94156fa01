package erasure

import (
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: the tenant has no such erasure.
	ErrNotFound = errors.New("erasure: not found")
	// ErrState: the erasure is not in a state in which that can be done.
	ErrState = errors.New("erasure: not possible in its state")
	// ErrSameKey: what a key asked for, another one has to approve.
	ErrSameKey = errors.New("erasure: another key than the one that asked has to decide")
	// ErrNoReceipt: there is no receipt yet.
	ErrNoReceipt = errors.New("erasure: no receipt yet")
	// ErrUnavailable: something that an erasure needs cannot be reached.
	ErrUnavailable = errors.New("erasure: a dependency is unavailable")
)

// An InputError names the field of a request that is not valid, never its value.
type InputError struct {
	Field  string
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "erasure: " + e.Field + ": " + e.Reason }

// State is where an erasure stands. The numbers are on disk.
type State uint8

// The states.
const (
	Received State = iota + 1 // suppressed, and waits for a decision
	Suppressed
	Running
	Verifying
	Completed               // every target reached its goal
	CompletedWithExceptions // it ended, and names what did not
	Held                    // suppressed; nothing is deleted
	Denied                  // the suppression is lifted
	Cancelled               // the suppression is lifted
)

var stateNames = [...]string{"", "received", "suppressed", "running", "verifying", "completed",
	"completed_with_exceptions", "held", "denied", "cancelled"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return ""
}

// ParseState reads a state's name.
func ParseState(name string) (State, bool) {
	for i, n := range stateNames {
		if i > 0 && n == name {
			return State(i), true
		}
	}
	return 0, false
}

// open reports whether the erasure still has something before it.
func (s State) open() bool { return s < Completed || s == Held }

// Level says how far something is erased. A larger one is a stronger statement.
type Level uint8

// The levels.
const (
	// Requested: nothing is known yet.
	Requested Level = iota
	// Unreachable: no way out of the gateway returns it any more.
	Unreachable
	// Absent: it was looked for, in another way than it was deleted, and not found.
	Absent
	// Purged: it is gone from the files as the operating system reads them, or
	// every copy of the only key that opens it is destroyed.
	Purged
)

var levelNames = [...]string{"requested", "unreachable", "absent", "purged"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

// Scope is what a request is about.
type Scope string

// The scopes. Retention and Withdrawal are started by the gateway itself.
const (
	ScopeSubject    Scope = "subject"
	ScopeDocument   Scope = "document"
	ScopeSource     Scope = "source"
	ScopeCollection Scope = "collection"
	ScopeRetention  Scope = "retention"
	ScopeWithdrawal Scope = "withdrawal"
)

// A Request asks for an erasure.
type Request struct {
	Scope        Scope
	Subject      consent.Subject
	Documents    Documents
	Regulation   string // a framework of the policy; "": by jurisdiction
	Jurisdiction consent.Jurisdiction
	Evidence     Evidence
	By           string // id of the key that asks
	// Once is of the event that asks, if one does: it is applied once.
	Once consent.Once

	withdrawal Withdrawal      // of ScopeWithdrawal
	was        consent.Removal // a version that was redacted, of ScopeDocument
	looked     standing        // of ScopeSubject, when an open one was looked for
	round      int             // of other scopes: of the erasures of the same that are open
}

// Documents names documents as a client does.
type Documents struct{ Collection, Document, Source string }

// Evidence is kept apart, sealed by itself, and used for nothing but to show
// that the request was answered.
type Evidence struct {
	Reason      string `json:"reason,omitempty"`
	Method      string `json:"method,omitempty"` // of verification
	VerifiedBy  string `json:"verified_by,omitempty"`
	EvidenceRef string `json:"evidence_ref,omitempty"`
	Decision    string `json:"decision,omitempty"`
	Hold        string `json:"hold,omitempty"`
}

// A Target is a place that the cascade reaches.
type Target struct {
	Name string
	Kind string
	Goal Level
}

// A TargetReport says how far a target is.
type TargetReport struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"`
	Goal      Level        `json:"goal"`
	Level     Level        `json:"level"`
	Done      bool         `json:"done,omitempty"` // its steps ran
	Deleted   uint64       `json:"deleted"`
	Remaining uint64       `json:"remaining"`
	Method    string       `json:"method,omitempty"`
	CheckedAt consent.Time `json:"checked_at,omitempty"`
	Exception string       `json:"exception,omitempty"`
	Waits     string       `json:"waits,omitempty"` // what its next step waits for
}

// State is the target's state in a word.
func (r TargetReport) State() string {
	switch {
	case r.Waits != "":
		return "waiting_for_" + r.Waits
	case r.CheckedAt != 0 && r.Remaining == 0 && r.Level >= r.Goal:
		return "verified"
	case r.Exception != "":
		return "exception"
	case r.Done:
		return "erased"
	}
	return "pending"
}

// An Order is an erasure as its steps and its verification see it.
type Order struct {
	Tenant   consent.TenantID
	ID       string
	Position consent.Position   // of the suppression: what was decided before it goes
	Subject  consent.SubjectNum // whoever is behind the mark; the mark, when nobody can tell any more
	Mark     consent.SubjectNum // that the entry is about
	Lookup   [32]byte           // keyed, of the person's first identifier
	Key      seal.Ref           // of the person, at the suppression
	Removal  consent.Removal
	At       consent.Time // of the suppression
	Due      consent.Time // when it has to be done
	Since    consent.Time // in a step: not before its predecessors had ended
	Probe    seal.Ref     // one-time key of the probe material; zero: there is none any more
}

// Gathered counts what an erasure is about, before anything is deleted.
type Gathered struct {
	Documents uint64  `json:"documents"`
	Passages  uint64  `json:"passages"`
	Shared    uint64  `json:"shared"`              // of these, documents with another owner
	Mentioned uint64  `json:"mentioned"`           // of these, documents that only mention the person
	Suspected uint64  `json:"suspected,omitempty"` // documents of others that seem to name the person
	Kept      uint64  `json:"kept,omitempty"`      // of these, documents that live on in another form, as verification found
	Lineage   Lineage `json:"lineage,omitzero"`
	// Held are the manifests that Lineage counts, by id: sealed with the job.
	Held []string `json:"held,omitempty"`
}

// A Finding is what verification says of a target.
type Finding struct {
	Target    string
	Level     Level
	Remaining uint64
	Method    string // a constant sentence fragment
	Exception string // why not higher: a constant sentence fragment
	Kept      uint64 // documents that live on in another form
}

// A Probe is one way in which was looked.
type Probe struct {
	Name    string       `json:"name"`
	At      consent.Time `json:"at"`
	Asked   uint64       `json:"asked"` // things looked for
	Over    uint64       `json:"over"`  // things (or bytes) looked at
	Found   uint64       `json:"found"`
	Control bool         `json:"control"` // the probe found what was planted for it, or what lives
}
