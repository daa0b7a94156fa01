package verify_test

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

// Whatever is not the proof itself is refused, unless it differs in signature
// lines of other keys alone.
func FuzzProof(f *testing.F) {
	log := testlog.New(origin, 1).Grow(11)
	good := log.Proof(6, 11)
	f.Add(good)
	f.Add(log.Proof(0, 1))
	f.Add(testlog.ProofFile(nil, 6, log.Path(6, 11), log.Checkpoint(11)))
	known := map[string]bool{}
	for size := uint64(1); size <= 11; size++ {
		for i := range size {
			known[string(log.Proof(i, size))] = true
		}
	}
	tr := trust(f, log)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tr.Proof(b, nil)
		if err == nil && p.Checkpoint.Others == 0 && !known[string(b)] {
			t.Errorf("accepted: %q", b)
		}
	})
}

// A checkpoint that is accepted here is accepted by x/mod's note package with
// the same text.
func FuzzCheckpoint(f *testing.F) {
	log := testlog.New(origin, 1).Grow(3)
	f.Add(log.Checkpoint(3))
	f.Add(append(log.Checkpoint(3), "— witness.example AAAAAAAA\n"...))
	f.Add(log.Sign(testlog.TreeHead(origin, 3, log.Root(3)) + "extension\n"))
	f.Add(log.Sign("a\n\nb\n"))
	verifier, err := note.NewVerifier(log.Key)
	if err != nil {
		f.Fatal(err)
	}
	tr := trust(f, log)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := tr.Checkpoint(b)
		if err != nil {
			return
		}
		n, err := note.Open(b, note.VerifierList(verifier))
		if err != nil || !bytes.HasPrefix([]byte(n.Text), []byte(testlog.TreeHead(c.Origin, c.Size, c.Root[:]))) {
			t.Errorf("accepted: %q, but %v", b, err)
		}
	})
}

// An entry is read here exactly when the ledger reads it, and as the same.
func FuzzEntry(f *testing.F) {
	f.Add(testlog.Entry(1))
	f.Add(testlog.Entry(300))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := verify.ParseEntry(b)
		row, theirs := consent.DecodeEntry(b)
		if (err == nil) != (theirs == nil) {
			t.Fatalf("we say %v, the ledger says %v", err, theirs)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(row.AppendEntry(nil), b) {
			t.Fatal("not canonical")
		}
		same := e.Position == uint64(row.Position) && e.Kind == uint8(row.Kind) && e.Subject == uint64(row.Subject) &&
			e.Purpose == row.Type.Purpose && e.Major == row.Type.Major && e.Minor == row.Type.Minor &&
			e.Status == uint8(row.Status) && e.Jurisdiction == string(row.Jurisdiction) && e.Sealed == len(row.Sealed)
		times := map[int64]int64{int64(row.ActedAt): 0, int64(row.RecordedAt): 0, int64(row.ExpiresAt): 0}
		delete(times, 0)
		for _, at := range []interface {
			IsZero() bool
			UnixNano() int64
		}{e.Acted, e.Recorded, e.Expires} {
			if !at.IsZero() {
				delete(times, at.UnixNano())
			}
		}
		if !same || len(times) > 0 {
			t.Errorf("%+v is not %+v", e, row)
		}
	})
}

// A bundle that is read is exactly what a log writes of its entries.
func FuzzBundle(f *testing.F) {
	f.Add(1, testlog.Bundle([][]byte{testlog.Entry(1)}))
	f.Add(3, testlog.Bundle([][]byte{nil, {1}, {2, 3}}))
	f.Fuzz(func(t *testing.T, width int, b []byte) {
		if width < 1 || width > 256 {
			return
		}
		entries, err := verify.Bundle(width, b)
		if err == nil && (len(entries) != width || !bytes.Equal(testlog.Bundle(entries), b)) {
			t.Errorf("%d entries of %x", len(entries), b)
		}
	})
}

// A path that is read is the one that is written.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/0/x001/x234/067", "tile/entries/273.p/112", "tile/63/x999/999.p/255", "tile/0/000.p/256", "tile/1/1"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		level, n, width, bundle, ok := verify.ParsePath(path)
		if !ok {
			return
		}
		hashes, entries := verify.Paths(level, n, width)
		if bundle && entries != path || !bundle && hashes != path {
			t.Errorf("%q was read as %q, %q", path, hashes, entries)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
	f.Add(testlog.New(origin, 1).Key)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := verify.ParseKey(text)
		if err != nil {
			return
		}
		if v, err := note.NewVerifier(text); err != nil || v.Name() != k.Name() {
			t.Errorf("accepted: %q, but %v", text, err)
		}
	})
}

// The path of the specification's own example.
func TestPathOfTheSpecification(t *testing.T) {
	if p, b := verify.Paths(0, 1234067, 256); p != "tile/0/x001/x234/067" || b != "tile/entries/x001/x234/067" {
		t.Errorf("%s %s", p, b)
	}
	if level, n, width, bundle, ok := verify.ParsePath("tile/entries/x001/x234/067.p/8"); level != 0 || n != 1234067 || width != 8 || !bundle || !ok {
		t.Error("the example is not read")
	}
	for _, bad := range []string{"tile/0/1", "tile/0/x000/001", "tile/00/001", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/08", "tile/64/001", "tile/x/001", "0/001", "tile/0/0x01"} {
		if _, _, _, _, ok := verify.ParsePath(bad); ok {
			t.Errorf("%s is read", bad)
		}
	}
}
