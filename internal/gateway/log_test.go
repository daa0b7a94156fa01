package gateway_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/vault"
)

// get asks a gateway's HTTP interface.
func get(t testing.TB, h http.Handler, key, path string) (int, string, http.Header) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

// covered waits until a checkpoint covers a position, however long the machine
// takes, and returns the proof of its entry.
func covered(t testing.TB, h http.Handler, position uint64) string {
	t.Helper()
	for {
		code, text, _ := get(t, h, adminKey, fmt.Sprint("/v1/log/proof/", position))
		switch code {
		case http.StatusOK:
			return text
		case http.StatusConflict: // not yet, after two seconds
		default:
			t.Fatalf("proof %d: %d %s", position, code, text)
		}
	}
}

func post(t testing.TB, h http.Handler, key, path string, body any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(string(raw)))
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code > 299 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return out
}

// head is a checkpoint as a verifier reads it, with the key that it pinned.
type head struct {
	size uint64
	root []byte
}

func readCheckpoint(t testing.TB, vkey, text string) head {
	t.Helper()
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	var h head
	var origin, root string
	if _, err := fmt.Sscanf(n.Text, "%s\n%d\n%s\n", &origin, &h.size, &root); err != nil || origin != v.Name() {
		t.Fatalf("%v: %q", err, n.Text)
	}
	if h.root, err = base64.StdEncoding.DecodeString(root); err != nil {
		t.Fatal(err)
	}
	return h
}

// verifyProof verifies a .tlog-proof offline and returns its entry.
func verifyProof(t testing.TB, vkey, text string) (uint64, consent.Row) {
	t.Helper()
	top, cp, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(top, "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		t.Fatalf("not a proof: %q", text)
	}
	h := readCheckpoint(t, vkey, cp)
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		t.Fatal(err)
	}
	var index uint64
	if _, err := fmt.Sscanf(lines[2], "index %d", &index); err != nil {
		t.Fatal(err)
	}
	var hashes [][]byte
	for _, l := range lines[3:] {
		b, err := base64.StdEncoding.DecodeString(l)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, b)
	}
	leaf := sha256.Sum256(append([]byte{0}, entry...))
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, h.size, leaf[:], hashes, h.root); err != nil {
		t.Fatal(err)
	}
	row, err := consent.DecodeEntry(entry)
	if err != nil || uint64(row.Position) != index+1 {
		t.Fatalf("entry: %v", err)
	}
	return index, row
}

func TestAConsentsReceiptVerifiesOffline(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{AdminKey: adminKey})
	h := g.Handler()
	_, vkey, _ := get(t, h, adminKey, "/v1/log/key")
	for i := range 5 {
		a := post(t, h, adminKey, "/v1/consent", map[string]any{"user_id": fmt.Sprint("u", i), "consent_type": rag, "status": "granted", "source": "s", "jurisdiction": "DE"})
		if a["witnesses"] != 0.0 {
			t.Errorf("witnesses: %v", a["witnesses"])
		}
		code, text, header := get(t, h, adminKey, a["receipt_url"].(string))
		if code != 200 || header.Get("Assent-Witnesses") != "0" || header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Fatalf("%d %s %v", code, text, header)
		}
		index, row := verifyProof(t, vkey, text)
		if index+1 != uint64(a["ledger_position"].(float64)) || row.Kind != consent.KindConsent || row.Status != consent.Granted || row.Type.String() != rag || row.Jurisdiction != "DE" {
			t.Errorf("entry %d: %v %v %v", index, row.Kind, row.Status, row.Type)
		}
	}
	_, body, _ := get(t, h, adminKey, "/v1/consent/u3/history")
	var history struct {
		Witnesses *int
		Entries   []struct {
			Proof string `json:"proof_url"`
		}
	}
	if err := json.Unmarshal([]byte(body), &history); err != nil || len(history.Entries) != 1 || history.Witnesses == nil || *history.Witnesses != 0 {
		t.Fatalf("%v: %s", err, body)
	}
	_, text, _ := get(t, h, adminKey, history.Entries[0].Proof)
	verifyProof(t, vkey, text)
	for path, want := range map[string]int{"/v1/log/proof/0": 404, "/v1/log/proof/99": 404, "/v1/log/proof/x": 404, "/v1/log/proof/-1": 404} {
		if code, _, _ := get(t, h, adminKey, path); code != want {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// A whole log as a monitor reads it: entries, tiles and checkpoint agree, and
// every event of keys and tenants is among the entries, without a secret.
func TestTheLogHasEveryEventAndNoSecret(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{AdminKey: adminKey})
	h := g.Handler()
	made := post(t, h, adminKey, "/v1/keys", map[string]any{"name": "CANARY", "scopes": []string{"search"}, "purposes": []string{"rag_retrieval"}, "collections": []string{"CANARY"}})
	r := httptest.NewRequest("DELETE", "/v1/keys/"+made["id"].(string), nil)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 204 {
		t.Fatal(w.Code)
	}
	r = httptest.NewRequest("PUT", "/v1/consent-types/rag_retrieval_v7.0", strings.NewReader(`{"text": "another text", "language": "en", "accepts": []}`))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code/100 != 2 {
		t.Fatal(w.Code, w.Body)
	}
	other := post(t, h, adminKey, "/v1/tenants", map[string]any{"name": "CANARY"})
	wants := map[string]struct {
		key   string
		kinds []consent.Kind
	}{
		"default":            {adminKey, []consent.Kind{consent.KindTenant, consent.KindPolicy, consent.KindKey, consent.KindKey, consent.KindType}},
		other["id"].(string): {other["key"].(string), []consent.Kind{consent.KindTenant, consent.KindPolicy, consent.KindKey}},
	}
	for tenant, want := range wants {
		get(t, h, want.key, fmt.Sprint("/v1/log/proof/", len(want.kinds))) // until a checkpoint covers them
		_, vkey, _ := get(t, h, want.key, "/v1/log/key")
		_, cp, header := get(t, h, want.key, "/log/"+tenant+"/checkpoint")
		top := readCheckpoint(t, vkey, cp)
		if header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(cp, "assent/"+tenant+"\n") {
			t.Errorf("%v %s", header, cp)
		}
		code, bundle, header := get(t, h, want.key, fmt.Sprintf("/log/%s/tile/entries/000.p/%d", tenant, top.size))
		if code != 200 || header.Get("Cache-Control") != "private, max-age=31536000, immutable" || header.Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("%d %v", code, header)
		}
		_, tile, _ := get(t, h, want.key, fmt.Sprintf("/log/%s/tile/0/000.p/%d", tenant, top.size))
		rng := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
		var kinds []consent.Kind
		for b := []byte(bundle); len(b) > 0; {
			n := 2 + int(binary.BigEndian.Uint16(b))
			row, err := consent.DecodeEntry(b[2:n])
			if err != nil {
				t.Fatal(err)
			}
			leaf := rfc6962.DefaultHasher.HashLeaf(b[2:n])
			if string(leaf) != tile[32*len(kinds):32*len(kinds)+32] {
				t.Error("an entry is not that of the tile")
			}
			if err := rng.Append(leaf, nil); err != nil {
				t.Fatal(err)
			}
			kinds, b = append(kinds, row.Kind), b[n:]
		}
		if root, _ := rng.GetRootHash(nil); string(root) != string(top.root) {
			t.Error("the entries are not those of the checkpoint")
		}
		if !slices.Equal(kinds, want.kinds) {
			t.Errorf("%s: kinds %v, want %v", tenant, kinds, want.kinds)
		}
	}
	for _, path := range []string{"/log/" + other["id"].(string) + "/checkpoint", "/log/nobody/checkpoint", "/log/" + other["id"].(string) + "/tile/0/000.p/1", "/log/default/tile/0/000", "/log/default/tile/0/../0/000"} {
		if code, _, _ := get(t, h, adminKey, path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _, _ := get(t, h, "", "/log/default/checkpoint"); code != 401 {
		t.Errorf("a stranger: %d", code)
	}
}

func TestAPublicLogIsForEverybody(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{AdminKey: adminKey, TransparencyLog: gateway.LogConfig{Public: true, Origin: "log.example.org/log"}})
	h := g.Handler()
	_, vkey, _ := get(t, h, adminKey, "/v1/log/key")
	code, cp, _ := get(t, h, "", "/log/default/checkpoint")
	if code != 200 || !strings.HasPrefix(cp, "log.example.org/log/default\n") {
		t.Fatalf("%d %s", code, cp)
	}
	readCheckpoint(t, vkey, cp)
	if code, _, header := get(t, h, "", "/log/default/tile/0/000.p/1"); code != 200 || !strings.HasPrefix(header.Get("Cache-Control"), "public,") {
		t.Errorf("%d %v", code, header)
	}
	for path, want := range map[string]int{"/log/nobody/checkpoint": 404, "/v1/log/key": 401, "/v1/log/proof/1": 401} {
		if code, _, _ := get(t, h, "", path); code != want {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestALogKeepsItsOrigin(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	get(t, g.Handler(), adminKey, "/v1/log/proof/1")
	g.Close()
	_, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, TransparencyLog: gateway.LogConfig{Origin: "another"}})
	if err == nil || !strings.Contains(err.Error(), "ASSENT_LOG_ORIGIN") {
		t.Errorf("opened under another origin: %v", err)
	}
}

func TestCheckpointsLeaveTheMachine(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	heard := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if calls.Add(1) == 1 {
			w.WriteHeader(500) // is tried again
			return
		}
		heard <- string(b)
	}))
	defer hook.Close()
	drop := filepath.Join(t.TempDir(), "drop")
	g := openGateway(t, gateway.Config{AdminKey: adminKey, TransparencyLog: gateway.LogConfig{Dir: drop, Webhook: hook.URL}})
	h := g.Handler()
	_, vkey, _ := get(t, h, adminKey, "/v1/log/key")
	say(t, g, consent.Granted, []string{"ada"}, rag)
	position, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(position.Position)
	deadline := time.After(time.Minute)
	for size := uint64(0); size < want; {
		select {
		case text := <-heard:
			size = readCheckpoint(t, vkey, text).size
		case <-deadline:
			t.Fatal("the webhook did not hear of it")
		}
	}
	path := filepath.Join(drop, fmt.Sprintf("assent_default-%d.checkpoint", want))
	for {
		b, err := os.ReadFile(path)
		if err == nil {
			if readCheckpoint(t, vkey, string(b)).size != want {
				t.Error("the file holds another checkpoint than its name says")
			}
			break
		}
		select {
		case <-deadline:
			t.Fatal("no file was dropped")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Somebody with database, vault and every key rewrites the ledger: its row with
// new leaf and MAC, its record in the journal is not even looked at. The newest
// checkpoint in the vault tells.
func TestARewrittenLedgerStaysClosed(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		sql  string
		want error
	}{
		"a node of the tree":   {"UPDATE log_nodes SET hash = zeroblob(32)", consent.ErrTampered},
		"a status":             {"UPDATE ledger SET status = 2 WHERE position = 9", consent.ErrTampered},
		"only a MAC, covered":  {"UPDATE ledger SET mac = zeroblob(32) WHERE position = 9", nil},
		"the checkpoint":       {"UPDATE log_heads SET checkpoint = x'00'", consent.ErrTampered},
		"no checkpoint at all": {"DELETE FROM log_heads; DELETE FROM log_nodes", nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
			var people []string
			for i := range 300 {
				people = append(people, fmt.Sprint("u", i))
			}
			say(t, g, consent.Granted, people, rag)
			if code, _, _ := get(t, g.Handler(), adminKey, "/v1/log/proof/302"); code != 200 {
				t.Fatal(code)
			}
			g.Close()
			execSQL(t, filepath.Join(dir, "assent.db"), c.sql)
			g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
			if err := g.Ready(t.Context()); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("ready: %v, want %v", err, c.want)
			}
			code, _, _ := get(t, g.Handler(), adminKey, "/v1/log/proof/10")
			if (code == 200) != (c.want == nil) {
				t.Errorf("proof: %d", code)
			}
			if code, _, _ := get(t, g.Handler(), adminKey, "/v1/consent/u7/history"); (code == 200) != (c.want == nil) {
				t.Errorf("history: %d", code)
			}
		})
	}
}

// leaves reads what the ledger's leaves are, from data and vault by themselves.
func leaves(t *testing.T, dir string) [][]byte {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "assent.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, err := vault.Open(dir+".vault", vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var out [][]byte
	err = db.Rows(t.Context(), gateway.DefaultTenant, 0, func(row consent.Row) error {
		leaf := rfc6962.DefaultHasher.HashLeaf(row.AppendEntry(nil))
		if recorded, ok, err := v.Leaf("default", uint64(row.Position)); err == nil && ok && string(recorded[:]) != string(leaf) {
			t.Error("the journal has another entry")
		}
		out = append(out, leaf)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// While the gateway runs: an entry below the checkpoint whose content no longer
// is what was signed for is neither shown nor proved.
func TestAnEntryAlteredUnderTheGatewayIsNotShown(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey})
	h := g.Handler()
	say(t, g, consent.Denied, []string{"ada", "bob"}, rag)
	if code, _, _ := get(t, h, adminKey, "/v1/log/proof/4"); code != 200 {
		t.Fatal(code)
	}
	execSQL(t, filepath.Join(dir, "assent.db"), "UPDATE ledger SET status = 1 WHERE position = 3")
	for path, want := range map[string]int{"/v1/consent/ada/history": 503, "/v1/log/proof/3": 503, "/v1/consent/bob/history": 200, "/v1/log/proof/4": 200} {
		if code, _, _ := get(t, h, adminKey, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}
