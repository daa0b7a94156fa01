package vault

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/internal/seal"
)

var passphrase = []byte("correct horse battery")

func backup(t testing.TB, v *Vault) ([]byte, Contents) {
	t.Helper()
	var w bytes.Buffer
	c, err := v.Backup(&w, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return w.Bytes(), c
}

func restore(t testing.TB, b []byte) *Vault {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := Restore(bytes.NewReader(b), dir, passphrase, Options{}); err != nil {
		t.Fatal(err)
	}
	v, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func TestBackupRestoresEverything(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 3000) // the slots are more than one frame
	if err := x.SetAdminKey("an admin key"); err != nil {
		t.Fatal(err)
	}
	if err := x.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, c := backup(t, x.Vault)
	if c.Generation != 1 || c.Vault != x.ID() || !maps.Equal(c.Heads, map[string]uint64{"t": 5}) {
		t.Errorf("contents %+v", c)
	}
	system := x.System()
	for _, secret := range [][]byte{x.tenant.MAC[:8], system[:8], []byte("an admin key"), []byte("assentSL"), []byte(slotsFile)} {
		if bytes.Contains(b, secret) {
			t.Error("something is in clear")
		}
	}
	v := restore(t, b)
	x.whole(t, v)
	if v.ID() != x.ID() || v.System() != x.System() {
		t.Error("another vault")
	}
	if key, err := v.AdminKey(); err != nil || key != "an admin key" {
		t.Errorf("admin key: %v", err)
	}
	r, ok := v.Restored()
	if !ok || r.Generation != 1 || !r.Taken.Equal(c.Taken) || v.Accepted() {
		t.Errorf("mark %+v, %v", r, ok)
	}
	if list := v.Backups(); len(list) != 1 || list[0].Generation != 1 {
		t.Errorf("it does not know the backup it came from: %v", list)
	}
	if err := v.Accept(); err != nil || !v.Accepted() {
		t.Error(err)
	}
	v = reopen(t, v)
	if !v.Accepted() {
		t.Error("acceptance is lost")
	}
	if err := v.Settled(); err != nil {
		t.Fatal(err)
	}
	v = reopen(t, v)
	if _, ok := v.Restored(); ok || v.Accepted() {
		t.Error("the mark stays")
	}
	if n, err := v.Advance(7); n != 8 || err != nil || v.Generation() != 8 {
		t.Errorf("generation %d, %v", n, err)
	}
	if _, again := backup(t, v); again.Generation != 9 {
		t.Errorf("generation %d", again.Generation)
	}
}

func TestRestoreOfAnUnfinishedRotationFinishesIt(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"rewrap.sync", "epoch.wiped", "keyring.renamed"} {
		x := newFilled(t, 30)
		x.f.set(op)
		if err := x.Rotate(t.Context()); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		x.f.set("")
		b, _ := backup(t, x.Vault)
		v := restore(t, b)
		x.whole(t, v)
		if n := len(v.epochs.Load().keys); n != 1 {
			t.Errorf("%s: %d epochs", op, n)
		}
	}
}

func TestRestoreRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 10)
	b, _ := backup(t, x.Vault)
	parent := t.TempDir()
	dir := filepath.Join(parent, "vault")
	refuse := func(when string, b, pass []byte, want error) {
		t.Helper()
		_, err := Restore(bytes.NewReader(b), dir, pass, Options{})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", when, err, want)
		}
		if left := names(t, parent); len(left) > 0 {
			t.Fatalf("%s leaves %v", when, left)
		}
	}
	refuse("a wrong passphrase", b, []byte("correct horse bakery"), ErrPassphrase)
	refuse("no passphrase", b, nil, ErrPassphrase)
	future := bytes.Clone(b)
	future[11]++
	binary.BigEndian.PutUint32(future[44:], checksum(future[:44]))
	refuse("a later version", future, passphrase, ErrFormat)
	if _, err := x.Backup(io.Discard, []byte("short")); !errors.Is(err, ErrShortPassphrase) {
		t.Errorf("a short passphrase: %v", err)
	}
	// Every region, not every byte; the envelope's own test below takes every
	// byte of the frames.
	for _, i := range []int{0, 20, 60, 120, len(b) / 2, len(b) - 1} {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		_, err := Restore(bytes.NewReader(bad), dir, passphrase, Options{})
		if !errors.Is(err, ErrBackup) && !errors.Is(err, ErrPassphrase) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	for _, n := range []int{0, envelopeFront, 119, 120, len(b) / 2, len(b) - 1} {
		refuse("cut short", b[:n], passphrase, ErrBackup)
	}
	refuse("something after the end", append(bytes.Clone(b), 0), passphrase, ErrBackup)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(bytes.NewReader(b), dir, passphrase, Options{}); err == nil {
		t.Error("restored over something")
	}
	if left := names(t, parent); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if _, ok := x.Restored(); ok {
		t.Error("the vault that was backed up is marked")
	}
}

// What a passphrase is turned into a key by, outside of tests: Argon2id as RFC
// 9106 §4 has it, here for nothing else than this passphrase and salt.
func TestTheKeyOfABackupIsSlow(t *testing.T) {
	t.Parallel()
	got := argon2id(passphrase, bytes.Repeat([]byte{7}, 32))
	if want := "44f78e782ffcf6fc615ed1d9ce20701f3230e93f69229ebd255a10232138394a"; hex.EncodeToString(got[:]) != want {
		t.Errorf("the key is %x: backups that were made before do not open", got[:])
	}
}

// frames returns an envelope of a few frames and a way to open variants of it
// without paying for the key each time.
func frames(t *testing.T, plain []byte) (b []byte, open func([]byte) ([]byte, error)) {
	t.Helper()
	var w bytes.Buffer
	s, err := newSealWriter(&w, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	head := len(s.front)
	return w.Bytes()[head:], func(b []byte) ([]byte, error) {
		return io.ReadAll(&openReader{r: bytes.NewReader(b), key: s.key, front: s.front})
	}
}

func TestEnvelopeOpensWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 3 * frameSize} {
		plain := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
		b, open := frames(t, plain)
		if got, err := open(b); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		full := 4 + frameSize + seal.Overhead
		variants := map[string][]byte{"twice": append(bytes.Clone(b), b...), "nothing": nil}
		if len(b) > full {
			first, rest := b[:full], b[full:]
			variants["first frame missing"] = rest
			variants["last frame missing"] = b[:len(b)-len(rest)%full]
			variants["first frame repeated"] = append(bytes.Clone(first), b...)
			variants["ends at a frame"] = first
			if len(rest) >= full {
				variants["exchanged"] = append(append(bytes.Clone(rest[:full]), first...), rest[full:]...)
			}
		}
		for what, bad := range variants {
			if bytes.Equal(bad, b) {
				continue
			}
			if _, err := open(bad); !errors.Is(err, ErrBackup) {
				t.Errorf("%d bytes, %s: %v", n, what, err)
			}
		}
	}
	b, open := frames(t, []byte("a short one"))
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if got, err := open(bad); !errors.Is(err, ErrBackup) || len(got) > 0 {
				t.Errorf("byte %d flipped: %v", i, err)
			}
		}
		if _, err := open(b[:i]); !errors.Is(err, ErrBackup) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// Who knows the passphrase can make any archive; it must not write elsewhere.
func TestRestoreTakesNoForeignMembers(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 3)
	_, c := backup(t, x.Vault)
	for _, name := range []string{"../evil", "a/b", ".hidden", "lock", "x.tmp"} {
		var w bytes.Buffer
		s, err := newSealWriter(&w, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		out := tar.NewWriter(s)
		text, _ := c.encode()
		for _, step := range []error{member(out, contentsFile, text), member(out, name, []byte("x")), out.Close(), s.Close()} {
			if step != nil {
				t.Fatal(step)
			}
		}
		parent := t.TempDir()
		if _, err := Restore(&w, filepath.Join(parent, "v"), passphrase, Options{}); !errors.Is(err, ErrBackup) {
			t.Errorf("%q: %v", name, err)
		}
		if left := names(t, parent); len(left) > 0 {
			t.Errorf("%q leaves %v", name, left)
		}
	}
}

// While all else goes on, a backup holds what was there when it began.
func TestBackupBesideWrites(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 2000)
	v := x.Vault
	var stop atomic.Bool
	var wg sync.WaitGroup
	head := uint64(5)
	wg.Go(func() {
		for !stop.Load() {
			refs, err := v.Put([]NewKey{{Key: seal.NewKey()}})
			if err == nil {
				err = v.Destroy(refs...)
			}
			if err == nil {
				head++
				err = v.Append([]Record{record("t", head)})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Go(func() {
		for !stop.Load() {
			if err := v.Rotate(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var taken [][]byte
	var heads []uint64
	for range 3 {
		before := v.Head("t")
		b, c := backup(t, v)
		if c.Heads["t"] < before {
			t.Errorf("head %d, before it %d", c.Heads["t"], before)
		}
		taken, heads = append(taken, b), append(heads, c.Heads["t"])
	}
	stop.Store(true)
	wg.Wait()
	for i, b := range taken {
		w := restore(t, b)
		if w.Head("t") != heads[i] {
			t.Errorf("head %d, want %d", w.Head("t"), heads[i])
		}
		for i, ref := range x.refs {
			if i%7 != 0 {
				wantKey(t, w, ref, x.keys[i].Parent, x.keys[i].Key)
			}
		}
		w.Close()
	}
}

func TestStateRefusesEveryFlip(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	other, _ := newVault(t)
	for _, w := range []*Vault{v, other} {
		if _, err := w.Advance(0); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	good := readFile(t, v.path(stateFile))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 2
		writeFile(t, v.path(stateFile), bad)
		openFails(t, v.Dir(), "with a flipped state", ErrDamaged)
		writeFile(t, v.path(stateFile), good[:i])
		openFails(t, v.Dir(), "with a cut state", ErrDamaged)
	}
	writeFile(t, v.path(stateFile), readFile(t, other.path(stateFile)))
	openFails(t, v.Dir(), "with another vault's state", ErrDamaged)
	unknown := append(header(stateMagic, v.id), []byte(`{"generation":1,"more":2}`)...)
	writeFile(t, v.path(stateFile), binary.BigEndian.AppendUint32(unknown, checksum(unknown)))
	openFails(t, v.Dir(), "with a state from the future", ErrFormat)
	writeFile(t, v.path(stateFile), good)
	reopen(t, v)
}

func TestStateThatCannotBeStoredIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"state.write", "state.renamed"} {
		v, f := newVault(t)
		f.set(op)
		if _, err := v.Advance(3); !errors.Is(err, errFault) || v.Generation() != 0 {
			t.Errorf("%s: generation %d, %v", op, v.Generation(), err)
		}
		var w bytes.Buffer
		if _, err := v.Backup(&w, passphrase); !errors.Is(err, errFault) || w.Len() > 0 {
			t.Errorf("%s: a backup of %d bytes that is on no list, %v", op, w.Len(), err)
		}
	}
}
