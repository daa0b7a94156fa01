package consent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TenantID names an isolated customer. It comes from a verified credential,
// never from a request's body.
type TenantID string

// Position numbers an entry in a tenant's ledger: from 1, without gaps, in
// commit order. 0 is before the first.
type Position uint64

// SubjectNum is the random internal number of a person, the only name of a
// person that rests in clear. 0 is nobody.
type SubjectNum int64

// Time is an instant in nanoseconds of the Unix epoch, as stored. 0 is absent.
type Time int64

// TimeOf converts t; the zero time becomes absent.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixNano())
}

// Time converts back, in UTC.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// String is RFC 3339 with as many fractional digits as needed.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Time().Format(time.RFC3339Nano)
}

// ErrInvalidType reports a consent type that is not <purpose>_v<major>[.<minor>].
var ErrInvalidType = errors.New("consent: consent type is not <purpose>_v<major>.<minor>")

// A Type is a consent type: a versioned purpose.
type Type struct {
	Purpose      string
	Major, Minor uint16
}

// ParseType reads a consent type in any letter case; "_v2" means "_v2.0".
func ParseType(s string) (Type, error) {
	if len(s) > 96 {
		return Type{}, ErrInvalidType
	}
	s = strings.ToLower(s)
	i := strings.LastIndex(s, "_v")
	if i < 0 || !ValidPurpose(s[:i]) {
		return Type{}, ErrInvalidType
	}
	major, minor, dotted := strings.Cut(s[i+2:], ".")
	if !dotted {
		minor = "0"
	}
	ma, ok1 := parseVersion(major)
	mi, ok2 := parseVersion(minor)
	if !ok1 || !ok2 {
		return Type{}, ErrInvalidType
	}
	return Type{s[:i], ma, mi}, nil
}

func parseVersion(s string) (uint16, bool) {
	if s == "" || len(s) > 5 || len(s) > 1 && s[0] == '0' || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// ValidPurpose reports whether s is a purpose's name: [a-z][a-z0-9_]{0,63}.
func ValidPurpose(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

// String is the canonical form, e.g. "rag_retrieval_v1.0".
func (t Type) String() string { return fmt.Sprintf("%s_v%d.%d", t.Purpose, t.Major, t.Minor) }

// IsZero reports whether t is no type.
func (t Type) IsZero() bool { return t == Type{} }

// Later reports whether t is a later version than u of the same purpose.
func (t Type) Later(u Type) bool {
	return t.Major > u.Major || t.Major == u.Major && t.Minor > u.Minor
}

// Status is what a consent entry says.
type Status uint8

// The statuses of a consent entry.
const (
	StatusNone Status = iota
	Granted
	Denied
	Revoked
	Objected
	Restricted
	Unrestricted
)

var statusNames = [...]string{"", "granted", "denied", "revoked", "objected", "restricted", "unrestricted"}

// ErrInvalidStatus reports a status outside the six.
var ErrInvalidStatus = errors.New("consent: unknown status")

// ParseStatus reads one of the six statuses, in lower case.
func ParseStatus(s string) (Status, error) {
	for i, name := range statusNames {
		if i > 0 && name == s {
			return Status(i), nil
		}
	}
	return 0, ErrInvalidStatus
}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "status(" + strconv.Itoa(int(s)) + ")"
}

// Refusal reports whether s ends a permission until a later explicit grant.
func (s Status) Refusal() bool { return s == Denied || s == Revoked || s == Objected }

// A Jurisdiction is an ISO 3166-1 or 3166-2 code, "DE" or "US-CA"; "" is unknown.
type Jurisdiction string

// ErrInvalidJurisdiction reports a code that is not of ISO 3166's form.
var ErrInvalidJurisdiction = errors.New("consent: jurisdiction is not an ISO 3166-1 or 3166-2 code")

// ParseJurisdiction checks the form of a code and upper-cases it.
func ParseJurisdiction(s string) (Jurisdiction, error) {
	if s == "" {
		return "", nil
	}
	u := strings.ToUpper(s)
	country, sub, dashed := strings.Cut(u, "-")
	ok := len(country) == 2 && isAlnum(country, false)
	if dashed {
		ok = ok && len(sub) >= 1 && len(sub) <= 3 && isAlnum(sub, true)
	}
	if !ok {
		return "", ErrInvalidJurisdiction
	}
	return Jurisdiction(u), nil
}

func isAlnum(s string, digits bool) bool {
	for i := 0; i < len(s); i++ {
		if !(s[i] >= 'A' && s[i] <= 'Z' || digits && s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return true
}

// Country returns the ISO 3166-1 part.
func (j Jurisdiction) Country() Jurisdiction {
	c, _, _ := strings.Cut(string(j), "-")
	return Jurisdiction(c)
}
