package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
	"unique"

	"github.com/assent-gateway/assent/consent"
)

// An InputError names the field of a grant that is not valid, never its value.
type InputError struct {
	Field  string
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "credential: " + e.Field + ": " + e.Reason }

func invalid(field, reason string) error { return &InputError{field, reason} }

// A Name is what somebody calls a key or a tenant. It never prints (a handle
// holds it, which no formatting verb looks through); Reveal is the way out.
type Name struct{ h unique.Handle[string] }

// MaxName is the longest name in bytes.
const MaxName = 128

// ParseName checks a name: 1 to MaxName bytes of UTF-8 without control characters.
func ParseName(s string) (Name, error) {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return Name{}, invalid("name", "is not 1 to 128 bytes of text")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return Name{}, invalid("name", "holds a control character")
		}
	}
	return Name{unique.Make(s)}, nil
}

// Reveal returns the name, for sealing and for answers to its tenant's admin.
func (n Name) Reveal() string {
	if n == (Name{}) {
		return ""
	}
	return n.h.Value()
}

// Format keeps every verb from printing even the handle's address.
func (n Name) Format(f fmt.State, _ rune) { fmt.Fprint(f, "credential.Name(redacted)") }

// A Grant is what a key may do. In its lists nil means all, empty means none.
type Grant struct {
	Name        Name
	Scopes      Scopes
	Purposes    []string // nil: all that the policy knows
	Collections []string // nil: all of the tenant
	// Namespaces are those of the principals that a key with ActAs may speak
	// for; nil: every one, which only a key that has every one can grant.
	Namespaces []string
}

// Everything is the grant of a tenant's first key.
func Everything(name Name) Grant { return Grant{Name: name, Scopes: AllScopes} }

// A Key is a verified API key: who asks. It does not hold the secret.
type Key struct {
	ID     string
	Tenant consent.TenantID
	Grant
	Bootstrap bool // the operator's, which alone may make tenants
	CreatedAt consent.Time
	ExpiresAt consent.Time // 0: never
	RevokedAt consent.Time // 0: not revoked; only List returns such keys
}

// allows reports whether a list has name; nil has every name.
func allows(list []string, name string) bool { return list == nil || slices.Contains(list, name) }

// MayPurpose reports whether the key may be used for a purpose.
func (k *Key) MayPurpose(purpose string) bool { return allows(k.Purposes, purpose) }

// MaySpeakFor reports whether the key may assert principals of a namespace.
func (k *Key) MaySpeakFor(namespace string) bool {
	return k.Scopes.Has(ActAs) && allows(k.Namespaces, namespace)
}

// check refuses a grant that holds what its maker lacks.
func (g *Grant) check(by *Key) error {
	if g.Name == (Name{}) {
		return invalid("name", "is required")
	}
	if g.Scopes == 0 {
		return invalid("scopes", "is empty")
	}
	if !by.Scopes.Has(g.Scopes) {
		return invalid("scopes", "holds a scope that the key which makes it lacks")
	}
	for _, list := range []struct {
		field     string
		want, has []string
	}{
		{"purposes", g.Purposes, by.Purposes},
		{"collections", g.Collections, by.Collections},
		{"namespaces", g.Namespaces, by.Namespaces},
	} {
		if len(list.want) > maxList {
			return invalid(list.field, "has more than 1000 elements")
		}
		if !within(list.want, list.has) {
			return invalid(list.field, "holds what the key which makes it lacks")
		}
	}
	return nil
}

const maxList = 1000

// within reports whether want is a subset of has, nil being everything.
func within(want, has []string) bool {
	if has == nil {
		return true
	}
	if want == nil {
		return false
	}
	for _, w := range want {
		if !slices.Contains(has, w) {
			return false
		}
	}
	return true
}

// sealed is a grant as it rests, sealed. encoding/json keeps nil and empty
// lists apart (null and []), which here is the difference between all and none.
type sealed struct {
	Name        string       `json:"name"`
	Scopes      []string     `json:"scopes"`
	Purposes    []string     `json:"purposes"`
	Collections []string     `json:"collections"`
	Namespaces  []string     `json:"namespaces"`
	ExpiresAt   consent.Time `json:"expires_at"` // the row's column is a copy
}

func (g *Grant) encode(expires consent.Time) ([]byte, error) {
	return json.Marshal(sealed{g.Name.Reveal(), g.Scopes.Names(), g.Purposes, g.Collections, g.Namespaces, expires})
}

var errGrant = errors.New("credential: a stored grant cannot be read")

// decode never passes on the text of encoding/json, which quotes its input.
func decode(plain []byte, expires consent.Time) (Grant, error) {
	var s sealed
	if err := json.Unmarshal(plain, &s); err != nil {
		return Grant{}, errGrant
	}
	name, err := ParseName(s.Name)
	if err != nil {
		return Grant{}, errGrant
	}
	scopes, err := ParseScopes(s.Scopes)
	if err != nil || s.ExpiresAt != expires {
		return Grant{}, errGrant
	}
	return Grant{name, scopes, s.Purposes, s.Collections, s.Namespaces}, nil
}
