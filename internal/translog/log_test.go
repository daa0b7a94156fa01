package translog_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// checkpointForm is c2sp.org/tlog-checkpoint and signed-note, without extension
// lines.
var checkpointForm = regexp.MustCompile(`^([^\s+]+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n\n(— [^\s+]+ [A-Za-z0-9+/]+=*\n?)+$`)

func TestACheckpointIsWhatC2SPSays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(5)
	w := r.mustStart()
	c := w.integrate()
	vkey, err := w.Key(tenant)
	if err != nil {
		t.Fatal(err)
	}
	// By hand, from the text of signed-note.
	seed := sha256.Sum256([]byte(tenant))
	pub := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	id := sha256.Sum256(append([]byte("assent/t1\n\x01"), pub...))
	if want := fmt.Sprintf("assent/t1+%x+%s", id[:4], b64(append([]byte{1}, pub...))); vkey != want {
		t.Errorf("key %s, want %s", vkey, want)
	}
	root := mth(r.leaves)
	body := fmt.Sprintf("assent/t1\n5\n%s\n", b64(root[:]))
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), []byte(body))
	if want := body + "\n— assent/t1 " + b64(append(id[:4:4], sig...)) + "\n"; string(c.Text) != want {
		t.Errorf("checkpoint\n%s\nwant\n%s", c.Text, want)
	}
	if !checkpointForm.Match(c.Text) {
		t.Errorf("not of the form: %s", c.Text)
	}
	t.Run("and the example of the specification has the same form", func(t *testing.T) {
		dir := os.Getenv("ASSENT_SHARED_DATA")
		if dir == "" {
			dir = filepath.Join("..", "..", "..", "shared", "data")
		}
		example, err := os.ReadFile(filepath.Join(dir, "conformance", "tlog", "checkpoint_example.txt"))
		if err != nil {
			t.Skip("the texts of C2SP are absent: set ASSENT_SHARED_DATA to the folder of real input")
		}
		if !checkpointForm.Match(example) {
			t.Errorf("the example is not of the form: %s", example)
		}
		witness, err := os.ReadFile(filepath.Join(dir, "conformance", "tlog", "add_checkpoint_request_example.txt"))
		if err != nil {
			t.Fatal(err)
		}
		_, cp, _ := strings.Cut(string(witness), "\n\n")
		if !checkpointForm.MatchString(cp) {
			t.Errorf("the witness example is not of the form: %s", cp)
		}
	})
}

// consistency returns the proof between two sizes, from tiles alone.
func consistency(t testing.TB, w *writer, old, size uint64) [][]byte {
	t.Helper()
	nodes, err := proof.Consistency(old, size)
	if err != nil {
		t.Fatal(err)
	}
	var hashes [][]byte
	for _, id := range nodes.IDs {
		begin, end := id.Coverage()
		level := id.Level / 8
		var leaves []translog.Hash
		for i := begin >> (8 * level); i < end>>(8*level); i++ {
			b, err := w.Tile(t.Context(), tenant, translog.Tile{Level: uint8(level), Index: i / 256, Width: int(i%256) + 1})
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, translog.Hash(b[len(b)-32:]))
		}
		h := mth(leaves)
		hashes = append(hashes, h[:])
	}
	hashes, err = nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		t.Fatal(err)
	}
	return hashes
}

// At every size up to 100, around powers of two and around the next tiles: root from the
// definition, inclusion of first, middle and last entry, and consistency with
// earlier checkpoints, verified by transparency-dev's own code.
func TestProofsVerifyAtManySizes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	roots := map[uint64]translog.Hash{}
	sizes := []uint64{}
	for size := uint64(1); size <= 262; size++ {
		if size <= 100 || size >= 126 && size <= 130 || size >= 252 {
			sizes = append(sizes, size)
		}
	}
	for _, size := range append(sizes, 300, 511, 512, 513, 767, 1000) {
		r.add(int(size) - len(r.leaves))
		c := w.integrate()
		if c.Size != size || c.Root != mth(r.leaves) {
			t.Fatalf("size %d: checkpoint of size %d, or another root", size, c.Size)
		}
		roots[size] = c.Root
		for _, i := range []uint64{0, size / 3, size / 2, size - 1} {
			p, err := w.Proof(t.Context(), tenant, consent.Position(i+1), c)
			if err != nil {
				t.Fatal(err)
			}
			verifyText(t, r, p, i, c)
		}
		for _, old := range []uint64{1, size / 3, size - 1} {
			if old == 0 || old == size || size%5 != 0 && size < 250 {
				continue // every proof reads its tiles hash by hash
			}
			earlier, signed := roots[old]
			if !signed {
				earlier = mth(r.leaves[:old])
			}
			err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, size, consistency(t, w, old, size), earlier[:], c.Root[:])
			if err != nil {
				t.Fatalf("from %d to %d: %v", old, size, err)
			}
		}
	}
	vkey, _ := w.Key(tenant)
	r.consistent(vkey)
}

// verifyText reads a .tlog-proof line by line and verifies it.
func verifyText(t *testing.T, r *rig, p translog.Proof, index uint64, c translog.Checkpoint) {
	t.Helper()
	text := string(p.Text())
	head, cp, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || cp != string(c.Text) || lines[0] != "c2sp.org/tlog-proof@v1" || lines[2] != fmt.Sprint("index ", index) {
		t.Fatalf("not a proof: %s", text)
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil || string(entry) != string(r.rows[index].AppendEntry(nil)) {
		t.Fatalf("extra is not the entry: %v", err)
	}
	var hashes [][]byte
	for _, l := range lines[3:] {
		h, err := base64.StdEncoding.DecodeString(l)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	leaf := sha256.Sum256(append([]byte{0}, entry...))
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, leaf[:], hashes, c.Root[:]); err != nil {
		t.Fatalf("entry %d of %d: %v", index, c.Size, err)
	}
}

// The example of tlog-tiles, a tree of 70 000: which tiles there are, what is in
// them by the definition, and none besides.
func TestTilesAreThoseOfTheDefinition(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("70 000 entries take seconds")
	}
	r := newRig(t)
	for len(r.rows) < 70_000 {
		r.add(min(7_000, 70_000-len(r.rows)))
	}
	w := r.mustStart()
	w.integrate()
	level1 := make([]translog.Hash, 273)
	for i := range level1 {
		level1[i] = mth(r.leaves[i*256 : i*256+256])
	}
	level2 := []translog.Hash{mth(level1[:256])}
	get := func(path string) ([]byte, error) {
		tile, ok := translog.ParseTile(path)
		if !ok {
			t.Fatalf("%s is no path", path)
		}
		return w.Tile(t.Context(), tenant, tile)
	}
	for path, want := range map[string][]translog.Hash{
		"0/000": r.leaves[:256], "0/272": r.leaves[272*256 : 273*256], "0/273.p/112": r.leaves[273*256:], "0/273.p/1": r.leaves[273*256 : 273*256+1],
		"0/000.p/17": r.leaves[:17], "1/000": level1[:256], "1/001.p/17": level1[256:], "2/000.p/1": level2,
	} {
		b, err := get(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(b) != 32*len(want) {
			t.Fatalf("%s has %d bytes", path, len(b))
		}
		for i, h := range want {
			if translog.Hash(b[32*i:32*i+32]) != h {
				t.Fatalf("%s: hash %d", path, i)
			}
		}
	}
	for i := range 273 {
		if b, err := get(fmt.Sprintf("0/%03d", i)); err != nil || mth(split(b)) != level1[i] {
			t.Fatalf("tile %d: %v", i, err)
		}
	}
	for _, path := range []string{"0/273", "0/273.p/113", "0/274.p/1", "0/x001/000.p/1", "1/001", "1/001.p/18", "1/002.p/1", "2/000", "2/000.p/2", "2/001.p/1", "3/000.p/1", "8/000.p/1", "63/000.p/1", "entries/273", "entries/273.p/113"} {
		if _, err := get(path); !errors.Is(err, translog.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, from := range map[string]int{"entries/000": 0, "entries/200": 200 * 256, "entries/273.p/112": 273 * 256} {
		b, err := get(path)
		if err != nil {
			t.Fatal(err)
		}
		n := from
		for ; len(b) > 0; n++ {
			size := 2 + int(binary.BigEndian.Uint16(b))
			if sha256.Sum256(append([]byte{0}, b[2:size]...)) != r.leaves[n] {
				t.Fatalf("%s: entry %d is not that of the tile", path, n)
			}
			b = b[size:]
		}
		if n != min(from+256, 70_000) {
			t.Errorf("%s ends at %d", path, n)
		}
	}
	c, err := w.Checkpoint(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint64{0, 65_535, 65_536, 69_887, 69_888, 69_999} {
		p, err := w.Proof(t.Context(), tenant, consent.Position(i+1), c)
		if err != nil {
			t.Fatal(err)
		}
		verifyText(t, r, p, i, c)
	}
}

func split(b []byte) (hashes []translog.Hash) {
	for ; len(b) >= 32; b = b[32:] {
		hashes = append(hashes, translog.Hash(b[:32]))
	}
	return hashes
}

func TestATileHasOnePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]translog.Tile{
		"0/000":                 {Width: 256},
		"0/x001/x234/067":       {Index: 1234067, Width: 256},
		"63/999.p/255":          {Level: 63, Index: 999, Width: 255},
		"entries/x001/000.p/1":  {Entries: true, Index: 1000, Width: 1},
		"entries/x010/x000/000": {Entries: true, Index: 10_000_000, Width: 256},
	} {
		if got, ok := translog.ParseTile(path); !ok || got != want {
			t.Errorf("%s: %+v %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "0", "0/", "/000", "0/0", "0/00", "0/0000", "00/000", "64/000", "-1/000", "+1/000", "0/001/000", "0/x000/001",
		"0/x001", "0/001.p/0", "0/001.p/256", "0/001.p/01", "0/001.p/", "0/001.p", "0/001.p/1/2", "0/+01", "0/-01", "0/x1/000", "entries/", "entries",
		"0/x001/x234/067/", "0/X001/000", "0/x999/x999/x999/x999/x999/x999/x999/999", "0/1e2", "0/0x1", "entries/001 ", "data/000"} {
		if got, ok := translog.ParseTile(path); ok {
			t.Errorf("%q is taken for %+v", path, got)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.mustStart()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, err := w.Await(ctx, tenant, 1); !errors.Is(err, translog.ErrPending) {
		t.Errorf("an empty log has a checkpoint: %v", err)
	}
	if _, err := w.Tile(t.Context(), tenant, translog.Tile{Width: 1}); !errors.Is(err, translog.ErrNotFound) {
		t.Errorf("an empty log has a tile: %v", err)
	}
	r.add(3)
	c := w.integrate()
	for _, p := range []consent.Position{0, 4} {
		if _, err := w.Proof(t.Context(), tenant, p, c); !errors.Is(err, translog.ErrNotFound) {
			t.Errorf("position %d: %v", p, err)
		}
	}
	for what, err := range map[string]error{
		"checkpoint": second(w.Checkpoint(t.Context(), "t2")), "key": second(w.Key("t2")), "tile": second(w.Tile(t.Context(), "t2", translog.Tile{Width: 1})),
	} {
		if !errors.Is(err, translog.ErrNotFound) {
			t.Errorf("%s of no tenant: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
