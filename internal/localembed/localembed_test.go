package localembed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Embedder = (*Embedder)(nil)

func embed(t testing.TB, texts ...string) [][]float32 {
	t.Helper()
	e, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := e.Embed(context.Background(), texts)
	if err != nil || len(raw) != len(texts) {
		t.Fatalf("%d vectors, %v", len(raw), err)
	}
	for i, v := range raw {
		if len(v) != e.Identity().Dimensions {
			t.Fatalf("%d dimensions", len(v))
		}
		if raw[i], err = retrieval.Unit(v); err != nil {
			t.Fatalf("text %d: %v", i, err)
		}
	}
	return raw
}

func TestRelatedTextsScoreHigher(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, near, far string }{
		{"who restarted the server?", "The server was restarted by the night shift.", "The cake was eaten by the children."},
		{"restarting servers", "a server restart", "a garden path"},
		{"Datenschutzverordnung", "die Verordnung zum Datenschutz", "der Fahrplan der Bahn"},
		{"STRASSE", "Straßen in der Stadt", "Häuser auf dem Land"},
		{"漢字の本", "漢字", "映画"},
		{"kernel panic on boot", "the machine shows a kernel panic while booting", "how to boil an egg on the stove"},
	} {
		v := embed(t, c.query, c.near, c.far)
		near, far := retrieval.Cosine(v[0], v[1]), retrieval.Cosine(v[0], v[2])
		if near < far+0.1 {
			t.Errorf("near %.3f, far %.3f", near, far)
		}
	}
}

func TestSameTextSameVectorWhateverCase(t *testing.T) {
	t.Parallel()
	v := embed(t, "Server restarted", "SERVER  restarted!", "restarted server")
	for i := range v {
		if fmt.Sprint(v[i]) != fmt.Sprint(v[0]) {
			t.Errorf("text %d differs", i)
		}
	}
}

// The digest pins revision 1: when it must change, the revision does too.
func TestRevisionIsPinned(t *testing.T) {
	t.Parallel()
	h := sha256.New()
	for _, v := range embed(t, "Who restarted the server?", "ein Straßenschild", "漢字かな", "", "a a a a b") {
		for _, x := range v {
			fmt.Fprintf(h, "%08x", math.Float32bits(x))
		}
	}
	const want = "70f8d03f2517665c"
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want {
		t.Errorf("vectors of revision 1 changed: %s, want %s", got, want)
	}
}

func TestNoTextIsWithoutVector(t *testing.T) {
	t.Parallel()
	embed(t, "", "?!", "\x00\xff", "a", "😀", "\u0301")
	one, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := one.Embed(context.Background(), []string{"", "word", "two words"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range v {
		if v[i][0] == 0 {
			t.Errorf("vector %d is zero", i)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, maxDimensions + 1} {
		if _, err := New(n); !errors.Is(err, ErrDimensions) {
			t.Errorf("%d: %v", n, err)
		}
	}
	e, _ := New(maxDimensions)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Embed(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 2, 3, 4, 8, 9, 15, 16, 17, 1 << 40, 1<<40 - 1, math.MaxInt64} {
		r := root(n)
		if r > n || n > 0 && (r > n/r || (r+1) <= n/(r+1)) {
			t.Errorf("root of %d is %d", n, r)
		}
	}
}

func BenchmarkEmbed(b *testing.B) {
	e, _ := New(0)
	text := []string{"The server was restarted by the night shift after a kernel panic on boot; nobody was harmed."}
	for b.Loop() {
		if _, err := e.Embed(context.Background(), text); err != nil {
			b.Fatal(err)
		}
	}
}
