package consent

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/internal/seal"
)

// Rows come back from the journal as they went in, or as what is left of them;
// nothing else is read.
func TestJournalRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	who := subjectRef{lookup: [32]byte{7, 8}, key: seal.Ref{Slot: 9, ID: [16]byte{1}}, version: lookupVersion}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		row := Row{
			Position: Position(1 + r.IntN(1<<40)), Kind: Kind(1 + r.IntN(11)), Status: Status(r.IntN(7)),
			Type:         Type{Purpose: "purpose"[:1+r.IntN(7)], Major: uint16(r.Uint32()), Minor: uint16(r.Uint32())},
			Jurisdiction: []Jurisdiction{"", "DE", "US-CA"}[r.IntN(3)], ActedAt: Time(r.Int64()), RecordedAt: Time(r.Int64()),
			Sealed: make([]byte, r.IntN(60)),
		}
		if row.Kind == KindConsent || row.Kind == KindErasure {
			row.Subject = 42
		}
		row.sign(seal.Key{1})
		about := subjectRef{}
		if row.Subject != 0 {
			about = who
		}
		rec := journalRecord(&row, about)
		got, person, err := decodeJournal(rec)
		want := row
		if row.widens() {
			want = Row{Position: row.Position, Subject: row.Subject, Type: Type{Purpose: row.Type.Purpose}, Status: row.Status, Leaf: row.Leaf}
		}
		if err != nil || cmp.Diff(want, got) != "" || row.Subject != 0 && (!person.covered || uncovered(person) != who) {
			t.Fatalf("%v: %s", err, cmp.Diff(want, got))
		}
		// A mark that came back as a lost row is a mark again.
		if got.Kind == KindLost {
			again := journalRecord(&got, about)
			if string(again.Payload) != string(rec.Payload) || again.Leaf != rec.Leaf {
				t.Fatal("a lost row is journaled as something else")
			}
			continue
		}
		for n := 1; n < len(rec.Payload); n += 1 + r.IntN(20) {
			cut := rec
			cut.Payload = rec.Payload[:n]
			if row, _, err := decodeJournal(cut); err == nil && row.Kind != KindLost {
				t.Fatalf("read %d of %d bytes", n, len(rec.Payload))
			}
		}
	}
}

func uncovered(who subjectRef) subjectRef {
	who.covered = false
	return who
}

// Journals from before names were covered are read: wholes that begin with any
// byte, marks that begin with 1.
func TestOlderJournalsAreRead(t *testing.T) {
	t.Parallel()
	for first := range 256 {
		who := subjectRef{lookup: [32]byte{byte(first), 8}, key: seal.Ref{Slot: 9, ID: [16]byte{1}}, version: lookupVersion}
		row := Row{Position: 3, Kind: KindConsent, Subject: 42, Type: Type{Purpose: "p"}, Status: Revoked}
		row.sign(seal.Key{1})
		rec := journalRecord(&row, who)
		rec.Payload = rec.Payload[1:]
		got, person, err := decodeJournal(rec)
		if err != nil || got.Subject != 42 || person != who {
			t.Fatalf("a whole that begins with %d: %+v, %v", first, got, err)
		}
		row.Status = Granted
		rec = journalRecord(&row, who)
		rec.Payload[0] = 1
		if got, person, err = decodeJournal(rec); err != nil || got.Subject != 42 || person != who {
			t.Fatalf("a mark: %+v, %v", got, err)
		}
	}
}

func FuzzDecodeJournal(f *testing.F) {
	f.Add([]byte{nameVersion})
	f.Add(make([]byte, 140))
	f.Fuzz(func(t *testing.T, payload []byte) {
		row, _, err := decodeJournal(JournalRecord{Position: 3, Kind: KindConsent, Leaf: [32]byte{1}, Payload: payload})
		if err == nil && row.Kind != KindLost {
			t.Error("read a row whose leaf is another")
		}
	})
}
