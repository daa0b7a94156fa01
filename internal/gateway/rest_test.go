package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/retrieval"
)

// marks are what must not rest in clear: each marked string stands in a field
// of its own, so that a hit says where it came from.
var marks = map[string]string{
	"owner": "markowner7731", "mentioned": "markmention7732", "document id": "markdocid7733", "title": "marktitle7734",
	"text": "marktext7735", "metadata value": "markvalue7736", "metadata field": "markfield7737", "source": "marksource7738",
	"user listed": "marklisted7739", "group": "markgroup7740", "audit ip": "198.51.100.231", "user agent": "markagent7741",
	"notice": "marknotice7742", "method": "markmethod7743", "audit source": "markaudit7744", "collection": "markcollection7745",
	"key name": "markkey7746", "tenant name": "marktenant7747", "query": "markquery7748", "principal": "markprincipal7749",
	"idempotency key": "markonce7750",
}

// No identifier, document id, metadata value, text or vector rests in clear in
// any file of data directory and vault: while running, after kill -9, after a
// stop. The scan shows its power on a planted file.
func TestNothingRestsInClear(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	c := startChild(t, dir, "")
	vector := storeMarks(t, c)
	needles := clearForms(t, vector)

	scan := func(when string) {
		t.Helper()
		if hits := scanFiles(t, root, needles); len(hits) > 0 {
			t.Errorf("%s: in clear on disk: %v", when, hits)
		}
	}
	scan("while running")
	c.kill()
	scan("after kill -9")
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	scan("after recovery")
	if n := findsMarked(t, g); n != 20 {
		t.Fatalf("what was stored is not there to be scanned: %d hits", n)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	scan("after a stop")

	// The scanner finds every needle when it is there.
	for what, needle := range needles {
		planted := filepath.Join(root, "data", "planted")
		if err := os.WriteFile(planted, append([]byte{1, 2, 3}, needle...), 0o600); err != nil {
			t.Fatal(err)
		}
		if hits := scanFiles(t, root, map[string][]byte{what: needle}); len(hits) != 1 {
			t.Errorf("the scanner does not find a planted %s", what)
		}
		if err := os.Remove(planted); err != nil {
			t.Fatal(err)
		}
	}
}

// storeMarks writes every mark, and a vector that it returns, through a
// gateway.
func storeMarks(t *testing.T, c *child) []float32 {
	t.Helper()
	must := func(want int, method, path string, body any) {
		t.Helper()
		code, answer, err := c.call(method, path, body)
		if err != nil || code != want {
			t.Fatalf("%s %s: %d %v %v", method, path, code, answer, err)
		}
	}
	m := marks
	collection := "/v1/collections/" + m["collection"]
	must(201, "PUT", collection, map[string]any{"default_visibility": "tenant"})
	must(201, "PUT", "/v1/collections/vectors", map[string]any{"default_visibility": "tenant", "dimensions": 32})
	must(201, "POST", "/v1/keys", map[string]any{"name": m["key name"], "scopes": []string{"search"}, "purposes": []string{"rag_retrieval"}})
	must(201, "POST", "/v1/tenants", map[string]any{"name": m["tenant name"]})
	for _, person := range []string{m["owner"], m["mentioned"]} {
		for _, typ := range []string{rag, emb} {
			must(201, "POST", "/v1/consent", map[string]any{
				"user_id": person, "consent_type": typ, "status": "granted", "source": m["audit source"], "ip": m["audit ip"],
				"user_agent": m["user agent"], "notice_id": m["notice"], "method": m["method"], "language": "en",
			})
		}
	}
	vector := make([]float32, 32)
	for i := range vector {
		vector[i] = float32(i*i)/7 + 0.123
	}
	for i := range 20 {
		must(200, "POST", collection+"/documents", map[string]any{"documents": []any{map[string]any{
			"id": fmt.Sprint(m["document id"], i), "owners": []string{m["owner"]}, "mentions": []string{m["mentioned"]},
			"title": m["title"], "text": strings.Repeat(m["text"]+" and more of it. ", 10+i), "source": m["source"],
			"metadata":   map[string]any{m["metadata field"]: m["metadata value"]},
			"visibility": map[string]any{"level": "listed", "users": []string{m["user listed"]}, "groups": []string{m["group"]}},
		}}})
		must(200, "POST", "/v1/collections/vectors/documents", map[string]any{"documents": []any{map[string]any{
			"id": fmt.Sprint(m["document id"], i), "owners": []string{m["owner"]},
			"passages": []any{map[string]any{"text": m["text"], "vector": vector}},
		}}})
	}
	must(200, "POST", collection+"/search", map[string]any{"query": m["query"], "k": 3, "purpose": "rag_retrieval"})
	return vector
}

// findsMarked reports how many marked documents a gateway finds.
func findsMarked(t *testing.T, g *gateway.Gateway) int {
	t.Helper()
	who := retrieval.Caller{Tenant: gateway.DefaultTenant, Principal: retrieval.Principal{Groups: []string{marks["group"]}}}
	a, err := g.Retrieval.Search(t.Context(), who, marks["collection"], retrieval.SearchRequest{Query: marks["text"], K: 50, Purpose: "rag_retrieval"})
	if err != nil || len(a.Hits) > 0 && !strings.Contains(a.Hits[0].Text, marks["text"]) {
		t.Fatal(err)
	}
	return len(a.Hits)
}

// The same in every file of Postgres, its log and its WAL included, of both
// databases, and in the directory of the epoch key.
func TestNothingRestsInClearInPostgres(t *testing.T) {
	s := testpg.Start(t)
	c := newCluster(t, s)
	ch := c.child(t, "")
	needles := clearForms(t, storeMarks(t, ch))
	ch.kill()
	g := c.open(gateway.Config{})
	if n := findsMarked(t, g); n != 20 {
		t.Fatalf("what was stored is not there to be scanned: %d hits", n)
	}
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "CHECKPOINT") // what was in memory is in its files now
	for _, root := range []string{s.Dir(), c.dir} {
		if hits := scanFiles(t, root, needles); len(hits) > 0 {
			t.Errorf("in clear on disk: %v", hits)
		}
	}
	s.Exec(t, "postgres", "CREATE TABLE planted AS SELECT '"+marks["owner"]+"' AS x")
	s.Exec(t, "postgres", "CHECKPOINT")
	if len(scanFiles(t, s.Dir(), map[string][]byte{"owner": []byte(marks["owner"])})) == 0 {
		t.Error("the scanner does not find what is planted")
	}
}

// clearForms are the marks and the vectors in the forms they could rest in.
func clearForms(t *testing.T, vector []float32) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for what, mark := range marks {
		out[what] = []byte(mark)
		out[what+" in hex"] = []byte(hex.EncodeToString([]byte(mark)))
		out[what+" in base64"] = []byte(base64.StdEncoding.EncodeToString([]byte(mark))[:len(mark)])
		wide := make([]byte, 0, 2*len(mark))
		for _, c := range []byte(mark) {
			wide = append(wide, c, 0)
		}
		out[what+" in UTF-16"] = wide
	}
	unit, err := retrieval.Unit(vector)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][]float32{"vector": vector, "unit vector": unit} {
		var little, big, double []byte
		for _, x := range v[8:16] {
			little = binary.LittleEndian.AppendUint32(little, math.Float32bits(x))
			big = binary.BigEndian.AppendUint32(big, math.Float32bits(x))
			double = binary.LittleEndian.AppendUint64(double, math.Float64bits(float64(x)))
		}
		out[name], out[name+" big-endian"], out[name+" as float64"] = little, big, double
	}
	var codes []byte
	for _, x := range retrieval.Quantise(unit).Code[8:24] {
		codes = append(codes, byte(x))
	}
	out["codes"] = codes
	return out
}

// scanFiles returns what was found where, in any file below root, whatever
// letter case.
func scanFiles(t *testing.T, root string, needles map[string][]byte) []string {
	t.Helper()
	var hits []string
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		lower := bytes.ToLower(raw)
		for what, needle := range needles {
			if bytes.Contains(raw, needle) || bytes.Contains(lower, needle) {
				hits = append(hits, what+" in "+filepath.Base(path))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("only %d files were scanned", files)
	}
	return hits
}

// A data directory is copied, people revoke afterwards, the old copy is put
// back with the present vault: 503, and it says why; nothing is wiped. The
// newer copy put back again serves as before.
func TestRestoredBackupAnswers503(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	open := func() *gateway.Gateway {
		t.Helper()
		g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	ask := func(g *gateway.Gateway) (int, error) {
		a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "server", K: 10, Purpose: "rag_retrieval"})
		return len(a.Hits), err
	}
	g := open()
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada", "bob"))
	g.Close()
	copyDir(t, dir, filepath.Join(root, "backup"))
	g = open()
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	ingest(t, g, "c", invented("bob2")) // refused: nobody knows bob2
	g.Close()
	newest := filepath.Join(root, "newest")
	if err := os.Rename(dir, newest); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(root, "backup"), dir)

	g = open()
	if n, err := ask(g); n != 0 || consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
		t.Errorf("search on an old copy: %d hits, %v", n, err)
	}
	if err := g.Ready(t.Context()); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
		t.Errorf("ready on an old copy: %v", err)
	}
	g.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(newest, dir); err != nil {
		t.Fatal(err)
	}
	g = open()
	defer g.Close()
	if n, err := ask(g); n != 2 || err != nil {
		t.Errorf("after the newest copy was put back: %d hits, %v; want Bob's two", n, err)
	}
}

// An empty data directory beside a vault that has seen entries is an old copy
// too; when there is nothing to put back, what the journal has is all there is.
func TestLostDataAnswers503(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	g.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Replay(t.Context(), gateway.Config{DataDir: dir}); !errors.Is(err, gateway.ErrNoData) {
		t.Errorf("replayed into nothing: %v", err)
	}
	g = openGateway(t, gateway.Config{DataDir: dir})
	if err := g.Ready(t.Context()); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
		t.Errorf("ready without the data: %v", err)
	}
	g.Close()
	if _, err := gateway.Replay(t.Context(), gateway.Config{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, gateway.Config{DataDir: dir})
	a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, []consent.Subject{subject(t, "ada")}, consent.Question{Purpose: "rag_retrieval"})
	if err != nil || a.Decisions[0].Reason != consent.ReasonRevoked {
		t.Errorf("after the replay: %v %v", a.Decisions, err)
	}
}

// A tenant that was made after the backup is lost with it: not ready.
func TestLostTenantIsNotReady(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	g := openGateway(t, gateway.Config{DataDir: dir})
	g.Close()
	copyDir(t, dir, filepath.Join(root, "backup"))
	g = openGateway(t, gateway.Config{DataDir: dir})
	name, err := credential.ParseName("second")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.CreateTenant(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(root, "backup"), dir)
	g = openGateway(t, gateway.Config{DataDir: dir})
	if err := g.Ready(t.Context()); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("ready without a tenant that the vault knows: %v", err)
	}
}

func TestStartRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := openGateway(t, gateway.Config{DataDir: dir})
	refuses := func(what string, cfg gateway.Config, want string) {
		t.Helper()
		g, err := gateway.Open(t.Context(), cfg)
		if err == nil {
			g.Close()
			t.Errorf("%s: opened", what)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want it to say %q", what, err, want)
		}
	}
	refuses("a directory in use", gateway.Config{DataDir: dir}, "locked by another process")
	first.Close()
	refuses("a vault inside the data", gateway.Config{DataDir: dir, VaultDir: filepath.Join(dir, "vault")}, "inside the data directory")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	refuses("a vault inside the data by a link", gateway.Config{DataDir: dir, VaultDir: filepath.Join(link, "vault")}, "inside the data directory")
	moved := dir + ".moved"
	if err := os.Rename(dir+".vault", moved); err != nil {
		t.Fatal(err)
	}
	refuses("data without its vault", gateway.Config{DataDir: dir}, "vault is missing")
	other := openGateway(t, gateway.Config{DataDir: filepath.Join(t.TempDir(), "other")})
	otherVault := other.AdminKeyFile
	other.Close()
	refuses("a foreign vault", gateway.Config{DataDir: dir, VaultDir: filepath.Dir(otherVault)}, "not the one")
	if err := os.Chmod(moved, 0o755); err != nil {
		t.Fatal(err)
	}
	refuses("a vault that others can read", gateway.Config{DataDir: dir, VaultDir: moved}, "readable by others")
	if err := os.Chmod(moved, 0o700); err != nil {
		t.Fatal(err)
	}
	openGateway(t, gateway.Config{DataDir: dir, VaultDir: moved})
}

// A start wipes what crashes left: slots that no row names.
func TestStartWipesUnnamedSlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := startChild(t, dir, "slots.synced:6")
	for i := range 3 {
		c.call("POST", "/v1/consent", map[string]any{"user_id": fmt.Sprint("p", i), "consent_type": rag, "status": "granted", "source": "t"})
	}
	select {
	case <-c.dead:
	case <-time.After(time.Minute):
		t.Fatal("it did not die")
	}
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	people := int(head.Position) - 2 // of tenant and policy
	if used := g.KeySlots(); used != people || people == 0 {
		t.Errorf("%d slots in use for %d people", used, people)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	// A gateway that runs meanwhile renames files: one may go while it is copied.
	for attempt := 1; ; attempt++ {
		err := os.CopyFS(to, os.DirFS(from))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || attempt == 10 {
			t.Fatal(err)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	// CopyFS widens modes.
	if err := filepath.WalkDir(to, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			mode := fs.FileMode(0o600)
			if d.IsDir() {
				mode = 0o700
			}
			err = os.Chmod(p, mode)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
