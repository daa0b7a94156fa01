package consent

import (
	"encoding/binary"

	"github.com/assent-gateway/assent/internal/seal"
)

// What the journal's sealed payloads hold, all numbers big-endian:
//
//	whole  lookup 32 ‖ u32 slot ‖ key id 16 ‖ MAC 32 ‖ canonical entry
//	mark   u8 1 ‖ u64 subject ‖ lookup 32 ‖ u32 slot ‖ key id 16 ‖ u8 status ‖ purpose
//	none   in journals from before there were marks
//
// Kept whole is everything that restricts, everything about the tenant itself,
// and a grant that states a jurisdiction, since where a person is decides over
// other purposes. Of every other grant and unrestriction there is a mark: lost
// with the tail of a database it stays lost, and the mark says who must be
// asked again. A mark is shorter than any whole row.
const (
	markVersion = 1
	markFixed   = 1 + 8 + 32 + 4 + 16 + 1
	wholeFixed  = 32 + 4 + 16 + 32
	maxMark     = markFixed + 64 // see ValidPurpose
)

// journalRecord is a row as the journal keeps it. The caller holds the lock.
func (t *tenant) journalRecord(row *Row) JournalRecord {
	rec := JournalRecord{Position: row.Position, Leaf: row.Leaf, Kind: row.Kind}
	who := t.who[row.Subject] // the zero subjectRef for entries of the tenant
	if row.Kind == KindLost || row.widens() {
		if row.Subject != 0 {
			rec.Payload = appendMark(row, who)
		}
		return rec
	}
	b := append(make([]byte, 0, 256+len(row.Sealed)), who.lookup[:]...)
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
	b := be.AppendUint64(append(make([]byte, 0, maxMark), markVersion), uint64(row.Subject))
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
	d := decoder{b: rec.Payload}
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
	if d.failed || version != markVersion || num == 0 || !ValidPurpose(row.Type.Purpose) {
		return Row{}, subjectRef{}, ErrTampered
	}
	return row, who, nil
}

// person reads a lookup and the ref of a key.
func (d *decoder) person() (who subjectRef) {
	copy(who.lookup[:], d.bytes(len(who.lookup)))
	who.key = seal.Ref{Slot: d.u32()}
	copy(who.key.ID[:], d.bytes(len(who.key.ID)))
	who.marked = who.key.IsZero() && who.lookup != [32]byte{} // of an erased person there is no key
	return who
}
