package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
)

// The whole command on the data of a gateway that is stopped; and what its exit
// status says where there is nothing to drill.
func TestRestoreDrillWritesAReportThatVerifies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := g.Tree.Key(gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	drill := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"restore-drill"}, args...), func(string) string { return "" }, strings.NewReader(""), &out, &out)
		return out.String(), err
	}
	path := filepath.Join(t.TempDir(), "drill.json")
	said, err := drill("--data", dir, "--vault", dir+".vault", "--out", path)
	if err != nil || !strings.Contains(said, "default: passed") {
		t.Fatalf("%v: %s", err, said)
	}
	if _, err := (verify.Trust{Keys: []*verify.Key{key}}).Drill(mustRead(t, path)); err != nil {
		t.Error(err)
	}
	if _, err := drill("--data", t.TempDir(), "--vault", dir+".vault", "--out", path); err == nil {
		t.Error("a drill of no data ended well")
	}
	if _, err := drill("--data", dir, "--vault", dir+".vault"); err == nil {
		t.Error("a drill without --out ended well")
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
