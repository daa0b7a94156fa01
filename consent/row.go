package consent

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// entryVersion is the first byte of an entry's canonical form.
const entryVersion = 1

// AppendEntry appends the canonical form of a row: what its leaf covers, and
// what the tenant's log publishes.
//
//	u8 version=1, u64 position, u8 kind, u64 subject,
//	u8 len ‖ purpose, u16 major, u16 minor, u8 status, u8 len ‖ jurisdiction,
//	i64 acted, i64 recorded, i64 expires (ns of the Unix epoch, 0 absent),
//	u32 len ‖ sealed part
//
// All numbers are big-endian. Of a lost entry nothing is left to append: b is
// returned as it is, and a log shows an entry of no bytes.
func (r *Row) AppendEntry(b []byte) []byte {
	if r.Kind == KindLost {
		return b
	}
	be := binary.BigEndian
	b = append(b, entryVersion)
	b = be.AppendUint64(b, uint64(r.Position))
	b = append(b, byte(r.Kind))
	b = be.AppendUint64(b, uint64(r.Subject))
	b = append(b, byte(len(r.Type.Purpose)))
	b = append(b, r.Type.Purpose...)
	b = be.AppendUint16(b, r.Type.Major)
	b = be.AppendUint16(b, r.Type.Minor)
	b = append(b, byte(r.Status), byte(len(r.Jurisdiction)))
	b = append(b, r.Jurisdiction...)
	b = be.AppendUint64(b, uint64(r.ActedAt))
	b = be.AppendUint64(b, uint64(r.RecordedAt))
	b = be.AppendUint64(b, uint64(r.ExpiresAt))
	b = be.AppendUint32(b, uint32(len(r.Sealed)))
	return append(b, r.Sealed...)
}

// leafHash is the leaf of RFC 6962 §2.1: SHA-256(0x00 ‖ entry).
func (r *Row) leafHash() [32]byte {
	b := make([]byte, 1, 128+len(r.Sealed))
	return sha256.Sum256(r.AppendEntry(b))
}

// sign sets Leaf and MAC.
func (r *Row) sign(mac seal.Key) {
	r.Leaf = r.leafHash()
	r.MAC = seal.MAC(mac, "assent ledger row", r.Leaf[:])
}

// verify checks Leaf and MAC against the content.
func (r *Row) verify(mac seal.Key) bool {
	return r.Leaf == r.leafHash() && r.MAC == seal.MAC(mac, "assent ledger row", r.Leaf[:])
}

// signLost sets the MAC of a lost entry, whose leaf says nothing about what is
// left of it.
func (r *Row) signLost(mac seal.Key) { r.MAC = r.lostMAC(mac) }

func (r *Row) lostMAC(mac seal.Key) [32]byte {
	bare := *r
	bare.Kind, bare.Sealed = KindConsent, nil // only so that it has a form
	return seal.MAC(mac, "assent lost entry", r.Leaf[:], bare.AppendEntry(nil))
}

// authentic checks a row whose leaf a checkpoint covers up to vouched: there
// the tree vouches for the leaf, and the leaf for the content. Above it, and
// for what is left of lost entries everywhere, the MAC does.
func (r *Row) authentic(mac seal.Key, vouched Position) bool {
	switch {
	case r.Kind == KindLost:
		return r.MAC == r.lostMAC(mac)
	case r.Position > vouched:
		return r.verify(mac)
	}
	return r.Leaf == r.leafHash()
}

// rowAAD binds a sealed part to its place.
func rowAAD(t TenantID, p Position) []byte {
	b := append([]byte("assent ledger\x00"), t...)
	return binary.BigEndian.AppendUint64(append(b, 0), uint64(p))
}

// An Audit is what an entry keeps about how it came to be. All of it is
// sealed; it is shown to keys that may read consent, and nowhere else.
type Audit struct {
	Subject    string `json:"subject,omitempty"` // the identifier that was used
	Source     string `json:"source,omitempty"`
	IP         string `json:"ip,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	NoticeID   string `json:"notice_id,omitempty"`
	Language   string `json:"language,omitempty"`
	Method     string `json:"method,omitempty"`
	AssertedBy string `json:"asserted_by,omitempty"` // self | application | import
	Key        string `json:"key,omitempty"`         // id of the credential
}

// sealBody seals what is not clear of a row: for people their audit, for
// other kinds the policy, publication or attestation itself.
func sealBody(k seal.Key, t TenantID, p Position, body any) ([]byte, error) {
	plain, ok := body.([]byte)
	if !ok {
		var err error
		if plain, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("consent: encode the sealed part of an entry: %w", err)
		}
	}
	return seal.Seal(k, plain, rowAAD(t, p)), nil
}

var errEntry = errors.New("consent: malformed entry")

// DecodeEntry reads a canonical entry: AppendEntry's inverse. Leaf and MAC
// are not part of it.
func DecodeEntry(b []byte) (Row, error) {
	d := decoder{b: b}
	var r Row
	if d.u8() != entryVersion {
		return Row{}, errEntry
	}
	r.Position = Position(d.u64())
	r.Kind = Kind(d.u8())
	r.Subject = SubjectNum(d.u64())
	r.Type.Purpose = string(d.bytes(int(d.u8())))
	r.Type.Major, r.Type.Minor = d.u16(), d.u16()
	r.Status = Status(d.u8())
	r.Jurisdiction = Jurisdiction(d.bytes(int(d.u8())))
	r.ActedAt, r.RecordedAt, r.ExpiresAt = Time(d.u64()), Time(d.u64()), Time(d.u64())
	r.Sealed = append([]byte{}, d.bytes(int(d.u32()))...)
	if d.failed || len(d.b) != 0 {
		return Row{}, errEntry
	}
	return r, nil
}

type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.failed = true
		return make([]byte, min(max(n, 0), 8))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() byte    { return d.bytes(1)[0] }
func (d *decoder) u16() uint16 { return binary.BigEndian.Uint16(d.bytes(2)) }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.bytes(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.bytes(8)) }
