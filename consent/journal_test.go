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
	tn := newTenant("t", Keys{})
	who := subjectRef{lookup: [32]byte{7, 8}, key: seal.Ref{Slot: 9, ID: [16]byte{1}}}
	tn.who[42] = who
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
		rec := tn.journalRecord(&row)
		got, person, err := decodeJournal(rec)
		want := row
		if row.widens() {
			want = Row{Position: row.Position, Subject: row.Subject, Type: Type{Purpose: row.Type.Purpose}, Status: row.Status, Leaf: row.Leaf}
		}
		if err != nil || cmp.Diff(want, got) != "" || row.Subject != 0 && person != who {
			t.Fatalf("%v: %s", err, cmp.Diff(want, got))
		}
		// A mark that came back as a lost row is a mark again.
		if got.Kind == KindLost {
			again := tn.journalRecord(&got)
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

func FuzzDecodeJournal(f *testing.F) {
	f.Add([]byte{markVersion})
	f.Add(make([]byte, 140))
	f.Fuzz(func(t *testing.T, payload []byte) {
		row, _, err := decodeJournal(JournalRecord{Position: 3, Kind: KindConsent, Leaf: [32]byte{1}, Payload: payload})
		if err == nil && row.Kind != KindLost {
			t.Error("read a row whose leaf is another")
		}
	})
}
