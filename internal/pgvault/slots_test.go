package pgvault

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

// turned is a database's clock in the hands of a test.
type turned struct{ ns atomic.Int64 }

func (c *turned) now() time.Time       { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *turned) pass(d time.Duration) { c.ns.Add(int64(d)) }

func wantHeld(t *testing.T, v *Vault, ref seal.Ref, want bool) {
	t.Helper()
	if held, err := v.Holds(t.Context(), ref); err != nil || held != want {
		t.Errorf("held %v, %v, want %v", held, err, want)
	}
}

// A key that no row names is wiped when it is older than its lease, and no
// sooner: another gateway may be about to name it. One that a row names is not,
// also when the row came while the sweep was under way.
func TestASweepWipesWhatNoRowNamesAndNoneWillName(t *testing.T) {
	t.Parallel()
	var clock turned
	url, dir := database(t), filepath.Join(t.TempDir(), "v")
	sweeps, makes := open(t, url, dir, clock.now), open(t, url, dir, clock.now)
	put := func(n int) []seal.Ref {
		t.Helper()
		_, refs, err := makes.Consent().NewSubjectKeys(n)
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	old := put(3)
	clock.pass(Lease)
	young := put(1)
	names := map[seal.Ref]bool{old[0]: true}
	sweep := func(want int, meanwhile time.Duration) {
		t.Helper()
		wiped, err := sweeps.Sweep(t.Context(), func() (func(seal.Ref) bool, error) {
			names[old[1]] = true // the row of another gateway's commit that ended by now
			late := put(1)       // and a key that is made by now
			clock.pass(meanwhile)
			return func(r seal.Ref) bool {
				if r == late[0] {
					t.Error("a key that was made during the sweep is up for it")
				}
				return names[r]
			}, nil
		})
		if err != nil || wiped != want {
			t.Errorf("%d wiped, %v, want %d", wiped, err, want)
		}
	}
	sweep(0, 0) // as old as the lease is not older
	clock.pass(time.Nanosecond)
	sweep(1, 2*Lease) // what becomes old meanwhile is not meant
	wantHeld(t, makes, old[0], true)
	wantHeld(t, makes, old[1], true)
	wantHeld(t, makes, old[2], false)
	wantHeld(t, makes, young[0], true)
	failed := errors.New("rows cannot be read")
	clock.pass(2 * Lease)
	if _, err := sweeps.Sweep(t.Context(), func() (func(seal.Ref) bool, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("error is %v", err)
	}
	wantHeld(t, makes, young[0], true)
}

// A lease is longer than the longest commit that may name a key: see
// consent.KeyLease and the patience of internal/postgres with a COMMIT.
func TestTheLeaseOutlastsEveryCommit(t *testing.T) {
	t.Parallel()
	const commitPatience = 30 * time.Second
	if Lease < consent.KeyLease+4*commitPatience {
		t.Errorf("lease %s, key lease %s", Lease, consent.KeyLease)
	}
}

// A key destroyed at one gateway is gone at once there, and elsewhere as soon
// as what was read before is too old; its level is never more than absent.
func TestADestroyedKeyIsAbsent(t *testing.T) {
	t.Parallel()
	url, dir := database(t), filepath.Join(t.TempDir(), "v")
	a, b := open(t, url, dir, nil), open(t, url, dir, nil)
	_, refs, err := a.Consent().NewSubjectKeys(2)
	if err != nil {
		t.Fatal(err)
	}
	level := func(want vault.Level) {
		t.Helper()
		if got, err := b.KeyDestroyed(t.Context(), refs[0]); err != nil || got != want {
			t.Errorf("level %v, %v, want %v", got, err, want)
		}
	}
	level(vault.Held)
	for _, v := range []*Vault{a, b} {
		if _, err := v.Consent().SubjectKey(refs[0]); err != nil { // read, and kept for a while
			t.Fatal(err)
		}
	}
	if err := a.Consent().Destroy(refs[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Consent().SubjectKey(refs[0]); !errors.Is(err, consent.ErrKeyGone) {
		t.Errorf("where it was destroyed: %v", err)
	}
	level(vault.Absent)
	// What b read before it may serve for slotLease, and no longer.
	b.slots.mu.Lock()
	for _, kept := range []map[[16]byte]leased{b.slots.newer, b.slots.older} {
		for id, l := range kept {
			if left := time.Until(l.until); left > slotLease {
				t.Errorf("kept for %s", left)
			}
			l.until = time.Now()
			kept[id] = l
		}
	}
	b.slots.mu.Unlock()
	if _, err := b.Consent().SubjectKey(refs[0]); !errors.Is(err, consent.ErrKeyGone) {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := b.Consent().SubjectKey(refs[1]); err != nil {
		t.Errorf("the one beside it: %v", err)
	}
}

// What was read before a Destroy, and arrives after it, is not kept.
func TestALateReadIsNotKept(t *testing.T) {
	t.Parallel()
	v := open(t, database(t), filepath.Join(t.TempDir(), "v"), nil)
	_, refs, err := v.Consent().NewSubjectKeys(1)
	if err != nil {
		t.Fatal(err)
	}
	_, _, edits := v.slots.get(refs[0].ID)
	rows, err := v.db.Slots(t.Context(), [][]byte{refs[0].ID[:]})
	if err != nil || len(rows) != 1 {
		t.Fatal(len(rows), err)
	}
	if err := v.Destroy(refs[0]); err != nil {
		t.Fatal(err)
	}
	v.slots.keep(rows, edits, time.Now().Add(slotLease))
	if _, err := v.Consent().SubjectKey(refs[0]); !errors.Is(err, consent.ErrKeyGone) {
		t.Errorf("the destroyed key: %v", err)
	}
}
