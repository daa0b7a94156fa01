package verify

import (
	"encoding/binary"
	"time"
)

// maxEntry is the longest entry that a bundle can hold.
const maxEntry = 1<<16 - 1

// The kinds of entries that are known by name here. A log may hold others.
const (
	kindConsent = 1
	kindErasure = 6
	kindHold    = 9
	kindRestore = 10

	kindManifest = 12
	kindRun      = 13
	kindRemoval  = 14
	kindLift     = 15
	kindErased   = 16
	kindRemedy   = 22
)

// An Entry is what an entry shows in clear. The sealed part is opened by
// nobody here.
type Entry struct {
	Position     uint64
	Kind         uint8
	Subject      uint64 // a random number; 0: no person
	Purpose      string
	Major, Minor uint16
	Status       uint8
	Jurisdiction string
	Acted        time.Time // zero: not stated
	Recorded     time.Time
	Expires      time.Time // zero: none
	Sealed       int       // bytes
	Rest         []byte    // of a manifest, a run, a remedy or an erasure: JSON in clear, which Sealed counts; else nil
}

// ParseEntry reads version 1 of the canonical entry:
//
//	u8 version=1, u64 position, u8 kind, u64 subject,
//	u8 len ‖ purpose, u16 major, u16 minor, u8 status, u8 len ‖ jurisdiction,
//	i64 acted, i64 recorded, i64 expires (ns of the Unix epoch, 0 absent),
//	u32 len ‖ sealed part
//
// big-endian, no other byte. No two byte strings are the same entry.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) == 0 {
		return Entry{}, refuse(ErrTruncated, "an empty entry")
	}
	if b[0] != 1 {
		return Entry{}, refuse(ErrMalformed, "an entry of version %d, which this verifier does not know", b[0])
	}
	r := reader{b: b[1:]}
	e := Entry{Position: r.number(8), Kind: uint8(r.number(1)), Subject: r.number(8)}
	e.Purpose = string(r.take(r.number(1)))
	e.Major, e.Minor = uint16(r.number(2)), uint16(r.number(2))
	e.Status = uint8(r.number(1))
	e.Jurisdiction = string(r.take(r.number(1)))
	e.Acted, e.Recorded, e.Expires = r.time(), r.time(), r.time()
	rest := r.take(r.number(4))
	e.Sealed = len(rest)
	switch e.Kind {
	case kindErasure, kindHold, kindManifest, kindRun, kindRemedy, kindRemoval, kindLift, kindErased:
		e.Rest = rest
	}
	switch {
	case r.short:
		return Entry{}, refuse(ErrTruncated, "an entry of %d bytes", len(b))
	case len(r.b) > 0:
		return Entry{}, refuse(ErrTrailing, "an entry of %d bytes", len(b))
	}
	return e, nil
}

// A reader takes big-endian fields off b; short is set once b ends too early.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.short = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number(bytes uint64) uint64 {
	var b [8]byte
	copy(b[8-bytes:], r.take(bytes))
	return binary.BigEndian.Uint64(b[:])
}

func (r *reader) time() time.Time {
	ns := int64(r.number(8))
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
