package training

import (
	"encoding/binary"

	"github.com/assent-gateway/assent/consent"
)

// An entry is what is kept of every row, also of one that was withheld: enough
// to name it, to judge it again, and for its place in the tree. It holds
// numbers, and no text.
type entry struct {
	split      uint8
	token      Token
	leaf       [32]byte
	collection uint32 // index in the job's collections
	doc        int64
	n          uint32
	nobody     bool
	retain     consent.Time
	owners     []consent.SubjectNum
	mentions   []consent.SubjectNum
}

// people adds whose row it is.
func (e *entry) people(to map[consent.SubjectNum]bool) {
	for _, list := range [2][]consent.SubjectNum{e.owners, e.mentions} {
		for _, num := range list {
			to[num] = true
		}
	}
}

// A record is an entry with its row; content is false for one of which only
// the entry is known any more.
type record struct {
	entry
	content bool
	row     Row
}

// keyLen is how many first bytes of an encoded entry its order is by.
const keyLen = 17

const (
	flagNobody = 1 << iota
	flagContent
)

func (e *entry) append(b []byte, flags byte) []byte {
	if e.nobody {
		flags |= flagNobody
	}
	b = append(append(append(b, e.split), e.token[:]...), e.leaf[:]...)
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(e.collection))
	b = binary.BigEndian.AppendUint64(b, uint64(e.doc))
	b = binary.AppendUvarint(b, uint64(e.n))
	b = binary.AppendUvarint(b, uint64(e.retain))
	for _, list := range [][]consent.SubjectNum{e.owners, e.mentions} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, num := range list {
			b = binary.BigEndian.AppendUint64(b, uint64(num))
		}
	}
	return b
}

func (r *record) append(b []byte) []byte {
	if !r.content {
		return r.entry.append(b, 0)
	}
	b = r.entry.append(b, flagContent)
	row := &r.row
	b = append(append(append(b, row.Document[:]...), row.Source[:]...), row.Content[:]...)
	b = binary.AppendUvarint(b, uint64(len(row.Subjects)))
	for _, s := range row.Subjects {
		b = append(b, s[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(row.Types)))
	for _, s := range row.Types {
		b = appendCounted(b, s)
	}
	for _, s := range [...]string{row.Basis, row.Text, row.PassageID, row.DocumentID} { // a slice would be one allocation a row
		b = appendCounted(b, s)
	}
	return append(b, row.SHA256[:]...)
}

func appendCounted(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A source takes fields off an encoded record; failed is set once it ends too
// early.
type source struct {
	b      []byte
	failed bool
}

func (s *source) take(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.failed, s.b = true, nil
		return nil
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out
}

func (s *source) uint() uint64 {
	n, size := binary.Uvarint(s.b)
	if size <= 0 {
		s.failed, s.b = true, nil
		return 0
	}
	s.b = s.b[size:]
	return n
}

func (s *source) uint64() uint64 {
	if b := s.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (s *source) string() string { return string(s.take(s.uint())) }

// nums reads people into a slice that is used again.
func (s *source) nums(into []consent.SubjectNum) []consent.SubjectNum {
	into = into[:0]
	for n := s.uint(); n > 0 && !s.failed; n-- {
		into = append(into, consent.SubjectNum(s.uint64()))
	}
	return into
}

// entry reads what entry.append wrote, and its flags.
func (s *source) entry(e *entry) (flags byte) {
	if b := s.take(keyLen + 32 + 1); b != nil {
		e.split, e.token, e.leaf, flags = b[0], Token(b[1:keyLen]), [32]byte(b[keyLen:keyLen+32]), b[keyLen+32]
	}
	e.nobody = flags&flagNobody != 0
	e.collection = uint32(s.uint())
	e.doc = int64(s.uint64())
	e.n = uint32(s.uint())
	e.retain = consent.Time(s.uint())
	e.owners = s.nums(e.owners)
	e.mentions = s.nums(e.mentions)
	return flags
}

// few returns a string of which there are few in a manifest: the last one
// again, where it is that.
func (s *source) few(last string) string {
	b := s.take(s.uint())
	if string(b) == last { // without a copy
		return last
	}
	return string(b)
}

// decodeRecord reads what record.append wrote, into a record that is used
// again; its strings are its own. split names are the manifest's.
func decodeRecord(b []byte, r *record, splits []Split) error {
	s := source{b: b}
	r.content = s.entry(&r.entry)&flagContent != 0
	if int(r.split) >= len(splits) {
		return ErrDamaged
	}
	if r.content {
		row := &r.row
		row.Token, row.Split = r.token, splits[r.split].Name
		copy(row.Document[:], s.take(16))
		copy(row.Source[:], s.take(16))
		copy(row.Content[:], s.take(32))
		row.Subjects = row.Subjects[:0]
		for n := s.uint(); n > 0 && !s.failed; n-- {
			var t Token
			copy(t[:], s.take(16))
			row.Subjects = append(row.Subjects, t)
		}
		last := row.Types
		row.Types = row.Types[:0]
		for n := s.uint(); n > 0 && !s.failed; n-- {
			name := ""
			if i := len(row.Types); i < len(last) {
				name = last[i]
			}
			row.Types = append(row.Types, s.few(name))
		}
		row.Basis, row.Text, row.PassageID, row.DocumentID = s.few(row.Basis), s.string(), s.string(), s.string()
		copy(row.SHA256[:], s.take(32))
	}
	if s.failed || len(s.b) > 0 {
		return ErrDamaged
	}
	return nil
}

func decodeEntry(b []byte, e *entry) error {
	s := source{b: b}
	if s.entry(e); s.failed || len(s.b) > 0 {
		return ErrDamaged
	}
	return nil
}
