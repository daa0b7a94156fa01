package credential

import (
	"errors"
	"math/bits"
)

// Scopes is a set of what a key may do.
type Scopes uint32

// The scopes: a closed set. The numbers are not on disk.
const (
	Search Scopes = 1 << iota
	Ingest
	IngestNonPersonal // documents about nobody
	IngestOwners      // change owners and mentions by re-ingest
	ConsentRead
	ConsentWrite
	ErasureRead
	ErasureWrite
	ManifestRead
	ManifestWrite
	Audit
	ActAs  // say on whose behalf a call is made
	Scores // see scores unrounded
	Admin

	AllScopes Scopes = 1<<iota - 1
)

var scopeNames = [...]string{
	"search", "ingest", "ingest:nonpersonal", "ingest:owners", "consent:read", "consent:write",
	"erasure:read", "erasure:write", "manifest:read", "manifest:write", "audit", "act_as", "scores", "admin",
}

// ErrScope reports a name that is no scope.
var ErrScope = errors.New("credential: unknown scope")

// ParseScopes returns the set of these names; ErrScope for one it does not know.
func ParseScopes(names []string) (Scopes, error) {
	var set Scopes
next:
	for _, name := range names {
		for i, known := range scopeNames {
			if name == known {
				set |= 1 << i
				continue next
			}
		}
		return 0, ErrScope
	}
	return set, nil
}

// Names returns the scopes of the set, in the order of their declaration.
func (s Scopes) Names() []string {
	names := make([]string, 0, bits.OnesCount32(uint32(s)))
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Has reports whether all of want are in the set.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// HasAny reports whether one of want is in the set.
func (s Scopes) HasAny(want Scopes) bool { return s&want != 0 }
