package vault

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// Restore makes a vault at dir, which must not exist or be empty, from a backup,
// and returns what was in it. The vault is not open. It is marked as restored
// until Settled: it does not know what happened after the backup, and keys that
// were destroyed since are back in it; see the package comment for who finds
// that out.
//
// Nothing is at dir before all of the backup was read, authenticated and found
// to be a whole vault. A crash before that leaves a sibling ".<name>.new-…",
// which holds an epoch key: remove it. ErrPassphrase, ErrBackup and ErrFormat
// are about the backup. o is what the vault would be opened with: where a KMS
// wrapped its epoch, the KMS is asked.
func Restore(r io.Reader, dir string, passphrase []byte, o Options) (Contents, error) {
	dir = filepath.Clean(dir)
	in, err := newOpenReader(r, passphrase)
	if err != nil {
		return Contents{}, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".new-*")
	if err != nil {
		return Contents{}, fmt.Errorf("vault: restore: %w", err)
	}
	c, err := unpack(in, tmp)
	if err == nil {
		err = examine(tmp, c, o)
	}
	if err != nil {
		return Contents{}, errors.Join(err, discard(tmp))
	}
	if err := unix.Rename(tmp, dir); err != nil {
		return Contents{}, errors.Join(
			fmt.Errorf("vault: restore: move into place (not empty, or a mount point?): %w", err), discard(tmp))
	}
	return c, syncDir(filepath.Dir(dir))
}

// discard removes a directory that holds keys: they are overwritten first.
func discard(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, epochPrefix+"*"))
	for _, p := range paths {
		err = errors.Join(err, overwrite(p))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// memberName is what a file of the vault may be called. No path, no hidden file.
var memberName = regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z]+)?$`)

// unpack writes the members of a backup into dir. The stream has been read to
// its authenticated end when it returns without error.
func unpack(in io.Reader, dir string) (c Contents, err error) {
	t := tar.NewReader(in)
	first, err := t.Next()
	if err != nil {
		return c, notTar(err)
	}
	text, err := io.ReadAll(io.LimitReader(t, 16<<20))
	if err != nil {
		return c, notTar(err)
	}
	if first.Name != contentsFile || json.Unmarshal(text, &c) != nil {
		return c, fmt.Errorf("%w: it does not say what is in it", ErrBackup)
	}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, notTar(err)
		}
		if h.Typeflag != tar.TypeReg || !memberName.MatchString(h.Name) || h.Name == lockFile || strings.HasSuffix(h.Name, unfinished) {
			return c, fmt.Errorf("%w: it holds what no vault does", ErrBackup)
		}
		if err := unpackFile(t, filepath.Join(dir, h.Name)); err != nil {
			return c, err
		}
	}
	if n, err := io.Copy(io.Discard, in); err != nil {
		return c, notTar(err)
	} else if n > 10<<10 { // tar pads with zeros to its record size
		return c, ErrBackup
	}
	return c, nil
}

// notTar leaves the errors of the envelope and of the reader below it as they are.
func notTar(err error) error {
	if errors.Is(err, ErrBackup) || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, tar.ErrHeader) {
		return err
	}
	return fmt.Errorf("%w: not an archive", ErrBackup)
}

func unpackFile(r io.Reader, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: it holds a file twice", ErrBackup)
	}
	if err != nil {
		return fmt.Errorf("vault: restore: %w", err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return notTar(fmt.Errorf("vault: restore: %w", err))
	}
	return nil
}

// examine opens the vault in tmp once, compares it with what the backup says,
// and marks it as restored.
func examine(tmp string, c Contents, o Options) error {
	v, err := Open(tmp, o)
	if err != nil {
		return fmt.Errorf("vault: restore: %w", err)
	}
	err = func() error {
		if _, heads := v.journal.durable(); v.id != c.Vault || !maps.Equal(heads, c.Heads) {
			return fmt.Errorf("%w: it holds another vault than it says", ErrBackup)
		}
		_, err := v.change(func(s *state) error {
			s.Restored, s.Accepted = &Restored{Generation: c.Generation, Taken: c.Taken}, false
			v.tell(s, Event{Event: VaultRestored, Generation: c.Generation, Taken: &c.Taken})
			return nil
		})
		return err
	}()
	return errors.Join(err, v.Close())
}
