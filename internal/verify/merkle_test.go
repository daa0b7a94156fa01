package verify_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

// shared is a folder of the shared data; tests without it are skipped.
func shared(t *testing.T, folder string) string {
	t.Helper()
	root := os.Getenv("ASSENT_SHARED_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	dir := filepath.Join(root, folder)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("shared/data: there is no %s (set ASSENT_SHARED_DATA)", dir)
	}
	return dir
}

type vector struct {
	LeafIdx, TreeSize, Size1, Size2 uint64
	Root, LeafHash, Root1, Root2    []byte
	Proof                           [][]byte
	WantErr                         bool
}

func TestMerkleVectors(t *testing.T) {
	count := map[bool]int{}
	err := filepath.WalkDir(shared(t, "conformance/merkle"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		check := v.inclusion
		if strings.Contains(path, "consistency") {
			check = v.consistency
		}
		if err := check(); (err != nil) != v.WantErr {
			t.Errorf("%s: got %v, want an error: %v", path, err, v.WantErr)
		}
		count[v.WantErr]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count[false] != 12 || count[true] != 184 {
		t.Errorf("%d vectors that verify and %d that do not, want 12 and 184", count[false], count[true])
	}
}

func (v vector) inclusion() error {
	path, err := hashes(append([][]byte{v.Root, v.LeafHash}, v.Proof...))
	if err != nil {
		return err
	}
	return verify.Inclusion(path[1], v.LeafIdx, v.TreeSize, path[0], path[2:])
}

func (v vector) consistency() error {
	path, err := hashes(v.Proof)
	if err != nil {
		return err
	}
	return verify.Consistency(v.Size1, v.Size2, hash(v.Root1), hash(v.Root2), path)
}

// hash takes roots of other lengths too: some vectors of consistency hold the
// text "don't care" for one.
func hash(b []byte) (h verify.Hash) {
	copy(h[:], b)
	return h
}

// hashes refuses what a parser of proofs would: hashes of another length.
func hashes(in [][]byte) ([]verify.Hash, error) {
	var out []verify.Hash
	for _, b := range in {
		if len(b) != len(verify.Hash{}) {
			return nil, verify.ErrMalformed
		}
		out = append(out, verify.Hash(b))
	}
	return out, nil
}

// 10 000 inclusion and 10 000 consistency proofs, half of them damaged: this
// package and transparency-dev/merkle say the same of each.
func TestAgreesWithTransparencyDev(t *testing.T) {
	const rounds, largest = 10_000, 3000
	log := testlog.New("agree.example/log", 1).Grow(largest)
	r := rand.New(rand.NewPCG(1, 6962))
	accepted, refused := 0, 0
	tally := func(ours, theirs error) {
		t.Helper()
		if (ours == nil) != (theirs == nil) {
			t.Fatalf("we say %v, they say %v", ours, theirs)
		}
		if ours == nil {
			accepted++
			return
		}
		refused++
		if why := new(verify.Refusal); !errors.As(ours, &why) {
			t.Fatalf("%v is no refusal", ours)
		}
	}
	for i := range rounds {
		size := 1 + r.Uint64N(largest)
		index := r.Uint64N(size)
		leaf, root, path := log.Leaf(index), log.Root(size), log.Path(index, size)
		if i%2 == 1 {
			damage(r, &index, &size, &leaf, &root, &path)
		}
		p, err := hashes(path)
		if err == nil {
			err = verify.Inclusion(hash(leaf), index, size, hash(root), p)
		}
		tally(err, proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, path, root))
	}
	for i := range rounds {
		size2 := 1 + r.Uint64N(largest)
		size1 := 1 + r.Uint64N(size2)
		root1, root2, path := log.Root(size1), log.Root(size2), log.Consistency(size1, size2)
		if i%2 == 1 {
			damage(r, &size1, &size2, &root1, &root2, &path)
		}
		p, err := hashes(path)
		if err == nil {
			err = verify.Consistency(size1, size2, hash(root1), hash(root2), p)
		}
		tally(err, proof.VerifyConsistency(rfc6962.DefaultHasher, size1, size2, path, root1, root2))
	}
	// A damage may by chance leave a valid proof; most do not.
	if accepted < rounds || refused < rounds*9/10 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
}

// damage changes one of the parts of a proof.
func damage(r *rand.Rand, small, large *uint64, h1, h2 *[]byte, path *[][]byte) {
	flip := func(b []byte) []byte {
		b = append([]byte(nil), b...)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return b
	}
	p := append([][]byte(nil), *path...)
	defer func() { *path = p }()
	switch kind := r.IntN(8); {
	case kind == 0:
		*small = r.Uint64N(4000)
	case kind == 1:
		*large = r.Uint64N(4000)
	case kind == 2:
		*h1 = flip(*h1)
	case kind == 3:
		*h2 = flip(*h2)
	case kind == 4 || len(p) == 0:
		p = append(p, flip(*h1))
	case kind == 5:
		p = p[:len(p)-1]
	case kind == 6 && len(p) > 1:
		i := r.IntN(len(p) - 1)
		p[i], p[i+1] = p[i+1], p[i]
	default:
		i := r.IntN(len(p))
		p[i] = flip(p[i])
	}
}

// The reasons of a proof that has a hash too few, too many, or swapped.
func TestPathReasons(t *testing.T) {
	log := testlog.New("reasons.example/log", 1).Grow(100)
	path, _ := hashes(log.Path(37, 100))
	root, leaf := hash(log.Root(100)), hash(log.Leaf(37))
	swapped := append([]verify.Hash(nil), path...)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for _, c := range []struct {
		name  string
		index uint64
		path  []verify.Hash
		want  error
	}{
		{"whole", 37, path, nil},
		{"swapped node", 37, swapped, verify.ErrPath},
		{"truncated", 37, path[:len(path)-1], verify.ErrTruncated},
		{"a hash more", 37, append(path[:len(path):len(path)], root), verify.ErrTrailing},
		{"another index", 36, path, verify.ErrPath},
		{"index of the size", 100, path, verify.ErrIndex},
	} {
		if err := verify.Inclusion(leaf, c.index, 100, root, c.path); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestConsistencyReasons(t *testing.T) {
	log := testlog.New("reasons.example/log", 1).Grow(100)
	fork := testlog.New("reasons.example/log", 1).Grow(20)
	fork.Add(testlog.Entry(99))
	fork.Grow(100)
	path, _ := hashes(log.Consistency(37, 100))
	root := func(l *testlog.Log, size uint64) verify.Hash { return hash(l.Root(size)) }
	for _, c := range []struct {
		name         string
		size1, size2 uint64
		root1, root2 verify.Hash
		proof        []verify.Hash
		want         error
	}{
		{"whole", 37, 100, root(log, 37), root(log, 100), path, nil},
		{"equal", 37, 37, root(log, 37), root(log, 37), nil, nil},
		{"both empty", 0, 0, verify.EmptyRoot, verify.EmptyRoot, nil, nil},
		{"both empty with another root", 0, 0, verify.Hash{1}, verify.Hash{1}, nil, verify.ErrNode},
		{"from empty, which nothing proves", 0, 100, verify.EmptyRoot, root(log, 100), path, verify.ErrIndex},
		{"older after newer", 100, 37, root(log, 100), root(log, 37), path, verify.ErrReplayed},
		{"forked", 100, 100, root(log, 100), root(fork, 100), nil, verify.ErrForked},
		{"rewritten", 37, 100, root(fork, 37), root(log, 100), path, verify.ErrRewritten},
		{"to another tree", 37, 100, root(log, 37), root(fork, 100), path, verify.ErrNode},
		{"truncated", 37, 100, root(log, 37), root(log, 100), path[:len(path)-1], verify.ErrTruncated},
		{"nothing", 37, 100, root(log, 37), root(log, 100), nil, verify.ErrTruncated},
		{"a hash more", 37, 100, root(log, 37), root(log, 100), append(path[:len(path):len(path)], path[0]), verify.ErrTrailing},
		{"a proof between equals", 37, 37, root(log, 37), root(log, 37), path, verify.ErrTrailing},
	} {
		err := verify.Consistency(c.size1, c.size2, c.root1, c.root2, c.proof)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
