package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mayImport says what the code of each package, its tests aside, may import:
// the packages named and what lies below them. "std" is the standard library
// without what onlyIn keeps for others; "all" is everything but that. A
// package that is not in the table may import nothing, which is how a new one
// comes to be added here.
//
// Domain packages know the standard library, small value libraries and each
// other along one direction; adapters know domains; cmd knows all.
var mayImport = map[string]string{
	// domains
	"consent":   "std internal/seal golang.org/x/text",
	"retrieval": "std consent internal/seal github.com/clipperhouse/uax29/v2 github.com/go-json-experiment/json golang.org/x/sync golang.org/x/text",
	"erasure":   "std consent internal/seal",
	"training":  "std consent internal/seal golang.org/x/sync/errgroup",
	"eval":      "std consent retrieval training",

	// what domains and adapters are made with
	"internal/seal":       "std",
	"internal/broker":     "std internal/events",
	"internal/credential": "std consent internal/seal",
	"internal/logging":    "std consent",
	"internal/translog":   "std consent github.com/secure-systems-lab/go-securesystemslib/dsse github.com/transparency-dev/merkle golang.org/x/mod/sumdb/note golang.org/x/sync/errgroup",

	"internal/events": "std consent internal/seal",

	// adapters
	"internal/amqp":         "std internal/broker internal/events github.com/rabbitmq/amqp091-go",
	"internal/announce":     "std",
	"internal/erasecheck":   "std consent retrieval erasure internal/seal golang.org/x/sync/errgroup", // verifies: nothing of what deletes
	"internal/embedded":     "std consent retrieval golang.org/x/sys/cpu",
	"internal/httpapi":      "std consent retrieval erasure internal/credential internal/events internal/translog github.com/gin-gonic/gin github.com/go-json-experiment/json golang.org/x/text golang.org/x/time/rate training",
	"internal/kafka":        "std internal/broker internal/events github.com/twmb/franz-go",
	"internal/localembed":   "std retrieval",
	"internal/openaiembed":  "std retrieval github.com/sashabaranov/go-openai golang.org/x/sync/errgroup",
	"internal/postgres":     "std consent retrieval erasure internal/credential internal/events internal/seal internal/translog github.com/jackc/pgx/v5 golang.org/x/sys training",
	"internal/sqlite":       "std consent retrieval erasure internal/credential internal/events internal/seal internal/translog modernc.org/sqlite training",
	"internal/testpg":       "std github.com/jackc/pgx/v5 golang.org/x/sys",
	"internal/telemetry":    "std consent retrieval internal/broker internal/translog go.opentelemetry.io/otel github.com/prometheus/client_golang",
	"internal/vault":        "std consent retrieval erasure internal/seal internal/translog golang.org/x/crypto/argon2 golang.org/x/sys/unix training",
	"internal/localkms":     "std internal/seal internal/vault",
	"internal/pgvault":      "std consent retrieval erasure training internal/postgres internal/seal internal/translog internal/vault",
	"internal/webhook":      "std internal/events",
	"internal/testledger":   "std consent internal/credential internal/sqlite internal/vault",
	"internal/testkafka":    "std github.com/twmb/franz-go/pkg/kfake",
	"internal/testrabbit":   "std github.com/rabbitmq/amqp091-go",
	"internal/testweaviate": "std",
	"internal/weaviate":     "std consent retrieval internal/seal github.com/weaviate/weaviate-go-client/v4 github.com/weaviate/weaviate github.com/google/uuid google.golang.org/grpc google.golang.org/protobuf/types/known/structpb golang.org/x/sync/errgroup",
	"internal/parquetrows":  "std training github.com/parquet-go/parquet-go",
	"internal/sealedfile":   "std training internal/seal",

	// what checks the log from outside: it knows nothing of what writes it
	"internal/verify":   "std",
	"cmd/assent-verify": "std internal/verify",

	// tests as packages
	"internal/storetest": "std consent retrieval erasure internal/credential internal/events internal/seal internal/translog internal/vault github.com/google/go-cmp training",
	"internal/rules":     "std",

	"internal/verify/testlog": "std consent github.com/transparency-dev/merkle golang.org/x/mod/sumdb/note",

	// where everything meets
	"internal/gateway": "all",
	"cmd/assent":       "all",
	"scripts/testsum":  "std",
	"deploy":           "",
}

// onlyIn keeps an import for some packages. What lies below it is kept too,
// except in the standard library, where net/url has little to do with net.
var onlyIn = map[string]string{
	"github.com/gin-gonic/gin": "internal/httpapi",
	"modernc.org":              "internal/sqlite",
	"go.opentelemetry.io":      "internal/telemetry",
	"github.com/prometheus":    "internal/telemetry",
	"database/sql":             "internal/sqlite",
	"database/sql/driver":      "internal/sqlite",

	// Domains hear of requests, status codes and sockets from nobody.
	"net/http": "internal/announce internal/httpapi internal/logging internal/gateway internal/localkms internal/openaiembed internal/telemetry internal/verify cmd/assent internal/testweaviate internal/weaviate internal/webhook",
	"net":      "internal/amqp internal/broker internal/kafka internal/httpapi internal/logging internal/gateway internal/postgres internal/testpg cmd/assent internal/testkafka internal/testrabbit internal/testweaviate internal/weaviate internal/webhook",
	// Every adapter is known where everything meets, and nowhere else.
	"internal/amqp":         "internal/gateway cmd/assent",
	"internal/announce":     "internal/gateway",
	"internal/embedded":     "internal/gateway",
	"internal/erasecheck":   "internal/gateway",
	"internal/gateway":      "cmd/assent",
	"internal/httpapi":      "internal/gateway cmd/assent",
	"internal/kafka":        "internal/gateway cmd/assent",
	"internal/localembed":   "internal/gateway",
	"internal/openaiembed":  "internal/gateway cmd/assent",
	"internal/postgres":     "internal/gateway internal/pgvault cmd/assent",
	"internal/sqlite":       "internal/gateway internal/testledger",
	"internal/testpg":       "",
	"internal/telemetry":    "internal/gateway cmd/assent",
	"internal/vault":        "internal/gateway internal/localkms cmd/assent internal/storetest internal/pgvault internal/testledger",
	"internal/localkms":     "cmd/assent",
	"internal/pgvault":      "internal/gateway cmd/assent",
	"internal/testledger":   "",
	"internal/testkafka":    "",
	"internal/testrabbit":   "",
	"internal/testweaviate": "",
	"internal/weaviate":     "internal/gateway cmd/assent",
	"internal/webhook":      "internal/gateway",
	"internal/parquetrows":  "internal/gateway",
	"internal/sealedfile":   "internal/gateway",

	"internal/verify": "cmd/assent-verify",

	// Tests as packages are for tests.
	"internal/verify/testlog": "",
	"testing":                 "internal/storetest internal/testpg internal/testkafka internal/testledger internal/testrabbit internal/testweaviate",
	"internal/storetest":      "",
	"internal/rules":          "",

	// http.Server takes a logger of this kind; it is one that discards.
	"log": "internal/httpapi internal/telemetry",
}

// neverIn says what code outside tests never does, and where it may.
var neverIn = []struct{ call, but, why string }{
	{"init", "", "what a package needs is made where it is used"},
	{"time.Sleep", "", "who waits also waits for its context"},
	{"time.Now", "cmd erasure eval training internal/erasecheck internal/httpapi internal/openaiembed internal/sqlite internal/telemetry internal/testpg internal/testrabbit internal/testweaviate internal/translog internal/vault internal/pgvault internal/weaviate internal/events internal/webhook", "the clock that counts is the database's; where durations are measured it may be asked"},
	{"fmt.Print", "cmd", "only a command speaks, and only to the writer it was given"},
	{"fmt.Printf", "cmd", "only a command speaks, and only to the writer it was given"},
	{"fmt.Println", "cmd", "only a command speaks, and only to the writer it was given"},
	{"log.Print", "", "logs go through the slog.Logger that was passed in"},
	{"log.Printf", "", "logs go through the slog.Logger that was passed in"},
	{"log.Println", "", "logs go through the slog.Logger that was passed in"},
	{"log.Fatal", "", "errors are returned"},
	{"log.Fatalf", "", "errors are returned"},
	{"log.Fatalln", "", "errors are returned"},
	{"os.Exit", "cmd scripts", "errors are returned"},
}

func TestPackagesImportWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, p := range tree(t) {
		for _, problem := range p.imports() {
			t.Error(problem)
		}
	}
}

func TestNothingDoesWhatIsNeverDone(t *testing.T) {
	t.Parallel()
	for _, p := range tree(t) {
		for _, problem := range p.calls() {
			t.Error(problem)
		}
	}
}

// A row for a package that is gone, or a place that nothing is kept for, would
// be a rule about nothing. The domains still to come are named.
func TestTheTablesNameWhatIsThere(t *testing.T) {
	t.Parallel()
	there := map[string]bool{"erasure": true}
	for _, p := range tree(t) {
		there[p.dir] = true
	}
	for dir := range mayImport {
		if !there[dir] {
			t.Errorf("mayImport has a row for %s, which is not there", dir)
		}
	}
	for name, dirs := range onlyIn {
		for _, dir := range strings.Fields(dirs) {
			if !there[dir] {
				t.Errorf("onlyIn keeps %s for %s, which is not there", name, dir)
			}
		}
	}
}

// imports lists what is imported although it may not be.
func (p *pkg) imports() (problems []string) {
	may, ok := mayImport[p.dir]
	if !ok {
		return []string{fmt.Sprintf("%s is in no row of mayImport: add one that says what it may know", p.dir)}
	}
	for _, f := range p.files {
		for _, imp := range f.imports {
			if keeper, kept := keeper(imp); kept {
				if !slices.Contains(strings.Fields(onlyIn[keeper]), p.dir) {
					problems = append(problems, fmt.Sprintf("%s imports %s, which is kept for: %s", f.name, imp, onlyIn[keeper]))
					continue
				}
				if isStd(imp) {
					continue
				}
			}
			if !allowed(strings.Fields(may), imp) {
				problems = append(problems, fmt.Sprintf("%s imports %s; %s may import: %s", f.name, imp, p.dir, may))
			}
		}
	}
	return problems
}

// keeper is the row of onlyIn that covers an import.
func keeper(imp string) (row string, ok bool) {
	for name := range onlyIn {
		if name == imp || !isStd(imp) && covers(name, imp) {
			return name, true
		}
	}
	return "", false
}

func allowed(may []string, imp string) bool {
	for _, m := range may {
		if m == "all" || m == "std" && isStd(imp) || covers(m, imp) {
			return true
		}
	}
	return false
}

func covers(name, imp string) bool { return imp == name || strings.HasPrefix(imp, name+"/") }

// isStd tells the standard library by the first element of the path: it has no
// dot, and is none of ours.
func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	switch first {
	case "cmd", "consent", "retrieval", "erasure", "training", "eval", "internal", "scripts":
		return false
	}
	return !strings.Contains(first, ".")
}

// calls lists what is done although it never is.
func (p *pkg) calls() (problems []string) {
	for _, f := range p.files {
		for _, call := range f.calls {
			for _, never := range neverIn {
				excepted := slices.ContainsFunc(strings.Fields(never.but), func(dir string) bool { return covers(dir, p.dir) })
				if call == never.call && !excepted {
					problems = append(problems, fmt.Sprintf("%s has %s: %s", f.name, call, never.why))
				}
			}
		}
	}
	return problems
}
