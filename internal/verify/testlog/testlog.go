// Package testlog writes logs for tests of internal/verify, honest ones and
// others. It holds the signing key and does what it is told: sign any root,
// publish any file. It shares no code with the verifier: hashes and proofs are
// transparency-dev/merkle's, signatures golang.org/x/mod's, entries the
// ledger's own.
package testlog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
)

// A Log is entries, the tree over them, and a key.
type Log struct {
	Origin  string
	Key     string // the verifier key
	Entries [][]byte

	signer note.Signer
	levels [][][]byte // levels[h][i]: the node over 2^h leaves from i<<h
}

// New makes an empty log whose key depends on origin and seed alone.
func New(origin string, seed byte) *Log {
	random := rand.NewChaCha8([32]byte{seed})
	skey, vkey, err := note.GenerateKey(random, origin)
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	return &Log{Origin: origin, Key: vkey, signer: signer}
}

func must(err error) {
	if err != nil {
		panic(err) // a test's own mistake
	}
}

// Entry is a consent record as the ledger writes it.
func Entry(position uint64) []byte {
	random := rand.New(rand.NewPCG(position, 7))
	sealed := make([]byte, 96+random.IntN(128))
	for i := range sealed {
		sealed[i] = byte(random.Uint32())
	}
	row := consent.Row{
		Position: consent.Position(position), Kind: consent.KindConsent,
		Subject:      consent.SubjectNum(random.Uint64() | 1),
		Type:         consent.Type{Purpose: "rag_retrieval", Major: 1},
		Status:       consent.Status(1 + random.IntN(6)),
		Jurisdiction: "DE", RecordedAt: consent.Time(1_790_000_000e9 + int64(position)*1e6),
		Sealed: sealed,
	}
	return row.AppendEntry(nil)
}

// Grow appends entries of the ledger until there are n.
func (l *Log) Grow(n uint64) *Log {
	for uint64(len(l.Entries)) < n {
		l.Add(Entry(uint64(len(l.Entries)) + 1))
	}
	return l
}

// Add appends an entry, whatever it is.
func (l *Log) Add(entry []byte) {
	l.Entries = append(l.Entries, entry)
	l.addLeaf(rfc6962.DefaultHasher.HashLeaf(entry))
}

func (l *Log) addLeaf(h []byte) {
	for height := 0; ; height++ {
		if height == len(l.levels) {
			l.levels = append(l.levels, nil)
		}
		l.levels[height] = append(l.levels[height], h)
		n := len(l.levels[height])
		if n%2 == 1 {
			return
		}
		h = rfc6962.DefaultHasher.HashChildren(l.levels[height][n-2], l.levels[height][n-1])
	}
}

// With is a log of the same key with other entries.
func (l *Log) With(entries [][]byte) *Log {
	other := &Log{Origin: l.Origin, Key: l.Key, signer: l.signer}
	for _, e := range entries {
		other.Add(e)
	}
	return other
}

// Leaf is the leaf hash at an index.
func (l *Log) Leaf(i uint64) []byte { return l.levels[0][i] }

// Root is the root at a size.
func (l *Log) Root(size uint64) []byte {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	var root []byte
	for rest := size; rest > 0; rest &= rest - 1 {
		h := bits.TrailingZeros64(rest)
		node := l.levels[h][rest>>h-1]
		if root == nil {
			root = node
		} else {
			root = rfc6962.DefaultHasher.HashChildren(node, root)
		}
	}
	return root
}

// Sign signs any text.
func (l *Log) Sign(text string) []byte {
	b, err := note.Sign(&note.Note{Text: text}, l.signer)
	must(err)
	return b
}

// Checkpoint is the signed checkpoint at a size.
func (l *Log) Checkpoint(size uint64) []byte {
	return l.Sign(TreeHead(l.Origin, size, l.Root(size)))
}

// TreeHead is a checkpoint's text.
func TreeHead(origin string, size uint64, root []byte) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root))
}

// Path is the inclusion proof of an index.
func (l *Log) Path(index, size uint64) [][]byte {
	nodes, err := proof.Inclusion(index, size)
	must(err)
	return l.nodes(nodes)
}

// Consistency is the consistency proof between two sizes.
func (l *Log) Consistency(size1, size2 uint64) [][]byte {
	nodes, err := proof.Consistency(size1, size2)
	must(err)
	return l.nodes(nodes)
}

func (l *Log) nodes(n proof.Nodes) [][]byte {
	hashes := make([][]byte, len(n.IDs))
	for i, id := range n.IDs {
		hashes[i] = l.levels[id.Level][id.Index]
	}
	out, err := n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	must(err)
	return out
}

// ProofFile is a .tlog-proof; extra nil leaves its line out.
func ProofFile(extra []byte, index uint64, path [][]byte, checkpoint []byte) []byte {
	var b bytes.Buffer
	b.WriteString("c2sp.org/tlog-proof@v1\n")
	if extra != nil {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(extra))
	}
	fmt.Fprintf(&b, "index %d\n", index)
	for _, h := range path {
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h))
	}
	b.WriteString("\n")
	b.Write(checkpoint)
	return b.Bytes()
}

// Proof is the .tlog-proof of an entry.
func (l *Log) Proof(index, size uint64) []byte {
	return ProofFile(l.Entries[index], index, l.Path(index, size), l.Checkpoint(size))
}

// Files are the log's files after it published checkpoints of these sizes, the
// last of them served.
func (l *Log) Files(sizes ...uint64) Files {
	files := Files{}
	for _, size := range sizes {
		l.publish(files.put, size)
	}
	return files
}

// publish writes what a log of that size serves.
func (l *Log) publish(put func(path string, b []byte), size uint64) {
	for level := 0; size>>(8*level) > 0; level++ {
		nodes := size >> (8 * level)
		for first := uint64(0); first < nodes; first += 256 {
			end := min(first+256, nodes)
			name := name(first/256, int(end-first))
			put(fmt.Sprintf("tile/%d/%s", level, name), bytes.Join(l.levels[8*level][first:end], nil))
			if level == 0 && l.Entries != nil {
				put("tile/entries/"+name, Bundle(l.Entries[first:end]))
			}
		}
	}
	put("checkpoint", l.Checkpoint(size))
}

// Bundle is the bundle of entries.
func Bundle(entries [][]byte) []byte {
	var b []byte
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return b
}

func name(n uint64, width int) string {
	parts := []string{fmt.Sprintf("%03d", n%1000)}
	for n /= 1000; n > 0; n /= 1000 {
		parts = append([]string{fmt.Sprintf("x%03d", n%1000)}, parts...)
	}
	s := strings.Join(parts, "/")
	if width < 256 {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}

// Files are a log's files by path.
type Files map[string][]byte

func (f Files) put(path string, b []byte) { f[path] = b }

// Write writes the files into a directory.
func (f Files) Write(dir string) {
	for path, b := range f {
		write(dir, path, b)
	}
}

func write(dir, path string, b []byte) {
	file := filepath.Join(dir, filepath.FromSlash(path))
	must(os.MkdirAll(filepath.Dir(file), 0o755))
	must(os.WriteFile(file, b, 0o644))
}

// Generate writes the mirror of a log of n entries of the ledger without
// holding them in memory.
func (l *Log) Generate(dir string, n uint64) {
	var bundle [][]byte
	for i := range n {
		e := Entry(i + 1)
		l.addLeaf(rfc6962.DefaultHasher.HashLeaf(e))
		if bundle = append(bundle, e); len(bundle) == 256 || i == n-1 {
			write(dir, "tile/entries/"+name(i/256, len(bundle)), Bundle(bundle))
			bundle = bundle[:0]
		}
	}
	l.publish(func(path string, b []byte) { write(dir, path, b) }, n)
}
