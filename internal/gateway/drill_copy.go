package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assent-gateway/assent/internal/sqlite"
)

// rehearse copies data and vault to where a drill works: the data first, so that
// the vault's copy has the journal of all of it, and of the vault the journal last.
// A gateway may run on either. Nothing is written to the originals, not even a
// lock's file that is not there.
func rehearse(ctx context.Context, data, vaultDir, work string) error {
	if err := copyData(ctx, data, filepath.Join(work, "data")); err != nil {
		return err
	}
	return copyVault(vaultDir, filepath.Join(work, "vault"))
}

// copyData copies the database; files of manifests are not part of a drill.
func copyData(ctx context.Context, from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("gateway: make the copy of the data: %w", err)
	}
	running, release, err := inUse(filepath.Join(from, "lock"))
	if err != nil {
		return err
	}
	defer release()
	if running {
		return sqlite.Copy(ctx, filepath.Join(from, "assent.db"), filepath.Join(to, "assent.db"))
	}
	if err := copyFile(filepath.Join(from, "assent.db"), filepath.Join(to, "assent.db")); errors.Is(err, fs.ErrNotExist) {
		return ErrNoData
	} else if err != nil {
		return err
	}
	err = copyFile(filepath.Join(from, "assent.db-wal"), filepath.Join(to, "assent.db-wal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inUse reports whether a process holds a lock; when none does it is held until
// release, where its file is there.
func inUse(path string) (held bool, release func(), err error) {
	release = func() {}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, release, nil
	}
	if err != nil {
		return false, release, fmt.Errorf("gateway: look at the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		f.Close()
		return true, release, nil
	}
	return false, func() { f.Close() }, nil
}

// copyVault copies the files of a vault's directory. Probe material of erasures
// under way is not part of a drill; neither is the operator's key.
func copyVault(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoVault
	}
	if err == nil {
		err = os.Mkdir(to, 0o700)
	}
	if err != nil {
		return fmt.Errorf("gateway: make the copy of the vault: %w", err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		skip := name == "lock" || name == "admin.key" || name == "journal" || strings.HasPrefix(name, "probe-") || strings.HasSuffix(name, ".tmp")
		if e.Type().IsRegular() && !skip {
			names = append(names, name)
		}
	}
	for _, name := range append(slices.Sorted(slices.Values(names)), "journal") {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("gateway: copy a file: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("gateway: copy a file: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("gateway: copy a file: %w", err)
	}
	return nil
}

// wipe overwrites and removes what a drill worked on: the vault's copy has every
// key in it.
func wipe(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		st, err := f.Stat()
		if err == nil {
			_, err = io.CopyN(f, zeros{}, st.Size())
		}
		return errors.Join(err, f.Sync(), f.Close())
	})
	return errors.Join(err, os.RemoveAll(dir))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
