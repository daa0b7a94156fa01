package verify_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

func TestProofReasons(t *testing.T) {
	log := testlog.New(origin, 1).Grow(500)
	const index, size = 41, 500
	entry, path, checkpoint := log.Entries[index], log.Path(index, size), log.Checkpoint(size)
	good := string(log.Proof(index, size))
	swapped := append([][]byte(nil), path...)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	altered := bytes.Clone(path[4])
	altered[0] ^= 1
	policy := bytes.Clone(entry)
	policy[9] = 2 // the kind
	policyLog := testlog.New(origin, 1).Grow(index)
	policyLog.Add(policy)
	leaf, other := hash(log.Leaf(index)), hash(log.Leaf(index+1))

	for _, c := range []struct {
		name string
		file string
		leaf *verify.Hash
		want error
	}{
		{"good", good, nil, nil},
		{"good, with its leaf", good, &leaf, nil},
		{"good by its leaf alone", string(testlog.ProofFile(nil, index, path, checkpoint)), &leaf, nil},
		{"the leaf of another entry", good, &other, verify.ErrLeaf},
		{"another entry's leaf alone", string(testlog.ProofFile(nil, index, path, checkpoint)), &other, verify.ErrPath},
		{"no entry and no leaf", string(testlog.ProofFile(nil, index, path, checkpoint)), nil, verify.ErrNothing},
		{"swapped node", string(testlog.ProofFile(entry, index, swapped, checkpoint)), nil, verify.ErrPath},
		{"altered node", string(testlog.ProofFile(entry, index, append(append(path[:4:4], altered), path[5:]...), checkpoint)), nil, verify.ErrPath},
		{"altered payload", string(testlog.ProofFile(flipLast(entry), index, path, checkpoint)), nil, verify.ErrPath},
		{"truncated path", string(testlog.ProofFile(entry, index, path[:7], checkpoint)), nil, verify.ErrTruncated},
		{"path with a hash more", string(testlog.ProofFile(entry, index, append(path[:9:9], entry[:32]), checkpoint)), nil, verify.ErrTrailing},
		{"another index", string(testlog.ProofFile(entry, index+1, path, checkpoint)), nil, verify.ErrPosition},
		{"entry of another position", string(testlog.ProofFile(log.Entries[7], index, path, checkpoint)), nil, verify.ErrPosition},
		{"index beyond the tree", string(testlog.ProofFile(entry, size, path, checkpoint)), nil, verify.ErrIndex},
		{"checkpoint of another size", string(testlog.ProofFile(entry, index, path, log.Checkpoint(499))), nil, verify.ErrPath},
		{"other origin", string(testlog.ProofFile(entry, index, path, log.Sign(testlog.TreeHead("x.example", size, log.Root(size))))), nil, verify.ErrOrigin},
		{"other key", string(testlog.ProofFile(entry, index, path, testlog.New(origin, 9).Grow(size).Checkpoint(size))), nil, verify.ErrUnsigned},
		{"size edited", strings.Replace(good, "\n500\n", "\n501\n", 1), nil, verify.ErrUnsigned},
		{"no checkpoint", good[:strings.Index(good, "\n\n")+1], nil, verify.ErrTruncated},
		{"signature cut off", good[:strings.Index(good, "—")], nil, verify.ErrTruncated},
		{"last newline missing", good[:len(good)-1], nil, verify.ErrTruncated},
		{"a newline more", good + "\n", nil, verify.ErrTruncated},
		{"a line more", good + "x\n", nil, verify.ErrMalformed},
		{"index with a zero before it", strings.Replace(good, "index 41", "index 041", 1), nil, verify.ErrMalformed},
		{"index with a sign", strings.Replace(good, "index 41", "index +41", 1), nil, verify.ErrMalformed},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), nil, verify.ErrMalformed},
		{"another format", strings.Replace(good, "@v1", "@v2", 1), nil, verify.ErrMalformed},
		{"extra after index", strings.Replace(good, "index 41\n", "index 41\nextra AAAA\n", 1), nil, verify.ErrMalformed},
		{"extra that is no entry", string(testlog.ProofFile([]byte("hello"), index, path, checkpoint)), nil, verify.ErrMalformed},
		{"extra with a byte after the entry", string(testlog.ProofFile(append(bytes.Clone(entry), 0), index, path, checkpoint)), nil, verify.ErrTrailing},
		{"empty", "", nil, verify.ErrMalformed},
		{"too large before the checkpoint", string(testlog.ProofFile(make([]byte, verify.MaxProofFile), index, path, checkpoint)), nil, verify.ErrTrailing},
		{"too large", good + strings.Repeat("— a b\n", verify.MaxProofFile/8), nil, verify.ErrTrailing},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := trust(t, log).Proof([]byte(c.file), c.leaf)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}

	if _, err := trust(t, log).Receipt([]byte(good)); err != nil {
		t.Errorf("receipt: %v", err)
	}
	if _, err := trust(t, log).Receipt(policyLog.Proof(index, index+1)); !errors.Is(err, verify.ErrKind) {
		t.Errorf("a policy as a receipt: %v", err)
	}
	if _, err := trust(t, log).Receipt(testlog.ProofFile(nil, index, path, checkpoint)); !errors.Is(err, verify.ErrTruncated) {
		t.Errorf("a receipt without its entry: %v", err)
	}
	pinned := trust(t, log)
	pinned.Origin = "another.example/log"
	if _, err := pinned.Proof([]byte(good), nil); !errors.Is(err, verify.ErrOrigin) {
		t.Errorf("with another origin pinned: %v", err)
	}
}

// Every byte of a proof file is needed as it is: changed in any of its bits,
// or to what a lenient decoder would skip, dropped or doubled, it is refused.
func TestEveryEditedByteOfAProofIsRefused(t *testing.T) {
	log := testlog.New(origin, 1).Grow(11)
	tr, good := trust(t, log), log.Proof(6, 11)
	refused := func(b []byte, what string, i int) {
		t.Helper()
		_, err := tr.Proof(b, nil)
		if why := new(verify.Refusal); !errors.As(err, &why) {
			t.Errorf("byte %d (%q) %s: %v", i, good[i], what, err)
		}
	}
	edits := 0
	for i := range good {
		others := []byte(" \n\r\t=+/-_A0\x00\xa0")
		for bit := range 8 {
			others = append(others, good[i]^1<<bit)
		}
		for _, to := range others {
			if to == good[i] {
				continue
			}
			b := bytes.Clone(good)
			b[i] = to
			refused(b, fmt.Sprintf("set to %q", to), i)
			edits++
		}
		refused(append(bytes.Clone(good[:i]), good[i+1:]...), "dropped", i)
		refused(append(bytes.Clone(good[:i+1]), good[i:]...), "doubled", i)
		for _, extra := range "\n\r =A" {
			refused(append(append(bytes.Clone(good[:i]), byte(extra)), good[i:]...), "pushed right", i)
		}
	}
	if edits < 15*len(good) {
		t.Errorf("only %d edits of %d bytes", edits, len(good))
	}
}

// Signature lines of other keys may be there and are counted; the pinned key's
// own line may be anywhere among them.
func TestOtherSignaturesAreCountedAndIgnored(t *testing.T) {
	log := testlog.New(origin, 1).Grow(5)
	c := string(log.Checkpoint(5))
	cut := strings.Index(c, "—")
	witness := "— witness.example/w " + base64.StdEncoding.EncodeToString(make([]byte, 76)) + "\n"
	same := "— " + origin + " " + base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n"
	got, err := trust(t, log).Checkpoint([]byte(c[:cut] + witness + c[cut:] + same))
	if err != nil || got.Others != 2 {
		t.Errorf("%d others, %v", got.Others, err)
	}
	broken := strings.Replace(witness, "AAA=", "AAB=", 1)
	if broken == witness {
		broken = strings.Replace(witness, "A==\n", "B==\n", 1)
	}
	if _, err := trust(t, log).Checkpoint([]byte(c + broken)); !errors.Is(err, verify.ErrMalformed) {
		t.Errorf("base64 that no encoder writes: %v", err)
	}
}

// A signature does not make a checkpoint of what is none.
func TestSignedButNoCheckpoint(t *testing.T) {
	log := testlog.New(origin, 1).Grow(5)
	good := testlog.TreeHead(origin, 5, log.Root(5))
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"good":                          {good, nil},
		"with an extension":             {good + "extension\n", nil},
		"control character":             {good + "a\tb\n", verify.ErrMalformed},
		"not UTF-8":                     {good + "a\xffb\n", verify.ErrMalformed},
		"empty line":                    {good + "\nx\n", verify.ErrMalformed},
		"no root":                       {origin + "\n5\n", verify.ErrTruncated},
		"short root":                    {testlog.TreeHead(origin, 5, log.Root(5)[:31]), verify.ErrMalformed},
		"leading zero":                  {strings.Replace(good, "\n5\n", "\n05\n", 1), verify.ErrMalformed},
		"negative":                      {strings.Replace(good, "\n5\n", "\n-5\n", 1), verify.ErrMalformed},
		"2^63":                          {strings.Replace(good, "\n5\n", "\n9223372036854775808\n", 1), verify.ErrMalformed},
		"empty tree with another root":  {testlog.TreeHead(origin, 0, log.Root(5)), verify.ErrNode},
		"empty tree":                    {testlog.TreeHead(origin, 0, log.Root(0)), nil},
		"origin with a space behind it": {strings.Replace(good, origin+"\n", origin+" \n", 1), verify.ErrOrigin},
	} {
		_, err := trust(t, log).Checkpoint(log.Sign(c.text))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// The published examples of C2SP: they parse, and a key that did not sign them
// refuses them; the test key of signed-note is read.
func TestPublishedTexts(t *testing.T) {
	dir := shared(t, "conformance/tlog")
	example, err := os.ReadFile(filepath.Join(dir, "checkpoint_example.txt"))
	if err != nil {
		t.Fatal(err)
	}
	head, err := verify.ParseExample(example)
	want := verify.Checkpoint{Origin: "example.com/behind-the-sofa", Size: 20852163}
	if err != nil || head.Origin != want.Origin || head.Size != want.Size || head.Root[0] != 0x0a || head.Root[31] != 0x62 {
		t.Errorf("checkpoint example: %+v, %v", head, err)
	}
	tr := trust(t, testlog.New("example.com/behind-the-sofa", 1))
	if _, err := tr.Checkpoint(example); !errors.Is(err, verify.ErrUnsigned) {
		t.Errorf("checkpoint example with another key: %v", err)
	}

	request, err := os.ReadFile(filepath.Join(dir, "add_checkpoint_request_example.txt"))
	if err != nil {
		t.Fatal(err)
	}
	top, signed, _ := strings.Cut(string(request), "\n\n")
	head, err = verify.ParseExample([]byte(signed))
	if err != nil || head.Size != 20852163 {
		t.Errorf("add-checkpoint example: %+v, %v", head, err)
	}
	lines := strings.Split(top, "\n")
	var path []verify.Hash
	for _, line := range lines[1:] {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		path = append(path, verify.Hash(b))
	}
	// Four hashes cannot lead from 20 852 014 to 20 852 163: it is an example.
	if err := verify.Consistency(20852014, head.Size, verify.Hash{1}, head.Root, path); !errors.Is(err, verify.ErrTruncated) {
		t.Errorf("its proof: %v", err)
	}
}

func TestKeys(t *testing.T) {
	const good = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	k, err := verify.ParseKey(good)
	if err != nil || k.Name() != "example.com/foo" {
		t.Fatalf("the test key of signed-note: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "no id": "example.com/foo", "other name": strings.Replace(good, "foo", "bar", 1),
		"other id": strings.Replace(good, "530d", "530e", 1), "upper case": strings.Replace(good, "530d", "530D", 1),
		"cut": good[:len(good)-1], "longer": good + "A", "space": strings.Replace(good, "foo", "f o", 1),
		"other algorithm": strings.Replace(good, "+Aek", "+Bek", 1), "newline inside": strings.Replace(good, "Aeky", "Ae\nky", 1),
	} {
		if _, err := verify.ParseKey(text); !errors.Is(err, verify.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := rand.NewChaCha8([32]byte{3})
	for range 20 {
		_, vkey, err := note.GenerateKey(r, "gateway.example/log/t")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.ParseKey(vkey); err != nil {
			t.Errorf("%s: %v", vkey, err)
		}
	}
}

func TestExplain(t *testing.T) {
	log := testlog.New(origin, 1).Grow(9)
	p, err := trust(t, log).Receipt(log.Proof(6, 9))
	if err != nil {
		t.Fatal(err)
	}
	text := verify.Explain(p)
	for _, part := range []string{
		`log "` + origin + `" signed a list of 9 entries, and this entry is number 7`,
		"purpose rag_retrieval, version 1.0, status " + p.Entry.StatusName(), "Jurisdiction: DE",
		"recorded at 2026-09-21T", fmt.Sprintf("random number %d", p.Entry.Subject), "Witnesses: 0", "does not prove",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the explanation lacks %q:\n%s", part, text)
		}
	}
	// What the log names cannot pass for words of the verifier.
	p.Entry.Purpose = "x\nverified: \x1b[2J"
	if strings.Contains(verify.Explain(p)+p.Entry.TypeName(), "\x1b") || strings.Contains(verify.Explain(p), "\nverified") {
		t.Error("a purpose is printed as it is")
	}
}
