package gateway_test

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// What a place holds of people, and so what becomes of it when one is erased.
const (
	nothing   = "nothing of a person"
	numbers   = "random numbers, positions and times: remain, and the receipt says so"
	ledger    = "remains: sealed under the person's key, or in clear kinds, statuses and times"
	mark      = "remains: the suppression mark"
	idempot   = "remains: for 24 hours; of events that came in, a keyed digest of source and id for good"
	evidence  = "remains: sealed evidence of the request, with an end of its own"
	oneTime   = "probe material and its key: destroyed when the receipt is signed"
	catalogue = "target " + erasecheck.Catalogue
	recordKey = "target " + erasecheck.RecordKeys
	person    = "target " + erasecheck.Person
	copies    = "target " + erasecheck.Manifests
	decided   = "remains: who decided about a training run, sealed under the tenant's key"
	tokens    = "remains: which rows manifests held, as sealed keyed tokens, and whom by number"
)

// columns classifies every column of every table. Both dialects have the same.
var columns = map[string]string{
	"schema_migrations.number": nothing, "schema_migrations.name": nothing, "schema_migrations.applied_at": nothing,
	"meta.name": nothing, "meta.value": nothing,
	"tenants.id": nothing, "tenants.sealed": nothing, "tenants.created_at": nothing, "tenants.ledger_head": nothing, "tenants.corpus_head": nothing,
	"api_keys.id": nothing, "api_keys.tenant": nothing, "api_keys.hash": nothing, "api_keys.sealed": nothing,
	"api_keys.created_at": nothing, "api_keys.expires_at": nothing, "api_keys.revoked_at": nothing,
	"subjects.tenant": nothing, "subjects.num": numbers, "subjects.lookup": person, "subjects.lookup_version": mark,
	"subjects.key_slot": person, "subjects.key_id": person, "subjects.sealed": person,
	"ledger.tenant": nothing, "ledger.position": numbers, "ledger.kind": ledger, "ledger.subject": numbers, "ledger.purpose": ledger,
	"ledger.major": ledger, "ledger.minor": ledger, "ledger.status": ledger, "ledger.jurisdiction": ledger, "ledger.acted_at": ledger,
	"ledger.recorded_at": ledger, "ledger.expires_at": ledger, "ledger.sealed": ledger, "ledger.leaf": ledger, "ledger.mac": ledger,
	"collections.tenant": nothing, "collections.id": nothing, "collections.lookup": nothing, "collections.sealed": nothing,
	"documents.id": numbers, "documents.tenant": nothing, "documents.num": numbers, "documents.collection": numbers,
	"documents.lookup": catalogue, "documents.digest": catalogue, "documents.source": catalogue, "documents.key_slot": recordKey,
	"documents.key_id": recordKey, "documents.personal": numbers, "documents.retain_until": catalogue, "documents.passages": numbers,
	"documents.decided_at": numbers, "documents.from_pos": numbers, "documents.to_pos": numbers, "documents.sealed": catalogue,
	"document_subjects.doc": catalogue, "document_subjects.role": catalogue, "document_subjects.ordinal": catalogue, "document_subjects.subject": catalogue,
	"heads.id": catalogue, "heads.sealed": catalogue, "bodies.id": catalogue, "bodies.sealed": catalogue,
	"remembered.tenant": nothing, "remembered.key": idempot, "remembered.body": idempot, "remembered.outcome": idempot, "remembered.at": idempot,
	"log_heads.tenant": nothing, "log_heads.checkpoint": nothing,
	"log_nodes.tenant": nothing, "log_nodes.level": nothing, "log_nodes.idx": nothing, "log_nodes.hash": nothing,
	"erasures.tenant": nothing, "erasures.id": numbers, "erasures.name": mark, "erasures.state": numbers, "erasures.open": numbers,
	"erasures.version": numbers, "erasures.position": numbers, "erasures.created_at": numbers, "erasures.due_at": numbers,
	"erasures.holder": nothing, "erasures.held_until": nothing,
	"manifests.tenant": nothing, "manifests.id": nothing, "manifests.state": nothing, "manifests.holder": nothing, "manifests.inputs": nothing,
	"manifests.key_slot": copies, "manifests.key_id": copies, "manifests.created_at": nothing, "manifests.sealed": tokens,
	"manifest_parts.tenant": nothing, "manifest_parts.manifest": nothing, "manifest_parts.part": nothing, "manifest_parts.sealed": tokens,
	"manifest_subjects.tenant": nothing, "manifest_subjects.subject": tokens, "manifest_subjects.manifest": tokens,
	"manifest_documents.tenant": nothing, "manifest_documents.manifest": nothing, "manifest_documents.part": nothing, "manifest_documents.sealed": tokens,
	"erased_documents.tenant": nothing, "erased_documents.of": nothing, "erased_documents.num": tokens,
	"manifest_run_notes.tenant": nothing, "manifest_run_notes.manifest": nothing, "manifest_run_notes.lookup": nothing,
	"manifest_run_notes.position": nothing, "manifest_run_notes.sealed": decided,
	"manifest_runs.tenant": nothing, "manifest_runs.manifest": nothing, "manifest_runs.lookup": nothing, "manifest_runs.position": nothing, "manifest_runs.sealed": nothing,
	"outside_documents.tenant": nothing, "outside_documents.num": numbers, "outside_documents.collection": numbers, "outside_documents.state": numbers,
	"outside_documents.until": numbers, "outside_people.tenant": nothing, "outside_people.collection": numbers, "outside_people.subject": numbers,
	"outside_people.seq": numbers, "outside_people.verdicts": ledger, "outside_heads.tenant": nothing, "outside_heads.seq": nothing,
	"outside_heads.holder": nothing, "outside_heads.until": nothing,
	"event_cursors.tenant": nothing, "event_cursors.sink": nothing, "event_cursors.position": nothing, "event_cursors.holder": nothing,
	"event_cursors.held_until": nothing, "event_stale.tenant": nothing, "event_stale.manifest": nothing, "event_stale.position": numbers,
	"processors.tenant": nothing, "processors.name": nothing, "processors.version": nothing, "processors.sealed": nothing,
	"erasures.key_slot": oneTime, "erasures.key_id": oneTime, "erasures.sealed": numbers, "erasures.archive": evidence,
	"erasures.archive_until": evidence, "erasures.receipt": nothing,
}

// files classifies every kind of file of data directory and vault.
var files = map[string]string{
	`data/holder`: nothing, `data/assent\.db(-wal|-shm)?`: catalogue, `data/lock`: nothing, `data/erasure-control-e.*`: nothing,
	`vault/lock`: nothing, `vault/epoch-\d+`: nothing, `vault/keyring`: nothing, `vault/slots`: recordKey, `vault/journal`: ledger,
	`vault/admin\.key`: nothing, `vault/state`: nothing, `vault/rewrap`: recordKey, `vault/checkpoint-[0-9a-f]+`: nothing,
	`vault/probe-e[a-z0-9]+`: oneTime, `vault/erasure-control-e.*`: nothing,
}

// attributes are those that the log may have: each is one that cannot hold
// anything of a person, which is what internal/logging/keys.go says of its list.
var attributes = strings.Fields(`count bytes status position corpus_position tenants collections documents passages dropped damaged
	entries dimensions lines attempt pid duration wait uptime method route code reason step component state kind version addr panic_type
	key_id decision_id job_id why error`)

// Every table, column, file and log attribute is classified: what is new fails
// here until somebody decided what becomes of it when a person is erased, and a
// target that it names is one that the cascade has.
func TestEverythingThatRestsIsClassified(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	erase(t, g, "ada")

	targets := map[string]bool{}
	for _, target := range (erasecheck.Setup{DataDir: "data", VaultDir: "vault"}).Targets() {
		targets["target "+target.Name] = true
	}
	known := func(what, class string) {
		t.Helper()
		if strings.HasPrefix(class, "target ") && !targets[class] {
			t.Errorf("%s is of %q, which no cascade has", what, class)
		}
	}
	left := map[string]bool{}
	for name, class := range columns {
		left[name] = true
		known(name, class)
	}
	for _, name := range columnsOf(t, filepath.Join(dir, "assent.db")) {
		if columns[name] == "" {
			t.Errorf("the column %s is not classified", name)
		}
		delete(left, name)
	}
	for name := range left {
		t.Errorf("the column %s is classified and not there", name)
	}

	for root, what := range map[string]string{dir: "data/", dir + ".vault": "vault/"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, found := what+d.Name(), false
			for pattern, class := range files {
				known(pattern, class)
				found = found || regexp.MustCompile("^"+pattern+"$").MatchString(name)
			}
			if !found {
				t.Errorf("the file %s is not classified", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	source, err := os.ReadFile(filepath.Join("..", "logging", "keys.go"))
	if err != nil {
		t.Fatal(err)
	}
	list := string(source)
	list = list[strings.Index(list, "var allowed"):strings.Index(list, "// whys are")]
	there := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(list, -1) {
		there[m[1]] = true
	}
	for _, name := range attributes {
		if !there[name] {
			t.Errorf("the log attribute %s is classified and not there", name)
		}
		delete(there, name)
	}
	for name := range there {
		t.Errorf("the log attribute %s is not classified", name)
	}
}

// columnsOf lists table.column of a database file.
func columnsOf(t *testing.T, path string) (names []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if len(names) < 50 {
		t.Fatalf("only %d columns found", len(names))
	}
	return names
}
