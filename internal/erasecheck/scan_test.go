package erasecheck

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever needles are made of, and wherever they lie, the scan finds those that are
// there, and no other: as a search for each by itself does.
func TestScanFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	few := rapid.SampledFrom([]byte{0, 0, 0, 1, 'a', 'b'})
	plain, rich := rapid.SliceOfN(few, minNeedle, maxNeedle), rapid.SliceOfN(rapid.Byte(), minNeedle, maxNeedle)
	rapid.Check(t, func(t *rapid.T) {
		var needles []needle
		var file []byte
		for range rapid.IntRange(0, 40).Draw(t, "needles") {
			data := rapid.OneOf(plain, rich).Draw(t, "needle")
			needles = append(needles, needle{record, data})
			switch rapid.IntRange(0, 3).Draw(t, "where") {
			case 0: // nowhere
			case 1: // but for its end
				file = append(file, data[:len(data)-1]...)
			default:
				file = append(file, rapid.SliceOfN(few, 0, 9).Draw(t, "between")...)
				file = append(file, data...)
			}
		}
		h := newHaystack(needles)
		s := h.sight()
		h.look(file, &s)
		for i, n := range needles {
			if want := bytes.Contains(file, n.Data); s.found[i] != want {
				t.Fatalf("needle %x: found %v, want %v", n.Data, s.found[i], want)
			}
		}
	})
}

// The ends of what is read at a time, of files, and of pieces of a file are no blind
// spots, and every byte is counted once.
func TestScanReadsAcrossItsChunks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := make([]byte, 2*pieceSize+chunkSize+100)
	var needles []needle
	place := func(at int, size int) {
		data := make([]byte, size)
		rand.Read(data)
		copy(file[at:], data)
		needles = append(needles, needle{record, data})
	}
	edges := []int{chunkSize, 3 * chunkSize, pieceSize, 2 * pieceSize, 2*pieceSize + chunkSize}
	for n, edge := range edges {
		place(edge-n-1, 8+n*6)
	}
	place(0, maxNeedle)
	place(len(file)-maxNeedle, maxNeedle)
	for n := range 7 {
		place(5*chunkSize+n*(maxNeedle+1), maxNeedle)
	}
	needles = append(needles, needle{clear, []byte("nowhere at all")})
	for name, b := range map[string][]byte{"large": file, "small": file[:maxNeedle+3], "none": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := newHaystack(needles).scan(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Repeat([]bool{true}, len(needles))
	want[len(want)-1] = false
	if !slices.Equal(s.found, want) {
		t.Errorf("found %v", s.found)
	}
	if s.files != 3 || s.bytes != uint64(len(file)+maxNeedle+3) {
		t.Errorf("%d files, %d bytes", s.files, s.bytes)
	}
}

// A file that is renamed, and one that is deleted, while it is read, is read to its
// end; so is what another writes to its end meanwhile.
func TestScanReadsToTheEndWhatItBegan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var needles []needle
	add := func(at int, file []byte) {
		data := make([]byte, maxNeedle)
		rand.Read(data)
		copy(file[at:], data)
		needles = append(needles, needle{record, data})
	}
	for _, name := range []string{"deleted", "grown", "renamed"} { // as they are walked
		file := make([]byte, 2*pieceSize+100)
		add(7, file)
		add(pieceSize-3, file)
		add(len(file)-maxNeedle, file)
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	late := make([]byte, maxNeedle)
	add(0, late)
	h := newHaystack(needles)
	s, buf, pieces, walked := h.sight(), make([]byte, chunkSize+maxNeedle), make(chan piece), make(chan error, 1)
	go func() {
		walked <- cut(t.Context(), dir, pieces)
		close(pieces)
	}()
	n := 0
	for p := range pieces {
		if err := h.scanPiece(t.Context(), p, buf, &s); err != nil {
			t.Error(err)
		}
		switch n++; n { // its first piece is read
		case 1:
			if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
				t.Fatal(err)
			}
		case 4:
			f, err := os.OpenFile(filepath.Join(dir, "grown"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(append(make([]byte, pieceSize), late...)); err != nil {
				t.Fatal(err)
			}
			f.Close()
		case 7:
			if err := os.Rename(filepath.Join(dir, "renamed"), filepath.Join(dir, "a name before")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-walked; err != nil || n != 9 {
		t.Errorf("%d pieces, %v", n, err)
	}
	if slices.Contains(s.found, false) {
		t.Errorf("found %v", s.found)
	}
}

// BenchmarkScan is a scan of 64 MB, a half of them zeros, for the needles of an
// erasure of 1000 passages, and of 20 000.
func BenchmarkScan(b *testing.B) {
	file := make([]byte, 64<<20)
	rand.Read(file[:len(file)/2])
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), file, 0o600); err != nil {
		b.Fatal(err)
	}
	for name, n := range map[string]int{"1000": 1000, "20000": 20_000} {
		b.Run(name, func(b *testing.B) {
			m := &material{}
			for range 9 * n {
				data := make([]byte, maxNeedle)
				rand.Read(data)
				m.needle(record, data)
			}
			h := newHaystack(m.Needles)
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if s, err := h.scan(b.Context(), []string{dir}); err != nil || slices.Contains(s.found, true) {
					b.Fatal(err)
				}
			}
		})
	}
}
