package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func key(fill byte) Key { return Key(bytes.Repeat([]byte{fill}, 32)) }

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		aad := rapid.SliceOf(rapid.Byte()).Draw(t, "aad")
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "prefix")

		box := AppendSeal(bytes.Clone(prefix), k, text, aad)
		if !bytes.HasPrefix(box, prefix) {
			t.Fatal("AppendSeal changed what was there")
		}
		box = box[len(prefix):]
		if len(box) != len(text)+Overhead {
			t.Fatalf("box of %d bytes for %d", len(box), len(text))
		}
		got, err := Open(k, box, aad)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("got %x, %v; want %x", got, err, text)
		}
	})
}

func TestSealingTwiceGivesDifferentBoxes(t *testing.T) {
	t.Parallel()
	a, b := Seal(key(1), []byte("text"), nil), Seal(key(1), []byte("text"), nil)
	if bytes.Equal(a[:saltSize], b[:saltSize]) || bytes.Equal(a[saltSize:], b[saltSize:]) {
		t.Fatal("two boxes share salt or content")
	}
}

func TestEveryChangedBitIsRefused(t *testing.T) {
	t.Parallel()
	k, aad := key(7), []byte("additional data")
	box := Seal(k, []byte("the plaintext"), aad)
	refused := func(what string, i int, k Key, box, aad []byte) {
		t.Helper()
		if got, err := Open(k, box, aad); err != ErrOpen || got != nil {
			t.Errorf("%s changed at %d: got %q, %v", what, i, got, err)
		}
	}
	flip := func(b []byte, bit int) []byte {
		b = bytes.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		return b
	}
	for bit := range len(box) * 8 {
		refused("box", bit, k, flip(box, bit), aad)
	}
	for bit := range len(aad) * 8 {
		refused("aad", bit, k, box, flip(aad, bit))
	}
	for bit := range len(k) * 8 {
		refused("key", bit, Key(flip(k[:], bit)), box, aad)
	}
	for n := range len(box) {
		refused("length", n, k, box[:n], aad)
	}
	refused("length", len(box)+1, k, append(bytes.Clone(box), 0), aad)
	refused("aad length", 0, k, box, nil)
}

// A box whose AES-GCM part was made with the right AES key, but which carries
// another key's commitment, is what an attacker against a committing scheme
// presents. Without the comparison it would open.
func TestCommitmentIsCheckedThoughTheTagFits(t *testing.T) {
	t.Parallel()
	k := key(3)
	box := Seal(k, []byte("text"), nil)
	_, other := open(key(4), box[:saltSize])
	copy(box[saltSize:], other[:])
	if _, err := Open(k, box, nil); !errors.Is(err, ErrOpen) {
		t.Fatalf("got %v", err)
	}

	// The same bytes do open when only GCM is asked: the tag does fit.
	var out [64]byte
	expand(out[:], extract(box[:saltSize], k[:]), []byte(infoSeal))
	block, _ := aes.NewCipher(out[:32])
	gcm, _ := cipher.NewGCM(block)
	if _, err := gcm.Open(nil, zeroNonce[:], box[saltSize+commitSize:], nil); err != nil {
		t.Fatalf("the test proves nothing: %v", err)
	}
}

// pinned is a box of "text" with "aad" under key(9), made once: boxes rest on
// disk, so that one which no longer opens is a format broken by accident.
var pinned, _ = hex.DecodeString("0c4cb1dec775eddbecf3885fff8c15ad73a4985e5fd8d3a546a2b26100e20933541b24262968" +
	"3feea063a31a6d8629377f2652b160b51503eaf8ce8ff0cd8180f62e11d6166797461d45da6d")

func TestBoxOfThisFormatStillOpens(t *testing.T) {
	t.Parallel()
	if got, err := Open(key(9), pinned, []byte("aad")); err != nil || string(got) != "text" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func FuzzOpen(f *testing.F) {
	k, good := key(9), pinned
	f.Add(good, []byte("aad"))
	f.Add(good[:Overhead], []byte("aad"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, box, aad []byte) {
		text, err := Open(k, box, aad)
		if err == nil && !(bytes.Equal(box, good) && bytes.Equal(aad, []byte("aad"))) {
			t.Fatalf("opened a box that nobody sealed: %x", text)
		}
		if err != nil && err != ErrOpen {
			t.Fatalf("error with details: %v", err)
		}
	})
}

func BenchmarkSeal1K(b *testing.B) {
	k, text, aad := NewKey(), make([]byte, 1024), make([]byte, 32)
	dst := make([]byte, 0, len(text)+Overhead)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendSeal(dst[:0], k, text, aad)
	}
}

func BenchmarkOpen1K(b *testing.B) {
	k, aad := NewKey(), make([]byte, 32)
	box := Seal(k, make([]byte, 1024), aad)
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(k, box, aad); err != nil {
			b.Fatal(err)
		}
	}
}
