package translog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

// A step fails, or fails and happened nevertheless; then the same process goes
// on, or another starts. Nothing inconsistent was ever signed, and in the end
// everything is signed for.
func TestAStepFails(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"vault.set", "vault.happened", "tx.begin", "tx.commit", "tx.committed"} {
		for _, first := range []bool{true, false} {
			for _, restart := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, first %v, restart %v", op, first, restart), func(t *testing.T) {
					t.Parallel()
					r := newRig(t)
					w := r.mustStart()
					if !first {
						r.add(300)
						w.integrate()
					}
					r.add(300)
					if err := w.feed(len(r.leaves)); err != nil {
						t.Fatal(err)
					}
					fault := func(at string) error {
						if at == op {
							return errFault
						}
						return nil
					}
					r.fault, r.vault.fault = fault, fault
					if err := w.Integrate(t.Context(), tenant); !errors.Is(err, errFault) {
						t.Fatalf("the fault is not reported: %v", err)
					}
					if _, err := w.Checkpoint(t.Context(), tenant); first && op != "tx.committed" && !errors.Is(err, translog.ErrPending) {
						t.Errorf("a checkpoint is served that is not in the database: %v", err)
					}
					r.fault, r.vault.fault = nil, nil
					if restart {
						r.db.Close()
						r.open()
						w = r.mustStart()
					}
					r.add(1)
					if c := w.integrate(); c.Size != uint64(len(r.leaves)) || !bytes.Equal(c.Text, r.vault.newest) {
						t.Errorf("size %d of %d, or not the vault's", c.Size, len(r.leaves))
					}
					vkey, _ := w.Key(tenant)
					r.consistent(vkey)
					r.mustStart() // whose nodes are all there
				})
			}
		}
	}
}

// Writers of several processes, on one database and vault, each of which has
// seen more or less of the ledger.
func TestWritersThatRaceCannotFork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var writers []*writer
	for range 4 {
		writers = append(writers, r.mustStart())
	}
	for round := range 25 {
		r.add(1 + rand.IntN(40))
		var wg sync.WaitGroup
		for i, w := range writers {
			wg.Go(func() {
				if err := w.feed(len(r.leaves) - rand.IntN(2)*(i%2)*min(1, round)); err != nil {
					t.Error(err)
				}
				if err := w.Integrate(t.Context(), tenant); err != nil && !errors.Is(err, translog.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i, w := range writers {
		if c := w.integrate(); c.Size != uint64(len(r.leaves)) {
			t.Errorf("writer %d ends at %d of %d", i, c.Size, len(r.leaves))
		}
	}
	vkey, _ := writers[0].Key(tenant)
	r.consistent(vkey)
	if len(r.vault.all) < 25 {
		t.Errorf("only %d checkpoints: nobody raced", len(r.vault.all))
	}
	r.mustStart()
}

// A writer whose leaves are not those that were signed for stops, closes the
// ledger and signs nothing.
func TestAForkIsNotSigned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	var closed error
	other, err := r.start(translog.Options{Closed: func(_ consent.TenantID, err error) { closed = err }})
	if err != nil {
		t.Fatal(err)
	}
	r.add(10)
	w.integrate()
	r.add(1)
	for i := range r.leaves {
		leaf := r.leaves[i]
		if i == 4 {
			leaf[0] ^= 1
		}
		if err := other.tree.Grow(leaf); err != nil {
			t.Fatal(err)
		}
	}
	signed := len(r.vault.all)
	if err := other.Integrate(t.Context(), tenant); !errors.Is(err, consent.ErrDiverged) || !errors.Is(closed, consent.ErrDiverged) {
		t.Errorf("%v, closed with %v", err, closed)
	}
	if len(r.vault.all) != signed {
		t.Error("it signed")
	}
	if _, err := other.Checkpoint(t.Context(), tenant); !errors.Is(err, consent.ErrDiverged) {
		t.Errorf("it serves: %v", err)
	}
}

// What a start finds of what somebody did to the database, or to the vault.
func TestAStartFindsWhatWasAltered(t *testing.T) {
	t.Parallel()
	forged := []translog.Node{{Level: 1, Index: 1, Hash: translog.Hash{1}}}
	cases := map[string]struct {
		change func(r *rig)
		want   error // nil: mended
	}{
		"nothing": {func(*rig) {}, nil},
		"a node":  {func(r *rig) { r.advance(r.vault.newest, forged) }, consent.ErrTampered},
		"a node too many": {func(r *rig) {
			forged := forged[0]
			forged.Index = 2
			r.advance(r.vault.newest, []translog.Node{forged})
		}, consent.ErrTampered},
		"a level too many": {func(r *rig) { r.advance(r.vault.newest, []translog.Node{{Level: 2}}) }, consent.ErrTampered},
		"the checkpoint":   {func(r *rig) { r.advance(append([]byte("assent/t1\n9"), r.vault.newest[11:]...), nil) }, consent.ErrTampered},
		"a signature of somebody's": {func(r *rig) {
			b := bytes.Clone(r.vault.newest)
			b[len(b)-20] ^= 1
			r.advance(b, nil)
		}, consent.ErrTampered},
		"an entry":                          {func(r *rig) { r.leaves[77][5] ^= 1 }, consent.ErrDiverged},
		"two exchanged":                     {func(r *rig) { r.leaves[3], r.leaves[4] = r.leaves[4], r.leaves[3] }, consent.ErrDiverged},
		"one left out":                      {func(r *rig) { r.leaves = append(r.leaves[:5:5], r.leaves[6:]...) }, consent.ErrDiverged},
		"an older vault":                    {func(r *rig) { r.vault.newest = r.vault.all[0] }, nil},
		"another origin":                    {func(r *rig) { r.vault.newest = append([]byte("other/t1"), r.vault.newest[9:]...) }, translog.ErrOrigin},
		"a vault's checkpoint that is none": {func(r *rig) { r.vault.newest = []byte("assent/t1\n") }, consent.ErrTampered},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := r.mustStart()
			r.add(256)
			w.integrate()
			r.add(300)
			w.integrate()
			r.add(2) // above the checkpoint
			c.change(r)
			w, err := r.start(translog.Options{})
			if !errors.Is(err, c.want) {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if c.want == nil {
				vkey, _ := w.Key(tenant)
				if got := w.integrate(); got.Size != 558 {
					t.Errorf("mended to %d", got.Size)
				}
				r.consistent(vkey)
			}
		})
	}
}

func (r *rig) advance(checkpoint []byte, nodes []translog.Node) {
	r.t.Helper()
	old, err := r.db.LogCheckpoint(r.t.Context(), tenant)
	if err == nil {
		err = r.db.AdvanceLog(r.t.Context(), tenant, old, checkpoint, nodes)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// While it runs: a database put back to an older checkpoint does not make the
// log serve it, and an altered node no proof.
func TestARunningLogIsNotFooled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	r.add(300)
	older := w.integrate()
	r.add(300)
	c := w.integrate()
	r.advance(older.Text, nil)
	if got, err := w.Checkpoint(t.Context(), tenant); err != nil || got.Size != c.Size {
		t.Errorf("it serves size %d, %v", got.Size, err)
	}
	r.add(1)
	if got := w.integrate(); got.Size != 601 {
		t.Errorf("it goes on to %d", got.Size)
	}
	r.advance(r.vault.newest, []translog.Node{{Level: 1, Index: 1, Hash: translog.Hash{1}}})
	c, _ = w.Checkpoint(t.Context(), tenant)
	if _, err := w.Proof(t.Context(), tenant, 1, c); !errors.Is(err, consent.ErrTampered) {
		t.Errorf("a proof over an altered node: %v", err)
	}
	vkey, _ := w.Key(tenant)
	r.consistent(vkey)
}

// Entries that the journal lacks are not signed for.
func TestTheJournalComesFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	r.add(10)
	r.vault.head = 7
	if c := w.integrate(); c.Size != 7 {
		t.Errorf("signed for %d, the journal has 7", c.Size)
	}
}

// A vault that was put back is brought up, and what was found in one, and may
// not be synced, is written once more before it is served.
func TestTheVaultHasWhatIsServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	r.add(300)
	w.integrate()
	r.add(300)
	newest := w.integrate()
	r.vault.newest = r.vault.all[0]
	if c := r.mustStart().integrate(); c.Size != newest.Size || !bytes.Equal(r.vault.newest, newest.Text) {
		t.Errorf("serves size %d, the vault has another", c.Size)
	}
	r.add(1)
	w = r.mustStart()
	r.vault.fault = func(op string) error {
		if op == "vault.happened" {
			return errFault
		}
		return nil
	}
	if err := w.Integrate(t.Context(), tenant); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	found := r.vault.newest
	for _, restart := range []bool{false, true} {
		if restart {
			w = r.mustStart()
		}
		if err := w.Integrate(t.Context(), tenant); !errors.Is(err, errFault) {
			t.Fatalf("what was found was not written once more: %v", err)
		}
		if c, err := w.Checkpoint(t.Context(), tenant); err == nil && bytes.Equal(c.Text, found) {
			t.Error("it is served although the vault may not have it")
		}
	}
	r.vault.fault = nil
	if c := r.mustStart().integrate(); c.Size != 601 {
		t.Errorf("size %d", c.Size)
	}
}

// A writer reached the vault and not the database; before it tries again,
// another moves the vault on, and does not reach the database either. No node
// is lost.
func TestNodesOfFailedWritersAreNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := r.mustStart(), r.mustStart()
	r.add(300)
	broken := func(op string) error {
		if op == "tx.begin" {
			return errFault
		}
		return nil
	}
	for _, w := range []*writer{one, two} {
		if err := w.feed(300); err != nil {
			t.Fatal(err)
		}
	}
	r.fault = broken
	if err := one.Integrate(t.Context(), tenant); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	r.fault = nil
	r.add(300)
	// two gives the database one's checkpoint, with its nodes, signs, and fails.
	calls := 0
	r.fault = func(op string) error {
		if op == "tx.begin" {
			if calls++; calls == 2 {
				return errFault
			}
		}
		return nil
	}
	if err := two.feed(600); err != nil {
		t.Fatal(err)
	}
	if err := two.Integrate(t.Context(), tenant); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	r.fault = nil
	if c := one.integrate(); c.Size != 600 {
		t.Errorf("size %d", c.Size)
	}
	r.mustStart() // whose nodes are all there
}
