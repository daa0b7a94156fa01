package verify_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/assent-gateway/assent/internal/verify"
)

// The encoding that is signed is the specification's, by its own vector.
func TestPAEOfTheSpecification(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, body, want string }{
		{"http://example.com/HelloWorld", "hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world"},
		{"", "", "DSSEv1 0  0 "},
	} {
		if got := string(verify.PAE(c.typ, []byte(c.body))); got != c.want {
			t.Errorf("%q", got)
		}
	}
	root := os.Getenv("ASSENT_SHARED_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	raw, err := os.ReadFile(filepath.Join(root, "conformance", "dsse", "vector1.json"))
	if err != nil {
		t.Skip("shared/data: there is no DSSE vector (set ASSENT_SHARED_DATA)")
	}
	var v struct{ PayloadBody, PayloadType, PAE string }
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if got := string(verify.PAE(v.PayloadType, []byte(v.PayloadBody))); got != v.PAE {
		t.Errorf("%q, the vector has %q", got, v.PAE)
	}
}

// What is no statement is refused by name; cmd/assent's tests change every byte
// of a real one.
func TestDirectoriesThatAreNoManifest(t *testing.T) {
	t.Parallel()
	key, err := verify.ParseKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
	if err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]error{
		"":   verify.ErrMissing,
		"{}": verify.ErrMalformed,
		`{"payloadType":"text/plain","payload":"","signatures":[]}` + "\n":                                                        verify.ErrMalformed,
		`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}` + "\n":                                  verify.ErrMalformed,
		`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"530d903a","sig":"e30="}]}` + "\n": verify.ErrUnsigned,
	} {
		dir := fstest.MapFS{}
		if statement != "" {
			dir[verify.StatementFile] = &fstest.MapFile{Data: []byte(statement)}
		}
		if _, err := (verify.Trust{Keys: []*verify.Key{key}}).Manifest(dir, time.Now()); !errors.Is(err, want) {
			t.Errorf("%q: %v", statement, err)
		}
	}
}
