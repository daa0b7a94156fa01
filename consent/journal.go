package consent

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// What the journal's sealed payloads hold, all numbers big-endian:
//
//	whole  u8 2 ‖ name 32 ‖ u32 slot ‖ key id 16 ‖ MAC 32 ‖ canonical entry
//	mark   u8 2 ‖ u64 subject ‖ name 32 ‖ u32 slot ‖ key id 16 ‖ u8 status ‖ purpose
//	none   in journals from before there were marks
//
// A name is the person's keyed lookup, covered by a pad that is made of their key
// (their lookup never changes while they have that key): when it is destroyed, the
// journal tells nobody whose an entry is. It is zero where nothing leads to the
// person any more; of a suppression mark, which has no key, it is in clear. In
// older journals names are in clear; wholes begin with them, and marks with 1.
//
// Kept whole is everything that restricts, everything about the tenant itself,
// and a grant that states a jurisdiction, since where a person is decides over
// other purposes. Of every other grant and unrestriction there is a mark: lost
// with the tail of a database it stays lost, and the mark says who must be
// asked again. A mark is shorter than any whole row.
const (
	nameVersion = 2
	markFixed   = 1 + 8 + 32 + 4 + 16 + 1
	maxMark     = markFixed + 64 // see ValidPurpose
)

func padOf(key seal.Key) [32]byte { return seal.MAC(key, "assent journal name") }

// cover is its own inverse.
func cover(lookup, pad [32]byte) (out [32]byte) {
	subtle.XORBytes(out[:], lookup[:], pad[:])
	return out
}

// journalRecord is a row as the journal keeps it. pads are those at hand; others
// are made with keys of the vault.
func (l *Ledger) journalRecord(t *tenant, row *Row, pads map[SubjectNum][32]byte) (JournalRecord, error) {
	t.mu.RLock()
	who := t.who[row.Subject] // the zero subjectRef for entries of the tenant
	t.mu.RUnlock()
	if who.version == lookupVersion {
		pad, known := pads[row.Subject]
		if !known {
			key, err := l.vault.SubjectKey(who.key)
			switch {
			case errors.Is(err, ErrKeyGone):
				pad = who.lookup // covered by itself: nothing
			case err != nil:
				return JournalRecord{}, fmt.Errorf("%w: open a person's key", ErrUnavailable)
			default:
				pad = padOf(key)
			}
		}
		who.lookup = cover(who.lookup, pad)
	}
	return journalRecord(row, who), nil
}

func journalRecord(row *Row, who subjectRef) JournalRecord {
	rec := JournalRecord{Position: row.Position, Leaf: row.Leaf, Kind: row.Kind}
	if row.Kind == KindLost || row.widens() {
		if row.Subject != 0 {
			rec.Payload = appendMark(row, who)
		}
		return rec
	}
	b := append(make([]byte, 0, 256+len(row.Sealed)), nameVersion)
	b = append(b, who.lookup[:]...)
	b = binary.BigEndian.AppendUint32(b, who.key.Slot)
	b = append(append(b, who.key.ID[:]...), row.MAC[:]...)
	rec.Payload = row.AppendEntry(b)
	return rec
}

// widens reports whether an entry can only widen what may be done with its
// own purpose: to lose it denies, and nothing else.
func (r *Row) widens() bool {
	return r.Kind == KindConsent && (r.Status == Granted || r.Status == Unrestricted) && r.Jurisdiction == ""
}

func appendMark(row *Row, who subjectRef) []byte {
	be := binary.BigEndian
	b := be.AppendUint64(append(make([]byte, 0, maxMark), nameVersion), uint64(row.Subject))
	b = be.AppendUint32(append(b, who.lookup[:]...), who.key.Slot)
	b = append(append(b, who.key.ID[:]...), byte(row.Status))
	return append(b, row.Type.Purpose...)
}

// decodeJournal returns the row that a record stands for, short of the MAC of
// a lost one, and its person. ErrTampered when it is none that was written.
func decodeJournal(rec JournalRecord) (Row, subjectRef, error) {
	switch n := len(rec.Payload); {
	case n == 0:
		return Row{Position: rec.Position, Leaf: rec.Leaf}, subjectRef{}, nil
	case n <= maxMark:
		return decodeMark(rec)
	}
	if rec.Payload[0] == nameVersion {
		if row, who, err := decodeWhole(rec, rec.Payload[1:]); err == nil {
			who.covered = who.version == lookupVersion
			return row, who, nil
		}
	}
	return decodeWhole(rec, rec.Payload) // an older one may begin with any byte; the leaf tells
}

func decodeWhole(rec JournalRecord, payload []byte) (Row, subjectRef, error) {
	d := decoder{b: payload}
	who := d.person()
	mac := d.bytes(32)
	row, err := DecodeEntry(d.b)
	row.Leaf = rec.Leaf
	copy(row.MAC[:], mac)
	if err != nil || row.Position != rec.Position || row.Kind != rec.Kind || row.leafHash() != rec.Leaf {
		return Row{}, subjectRef{}, ErrTampered
	}
	return row, who, nil
}

func decodeMark(rec JournalRecord) (Row, subjectRef, error) {
	d := decoder{b: rec.Payload}
	version, num := d.u8(), SubjectNum(d.u64())
	who := d.person()
	row := Row{Position: rec.Position, Leaf: rec.Leaf, Subject: num, Status: Status(d.u8())}
	row.Type.Purpose = string(d.b)
	who.covered = version == nameVersion && who.version == lookupVersion
	if d.failed || version != nameVersion && version != 1 || num == 0 || !ValidPurpose(row.Type.Purpose) {
		return Row{}, subjectRef{}, ErrTampered
	}
	return row, who, nil
}

// person reads a lookup and the ref of a key.
func (d *decoder) person() (who subjectRef) {
	copy(who.lookup[:], d.bytes(len(who.lookup)))
	who.key = seal.Ref{Slot: d.u32()}
	copy(who.key.ID[:], d.bytes(len(who.key.ID)))
	switch {
	case who.lookup == [32]byte{}:
		who.version = namelessVersion
	case who.key.IsZero():
		who.version = markedVersion
	default:
		who.version = lookupVersion
	}
	return who
}
