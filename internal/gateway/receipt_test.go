package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// receiptOf erases a person and returns the receipt, its erasure and what a
// verifier pins.
func receiptOf(t *testing.T, g *gateway.Gateway, who string) ([]byte, erasure.Erasure, verify.Trust) {
	t.Helper()
	e := ended(t, g, erase(t, g, who).ID)
	wantPurged(t, e)
	file, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := g.Tree.Key(gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return file, e, verify.Trust{Keys: []*verify.Key{key}}
}

// encoded is what may be base64, of either alphabet, of 16 bytes or more.
var encoded = regexp.MustCompile(`[\w+/-]{22,}`)

// says reports whether word stands by itself in file, outside of base64: there
// any three letters turn up by chance, also between two of its signs.
func says(file []byte, word string) bool {
	file = encoded.ReplaceAll(file, []byte("_"))
	return regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(word) + `(\W|$)`).Match(file)
}

// A receipt verifies offline with the key alone; every edited byte, every cut,
// every foreign part is refused, with a reason; it names nobody.
func TestReceipts(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada", "bob"))
	file, e, trust := receiptOf(t, g, "ada")
	other, _, _ := receiptOf(t, g, "bob")

	r, err := trust.Erasure(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.Statement.Request != e.ID || r.Statement.Level != "purged" || r.Statement.Documents != 2 || r.Requested != uint64(e.Position) {
		t.Errorf("verified as %+v", r)
	}
	if err := r.Claim(e.Claim); err != nil {
		t.Errorf("its own claim: %v", err)
	}
	if err := r.Claim(e.Claim[1:] + "A"); !errors.Is(err, verify.ErrClaim) {
		t.Errorf("another claim: %v", err)
	}
	for _, word := range []string{"ada", "ada-0", "server", "user:ada"} {
		if says(file, word) {
			t.Errorf("the receipt says %q", word)
		}
		planted := bytes.Replace(file, []byte(`"statement"`), []byte(`"`+word+`"`), 1)
		if !says(planted, word) {
			t.Errorf("%q is not found where it is planted", word)
		}
	}
	if text := verify.ExplainErasure(r); !strings.Contains(text, "What this does not prove") {
		t.Error("not explained")
	}

	var refusal *verify.Refusal
	for i := range file {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(file)
			bad[i] ^= flip
			if _, err := trust.Erasure(bad); !errors.As(err, &refusal) {
				t.Fatalf("byte %d of %d (%q) edited: %v", i, len(file), file[max(0, i-10):min(len(file), i+10)], err)
			}
		}
		if _, err := trust.Erasure(file[:i]); !errors.As(err, &refusal) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	for what, bad := range map[string][]byte{
		"a newline more": append(bytes.Clone(file), '\n'),
		"twice":          append(bytes.Clone(file), file...),
		"nothing":        nil,
	} {
		if _, err := trust.Erasure(bad); !errors.As(err, &refusal) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Parts of two receipts of one log, each signed: the entries say whose.
	var mine, theirs map[string]json.RawMessage
	if json.Unmarshal(file, &mine) != nil || json.Unmarshal(other, &theirs) != nil {
		t.Fatal("not JSON")
	}
	for part, want := range map[string]error{
		"requested": verify.ErrPath, "completed": verify.ErrPath, "checkpoint": verify.ErrPath,
		"signature": verify.ErrStatement, "statement": verify.ErrStatement,
	} {
		mixed := assemble(t, mine, part, theirs[part])
		if _, err := trust.Erasure(mixed); !errors.Is(err, want) && !errors.As(err, &refusal) {
			t.Errorf("with another's %s: %v", part, err)
		}
	}
	// All proofs of the other, with its own checkpoint: only what the entries
	// say is wrong.
	mixed := assemble(t, mine, "requested", theirs["requested"])
	if json.Unmarshal(mixed, &mine) != nil {
		t.Fatal("not JSON")
	}
	mine["completed"] = theirs["completed"]
	mixed = assemble(t, mine, "checkpoint", theirs["checkpoint"])
	if _, err := trust.Erasure(mixed); !errors.Is(err, verify.ErrUnrelated) {
		t.Errorf("with the other erasure's entries: %v", err)
	}
	// Another gateway's key.
	g2 := openGateway(t, gateway.Config{ErasuresByHand: true})
	_, _, stranger := receiptOf(t, g2, "eve")
	if _, err := stranger.Erasure(file); !errors.As(err, &refusal) {
		t.Errorf("under a foreign key: %v", err)
	}
	trust.Origin = "elsewhere"
	if _, err := trust.Erasure(file); !errors.Is(err, verify.ErrOrigin) {
		t.Errorf("under another origin: %v", err)
	}
}

// assemble writes a receipt of parts in the one form.
func assemble(t *testing.T, parts map[string]json.RawMessage, name string, part json.RawMessage) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range []string{"format", "statement", "signature", "requested", "completed", "checkpoint"} {
		if i > 0 {
			b.WriteByte(',')
		}
		value := parts[key]
		if key == name {
			value = part
		}
		b.WriteString(`"` + key + `":`)
		b.Write(value)
	}
	b.WriteByte('}')
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", " "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}
