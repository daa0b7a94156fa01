package seal

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// Key is 256 secret bits. It compares with == (not in constant time: compare
// only where an attacker gains nothing from timing).
//
// It redacts itself in fmt, slog and encoding/json: alone, behind pointers, in
// slices, maps, interfaces and exported fields. Two places are out of reach,
// since fmt calls no methods there: the verb %p (which vet refuses for a key),
// and an unexported field: a struct{ k seal.Key } prints the bytes, and even a
// struct{ k *seal.Key } does under a verb that does not suit pointers, as %s.
// A struct that keeps a key in an unexported field therefore keeps [Hold] of
// it. TestKeyNeverPrints proves all of this.
type Key [32]byte

const redacted = "seal.Key(redacted)"

// NewKey returns a fresh random key. It cannot fail: crypto/rand ends the
// process rather than return without entropy.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

// Hold returns k behind a func, the one kind of value that fmt never looks
// through, for the unexported fields of structs that somebody may print.
func Hold(k Key) func() Key { return func() Key { return k } }

// Zero clears this copy of the key.
func (k *Key) Zero() { clear(k[:]) }

// IsZero tells whether k was never set, or was cleared.
func (k Key) IsZero() bool { return k == Key{} }

// Format prints a placeholder, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// GoString is for callers that ask for it without fmt.
func (Key) GoString() string { return redacted }

// String is for callers that ask for it without fmt.
func (Key) String() string { return redacted }

// LogValue keeps the key out of slog.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the key out of encoding/json and its like. There is no
// UnmarshalText: a key is stored sealed, or not at all.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Ref names a vault slot and the id of the key that must be in it. A slot that
// was given to another key later does not serve the old ref, since ids are
// random and never used again.
type Ref struct {
	Slot uint32
	ID   [16]byte
}

// IsZero tells whether r names no key. Slot 0 is a slot like any other.
func (r Ref) IsZero() bool { return r.ID == [16]byte{} }
