package gateway_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"encoding/json"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/vault"
)

// vaultEvents are the events of keys in the default tenant's ledger.
func vaultEvents(t *testing.T, g *gateway.Gateway) (events []string, destroyed int) {
	t.Helper()
	err := g.Ledger.Notes(t.Context(), gateway.DefaultTenant, consent.KindVault, func(_ consent.Position, plain []byte) error {
		var e struct {
			Event        string
			KeyDestroyed bool `json:"key_destroyed"`
		}
		err := json.Unmarshal(plain, &e)
		events = append(events, e.Event)
		if e.KeyDestroyed {
			destroyed++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, destroyed
}

// Between a rotation and its end both keys sign; each key vouches for what was
// signed while it did, and for nothing else, and the log's own word counts for
// nothing.
func TestALogsKeyIsRotated(t *testing.T) {
	s := newSite(t)
	n := 0
	look := func() (vkey, checkpoint, url string) {
		var err error
		n++
		checkpoint = filepath.Join(s.root, fmt.Sprint("cp", n))
		s.during(func(g *gateway.Gateway) {
			h := g.Handler()
			head, e := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
			covered(t, h, uint64(head.Position))
			_, vkey, _ = get(t, h, adminKey, "/v1/log/key")
			_, text, _ := get(t, h, adminKey, "/log/default/checkpoint")
			url = filepath.Join(s.root, fmt.Sprint("mirror", n))
			err = errors.Join(e, os.WriteFile(checkpoint, []byte(text), 0o600), mirror(t, g, url))
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(vkey), checkpoint, url
	}
	check := func(what string, want int, args ...string) {
		t.Helper()
		if code, said := assentVerify(t, append([]string{"log"}, args...)...); code != want {
			t.Errorf("%s: status %d, want %d: %s", what, code, want, said)
		}
	}
	before, first, _ := look()
	s.withVault(func(v *vault.Vault) {
		if err := v.RotateLogKey("default"); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := gateway.RetireLogKeys(t.Context(), gateway.Config{DataDir: s.dir}, nil); !errors.Is(err, gateway.ErrNotCrossSigned) {
		t.Errorf("retired before anything bears both: %v", err)
	}
	after, _, both := look()
	if before == after {
		t.Fatal("the key is the same")
	}
	check("the old key, while both sign", 0, "--key", before, "--old", first, both)
	check("the new key, while both sign", 0, "--key", after, both)
	check("the new key against a checkpoint of the old", 1, "--key", after, "--old", first, both)
	copyDir(t, s.dir, filepath.Join(s.root, "old"))
	if retired, err := gateway.RetireLogKeys(t.Context(), gateway.Config{DataDir: s.dir}, []string{"default"}); err != nil || len(retired) != 1 {
		t.Fatal(retired, err)
	}
	now, _, alone := look()
	if now != after {
		t.Error("retiring changed the key")
	}
	check("the old key, retired", 1, "--key", before, "--old", first, alone)
	check("the new key alone", 0, "--key", after, alone)
	check("both keys pinned", 0, "--key", before, "--key", after, "--old", first, alone)
	s.during(func(g *gateway.Gateway) {
		if events, destroyed := vaultEvents(t, g); !slices.Equal(events, []string{"log_key_added", "log_key_retired"}) || destroyed != 0 {
			t.Errorf("events %v, %d destroyed", events, destroyed)
		}
	})
	// Data from before the retirement, whose checkpoint bears keys that no longer
	// sign, is replayed as any.
	s.putDataBack()
	if gaps, err := gateway.Replay(t.Context(), gateway.Config{DataDir: s.dir}); err != nil || len(gaps) != 1 {
		t.Fatal(gaps, err)
	}
	_, _, last := look()
	check("after a replay", 0, "--key", before, "--key", after, "--old", first, last)
}

// mirror copies a log into a directory, as a monitor would.
func mirror(t *testing.T, g *gateway.Gateway, dir string) error {
	t.Helper()
	server := httptest.NewServer(g.Handler())
	defer server.Close()
	text, ok := fetch(server.URL + "/log/default/checkpoint")
	if !ok {
		return errors.New("no checkpoint")
	}
	var origin string
	var size int
	if _, err := fmt.Sscanf(text, "%s\n%d\n", &origin, &size); err != nil {
		return err
	}
	files := map[string]string{"checkpoint": text}
	for level, nodes := 0, size; nodes > 0; level, nodes = level+1, nodes>>8 {
		for n := 0; n*256 < nodes; n++ {
			suffix := fmt.Sprintf("%03d", n)
			if w := nodes - n*256; w < 256 {
				suffix += fmt.Sprintf(".p/%d", w)
			}
			paths := []string{fmt.Sprintf("tile/%d/%s", level, suffix)}
			if level == 0 {
				paths = append(paths, "tile/entries/"+suffix)
			}
			for _, p := range paths {
				body, ok := fetch(server.URL + "/log/default/" + p)
				if !ok {
					return errors.New("the log does not have " + p)
				}
				files[p] = body
			}
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// What the operator did to the vault while nothing ran is entered at the next
// start, once, whatever crashes; that a key is destroyed is said only while no
// backup may hold it.
func TestEventsOfTheVaultAreEntered(t *testing.T) {
	s := newSite(t)
	rotate := func(v *vault.Vault) {
		if err := v.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := func(events string, destroyed int) {
		t.Helper()
		for range 2 {
			s.during(func(g *gateway.Gateway) {
				if got, n := vaultEvents(t, g); strings.Join(got, " ") != events || n != destroyed {
					t.Errorf("events %v, %d destroyed; want %s, %d", got, n, events, destroyed)
				}
			})
		}
	}
	want("", 0)
	s.withVault(rotate)
	want("rotated", 1)
	b := s.backup()
	s.withVault(rotate)
	for _, crash := range []string{"event.entered:1", "tx.commit:1", "journal.write:1", "event.entered:1", "state.write:2"} {
		startChild(t, s.dir, crash).kill()
	}
	want("rotated backup_made rotated", 1)
	s.withVault(func(v *vault.Vault) {
		if err := errors.Join(v.BackupDestroyed(v.Backups()[0].Generation), v.Accept(), v.Accept()); err != nil {
			t.Fatal(err)
		}
		rotate(v)
	})
	want("rotated backup_made rotated backup_forgotten vault_accepted rotated", 2)
	s.restore(b)
	s.accept()
	// The restored vault does not know what was entered: it is told by the ledger.
	want("rotated backup_made rotated backup_forgotten vault_accepted rotated vault_accepted", 2)
	restores := 0
	s.during(func(g *gateway.Gateway) {
		err := g.Ledger.Notes(t.Context(), gateway.DefaultTenant, consent.KindRestore, func(consent.Position, []byte) error { restores++; return nil })
		if err != nil || restores != 1 {
			t.Errorf("%d restores, %v", restores, err)
		}
	})
}
