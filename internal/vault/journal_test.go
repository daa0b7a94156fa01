package vault

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/internal/seal"
)

func record(tenant string, position uint64) Record {
	r := Record{Tenant: tenant, Position: position, Kind: byte(position%3 + 1)}
	r.Leaf = seal.MAC(seal.Key{1}, tenant, []byte{byte(position)})
	if position%2 == 0 {
		r.Payload = fmt.Appendf(nil, "payload %s %d", tenant, position)
	}
	return r
}

func records(tenant string, from, to uint64) (out []Record) {
	for p := from; p <= to; p++ {
		out = append(out, record(tenant, p))
	}
	return out
}

func appendTo(t testing.TB, v *Vault, recs ...Record) {
	t.Helper()
	if err := v.Append(recs); err != nil {
		t.Fatal(err)
	}
}

// wantJournal checks that the tenant has exactly the records 1 to head.
func wantJournal(t testing.TB, v *Vault, tenant string, head uint64) {
	t.Helper()
	if got := v.Head(tenant); got != head {
		t.Errorf("head of %s is %d, want %d", tenant, got, head)
	}
	for p := range head + 3 {
		rec, err := v.Read(tenant, p)
		leaf, ok, lerr := v.Leaf(tenant, p)
		if p == 0 || p > head {
			if !errors.Is(err, ErrNotExist) || ok || lerr != nil {
				t.Errorf("position %d: %v, %v, %v", p, err, ok, lerr)
			}
			continue
		}
		want := record(tenant, p)
		if diff := cmp.Diff(want, rec); diff != "" || err != nil {
			t.Errorf("position %d: %v %s", p, err, diff)
		}
		if leaf != want.Leaf || !ok || lerr != nil {
			t.Errorf("leaf %d: %v, %v", p, ok, lerr)
		}
	}
}

func TestJournalReturnsWhatWasAppended(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	if err := v.AddTenant("u"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, v, records("t", 1, 5)...)
	appendTo(t, v, record("u", 1), record("t", 6), record("u", 2))
	appendTo(t, v)
	long := record("t", 7)
	long.Payload = bytes.Repeat([]byte("long "), 1000)
	appendTo(t, v, long)
	for range 2 { // before and after reopening
		wantJournal(t, v, "u", 2)
		wantJournal(t, v, "unknown", 0)
		if got, err := v.Read("t", 7); err != nil || !bytes.Equal(got.Payload, long.Payload) {
			t.Errorf("long payload: %v", err)
		}
		if v.Head("t") != 7 {
			t.Errorf("head %d", v.Head("t"))
		}
		v = reopen(t, v)
	}
	appendTo(t, v, record("t", 8))
	if b := readFile(t, v.path(journalFile)); bytes.Contains(b, []byte("payload")) || bytes.Contains(b, []byte("long")) {
		t.Error("a payload is in the file in clear")
	}
}

func TestAppendRefusesGapsWhole(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	if err := v.AddTenant("u"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, v, records("t", 1, 2)...)
	size := len(readFile(t, v.path(journalFile)))
	f.set("")
	for name, recs := range map[string][]Record{
		"ahead":        {record("t", 4)},
		"behind":       {record("t", 2)},
		"zero":         {record("u", 0)},
		"not from one": {record("u", 2)},
		"within":       {record("t", 3), record("t", 5)},
		"twice":        {record("t", 3), record("t", 3)},
		"other tenant": {record("t", 3), record("u", 2), record("t", 4)},
	} {
		if err := v.Append(recs); !errors.Is(err, ErrGap) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := v.Append([]Record{record("t", 3), record("nobody", 1)}); !errors.Is(err, ErrNoTenant) {
		t.Errorf("unknown tenant: got %v", err)
	}
	if err := v.Append([]Record{{Tenant: "t", Position: 3, Payload: make([]byte, maxPayload+1)}}); err == nil {
		t.Error("a payload beyond the limit was taken")
	}
	if len(f.saw) != 0 || len(readFile(t, v.path(journalFile))) != size {
		t.Errorf("something was written: %v", f.saw)
	}
	wantJournal(t, v, "t", 2)
	wantJournal(t, v, "u", 0)
	appendTo(t, v, record("t", 3), record("u", 1))
}

func TestAppendThatFailsBreaksTheJournalUntilMended(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op   string
		head uint64 // after Mend, or after a crash
	}{{"journal.write", 2}, {"journal.sync", 4}, {"journal.synced", 4}} {
		for _, then := range []string{"mend", "crash"} {
			t.Run(c.op+" "+then, func(t *testing.T) {
				t.Parallel()
				v, f := newVault(t)
				appendTo(t, v, records("t", 1, 2)...)
				f.set(c.op)
				if err := v.Append(records("t", 3, 4)); !errors.Is(err, errFault) || !errors.Is(err, ErrBroken) {
					t.Fatalf("got %v", err)
				}
				wantJournal(t, v, "t", 2)
				f.set("")
				if err := v.Append(records("t", 3, 4)); !errors.Is(err, ErrBroken) {
					t.Errorf("append while broken: %v", err)
				}
				if len(f.saw) != 0 {
					t.Errorf("append while broken did %v", f.saw)
				}
				if then == "mend" {
					f.set("journal.sync")
					if err := v.Mend(); !errors.Is(err, errFault) {
						t.Errorf("mend on a bad disk: %v", err)
					}
					if err := v.Append(records("t", 3, 4)); !errors.Is(err, ErrBroken) {
						t.Errorf("append after a mend that failed: %v", err)
					}
					f.set("")
					if err := v.Mend(); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]string{"journal.write", "journal.sync", "journal.synced"}, f.saw); diff != "" {
						t.Errorf("mend did not write anew and sync: %s", diff)
					}
				} else {
					v = reopen(t, v)
				}
				wantJournal(t, v, "t", c.head)
				appendTo(t, v, records("t", c.head+1, 6)...)
				wantJournal(t, v, "t", 6)
				wantJournal(t, reopen(t, v), "t", 6)
			})
		}
	}
}

func TestMendOfAWholeJournalDoesNothing(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	appendTo(t, v, record("t", 1))
	f.set("journal.write")
	if err := v.Mend(); err != nil || len(f.saw) != 0 {
		t.Errorf("%v, %v", err, f.saw)
	}
}

func TestMendCutsATornTail(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	appendTo(t, v, records("t", 1, 2)...)
	start := len(readFile(t, v.path(journalFile)))
	f.set("journal.sync")
	if err := v.Append(records("t", 3, 5)); !errors.Is(err, ErrBroken) {
		t.Fatal(err)
	}
	b := readFile(t, v.path(journalFile))
	third := start + recordSize(b[start:])
	writeFile(t, v.path(journalFile), b[:third+20])
	f.set("")
	if err := v.Mend(); err != nil {
		t.Fatal(err)
	}
	wantJournal(t, v, "t", 3)
	if got := len(readFile(t, v.path(journalFile))); got != third {
		t.Errorf("journal has %d bytes, want %d", got, third)
	}
	f.set("journal.sync")
	v.Append(records("t", 4, 5))
	writeFile(t, v.path(journalFile), b[:start])
	f.set("")
	if err := v.Mend(); !errors.Is(err, ErrDamaged) {
		t.Errorf("mend of a journal that lost what was durable: %v", err)
	}
}

func TestReadNoticesDamage(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	appendTo(t, v, records("t", 1, 3)...)
	offset := v.journal.index["t"][1]
	good := readFile(t, v.path(journalFile))
	n := recordSize(good[offset:])
	for i := range n {
		bad := bytes.Clone(good)
		bad[int(offset)+i] ^= 1
		writeFile(t, v.path(journalFile), bad)
		if _, err := v.Read("t", 2); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, _, err := v.Leaf("t", 2); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d flipped, leaf: %v", i, err)
		}
		// With a right checksum, the payload is still bound to its place.
		if i >= 24 && i < 57 || i >= recordFixed+1 {
			finish(bad[offset:], recordBase(bad[offset:]))
			writeFile(t, v.path(journalFile), bad)
			if _, err := v.Read("t", 2); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d flipped under a right checksum: %v", i, err)
			}
		}
	}
	// Intact, but another's place: positions 1 and 3 exchanged.
	first, third := v.journal.index["t"][0], v.journal.index["t"][2]
	bad := bytes.Clone(good)
	copy(bad[first:offset], good[third:])
	writeFile(t, v.path(journalFile), bad)
	if _, _, err := v.Leaf("t", 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("served another position's leaf: %v", err)
	}
	writeFile(t, v.path(journalFile), good)
	wantJournal(t, v, "t", 3)
}

func TestPayloadOpensOnlyWhereItWasAppended(t *testing.T) {
	t.Parallel()
	k, place := seal.NewKey(), Record{Tenant: "t", Position: 7, Leaf: [32]byte{1}, Kind: 2}
	box := seal.Seal(k, []byte("payload"), place.aad())
	for _, other := range []Record{
		{Tenant: "u", Position: 7, Leaf: [32]byte{1}, Kind: 2},
		{Tenant: "", Position: 7, Leaf: [32]byte{1}, Kind: 2},
		{Tenant: "t", Position: 8, Leaf: [32]byte{1}, Kind: 2},
		{Tenant: "t", Position: 7, Leaf: [32]byte{31: 1}, Kind: 2},
		{Tenant: "t", Position: 7, Leaf: [32]byte{1}, Kind: 3},
	} {
		if _, err := seal.Open(k, box, other.aad()); err == nil {
			t.Errorf("opens at %+v", other)
		}
	}
	if _, err := seal.Open(k, box, place.aad()); err != nil {
		t.Error(err)
	}
}

// Each tenant's writer continues its own head while others do the same and
// readers look on: run it with -race.
func TestJournalUnderConcurrency(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	const tenants, each = 6, 20
	var wg sync.WaitGroup
	for n := range tenants {
		tenant := fmt.Sprint("tenant ", n)
		if err := v.AddTenant(tenant); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for p := uint64(1); p <= each; p += 2 {
				if err := v.Append(records(tenant, p, p+1)); err != nil {
					t.Error(err)
				}
				if _, err := v.Read(tenant, p); err != nil || v.Head(tenant) != p+1 {
					t.Errorf("%d: %v, head %d", p, err, v.Head(tenant))
				}
			}
		})
	}
	// Two writers of one tenant: of each position one wins, the other hears so.
	var won sync.Map
	for range 2 {
		wg.Go(func() {
			for v.Head("t") < each {
				p := v.Head("t") + 1
				switch err := v.Append(records("t", p, p)); {
				case err == nil:
					if _, twice := won.LoadOrStore(p, true); twice {
						t.Errorf("position %d was written twice", p)
					}
				case !errors.Is(err, ErrGap):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	v = reopen(t, v)
	for n := range tenants {
		wantJournal(t, v, fmt.Sprint("tenant ", n), each)
	}
	if head := v.Head("t"); head < each {
		t.Errorf("head %d", head)
	}
}

func TestFailureReachesAllWhoShareIt(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	if err := v.AddTenant("u"); err != nil {
		t.Fatal(err)
	}
	f.set("journal.sync")
	v.journal.group.turn.Lock()
	errs := make(chan error, 3)
	for _, recs := range [][]Record{records("t", 1, 2), records("u", 1, 1), records("u", 5, 5)} {
		go func() { errs <- v.Append(recs) }()
	}
	for queued := 0; queued < 3; {
		v.journal.group.mu.Lock()
		queued = len(v.journal.group.queue)
		v.journal.group.mu.Unlock()
	}
	v.journal.group.turn.Unlock()
	var broken, gap int
	for range 3 {
		switch err := <-errs; {
		case errors.Is(err, ErrBroken):
			broken++
		case errors.Is(err, ErrGap):
			gap++
		}
	}
	if broken != 2 || gap != 1 {
		t.Errorf("%d broken and %d gap, want 2 and 1", broken, gap)
	}
	if diff := cmp.Diff([]string{"journal.write", "journal.sync"}, f.saw); diff != "" {
		t.Error(diff)
	}
}
