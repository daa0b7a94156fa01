package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/assent-gateway/assent/internal/seal"
)

// threeBatches returns a closed vault with records 1–2, 3–5 and 6–8 of "t", the
// bytes of its journal, and where each record and the file's end is.
func threeBatches(t *testing.T) (*Vault, []byte, []int) {
	t.Helper()
	v, _ := newVault(t)
	appendTo(t, v, records("t", 1, 2)...)
	appendTo(t, v, records("t", 3, 5)...)
	appendTo(t, v, records("t", 6, 8)...)
	b := readFile(t, v.path(journalFile))
	var at []int
	for _, offset := range v.journal.index["t"] {
		at = append(at, int(offset))
	}
	v.Close()
	return v, b, append(at, len(b))
}

// opensWith writes the journal, opens the vault and expects this head, that
// the file ends with its record, and that appending goes on from there.
func opensWith(t *testing.T, v *Vault, journal []byte, when string, head uint64, end int) {
	t.Helper()
	if err := os.Remove(v.path(journalFile)); err != nil { // cut and written again, some file systems sync it
		t.Fatal(err)
	}
	writeFile(t, v.path(journalFile), journal)
	v, err := Open(v.Dir(), Options{})
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	defer v.Close()
	if got := len(readFile(t, v.path(journalFile))); got != end {
		t.Errorf("%s: the file has %d bytes, want %d", when, got, end)
	}
	wantJournal(t, v, "t", head)
	appendTo(t, v, record("t", head+1))
	wantJournal(t, v, "t", head+1)
}

// headAt is the newest record that ends at or before this offset.
func headAt(at []int, offset int) (head uint64, end int) {
	for i := len(at) - 1; i > 0; i-- {
		if at[i] <= offset {
			return uint64(i), at[i]
		}
	}
	return 0, at[0]
}

func TestOpenCutsATailTornAtAnyByte(t *testing.T) {
	t.Parallel()
	v, b, at := threeBatches(t)
	for n := at[0]; n <= len(b); n++ {
		head, end := headAt(at, n)
		opensWith(t, v, b[:n], fmt.Sprintf("torn at %d", n), head, end)
		if n >= at[5] {
			// The length came to the disk before the bytes did.
			zeros := append(bytes.Clone(b[:n]), make([]byte, len(b)-n)...)
			if n < len(b) && bytes.Equal(zeros, b) {
				continue
			}
			opensWith(t, v, zeros, fmt.Sprintf("zeros from %d", n), head, end)
		}
	}
}

func TestOpenTellsATornBatchFromDamage(t *testing.T) {
	t.Parallel()
	v, b, at := threeBatches(t)
	flip := func(i int) []byte {
		bad := bytes.Clone(b)
		bad[i] ^= 0x40
		return bad
	}
	for i := at[0]; i < at[5]; i++ { // a batch that a later one proves durable
		writeFile(t, v.path(journalFile), flip(i))
		openFails(t, v.Dir(), fmt.Sprintf("byte %d flipped", i), ErrDamaged)
	}
	for i := at[5]; i < len(b); i++ { // the last batch: lost in part, as if never synced
		head, end := headAt(at, i)
		opensWith(t, v, flip(i), fmt.Sprintf("byte %d flipped", i), head, end)
	}
	// A lost power supply may leave a hole in the batch in flight.
	hole := bytes.Clone(b)
	clear(hole[at[6]:at[7]])
	opensWith(t, v, hole, "hole in the last batch", 6, at[6])
	// Whole records missing, repeated or exchanged in durable batches.
	cut := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, journal := range map[string][]byte{
		"record missing":   cut(b[:at[3]], b[at[4]:]),
		"batch missing":    cut(b[:at[2]], b[at[5]:]),
		"record repeated":  cut(b[:at[4]], b[at[3]:]),
		"first batch gone": cut(b[:at[0]], b[at[2]:]),
	} {
		writeFile(t, v.path(journalFile), journal)
		w, err := Open(v.Dir(), Options{})
		if err == nil {
			// Nothing after the cut proves to be later: then the rest is dropped,
			// and never served at a place where it does not belong.
			if w.Head("t") >= 8 {
				t.Errorf("%s: head %d", name, w.Head("t"))
			}
			wantJournal(t, w, "t", w.Head("t"))
			w.Close()
		} else if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What an earlier, longer batch left behind the end, however well it fits.
	for _, base := range []int{headerSize, at[2] - 1, at[5] + 1} {
		left := bytes.Clone(b)
		finish(left[at[5]:], int64(base))
		opensWith(t, v, left[:at[6]], fmt.Sprintf("record of base %d", base), 5, at[5])
	}
	opensWith(t, v, b, "whole", 8, len(b))
}

// What may not be durable, and so is written again: the last batch at Open, in
// Mend all that was not acknowledged.
func TestRecoverReturnsTheTailToWriteAgain(t *testing.T) {
	t.Parallel()
	v, b, at := threeBatches(t)
	f, err := openFile(v.path(journalFile), journalMagic, v.id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct{ from, wantTail int }{{at[0], at[5]}, {at[5], at[5]}, {at[8], at[8]}} {
		j := &journal{known: v.known, index: map[string][]int64{}}
		for _, offset := range at {
			if offset < c.from {
				j.index["t"] = append(j.index["t"], int64(offset))
			}
		}
		found, err := j.recover(f, int64(c.from))
		if err != nil || found.end != int64(len(b)) || !bytes.Equal(found.tail, b[c.wantTail:]) {
			t.Errorf("from %d: end %d, tail of %d bytes, %v", c.from, found.end, len(found.tail), err)
		}
	}
}

// The search for a later batch goes through windows: its record begins before
// and ends after the edge of one.
func TestDamageFarBeforeALaterBatchIsFound(t *testing.T) {
	t.Parallel()
	for shift := range 20 {
		v, _ := newVault(t)
		first := record("t", 1)
		// The second record begins at window+8+shift; candidates of the first
		// window end at window+17.
		first.Payload = make([]byte, window+8+shift-headerSize-recordFixed-1-seal.Overhead)
		appendTo(t, v, first)
		appendTo(t, v, record("t", 2))
		b := readFile(t, v.path(journalFile))
		v.Close()
		b[headerSize+100] ^= 1
		writeFile(t, v.path(journalFile), b)
		openFails(t, v.Dir(), fmt.Sprintf("shifted by %d", shift), ErrDamaged)
	}
}

func TestOpenRefusesAnOlderKeyring(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	old := readFile(t, v.path(keyringFile))
	if err := v.AddTenant("u"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, v, record("u", 1))
	v.Close()
	writeFile(t, v.path(keyringFile), old)
	openFails(t, v.Dir(), "with an older keyring", ErrDamaged)
}

func FuzzParseRecord(f *testing.F) {
	b, err := appendRecord(nil, record("t", 2), [32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	finish(b, 32)
	f.Add(b)
	f.Add(b[:recordFixed])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 16 || !plausible(in, int64(len(in))) {
			return
		}
		in = in[:recordSize(in)]
		rec, box, ok := parseRecord(in)
		if ok && recordFixed+len(rec.Tenant)+len(box) != len(in) {
			t.Fatalf("a record of %d bytes with %d of payload", len(in), len(box))
		}
	})
}
