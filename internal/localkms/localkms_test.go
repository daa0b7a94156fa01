package localkms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/localkms"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

const token = "a-token-for-tests"

func serve(t *testing.T, names ...string) (*localkms.Server, *httptest.Server, *localkms.Client) {
	t.Helper()
	s := localkms.NewServer(token, names...)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h, localkms.NewClient(h.URL, token, h.Client())
}

func TestWrapOpensUnderTheSameNameAndContextOnly(t *testing.T) {
	t.Parallel()
	s, h, c := serve(t, "a", "b/c d")
	key, ctx := seal.NewKey(), t.Context()
	for _, name := range []string{"a", "b/c d"} {
		wrapped, err := c.Wrap(ctx, name, key, []byte("x"))
		if err != nil || bytes.Contains(wrapped, key[:8]) {
			t.Fatalf("wrap: %v", err)
		}
		if got, err := c.Unwrap(ctx, name, wrapped, []byte("x")); err != nil || got != key {
			t.Errorf("unwrap: %v", err)
		}
		other := localkms.NewClient(h.URL, "another", h.Client())
		flipped := bytes.Clone(wrapped)
		flipped[len(flipped)/2] ^= 1
		for what, unwrap := range map[string]func() (seal.Key, error){
			"another context": func() (seal.Key, error) { return c.Unwrap(ctx, name, wrapped, []byte("y")) },
			"another key":     func() (seal.Key, error) { return c.Unwrap(ctx, "b", wrapped, []byte("x")) },
			"another token":   func() (seal.Key, error) { return other.Unwrap(ctx, name, wrapped, []byte("x")) },
			"a flipped bit":   func() (seal.Key, error) { return c.Unwrap(ctx, name, flipped, []byte("x")) },
		} {
			if got, err := unwrap(); !errors.Is(err, vault.ErrKMSRefused) || !got.IsZero() {
				t.Errorf("%s: %v", what, err)
			}
		}
		s.Destroy(name)
		if _, err := c.Unwrap(ctx, name, wrapped, []byte("x")); !errors.Is(err, vault.ErrKMSRefused) {
			t.Errorf("after its key was destroyed: %v", err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %v", c, c, c, s); strings.Contains(text, token) {
		t.Error("the token prints")
	}
}

// A vault moves into the service, from one key of it to another, and out again;
// each time by a rotation, and each time every key is served.
func TestAVaultMovesInAndOut(t *testing.T) {
	t.Parallel()
	s, h, c := serve(t, "one", "two")
	dir := filepath.Join(t.TempDir(), "vault")
	v, err := vault.Create(dir, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := seal.NewKey()
	refs, err := v.Put([]vault.NewKey{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(o vault.Options) {
		t.Helper()
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if v, err = vault.Open(dir, o); err != nil {
			t.Fatal(err)
		}
		if err := v.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Key(refs[0], nil); err != nil || got != key {
			t.Fatalf("after the rotation: %v", err)
		}
	}
	refused := func(what string, o vault.Options, want error) {
		t.Helper()
		w, err := vault.Open(dir, o)
		if err == nil {
			w.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	rotate(vault.Options{KMS: c, KMSKey: "one"})
	var copied bytes.Buffer
	if _, err := v.Backup(&copied, []byte("a long passphrase")); err != nil {
		t.Fatal(err)
	}
	v.Close()
	refused("without the service", vault.Options{}, vault.ErrNoKMS)
	refused("with another token", vault.Options{KMS: localkms.NewClient(h.URL, "x", h.Client())}, vault.ErrKMSRefused)
	away := localkms.NewClient("http://127.0.0.1:1", token, http.DefaultClient)
	refused("with the service away", vault.Options{KMS: away}, vault.ErrKMS)

	rotate(vault.Options{KMS: c, KMSKey: "two"})
	s.Destroy("one") // with it goes what the backup can do
	to := filepath.Join(t.TempDir(), "restored")
	if _, err := vault.Restore(&copied, to, []byte("a long passphrase"), vault.Options{KMS: c}); !errors.Is(err, vault.ErrKMSRefused) {
		t.Errorf("restored after its key was destroyed: %v", err)
	}
	rotate(vault.Options{KMS: c}) // and out again
	v.Close()
	if v, err = vault.Open(dir, vault.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Key(refs[0], nil); err != nil || got != key {
		t.Errorf("at last: %v", err)
	}

	// A service that is away changes nothing.
	v.Close()
	if v, err = vault.Open(dir, vault.Options{KMS: away, KMSKey: "two"}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadDir(dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := v.Rotate(ctx); !errors.Is(err, vault.ErrKMS) {
		t.Errorf("rotated without the service: %v", err)
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Error("it left a file")
	}
	v.Close()
	created, err := vault.Create(filepath.Join(t.TempDir(), "new"), vault.Options{KMS: c, KMSKey: "two"})
	if err != nil {
		t.Fatal(err)
	}
	created.Close()
}

// liar wraps to something that it unwraps to another key.
type liar struct{ *localkms.Client }

func (liar) Unwrap(context.Context, string, []byte, []byte) (seal.Key, error) {
	return seal.NewKey(), nil
}

func TestARotationDoesNotTrustWhatDoesNotUnwrap(t *testing.T) {
	t.Parallel()
	_, _, c := serve(t, "one")
	dir := filepath.Join(t.TempDir(), "vault")
	v, err := vault.Create(dir, vault.Options{KMS: liar{c}})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	if v, err = vault.Open(dir, vault.Options{KMS: liar{c}, KMSKey: "one"}); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Rotate(t.Context()); !errors.Is(err, vault.ErrKMS) || v.Epoch() != 1 {
		t.Errorf("epoch %d, %v", v.Epoch(), err)
	}
}
