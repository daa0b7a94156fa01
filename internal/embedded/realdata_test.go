package embedded

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// realData is where real input lies beside the checkout (its README says what).
const realData = "../../../shared/data/vectors"

// vecs reads the .fvecs and .ivecs format: per row a length and that many
// little-endian words.
func vecs[T float32 | int32](t *testing.T, name string) [][]T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(realData, name))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]T
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint32(b))
		row := make([]T, n)
		if _, err := binary.Decode(b[4:4+4*n], binary.LittleEndian, row); err != nil {
			t.Fatal(err)
		}
		rows, b = append(rows, row), b[4+4*n:]
	}
	return rows
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(realData, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		out = append(out, s.Text())
	}
	return out
}

// P4 on real vectors with real owners: the top 50 of the permitted, by score,
// with nobody and with half of the owners revoked.
func TestRealVectorsAgainstGroundTruth(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(realData); err != nil {
		t.Skip("real input is absent: no ../shared/data beside the checkout")
	}
	ctx := context.Background()
	base, queries := vecs[float32](t, "base.fvecs"), vecs[float32](t, "query.fvecs")
	if testing.Short() {
		queries = queries[:50]
	}
	owner := make([]string, len(base))
	for i, l := range lines(t, "base_meta.tsv")[1:] {
		owner[i] = strings.Split(l, "\t")[2]
	}
	num := map[string]consent.SubjectNum{}
	x := New(nil, Options{})
	if err := x.Create(ctx, coll, retrieval.Shape{Dimensions: len(base[0])}); err != nil {
		t.Fatal(err)
	}
	var ch retrieval.Change
	for i, v := range base {
		u, err := retrieval.Unit(v)
		if err != nil {
			t.Fatal(err)
		}
		base[i] = u
		if num[owner[i]] == 0 {
			num[owner[i]] = consent.SubjectNum(len(num) + 1)
		}
		ch.Add = append(ch.Add, retrieval.IndexPassage{
			Head: retrieval.Head{
				Ref: retrieval.PassageRef{Doc: retrieval.DocNum(i + 1)}, DocID: fmt.Sprint(i), Personal: true,
				Visibility: retrieval.Visibility{Level: retrieval.TenantWide}, Codes: retrieval.Quantise(u),
			},
			Owners: []consent.SubjectNum{num[owner[i]]}, Vector: u,
		})
	}
	if err := x.Apply(ctx, coll, ch); err != nil {
		t.Fatal(err)
	}
	for _, share := range []string{"00", "50"} {
		p := newPeople(consent.Allow)
		revoked := map[string]bool{}
		for _, o := range lines(t, "revoked_"+share+".txt") {
			revoked[o] = true
			p.set(num[o], consent.Block)
		}
		p.purpose = share // a mask and a book of its own
		truth := vecs[int32](t, "gt50_revoked_"+share+".ivecs")
		hits, all := 0, 0
		for i, q := range queries {
			u, err := retrieval.Unit(q)
			if err != nil {
				t.Fatal(err)
			}
			found, err := x.search(ctx, p, retrieval.Query{Collection: coll, K: len(truth[i]), Mode: retrieval.ModeVector, Vector: u})
			if err != nil || len(found) != len(truth[i]) {
				t.Fatalf("%d of %d, %v", len(found), len(truth[i]), err)
			}
			// Equal vectors tie: a hit is what scores like the last of the truth.
			last := math.Inf(1)
			for _, row := range truth[i] {
				last = min(last, retrieval.Cosine(u, base[row]))
			}
			for _, f := range found {
				if revoked[owner[f.Ref.Doc-1]] {
					t.Fatal("a revoked owner's vector was found")
				}
				if all++; f.Score >= last-1e-6 {
					hits++
				}
			}
		}
		if hits != all {
			t.Errorf("revoked %s %%: recall %.4f", share, float64(hits)/float64(all))
		}
	}
}
