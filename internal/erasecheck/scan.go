package erasecheck

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

const (
	bloomBits = 22
	chunkSize = 1 << 20
	multiply  = 0x9E3779B97F4A7C15
)

// A haystack is needles made ready: the first eight bytes of each lead to it.
type haystack struct {
	needles []needle
	bloom   []uint64
	first   map[uint64]int32 // → index + 1
	next    []int32
}

func newHaystack(needles []needle) *haystack {
	h := &haystack{
		needles: needles, bloom: make([]uint64, 1<<bloomBits/64),
		first: make(map[uint64]int32, len(needles)), next: make([]int32, len(needles)),
	}
	for i, n := range needles {
		if len(n.Data) < minNeedle {
			continue
		}
		front := binary.LittleEndian.Uint64(n.Data)
		bit := front * multiply >> (64 - bloomBits)
		h.bloom[bit/64] |= 1 << (bit % 64)
		h.next[i], h.first[front] = h.first[front], int32(i+1)
	}
	return h
}

// A sight is what a scan saw.
type sight struct {
	files, bytes uint64
	found        map[int]bool // needles, by index
}

// scan reads every regular file below the roots. A file that goes meanwhile is
// none; what cannot be read is an error.
func (h *haystack) scan(ctx context.Context, roots []string) (sight, error) {
	s := sight{found: map[int]bool{}}
	buf := make([]byte, chunkSize+maxNeedle)
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			err = h.scanFile(ctx, path, buf, &s)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			s.files++
			return err
		})
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		if err != nil {
			return s, errScan
		}
	}
	return s, nil
}

var errScan = errors.New("erasecheck: a file cannot be read")

func (h *haystack) scanFile(ctx context.Context, path string, buf []byte, s *sight) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	kept := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(f, buf[kept:chunkSize+maxNeedle])
		s.bytes += uint64(n)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		have := buf[:kept+n]
		stop := len(have) - maxNeedle // what begins later is read again with what follows
		if end {
			stop = len(have) - minNeedle + 1
		}
		h.look(have, stop, s)
		if end {
			return nil
		}
		kept = copy(buf, have[max(stop, 0):])
	}
}

// look looks for needles that begin before stop.
func (h *haystack) look(b []byte, stop int, s *sight) {
	for i := 0; i < stop && i+minNeedle <= len(b); i++ {
		front := binary.LittleEndian.Uint64(b[i:])
		bit := front * multiply >> (64 - bloomBits)
		if h.bloom[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		for at := h.first[front]; at != 0; at = h.next[at-1] {
			n := h.needles[at-1].Data
			if i+len(n) <= len(b) && string(b[i:i+len(n)]) == string(n) {
				s.found[int(at-1)] = true
			}
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
