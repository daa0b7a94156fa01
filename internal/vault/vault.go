package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/assent-gateway/assent/internal/seal"
)

var (
	// ErrNotExist: there is no vault at this place, or no journal entry at
	// this position.
	ErrNotExist = errors.New("vault: does not exist")
	// ErrLocked: another process, or another Vault of this one, has it open.
	ErrLocked = errors.New("vault: locked by another process")
	// ErrPermissions: the directory or a file in it is open to group or
	// others, or belongs to somebody else. Nothing was read.
	ErrPermissions = errors.New("vault: readable by others or not ours")
	// ErrDamaged: something that was durable is no longer what it was. The
	// text names file and offset. Nothing was repaired.
	ErrDamaged = errors.New("vault: damaged")
	// ErrFormat: an intact file of a format version that this program does not
	// know.
	ErrFormat = errors.New("vault: unknown format version")
	// ErrNoTenant: the tenant was never added. AddTenant first.
	ErrNoTenant = errors.New("vault: no such tenant")
)

// Options say who keeps the epoch key. The zero value keeps it in the vault.
type Options struct {
	// KMS, when not nil, unwraps epoch keys that a KMS wrapped, and wraps new
	// ones when KMSKey names its key for that. Without KMSKey a new epoch key
	// rests in the vault in clear; so a Rotate moves a vault into a KMS, out of
	// it, or to another key of it. Open and Create wait at most KMSTimeout for it.
	KMS    KMS
	KMSKey string

	chunk   int    // slots that a rotation renews at a time; 0: rewrapChunk
	between func() // for tests: called by Key between its two reads

	// Fault is for tests. When not nil, it is called around the durable steps
	// and makes the step fail by returning an error (or never returns). It may
	// be called by several goroutines at once. The steps:
	//
	//	slots.write      before slots are written or wiped
	//	slots.sync       written, before the sync
	//	slots.synced     durable: an error here is "failed but happened"
	//	journal.write    before records are written
	//	journal.sync     written, before the sync
	//	journal.synced   durable: an error here is "failed but happened"
	//	keyring.write    before the new keyring is written beside the old one
	//	keyring.renamed  in its place: an error here is "failed but happened"
	//
	//	state.write      before the new state is written beside the old one
	//	state.renamed    in its place: an error here is "failed but happened"
	//	epoch.write      before a new epoch key is written
	//	epoch.renamed    in its place: an error here is "failed but happened"
	//	rewrap.log       before renewed slots are written beside the old ones
	//	rewrap.logsync   written, before the sync
	//	rewrap.slots     durable there, before they are written in place
	//	rewrap.sync      written, before the sync
	//	rewrap.void      durable, before what was written beside is wiped
	//	rewrap.voided    wiped
	//	rewrap.remove    before the wiped file is removed
	//	epoch.wipe       before an old epoch key is overwritten
	//	epoch.wiped      durably, before its file is removed
	//	epoch.removed    removed, before the directory is synced
	//
	// Create passes the two of the keyring, Mend the three of the journal,
	// Rotate those of the keyring and from epoch.write on. Open passes those
	// from rewrap.log on where it finishes a rotation, else none.
	Fault func(op string) error
}

func (o Options) fault(op string) error {
	if o.Fault == nil {
		return nil
	}
	if err := o.Fault(op); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Vault is an open vault directory. Its methods may be called concurrently,
// except where Sweep says otherwise; after Close they fail.
type Vault struct {
	dir    string
	id     [16]byte
	opt    Options
	lock   *os.File
	closed atomic.Bool

	rotating sync.Mutex             // one rotation, sweep or backup at a time; before adding
	puts     sync.RWMutex           // held by a Put while it uses the keyring's epoch
	epochs   atomic.Pointer[epochs] // never changed in place
	next     *nextEpoch             // guarded by rotating: made, and not known to be in use

	adding  sync.Mutex              // one change of keyring, state or admin key at a time
	state   state                   // guarded by adding
	keyring atomic.Pointer[keyring] // never changed in place

	slots   *slots
	journal *journal
	close   sync.Once
}

// Create makes a vault at dir, which must not exist or be empty, and opens it.
// Its parent must exist, and dir must not be a mount point: the vault is built
// in a sibling directory and renamed into place when all of it is durable. A
// crash before the rename leaves a sibling ".<name>.new-…" that nothing reads
// and anybody may delete; a crash after it leaves a whole vault.
func Create(dir string, o Options) (*Vault, error) {
	dir = filepath.Clean(dir)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".new-*")
	if err != nil {
		return nil, fmt.Errorf("vault: create: %w", err)
	}
	if err := build(tmp, o); err != nil {
		return nil, errors.Join(fmt.Errorf("vault: create: %w", err), os.RemoveAll(tmp))
	}
	// rename(2) replaces an empty directory and refuses any other (os.Rename
	// refuses both).
	if err := unix.Rename(tmp, dir); err != nil {
		return nil, errors.Join(
			fmt.Errorf("vault: create: move into place (not empty, or a mount point?): %w", err),
			os.RemoveAll(tmp))
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("vault: create: %w", err)
	}
	return Open(dir, o)
}

// build fills the empty directory dir and returns when all of it is durable.
func build(dir string, o Options) error {
	var id [16]byte
	rand.Read(id[:])
	epochKey := seal.NewKey()
	ctx, cancel := context.WithTimeout(context.Background(), KMSTimeout)
	defer cancel()
	epoch, err := encodeEpoch(ctx, id, 1, epochKey, o)
	if err != nil {
		return err
	}
	k := &keyring{epoch: 1, system: seal.NewKey(), tenants: map[string]*TenantKeys{}}
	for name, content := range map[string][]byte{
		lockFile:     nil,
		epochFile(1): epoch,
		slotsFile:    append(header(slotsMagic, id), make([]byte, slotsHeader-headerSize)...),
		journalFile:  header(journalMagic, id),
	} {
		if err := writeSynced(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return k.store(dir, id, epochKey, o) // syncs the directory, too
}

// Open opens the vault at dir and takes its lock. It wipes no slot, but cuts
// off a tail of the journal that was never acknowledged, and finishes a
// rotation that was interrupted: for 100 000 slots that takes about a second.
func Open(dir string, o Options) (*Vault, error) {
	dir = filepath.Clean(dir)
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	v := &Vault{dir: dir, opt: o}
	if err := v.open(); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Vault) open() (err error) {
	if v.lock, err = takeLock(filepath.Join(v.dir, lockFile)); err != nil {
		return err
	}
	// From here on nobody else writes in the directory. What a crash left of a
	// replaced file before its rename is not part of the vault.
	if err := removeUnfinished(v.dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), KMSTimeout)
	defer cancel()
	k, id, all, err := loadKeyring(ctx, v.dir, v.opt)
	if err != nil {
		return err
	}
	v.id = id
	v.keyring.Store(k)
	v.epochs.Store(all)
	if v.state, err = loadState(v.dir, id); err != nil {
		return err
	}
	var wrapped map[uint32]int
	if v.slots, wrapped, err = openSlots(v.dir, id, v.opt); err != nil {
		return err
	}
	if v.journal, err = openJournal(filepath.Join(v.dir, journalFile), id, v.opt, v.known); err != nil {
		return err
	}
	return v.settleEpochs(wrapped)
}

// Close waits for writes in progress and gives up the lock. What was returned
// without error is durable already. Closing twice is harmless.
func (v *Vault) Close() error {
	var err error
	v.close.Do(func() {
		v.closed.Store(true) // a rotation stops at its next chunk; the next Open goes on
		v.rotating.Lock()
		defer v.rotating.Unlock()
		if v.journal != nil {
			err = errors.Join(err, v.journal.close())
		}
		if v.slots != nil {
			err = errors.Join(err, v.slots.close())
		}
		if v.lock != nil {
			err = errors.Join(err, dropLock(v.lock)) // last: it is what keeps others out
		}
	})
	return err
}

// ID returns the vault's random name, fixed when it was created. A data
// directory records it, so that it is not opened with another vault.
func (v *Vault) ID() [16]byte { return v.id }

// Dir returns the directory as given to Create or Open.
func (v *Vault) Dir() string { return v.dir }

// Format prints a placeholder: a vault has nothing to show in a log.
func (v *Vault) Format(f fmt.State, _ rune) { io.WriteString(f, "vault.Vault") }

// LogValue keeps the vault out of slog.
func (v *Vault) LogValue() slog.Value { return slog.StringValue("vault.Vault") }

// AdminKey returns what SetAdminKey stored, or an error that is fs.ErrNotExist.
func (v *Vault) AdminKey() (string, error) {
	b, err := os.ReadFile(filepath.Join(v.dir, adminFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("vault: admin key: %w", fs.ErrNotExist)
	}
	return string(b), err
}

// SetAdminKey stores key, in clear and for the owner of the vault only, so that
// the operator's command line finds it. It is durable on return.
func (v *Vault) SetAdminKey(key string) error {
	v.adding.Lock()
	defer v.adding.Unlock()
	return replace(v.dir, adminFile, []byte(key), Options{})
}
