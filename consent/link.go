package consent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// A link is who was suppressed.
type link struct {
	num    SubjectNum
	key    seal.Ref // of the person
	lookup [32]byte
}

const linkSize = 8 + 4 + 16 + 32

func linkAAD(t TenantID, p Position) []byte { return append(rowAAD(t, p), " link"...) }
func whoAAD(t TenantID, p Position) []byte  { return append(rowAAD(t, p), " who"...) }

func (k link) seal(key seal.Key, t TenantID, p Position) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, linkSize), uint64(k.num))
	b = binary.BigEndian.AppendUint32(b, k.key.Slot)
	return seal.Seal(key, append(append(b, k.key.ID[:]...), k.lookup[:]...), linkAAD(t, p))
}

func openLink(key seal.Key, box []byte, t TenantID, p Position) (k link, err error) {
	plain, err := seal.Open(key, box, linkAAD(t, p))
	if err != nil || len(plain) != linkSize {
		return k, ErrTampered
	}
	d := decoder{b: plain}
	k.num, k.key.Slot = SubjectNum(d.u64()), d.u32()
	copy(k.key.ID[:], d.bytes(16))
	copy(k.lookup[:], d.bytes(32))
	return k, nil
}

// sealWho seals which key a link has, and under which marks the person is known.
func sealWho(payload seal.Key, t TenantID, p Position, key seal.Ref, marks [][32]byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 20+32*len(marks)), key.Slot)
	b = append(b, key.ID[:]...)
	for _, m := range marks {
		b = append(b, m[:]...)
	}
	return seal.Seal(payload, b, whoAAD(t, p))
}

func openWho(payload seal.Key, box []byte, t TenantID, p Position) (key seal.Ref, marks [][32]byte, err error) {
	plain, err := seal.Open(payload, box, whoAAD(t, p))
	if err != nil || len(plain) < 20 || (len(plain)-20)%32 != 0 {
		return key, nil, ErrTampered
	}
	d := decoder{b: plain}
	key.Slot = d.u32()
	copy(key.ID[:], d.bytes(16))
	for len(d.b) > 0 {
		marks = append(marks, [32]byte(d.bytes(32)))
	}
	return key, marks, nil
}

// shown is what an entry says under keys of the vault.
type shown struct {
	link  link
	alias [32]byte // lookup of a further identifier
	gone  bool     // the key is destroyed
}

// reveal opens what an entry says under keys of the vault, for apply, which runs
// under a lock; nil when it says nothing of the kind. key returns a person's key.
func (l *Ledger) reveal(t *tenant, row *Row, key func(SubjectNum) seal.Ref) (*shown, error) {
	var ref seal.Ref
	var ev ErasureEvent
	switch row.Kind {
	case KindErasure:
		if json.Unmarshal(row.Sealed, &ev) != nil {
			return nil, fmt.Errorf("%w: an entry about an erasure", ErrTampered)
		}
		if len(ev.Link) == 0 {
			return nil, nil
		}
		var err error
		if ref, _, err = openWho(t.keys.Payload, ev.Who, t.id, row.Position); err != nil {
			return nil, err
		}
	case KindIdentifier:
		if _, err := t.body(*row)(); err == nil {
			return nil, nil // from before there were links: its mark is in it
		}
		ref = key(row.Subject)
	default:
		return nil, nil
	}
	if ref.IsZero() {
		return &shown{gone: true}, nil
	}
	k, err := l.vault.SubjectKey(ref)
	if errors.Is(err, ErrKeyGone) {
		return &shown{gone: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: open a person's key", ErrUnavailable)
	}
	if row.Kind == KindErasure {
		lk, err := openLink(k, ev.Link, t.id, row.Position)
		return &shown{link: lk}, err
	}
	plain, err := seal.Open(k, row.Sealed, rowAAD(t.id, row.Position))
	if err != nil {
		return &shown{gone: true}, nil // said under an earlier key
	}
	s, err := ParseSubject(string(plain))
	if err != nil {
		return nil, fmt.Errorf("%w: an identifier", ErrTampered)
	}
	return &shown{alias: t.lookup(s)}, nil
}
