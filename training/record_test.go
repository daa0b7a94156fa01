package training

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
)

func sample(i int) record {
	h := sha256.Sum256(fmt.Append(nil, i))
	r := record{content: true, entry: entry{
		split: uint8(i % 2), token: Token(h[:16]), leaf: h, collection: uint32(i), doc: int64(i) << 40, n: uint32(i), nobody: i%3 == 0,
		retain: consent.Time(i), owners: []consent.SubjectNum{consent.SubjectNum(i), 1 << 62}, mentions: []consent.SubjectNum{7},
	}}
	r.row = Row{
		Token: r.token, Document: Token(h[16:]), Source: Token{1}, Content: h, Subjects: []Token{{2}, {3}}, Types: []string{"a_v1.0", "b_v2.1"},
		Basis: "consent", Split: []string{"test", "train"}[i%2], Text: "text\x01\"\\\n", PassageID: "p", DocumentID: "d", SHA256: h,
	}
	return r
}

var twoSplits = []Split{{Name: "test", Share: 1}, {Name: "train", Share: Shares - 1}}

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	var got record // used again, as a reader does
	for i := range 50 {
		want := sample(i)
		b := want.append(nil)
		if err := decodeRecord(b, &got, twoSplits); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{}, entry{})); diff != "" {
			t.Fatal(diff)
		}
		for n := range b {
			if err := decodeRecord(b[:n], &record{}, twoSplits); !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
		kept := record{entry: want.entry}
		if err := decodeRecord(kept.append(nil), &got, twoSplits); err != nil || got.content {
			t.Fatal(got.content, err)
		}
	}
	if r := sample(3); decodeRecord(r.append(nil), &got, twoSplits[:1]) == nil {
		t.Error("a split that the manifest does not have")
	}
}

func FuzzRecord(f *testing.F) {
	r := sample(1)
	f.Add(r.append(nil))
	f.Add(r.entry.append(nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if decodeRecord(b, &r, twoSplits) != nil {
			return
		}
		var again record
		if err := decodeRecord(r.append(nil), &again, twoSplits); err != nil {
			t.Fatal(err)
		}
	})
}

// A line is what encoding/json reads as the same values, whatever a text holds.
func TestLinesAreJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain", "\"\\/\b\f\n\r\t", "\x00\x01\x1f\x7f", "é\u2028\u2029😀", "a\xffb\xc3", "</script>&"} {
		r := sample(4).row
		r.Text = text
		line := r.AppendLine(nil, Columns{Text: true, Linkable: true})
		if !json.Valid(line) || bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("%q: not a line of JSON: %q", text, line)
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if want := string(bytes.ToValidUTF8([]byte(text), []byte("\ufffd"))); got["text"] != want {
			t.Errorf("%q came back as %q", text, got["text"])
		}
		if got["row"] != r.Token.String() || fmt.Sprint(got["consent_types"]) != "[a_v1.0 b_v2.1]" || len(got) != 12 {
			t.Errorf("%v", got)
		}
	}
}

// The tree is RFC 6962's, by its definition (§2.1).
func TestTreeIsTheStandards(t *testing.T) {
	t.Parallel()
	var root func(leaves [][32]byte) [32]byte
	root = func(leaves [][32]byte) [32]byte {
		switch len(leaves) {
		case 0:
			return sha256.Sum256(nil)
		case 1:
			return leaves[0]
		}
		k := 1
		for k*2 < len(leaves) {
			k *= 2
		}
		return node(root(leaves[:k]), root(leaves[k:]))
	}
	var tr tree
	var leaves [][32]byte
	for i := range 130 {
		if tr.root() != root(leaves) {
			t.Fatalf("of %d leaves", i)
		}
		leaf := sha256.Sum256(fmt.Append([]byte{0}, i))
		tr.add(leaf)
		leaves = append(leaves, leaf)
	}
}

// Small counts are told together; which reason had one does not show.
func TestSmallCountsAreMerged(t *testing.T) {
	t.Parallel()
	got := merged(map[string]uint64{"revoked": 10, "no_record": 9, "suppressed": 1, "expired": 2000})
	if diff := cmp.Diff(map[string]uint64{"revoked": 10, "expired": 2000, "other": 10}, got); diff != "" {
		t.Error(diff)
	}
}
