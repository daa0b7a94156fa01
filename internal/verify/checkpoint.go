package verify

import (
	"strconv"
	"strings"
)

// Trust is what the caller pins, from its own arguments.
type Trust struct {
	// Keys are the log's: several where its key was rotated. Each is trusted
	// alone. The log is never asked for one.
	Keys   []*Key
	Origin string // the checkpoint's first line; empty: the first key's name
}

func (t Trust) origin() string {
	if t.Origin != "" {
		return t.Origin
	}
	return t.Keys[0].Name()
}

// A Checkpoint is a log's signed word about its tree.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
	Others int // signatures by keys that are not known here; not checked
}

// Checkpoint opens a checkpoint (c2sp.org/tlog-checkpoint): signed by a
// pinned key, of the pinned origin. Extension lines are signed and skipped.
func (t Trust) Checkpoint(note []byte) (Checkpoint, error) {
	text, others, err := openNote(note, t.Keys)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := parseTreeHead(text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != t.origin() {
		return Checkpoint{}, ErrOrigin
	}
	c.Others = others
	return c, nil
}

// parseTreeHead reads a checkpoint's text, which ends in a newline.
func parseTreeHead(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return Checkpoint{}, refuse(ErrTruncated, "a checkpoint of %d lines", len(lines))
	}
	for _, line := range lines {
		if line == "" {
			return Checkpoint{}, refuse(ErrMalformed, "an empty line in a checkpoint")
		}
	}
	size, ok := parseDecimal(lines[1])
	if !ok {
		return Checkpoint{}, refuse(ErrMalformed, "the size in a checkpoint")
	}
	root, ok := parseHash(lines[2])
	if !ok {
		return Checkpoint{}, refuse(ErrMalformed, "the root in a checkpoint")
	}
	if size == 0 && root != EmptyRoot {
		return Checkpoint{}, refuse(ErrNode, "the root of an empty tree")
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// parseDecimal reads a number below 2⁶³ without sign or leading zeros.
func parseDecimal(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

func parseHash(s string) (Hash, bool) {
	b, ok := decodeBase64(s)
	if !ok || len(b) != len(Hash{}) {
		return Hash{}, false
	}
	return Hash(b), true
}
