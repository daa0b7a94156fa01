package vault

import (
	"encoding/binary"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// A journal record:
//
//	 0  length    u32  of what follows the checksum
//	 4  crc32c    u32  of the length and of what follows the checksum
//	 8  base      u64  offset in the file of the first record of its batch
//	16  position  u64
//	24  leaf      32
//	56  kind      u8
//	57  tenant    u8 length, then so many bytes
//	..  payload   a box of package seal, or nothing
//
// One batch is in flight at a time, and all before it is durable when it
// begins. So a record says by its base up to where the file was durable before
// it: what makes a torn tail and damage distinguishable (see settle).
const (
	recordFixed = 58
	maxPayload  = 16 << 20
	maxRecord   = recordFixed + maxTenantID + maxPayload + seal.Overhead
)

// Record is one ledger entry as the journal keeps it.
type Record struct {
	Tenant   string
	Position uint64 // from 1, without gaps, per tenant
	Leaf     [32]byte
	Kind     byte   // the caller's; rests in clear
	Payload  []byte // sealed at rest; nil and empty are the same
}

// appendRecord appends rec without base and checksum, which finish fills in.
func appendRecord(dst []byte, rec Record, key seal.Key) ([]byte, error) {
	if len(rec.Payload) > maxPayload {
		return nil, fmt.Errorf("vault: payload of %d bytes, at most %d", len(rec.Payload), maxPayload)
	}
	start := len(dst)
	dst = append(dst, make([]byte, 16)...)
	dst = binary.BigEndian.AppendUint64(dst, rec.Position)
	dst = append(dst, rec.Leaf[:]...)
	dst = append(dst, rec.Kind, byte(len(rec.Tenant)))
	dst = append(dst, rec.Tenant...)
	if len(rec.Payload) > 0 {
		dst = seal.AppendSeal(dst, key, rec.Payload, rec.aad())
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-8))
	return dst, nil
}

// finish completes the record at the start of b.
func finish(b []byte, base int64) (rest []byte) {
	n := recordSize(b)
	binary.BigEndian.PutUint64(b[8:], uint64(base))
	binary.BigEndian.PutUint32(b[4:], recordChecksum(b[:n]))
	return b[n:]
}

func recordSize(b []byte) int { return 8 + int(binary.BigEndian.Uint32(b)) }

func recordBase(b []byte) int64 { return int64(binary.BigEndian.Uint64(b[8:])) }

func recordChecksum(b []byte) uint32 {
	return checksumUpdate(checksum(b[:4]), b[8:])
}

// plausible tells whether a record of n bytes may begin with front, which has
// at least 16 bytes.
func plausible(front []byte, left int64) bool {
	n := recordSize(front)
	return n >= recordFixed && n <= maxRecord && int64(n) <= left
}

// parseRecord reads a whole record; the payload stays sealed. False when it is
// not what was written.
func parseRecord(b []byte) (rec Record, box []byte, ok bool) {
	if len(b) < recordFixed || recordSize(b) != len(b) ||
		recordChecksum(b) != binary.BigEndian.Uint32(b[4:]) {
		return Record{}, nil, false
	}
	n := int(b[57])
	if len(b) < recordFixed+n {
		return Record{}, nil, false
	}
	return Record{
		Tenant:   string(b[recordFixed : recordFixed+n]),
		Position: binary.BigEndian.Uint64(b[16:]),
		Leaf:     [32]byte(b[24:56]),
		Kind:     b[56],
	}, b[recordFixed+n:], true
}

// aad binds a payload to its place: tenant, position, leaf and kind.
func (r *Record) aad() []byte {
	b := append([]byte{byte(len(r.Tenant))}, r.Tenant...)
	b = binary.BigEndian.AppendUint64(b, r.Position)
	return append(append(b, r.Leaf[:]...), r.Kind)
}
