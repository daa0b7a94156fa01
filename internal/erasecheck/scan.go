package erasecheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	mathbits "math/bits"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// minNeedle is the shortest byte string that is looked for in files: shorter
// ones are there by chance.
const minNeedle = 8

// maxNeedle is how much of a needle is compared.
const maxNeedle = 32

// A needle is a byte string and what it is.
type needle struct {
	Kind kind
	Data []byte
}

// kind says what a needle is.
type kind uint8

const (
	record   kind = iota // sealed parts, by their salts and ciphertext
	lookup               // keyed lookups and digests
	key                  // ids of keys, and keys as they are wrapped
	vector               // vectors as float32
	codes                // int8 codes
	clear                // texts, titles, ids, values
	planted              // controls
	object               // ids of objects in an index outside
	tokens               // of documents and of the person there
	numKinds = iota
)

var kindNames = [numKinds]string{"records", "lookup keys", "keys", "vectors", "codes", "clear forms", "controls", "ids of objects", "tokens"}

// A haystack is needles made ready, to be looked for all at once.
//
// The first stride windows of a needle, of eight bytes each, lead to it: wherever it
// lies, one of them begins at a multiple of stride, and only there a file is looked
// at. Few, whose windows are too plain or that are too short for that, are looked for
// at every byte. (Eight bytes at every byte of every file, in a filter too small for
// a large erasure and then in a map, were a third of an erasure.)
type haystack struct {
	needles []needle
	strides windows
	slow    windows // of needles that are looked for at every byte
	few     []int   // they themselves, while they are few
}

const (
	stride    = 4
	fewSlow   = 4
	chunkSize = 1 << 20
	pieceSize = 8 << 20
	multiply  = 0x9E3779B97F4A7C15
)

// windows lead from eight bytes to the needles that have them at a place.
type windows struct {
	filter []uint64 // three bits of one word for each window
	first  []int32  // by hash: number of an entry + 1. Lists, since texts begin alike by the thousand
	list   []entry
	shift  int // of a hash, for first
}

// An entry is a window of a needle, and the next one of the same hash. It knows the
// window's beginning, so that the needle, which lies anywhere, is not looked at for
// what only has the same hash.
type entry struct {
	needle, at, next int32
	begins           uint32
}

func newWindows(n int) windows {
	bits := max(6, mathbits.Len(uint(2*n))) // at least 16 bits of filter for each
	return windows{filter: make([]uint64, 1<<bits/8), first: make([]int32, 1<<bits), list: make([]entry, 0, n), shift: 64 - bits}
}

// place is the hash of a window, and which bits of which word of the filter are its.
func (w *windows) place(front uint64) (hash, word, bits uint64) {
	hash = front * multiply
	return hash, hash >> (w.shift + 3), 1<<(hash>>28&63) | 1<<(hash>>34&63) | 1<<(hash>>40&63)
}

func (w *windows) add(front uint64, needle, at int) {
	hash, word, bits := w.place(front)
	w.filter[word] |= bits
	slot := &w.first[hash>>w.shift]
	w.list = append(w.list, entry{int32(needle), int32(at), *slot, uint32(front)})
	*slot = int32(len(w.list))
}

func newHaystack(needles []needle) *haystack {
	h := &haystack{needles: needles}
	strided := make([]bool, len(needles))
	fast, slow := 0, 0
	for i, n := range needles {
		switch {
		case len(n.Data) < minNeedle:
		case varied(n.Data):
			strided[i] = true
			fast++
		default:
			slow++
			h.few = append(h.few, i)
		}
	}
	h.strides = newWindows(stride * fast)
	for i := range needles {
		for at := 0; strided[i] && at < stride; at++ {
			h.strides.add(binary.LittleEndian.Uint64(needles[i].Data[at:]), i, at)
		}
	}
	if slow <= fewSlow {
		return h
	}
	h.slow = newWindows(slow)
	for _, i := range h.few {
		h.slow.add(binary.LittleEndian.Uint64(needles[i].Data), i, 0)
	}
	h.few = nil
	return h
}

// varied reports whether each of the first stride windows of a needle has bytes
// enough that differ: none of them is all zeros, as most of what is read may be, or
// like those of very many others.
func varied(data []byte) bool {
	if len(data) < minNeedle+stride-1 {
		return false
	}
	for at := range stride {
		if distinct(data[at:at+minNeedle]) < minNeedle/2 {
			return false
		}
	}
	return true
}

// A sight is what a scan saw.
type sight struct {
	files, bytes uint64
	found        []bool // needles, by index
}

func (h *haystack) sight() sight { return sight{found: make([]bool, len(h.needles))} }

// A piece is a part of a file: what begins in it, and to the end of the file the
// last one.
type piece struct {
	file *shared
	from int64
	last bool
}

// A shared file is opened once for all of its pieces: one that is renamed while it is
// read is read to its end, as one that is deleted is. Who is done with the last of
// them closes it.
type shared struct {
	*os.File
	left atomic.Int64
}

func (f *shared) done(pieces int64) {
	if f.left.Add(-pieces) == 0 {
		f.Close()
	}
}

// scan reads every regular file below the roots, on all cores. A file that goes
// meanwhile is none; what cannot be read is an error.
func (h *haystack) scan(ctx context.Context, roots []string) (sight, error) {
	pieces := make(chan piece)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(pieces)
		for _, root := range roots {
			if err := cut(gctx, root, pieces); err != nil {
				return err
			}
		}
		return nil
	})
	seen := make([]sight, runtime.GOMAXPROCS(0))
	for i := range seen {
		g.Go(func() error {
			seen[i] = h.sight()
			buf := make([]byte, chunkSize+maxNeedle)
			for p := range pieces {
				if err := h.scanPiece(gctx, p, buf, &seen[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	all := h.sight()
	for _, s := range seen {
		all.files, all.bytes = all.files+s.files, all.bytes+s.bytes
		for i, found := range s.found {
			all.found[i] = all.found[i] || found
		}
	}
	switch {
	case ctx.Err() != nil:
		return all, ctx.Err()
	case err != nil:
		return all, errScan
	}
	return all, nil
}

// cut sends the pieces of every regular file below a root.
func cut(ctx context.Context, root string, pieces chan<- piece) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return err
		}
		file, n := &shared{File: f}, max(1, (info.Size()+pieceSize-1)/pieceSize)
		file.left.Store(n)
		for i := range n {
			select {
			case pieces <- piece{file, i * pieceSize, i == n-1}:
			case <-ctx.Done():
				file.done(n - i)
				return ctx.Err()
			}
		}
		return nil
	})
}

var errScan = errors.New("erasecheck: a file cannot be read")

func (h *haystack) scanPiece(ctx context.Context, p piece, buf []byte, s *sight) error {
	defer p.file.done(1)
	if p.last {
		s.files++
	}
	for at := p.from; p.last || at < p.from+pieceSize; at += chunkSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		// What begins in the last bytes begins in the next chunk, too.
		n, err := p.file.ReadAt(buf, at)
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		s.bytes += uint64(min(n, chunkSize))
		h.look(buf[:n], s)
		if end && n <= chunkSize {
			return nil
		}
	}
	return nil
}

// look looks for needles that lie in b.
func (h *haystack) look(b []byte, s *sight) {
	for i := 0; i+minNeedle <= len(b); i += stride {
		front := binary.LittleEndian.Uint64(b[i:])
		if front == 0 { // what was freed; no window is
			continue
		}
		hash, word, bits := h.strides.place(front)
		if h.strides.filter[word]&bits == bits {
			h.follow(&h.strides, hash, uint32(front), b, i, s)
		}
	}
	for _, n := range h.few {
		if !s.found[n] && bytes.Contains(b, h.needles[n].Data) {
			s.found[n] = true
		}
	}
	for i := 0; len(h.slow.list) > 0 && i+minNeedle <= len(b); i++ {
		front := binary.LittleEndian.Uint64(b[i:])
		hash, word, bits := h.slow.place(front)
		if h.slow.filter[word]&bits == bits {
			h.follow(&h.slow, hash, uint32(front), b, i, s)
		}
	}
}

// follow compares b with the needles that may have the window that is at i in b.
func (h *haystack) follow(w *windows, hash uint64, begins uint32, b []byte, i int, s *sight) {
	for next := w.first[hash>>w.shift]; next != 0; {
		e := &w.list[next-1]
		next = e.next
		from := i - int(e.at)
		if e.begins == begins && !s.found[e.needle] && from >= 0 && bytes.HasPrefix(b[from:], h.needles[e.needle].Data) {
			s.found[e.needle] = true
		}
	}
}

// count is how many needles of a kind were seen, and there are.
func (h *haystack) count(s *sight, k ...kind) (found, asked uint64) {
	for i, n := range h.needles {
		for _, want := range k {
			if n.Kind == want && len(n.Data) >= minNeedle {
				asked++
				if s.found[i] {
					found++
				}
			}
		}
	}
	return found, asked
}

// controlPrefix begins the name of a file that a control is planted in.
const controlPrefix = "erasure-control-"

// plant writes a needle into a file of each root. A crash leaves it there, for
// the next scan of the same erasure or the next start to remove.
func plant(roots []string, id string, data []byte) error {
	for _, root := range roots {
		path := filepath.Join(root, controlPrefix+id)
		if err := os.WriteFile(path, append([]byte("planted by a verification: "), data...), 0o600); err != nil {
			return errScan
		}
	}
	return nil
}

func unplant(roots []string, id string) error {
	var errs []error
	for _, root := range roots {
		if err := os.Remove(filepath.Join(root, controlPrefix+id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, errScan)
		}
	}
	return errors.Join(errs...)
}

// Tidy removes controls that a crash left.
func Tidy(roots ...string) error {
	for _, root := range roots {
		entries, err := os.ReadDir(root)
		if err != nil {
			return errScan
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), controlPrefix) {
				if err := os.Remove(filepath.Join(root, e.Name())); err != nil {
					return errScan
				}
			}
		}
	}
	return nil
}
