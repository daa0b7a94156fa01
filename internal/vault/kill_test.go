package vault

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/assent-gateway/assent/internal/seal"
)

// TestMain lets the test binary be the process that is killed, too.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ASSENT_TEST_VAULT"); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir, os.Getenv("ASSENT_TEST_DO"), os.Getenv("ASSENT_TEST_KILL_AT")))
		os.Exit(1) // it should not have come to this
	}
	envelopeKey = func(passphrase, salt []byte) seal.Key {
		return seal.Key(argon2.IDKey(passphrase, salt, 1, 64, 1, 32))
	}
	os.Exit(m.Run())
}

// victim does one thing in the vault at dir and kills itself at the step.
func victim(dir, do, at string) error {
	var seen atomic.Int64
	at, nth, _ := strings.Cut(at, ":") // the nth time; without, the first
	n, _ := strconv.ParseInt(nth, 10, 64)
	v, err := Open(dir, Options{chunk: killChunk, Fault: func(op string) error {
		if (op == at || at == "any") && seen.Add(1) >= n {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	switch do {
	case "append":
		err = v.Append(records("t", 3, 4))
	case "put":
		_, err = v.Put([]NewKey{{Key: seal.NewKey()}, {Key: seal.NewKey()}})
	case "sweep": // as Destroy, of all but slot 0
		_, err = v.Sweep(func(r seal.Ref) bool { return r.Slot == 0 })
	case "tenant":
		err = v.AddTenant("u")
	case "rotate":
		err = v.Rotate(context.Background())
	case "backup":
		_, err = v.Backup(io.Discard, []byte("a long passphrase"))
	}
	return fmt.Errorf("%s survived %s: %v", do, at, err)
}

func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	type state struct {
		Head          uint64
		Used, Tenants int
	}
	before := state{Head: 2, Used: 3, Tenants: 1}
	for _, c := range []struct {
		do, at string
		want   state // what the next process finds
	}{
		{"append", "journal.write", before},
		{"append", "journal.sync", state{4, 3, 1}},
		{"append", "journal.synced", state{4, 3, 1}},
		{"put", "slots.write", before},
		{"put", "slots.sync", state{2, 5, 1}},
		{"put", "slots.synced", state{2, 5, 1}},
		{"sweep", "slots.write", before},
		{"sweep", "slots.sync", state{2, 1, 1}},
		{"sweep", "slots.synced", state{2, 1, 1}},
		{"tenant", "keyring.write", before},
		{"tenant", "keyring.renamed", state{2, 3, 2}},
	} {
		t.Run(c.do+" at "+c.at, func(t *testing.T) {
			t.Parallel()
			v, _ := newVault(t)
			keys := []NewKey{{Key: seal.NewKey()}, {Key: seal.NewKey()}, {Key: seal.NewKey()}}
			refs := put(t, v, keys...)
			appendTo(t, v, records("t", 1, 2)...)
			tenant, _ := v.Tenant("t")
			v.Close()

			if killed, out := murder(v.Dir(), c.do, c.at); !killed {
				t.Fatalf("not killed: %s", out)
			}
			v, err := Open(v.Dir(), Options{}) // the lock died with its holder
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { v.Close() })
			used, _ := v.Slots()
			if got := (state{v.Head("t"), used, len(v.Tenants())}); got != c.want {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
			wantJournal(t, v, "t", c.want.Head)
			if again, _ := v.Tenant("t"); !reflect.DeepEqual(again, tenant) {
				t.Error("the tenant's keys changed")
			}
			wantKey(t, v, refs[0], nil, keys[0].Key)
			if c.do != "sweep" {
				wantKey(t, v, refs[2], nil, keys[2].Key)
			}

			// Those who repair it come to the same end, whatever was found.
			if _, err := v.Sweep(func(r seal.Ref) bool { return slices.Contains(refs, r) }); err != nil {
				t.Error(err)
			}
			if c.want.Head < 4 {
				appendTo(t, v, records("t", 3, 4)...)
			}
			if err := v.Destroy(refs[1:]...); err != nil {
				t.Error(err)
			}
			if err := v.AddTenant("u"); err != nil {
				t.Error(err)
			}
			wantJournal(t, v, "t", 4)
			wantCounts(t, v, 1, growth-1)
		})
	}
}

// murder runs a victim and reports whether it was killed, and what it said.
func murder(dir, do, at string) (bool, string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ASSENT_TEST_VAULT="+dir, "ASSENT_TEST_DO="+do, "ASSENT_TEST_KILL_AT="+at)
	out, _ := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL, string(out)
}

const killChunk = 40 // slots at a time: three chunks of newFilled(100)

// A rotation is killed at each of its steps, each time it comes to it; the
// process that then opens the vault is killed on its way, too, at any step. The
// third finds every key, and one epoch.
func TestKilledAtEveryStepOfARotation(t *testing.T) {
	t.Parallel()
	plan := newFilled(t, 100)
	plan.opt.chunk = killChunk
	plan.f.set("")
	if err := plan.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps := len(plan.f.saw)
	if steps < 25 {
		t.Fatalf("only %d steps: %v", steps, plan.f.saw)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := 1; i <= steps; i++ {
		op, again := plan.f.saw[i-1], 1+r.IntN(steps)
		t.Run(fmt.Sprintf("%d, %s, then %d", i, op, again), func(t *testing.T) {
			t.Parallel()
			x := newFilled(t, 100)
			x.Close()
			if killed, out := murder(x.Dir(), "rotate", fmt.Sprintf("any:%d", i)); !killed {
				t.Fatalf("not killed: %s", out)
			}
			// Whether it comes so far, or ends before: both are to be survived.
			murder(x.Dir(), "rotate", fmt.Sprintf("any:%d", again))
			v, err := Open(x.Dir(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { v.Close() })
			x.whole(t, v)
			oneEpoch(t, v)
			if err := v.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			x.whole(t, reopen(t, v))
		})
	}
}

// A backup is on the list before its first byte.
func TestKilledDuringABackup(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]int{"state.write": 0, "state.renamed": 1} {
		v, _ := newVault(t)
		v.Close()
		if killed, out := murder(v.Dir(), "backup", at); !killed {
			t.Fatalf("not killed: %s", out)
		}
		v, err := Open(v.Dir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Backups(); len(got) != want {
			t.Errorf("killed at %s: the list is %v", at, got)
		}
		v.Close()
	}
}
