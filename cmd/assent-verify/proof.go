package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/assent-gateway/assent/internal/verify"
)

func (s *session) proof(args []string) error {
	f := newFlags(`assent-verify proof --key VKEY FILE.tlog-proof
Checks that an entry stands in the log. The entry is in the file (its extra
line), or is given by --entry or --leaf.`)
	entry := f.String("entry", "", "a `FILE` with the entry, byte for byte")
	leaf := f.String("leaf", "", "the entry's leaf hash in `BASE64`")
	explain := f.Bool("explain", false, "say in plain words what it proves and what not")
	files, trust, err := f.parse(s, args, 1)
	if err != nil {
		return err
	}
	want, err := wantedLeaf(f, *entry, *leaf)
	if err != nil {
		return err
	}
	b, err := readFile(files[0], verify.MaxProofFile)
	if err != nil {
		return err
	}
	p, err := trust.Proof(b, want)
	if errors.Is(err, verify.ErrNothing) {
		return f.mistake("the proof holds no entry: give --entry or --leaf")
	}
	if err != nil {
		return err
	}
	c := p.Checkpoint
	_, err = fmt.Fprintf(s.out, "verified: entry %d stands in the log %q of %d entries\n", p.Index+1, c.Origin, c.Size)
	return s.explained(err, p, *explain)
}

// wantedLeaf is the leaf that the arguments name, or nil.
func wantedLeaf(f *flags, entry, leaf string) (*verify.Hash, error) {
	switch {
	case entry != "" && leaf != "":
		return nil, f.mistake("give --entry or --leaf, not both")
	case entry != "":
		b, err := readFile(entry, verify.MaxProofFile)
		if err != nil {
			return nil, err
		}
		h := verify.LeafHash(b)
		return &h, nil
	case leaf != "":
		b, err := base64.StdEncoding.DecodeString(leaf)
		if err != nil || len(b) != len(verify.Hash{}) {
			return nil, f.mistake("--leaf is not the base64 of 32 bytes")
		}
		h := verify.Hash(b)
		return &h, nil
	}
	return nil, nil
}

func (s *session) receipt(args []string) error {
	f := newFlags(`assent-verify receipt --key VKEY FILE
Checks the receipt of a consent record (a .tlog-proof that holds its entry) or
of an erasure (a file of JSON).`)
	claim := f.String("claim", "", "of an erasure: the `CLAIM` that came with the answer to the request")
	explain := f.Bool("explain", false, "say in plain words what it proves and what not")
	files, trust, err := f.parse(s, args, 1)
	if err != nil {
		return err
	}
	b, err := readFile(files[0], max(verify.MaxProofFile, verify.MaxReceipt))
	if err != nil {
		return err
	}
	if verify.IsErasure(b) {
		return s.erasure(trust, b, *claim, *explain)
	}
	if *claim != "" {
		return f.mistake("--claim goes with the receipt of an erasure")
	}
	p, err := trust.Receipt(b)
	if err != nil {
		return err
	}
	c, e := p.Checkpoint, p.Entry
	_, err = fmt.Fprintf(s.out, "verified: entry %d of %d in the log %q records %s %s at %s; witnesses: 0\n",
		p.Index+1, c.Size, c.Origin, e.TypeName(), e.StatusName(), e.Recorded.Format(time.RFC3339))
	return s.explained(err, p, *explain)
}

// erasure checks the receipt of an erasure.
func (s *session) erasure(trust verify.Trust, file []byte, claim string, explain bool) error {
	r, err := trust.Erasure(file)
	if err == nil && claim != "" {
		err = r.Claim(claim)
	}
	if err != nil {
		return err
	}
	st := &r.Statement
	theirs := ""
	if claim != "" {
		theirs = "; the claim is of this receipt"
	}
	_, err = fmt.Fprintf(s.out, "verified: entries %d and %d of %d in the log %q: erasure of scope %s %s, level %s, %d documents%s; witnesses: 0\n",
		r.Requested, r.Completed, r.Checkpoint.Size, r.Checkpoint.Origin, st.Scope, st.State, st.Level, st.Documents, theirs)
	if err == nil && explain {
		_, err = io.WriteString(s.out, verify.ExplainErasure(r))
	}
	return err
}

// explained adds the explanation, when it is asked for and there was no error.
func (s *session) explained(err error, p verify.Proven, asked bool) error {
	if err == nil && asked {
		_, err = io.WriteString(s.out, verify.Explain(p))
	}
	return err
}

// readFile reads a file of at most so many bytes; of a larger one it returns
// the limit and one byte more, which no parser accepts.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	return io.ReadAll(io.LimitReader(f, limit+1))
}
