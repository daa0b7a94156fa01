package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	proofFormat = "c2sp.org/tlog-proof@v1"
	maxPath     = 64
	// MaxProofFile is the size beyond which a proof file is not read.
	MaxProofFile = maxNote + 2*maxEntry
)

// ErrNothing reports a proof that names no entry, when none was given beside
// it: there is nothing whose inclusion could be checked.
var ErrNothing = errors.New("the proof holds no entry: give the entry or its leaf")

// A Proven is what a proof has shown: the leaf stands at the index in the
// tree that the checkpoint signs.
type Proven struct {
	Checkpoint Checkpoint
	Index      uint64
	Leaf       Hash
	Entry      *Entry // nil: the proof holds none
}

// Proof opens a .tlog-proof (c2sp.org/tlog-proof@v1). Its extra data, when it
// has some, must be the canonical entry; leaf, when it is not nil, must be the
// leaf at the index. One of them is needed, else ErrNothing.
func (t Trust) Proof(file []byte, leaf *Hash) (Proven, error) {
	f, err := parseProof(file)
	if err != nil {
		return Proven{}, err
	}
	c, err := t.Checkpoint(f.checkpoint)
	if err != nil {
		return Proven{}, err
	}
	if f.index >= c.Size {
		return Proven{}, refuse(ErrIndex, "entry %d of a tree of %d", f.index, c.Size)
	}
	p := Proven{Checkpoint: c, Index: f.index}
	switch {
	case f.entry != nil:
		e, err := entryAt(f.entry, f.index)
		if err != nil {
			return Proven{}, err
		}
		p.Entry, p.Leaf = &e, LeafHash(f.entry)
		if leaf != nil && *leaf != p.Leaf {
			return Proven{}, ErrLeaf
		}
	case leaf != nil:
		p.Leaf = *leaf
	default:
		return Proven{}, ErrNothing
	}
	if err := Inclusion(p.Leaf, p.Index, c.Size, c.Root, f.path); err != nil {
		return Proven{}, err
	}
	return p, nil
}

// Receipt opens the proof of a consent record.
func (t Trust) Receipt(file []byte) (Proven, error) {
	p, err := t.Proof(file, nil)
	if errors.Is(err, ErrNothing) {
		return Proven{}, refuse(ErrTruncated, "a receipt without its entry")
	}
	if err == nil && p.Entry.Kind != kindConsent {
		return Proven{}, ErrKind
	}
	return p, err
}

// entryAt reads an entry and compares the position it names: positions count
// from 1, indexes from 0.
func entryAt(b []byte, index uint64) (Entry, error) {
	e, err := ParseEntry(b)
	if err == nil && e.Position != index+1 {
		err = ErrPosition
	}
	if err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", index+1, err)
	}
	return e, nil
}

type proofFile struct {
	entry      []byte // nil: no extra line
	index      uint64
	path       []Hash
	checkpoint []byte
}

func parseProof(file []byte) (proofFile, error) {
	head, checkpoint, ok := bytes.Cut(file, []byte("\n\n"))
	if len(file) > MaxProofFile {
		return proofFile{}, refuse(ErrTrailing, "a proof of more than %d bytes", MaxProofFile)
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofFormat {
		return proofFile{}, refuse(ErrMalformed, "the first line is not %s", proofFormat)
	}
	if !ok {
		return proofFile{}, refuse(ErrTruncated, "a proof without a checkpoint")
	}
	f := proofFile{checkpoint: checkpoint}
	lines = lines[1:]
	if len(lines) > 0 {
		if encoded, has := strings.CutPrefix(lines[0], "extra "); has {
			if f.entry, ok = decodeBase64(encoded); !ok || len(f.entry) == 0 || len(f.entry) > maxEntry {
				return proofFile{}, refuse(ErrMalformed, "the extra line of a proof")
			}
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return proofFile{}, refuse(ErrTruncated, "a proof without an index")
	}
	number, has := strings.CutPrefix(lines[0], "index ")
	if f.index, ok = parseDecimal(number); !has || !ok {
		return proofFile{}, refuse(ErrMalformed, "the index line of a proof")
	}
	if len(lines)-1 > maxPath {
		return proofFile{}, refuse(ErrTrailing, "an inclusion proof of %d hashes", len(lines)-1)
	}
	for _, line := range lines[1:] {
		h, ok := parseHash(line)
		if !ok {
			return proofFile{}, refuse(ErrMalformed, "a hash of a proof")
		}
		f.path = append(f.path, h)
	}
	return f, nil
}
