package verify

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Names and limits of a manifest's directory.
const (
	StatementFile = "statement.json"
	headerFile    = "manifest.json"
	croissantFile = "croissant.json"

	maxStatement = 16 << 20
	maxHeader    = 16 << 20
	maxRow       = 64 << 20

	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://github.com/assent-gateway/assent/manifest/v1"
)

// A Manifest is what a training manifest's directory has shown.
type Manifest struct {
	ID       string
	Purpose  string
	Digest   string // of manifest.json
	Rows     uint64
	Withheld uint64
	Files    int
	Lines    uint64 // rows that were read as JSON; the root was computed when it is all of them
	Rooted   bool   // the Merkle root over the rows was computed and is the one stated
	Created  time.Time
	Expires  time.Time
	Proven   Proven
}

// envelope is DSSE's.
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	} `json:"signatures"`
}

type stated struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		Manifest       string `json:"manifest"`
		Digest         string `json:"digest"`
		Purpose        string `json:"purpose"`
		LedgerPosition uint64 `json:"ledger_position"`
		CorpusPosition uint64 `json:"corpus_position"`
		PolicyDigest   string `json:"policy_digest"`
		Rows           uint64 `json:"rows"`
		Withheld       uint64 `json:"withheld"`
		RowsRoot       string `json:"rows_root"`
		EntryPosition  uint64 `json:"entry_position"`
		CreatedAt      string `json:"created_at"`
		ExpiresAt      string `json:"expires_at"`
		Proof          string `json:"proof"`
	} `json:"predicate"`
}

// event is the entry's clear rest.
type event struct {
	Event    string `json:"event"`
	Manifest string `json:"manifest"`
	Digest   string `json:"digest"`
	Files    string `json:"files"`
	Rows     uint64 `json:"rows"`
	Withheld uint64 `json:"withheld"`
}

// header is what is read of manifest.json.
type header struct {
	Format         string            `json:"format"`
	LedgerPosition uint64            `json:"ledger_position"`
	CorpusPosition uint64            `json:"corpus_position"`
	PolicyDigest   string            `json:"policy_digest"`
	Purpose        string            `json:"purpose"`
	Rows           uint64            `json:"rows"`
	BySplit        map[string]uint64 `json:"rows_by_split"`
	Root           string            `json:"rows_root"`
}

// Manifest verifies a training manifest's directory: the statement's signature
// before anything in it is read; that its entry stands in the log and names
// this manifest and these files; that every file is the one stated and none is
// missing or more; that the rows, as far as they are there as JSON, stand in
// order and lead to the root; that the lease has not ended at now.
func (t Trust) Manifest(dir fs.FS, now time.Time) (Manifest, error) {
	var m Manifest
	raw, err := readBounded(dir, StatementFile, maxStatement)
	if err != nil {
		return m, err
	}
	payload, err := t.openEnvelope(raw)
	if err != nil {
		return m, err
	}
	var s stated
	if err := strict(payload, &s); err != nil || s.Type != statementType || s.PredicateType != predicateType {
		return m, refuse(ErrMalformed, "the payload of %s", StatementFile)
	}
	if m, err = t.statedManifest(&s, now); err != nil {
		return m, err
	}
	files, err := checkFiles(dir, &s)
	if err != nil {
		return m, err
	}
	m.Files = len(files)
	if err := t.entered(&s, &m, files); err != nil {
		return m, err
	}
	return m, m.rows(dir, &s, files)
}

// openEnvelope returns the payload that a pinned key signed. Only what an
// encoder writes is read, so that no byte of the file goes unsigned.
func (t Trust) openEnvelope(raw []byte) ([]byte, error) {
	var e envelope
	if err := strict(raw, &e); err != nil || e.PayloadType != payloadType {
		return nil, refuse(ErrMalformed, "%s", StatementFile)
	}
	payload, ok := decodeBase64(e.Payload)
	if !ok || len(e.Signatures) != 1 {
		return nil, refuse(ErrMalformed, "%s", StatementFile)
	}
	sig, ok := decodeBase64(e.Signatures[0].Sig)
	if !ok {
		return nil, refuse(ErrMalformed, "the signature of %s", StatementFile)
	}
	signed := pae(e.PayloadType, payload)
	by := slices.IndexFunc(t.Keys, func(k *Key) bool {
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(k.public, signed, sig)
	})
	if by < 0 {
		return nil, refuse(ErrUnsigned, "%s", StatementFile)
	}
	if e.Signatures[0].KeyID != hex.EncodeToString(t.Keys[by].id[:]) {
		return nil, refuse(ErrMalformed, "the key id of %s", StatementFile)
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(append(again, '\n'), raw) {
		return nil, refuse(ErrMalformed, "%s is not in its one form", StatementFile)
	}
	return payload, nil
}

// pae is DSSE's pre-authentication encoding.
func pae(typ string, body []byte) []byte {
	b := []byte("DSSEv1 ")
	b = append(decimal(b, len(typ)), ' ')
	b = append(append(b, typ...), ' ')
	b = append(decimal(b, len(body)), ' ')
	return append(b, body...)
}

func decimal(b []byte, n int) []byte {
	if n >= 10 {
		b = decimal(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// statedManifest opens the statement's proof and compares times.
func (t Trust) statedManifest(s *stated, now time.Time) (Manifest, error) {
	p := &s.Predicate
	m := Manifest{ID: p.Manifest, Purpose: p.Purpose, Digest: p.Digest, Rows: p.Rows, Withheld: p.Withheld}
	var err error
	if m.Created, err = time.Parse(time.RFC3339Nano, p.CreatedAt); err != nil {
		return m, refuse(ErrMalformed, "created_at of the statement")
	}
	if m.Expires, err = time.Parse(time.RFC3339Nano, p.ExpiresAt); err != nil {
		return m, refuse(ErrMalformed, "expires_at of the statement")
	}
	m.Proven, err = t.Proof([]byte(p.Proof), nil)
	if errors.Is(err, ErrNothing) {
		return m, refuse(ErrTruncated, "the statement's proof, which has no entry")
	}
	if err != nil {
		return m, refuseInside(err, "the statement's proof")
	}
	if !now.Before(m.Expires) {
		return m, refuse(ErrExpired, "at %s", m.Expires.Format(time.RFC3339))
	}
	return m, nil
}

// entered compares the log's entry with the statement and the files.
func (t Trust) entered(s *stated, m *Manifest, files map[string]string) error {
	e, p := m.Proven.Entry, &s.Predicate
	var ev event
	switch {
	case e.Kind != kindManifest || e.Position != p.EntryPosition || !e.Recorded.Equal(m.Created):
		return refuse(ErrKind, "the entry of the statement's proof")
	case strict(e.Rest, &ev) != nil || ev.Event != "built":
		return refuse(ErrMalformed, "the entry of the statement's proof")
	case ev.Manifest != p.Manifest || ev.Digest != p.Digest || ev.Rows != p.Rows || ev.Withheld != p.Withheld:
		return refuse(ErrStatement, "the manifest's entry in the log")
	case ev.Files != filesDigest(files):
		return refuse(ErrStatement, "the files named by the manifest's entry in the log")
	case "sha256:"+files[headerFile] != p.Digest:
		return refuse(ErrStatement, "the digest of %s", headerFile)
	}
	return nil
}

func filesDigest(files map[string]string) string {
	names := make([]string, 0, len(files))
	for name := range files {
		if name != croissantFile { // it says what the entry's position is
			names = append(names, name)
		}
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		io.WriteString(h, name+"\x00"+files[name]+"\n")
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// checkFiles hashes every file that is stated; one more is refused, too.
func checkFiles(dir fs.FS, s *stated) (map[string]string, error) {
	files := map[string]string{}
	for _, sub := range s.Subject {
		sum := sub.Digest["sha256"]
		if !fs.ValidPath(sub.Name) || sub.Name == StatementFile || len(sub.Digest) != 1 || files[sub.Name] != "" {
			return nil, refuse(ErrMalformed, "a subject of the statement")
		}
		f, err := dir.Open(sub.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, refuse(ErrMissing, "%s", sub.Name)
		}
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		_ = f.Close() // read only
		if err != nil {
			return nil, err
		}
		if hex.EncodeToString(h.Sum(nil)) != sum {
			return nil, refuse(ErrFile, "%s", sub.Name)
		}
		files[sub.Name] = sum
	}
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != StatementFile && files[name] == "" {
			err = refuse(ErrFile, "%s, which the statement does not name", name)
		}
		return err
	})
	return files, err
}

// rows reads manifest.json and the rows that are there as JSON.
func (m *Manifest) rows(dir fs.FS, s *stated, files map[string]string) error {
	raw, err := readBounded(dir, headerFile, maxHeader)
	if err != nil {
		return err
	}
	var h header
	p := &s.Predicate
	if json.Unmarshal(raw, &h) != nil || h.Format != "assent-manifest/1" {
		return refuse(ErrMalformed, "%s", headerFile)
	}
	if h.Rows != p.Rows+p.Withheld || h.Purpose != p.Purpose || h.Root != p.RowsRoot || h.LedgerPosition != p.LedgerPosition ||
		h.CorpusPosition != p.CorpusPosition || h.PolicyDigest != p.PolicyDigest {
		return refuse(ErrStatement, "%s", headerFile)
	}
	var lines []string
	for name := range files {
		if path.Dir(name) == "data" && strings.HasSuffix(name, ".jsonl") {
			lines = append(lines, name)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	root := rowTree{}
	for _, name := range lines {
		if err := m.lines(dir, name, &root); err != nil {
			return err
		}
	}
	if m.Lines != m.Rows {
		return refuse(ErrStatement, "the number of rows, %d of %d", m.Lines, m.Rows)
	}
	// With rows withheld their digests are missing here: the files' own
	// digests are what there is.
	if m.Withheld == 0 {
		if hex.EncodeToString(root.sum()) != h.Root {
			return refuse(ErrNode, "the root over the rows")
		}
		m.Rooted = true
	}
	return nil
}

// lines reads one file of rows: each a row of its split, in order.
func (m *Manifest) lines(dir fs.FS, name string, root *rowTree) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	split := path.Base(name)
	split = split[:max(0, strings.Index(split, "-"))]
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 64<<10), maxRow)
	for n := 1; in.Scan(); n++ {
		var row struct {
			Row   string `json:"row"`
			Split string `json:"split"`
		}
		if json.Unmarshal(in.Bytes(), &row) != nil || row.Split != split {
			return refuse(ErrMalformed, "%s, line %d", name, n)
		}
		if !root.follows(split, row.Row) {
			return refuse(ErrOrder, "%s, line %d", name, n)
		}
		root.add(in.Bytes())
		m.Lines++
	}
	return in.Err()
}

// A rowTree is RFC 6962's tree over lines as they come.
type rowTree struct {
	size        uint64
	stack       []Hash
	split, last string
}

func (t *rowTree) follows(split, row string) bool {
	ok := split != t.split || row > t.last
	t.split, t.last = split, row
	return ok
}

func (t *rowTree) add(line []byte) {
	t.stack = append(t.stack, LeafHash(line))
	t.size++
	for n := t.size; n&1 == 0; n >>= 1 {
		i := len(t.stack) - 1
		t.stack = append(t.stack[:i-1], NodeHash(t.stack[i-1], t.stack[i]))
	}
}

func (t *rowTree) sum() []byte {
	if len(t.stack) == 0 {
		return EmptyRoot[:]
	}
	root := t.stack[len(t.stack)-1]
	for i := len(t.stack) - 2; i >= 0; i-- {
		root = NodeHash(t.stack[i], root)
	}
	return root[:]
}

// strict decodes JSON without unknown members and with nothing behind it.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return ErrTrailing
	}
	return nil
}

func readBounded(dir fs.FS, name string, limit int64) ([]byte, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(ErrMissing, "%s", name)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = refuse(ErrTrailing, "%s", name)
	}
	return b, err
}

// refuseInside adds to a refusal where it was found, and leaves other errors.
func refuseInside(err error, where string) error {
	var why *Refusal
	if errors.As(err, &why) {
		return &inside{where, err}
	}
	return err
}

type inside struct {
	where string
	error
}

func (i *inside) Error() string { return i.where + ": " + i.error.Error() }
func (i *inside) Unwrap() error { return i.error }
