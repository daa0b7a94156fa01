package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func bytesOf(t *rapid.T, name string) []byte {
	return rapid.SliceOf(rapid.Byte()).Draw(t, name)
}

func TestDerivationsMatchTheStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SliceOfN(rapid.Byte(), 0, blockSize).Draw(t, "key")
		msg := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "message")
		std := hmac.New(sha256.New, k)
		std.Write(msg)
		if got := hmac256(k, msg); !bytes.Equal(got[:], std.Sum(nil)) {
			t.Fatalf("hmac256 differs from crypto/hmac for key %x", k)
		}

		salt := rapid.SliceOfN(rapid.Byte(), 0, blockSize).Draw(t, "salt")
		info := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "info")
		n := rapid.IntRange(1, 200).Draw(t, "length")
		want, err := hkdf.Key(sha256.New, msg, salt, string(info), n)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		expand(got, extract(salt, msg), info)
		if !bytes.Equal(got, want) {
			t.Fatalf("extract and expand differ from crypto/hkdf")
		}
	})
}

// What rests on disk was made by these: a change of one byte of a format would
// lock every store out, so the outputs are pinned. The info strings are
// written out here by hand and the values computed by crypto/hkdf.
func TestDerivationsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	std := func(ikm []byte, info string, n int) string {
		out, err := hkdf.Key(sha256.New, ikm, nil, info, n)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(out)
	}
	hexOf := func(k Key) string { return hex.EncodeToString(k[:]) }
	a, b := key(1), key(2)

	if got, want := hexOf(Derive(a, "ab", []byte("c"), nil)),
		std(a[:], "assent/derive/v1\x00\x00\x00\x02ab\x00\x00\x00\x01c\x00\x00\x00\x00", 32); got != want {
		t.Errorf("Derive: got %s, want %s", got, want)
	}
	p, q := DerivePair(a, "ab")
	if got, want := hexOf(p)+hexOf(q),
		std(a[:], "assent/derive-pair/v1\x00\x00\x00\x02ab", 64); got != want {
		t.Errorf("DerivePair: got %s, want %s", got, want)
	}
	if got, want := hexOf(Combine("x", a, b)),
		std(slices.Concat(a[:], b[:]), "assent/combine/v1\x00\x00\x00\x01x\x00\x00\x00\x02", 32); got != want {
		t.Errorf("Combine: got %s, want %s", got, want)
	}
	mac := hmac.New(sha256.New, a[:])
	mac.Write([]byte("\x00\x00\x00\x01x\x00\x00\x00\x02yz"))
	if got := MAC(a, "x", []byte("yz")); !bytes.Equal(got[:], mac.Sum(nil)) {
		t.Errorf("MAC: got %x", got)
	}
}

func TestDifferentPartsGiveDifferentInput(t *testing.T) {
	t.Parallel()
	type input struct {
		label string
		parts [][]byte
	}
	same := func(a, b input) bool {
		return a.label == b.label && slices.EqualFunc(a.parts, b.parts, bytes.Equal)
	}
	// One run of bytes, split at random in two ways: the case where an
	// encoding without lengths collides.
	split := func(t *rapid.T, all []byte, name string) input {
		var in input
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(all)), 1, 4).Draw(t, name)
		slices.Sort(cuts)
		in.label = string(all[:cuts[0]])
		for i, from := range cuts {
			to := len(all)
			if i+1 < len(cuts) {
				to = cuts[i+1]
			}
			in.parts = append(in.parts, all[from:to])
		}
		return in
	}
	rapid.Check(t, func(t *rapid.T) {
		all := bytesOf(t, "all")
		a, b := split(t, all, "a"), split(t, all, "b")
		ea, eb := appendParts(nil, a.label, a.parts), appendParts(nil, b.label, b.parts)
		if bytes.Equal(ea, eb) != same(a, b) {
			t.Fatalf("%v and %v encode to %x and %x", a, b, ea, eb)
		}
		k := key(5)
		if (MAC(k, a.label, a.parts...) == MAC(k, b.label, b.parts...)) != same(a, b) {
			t.Fatalf("MAC does not tell %v from %v", a, b)
		}
		if (Derive(k, a.label, a.parts...) == Derive(k, b.label, b.parts...)) != same(a, b) {
			t.Fatalf("Derive does not tell %v from %v", a, b)
		}
	})
}

func TestCombineNeedsEveryKeyInOrder(t *testing.T) {
	t.Parallel()
	a, b, c := key(1), key(2), key(3)
	seen := map[Key]string{}
	for name, k := range map[string]Key{
		"abc":             Combine("l", a, b, c),
		"acb":             Combine("l", a, c, b),
		"ab":              Combine("l", a, b),
		"a":               Combine("l", a),
		"abz":             Combine("l", a, b, Key{}),
		"other label":     Combine("m", a, b, c),
		"derived":         Derive(a, "l"),
		"derived context": Derive(a, "l", []byte{0, 0, 0, 1}),
	} {
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s give the same key", name, other)
		}
		seen[k] = name
	}
	defer func() {
		if recover() == nil {
			t.Error("Combine of no keys did not panic")
		}
	}()
	Combine("l")
}

func BenchmarkDerive(b *testing.B) {
	k, id := NewKey(), make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		k = Derive(k, "benchmark", id)
	}
}

func BenchmarkStandardHKDF(b *testing.B) {
	k := NewKey()
	b.ReportAllocs()
	for b.Loop() {
		hkdf.Key(sha256.New, k[:], nil, "assent/derive/v1 benchmark 0123456789abcdef", 32)
	}
}

func BenchmarkMAC(b *testing.B) {
	k, id := NewKey(), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		MAC(k, "benchmark", id)
	}
}
