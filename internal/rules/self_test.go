package rules

import (
	"strings"
	"testing"
	"testing/fstest"
)

// The rules can fail: each of these breaks one.
func TestARuleThatIsBrokenIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, source, want string }{
		{"consent/a.go", `import "github.com/assent-gateway/assent/retrieval"`, "consent may import"},
		{"consent/a.go", `import "github.com/gin-gonic/gin"`, "kept for: internal/httpapi"},
		{"consent/a.go", `import "database/sql"`, "kept for: internal/sqlite"},
		{"consent/a.go", `import "net/http"`, "kept for"},
		{"consent/a.go", `import "golang.org/x/crypto/hkdf"`, "consent may import"},
		{"consent/a.go", `import _ "github.com/assent-gateway/assent/internal/sqlite"`, "kept for: internal/gateway"},
		{"consent/a_linux.go", `import "github.com/weaviate/weaviate-go-client/v4/weaviate"`, "consent may import"},
		{"retrieval/a.go", `import "github.com/assent-gateway/assent/internal/vault"`, "kept for: internal/gateway"},
		{"retrieval/a.go", `import "modernc.org/sqlite"`, "kept for: internal/sqlite"},
		{"eval/a.go", `import "github.com/assent-gateway/assent/internal/gateway"`, "kept for: cmd/assent"},
		{"internal/seal/a.go", `import "github.com/assent-gateway/assent/consent"`, "internal/seal may import"},
		{"internal/sqlite/a.go", `import "github.com/assent-gateway/assent/internal/httpapi"`, "kept for"},
		{"internal/gateway/a.go", `import "github.com/gin-gonic/gin/binding"`, "kept for: internal/httpapi"},
		{"internal/vault/a.go", `import "github.com/assent-gateway/assent/internal/storetest"`, "kept for: "},
		{"internal/brandnew/a.go", `import "fmt"`, "in no row"},
		{"retrieval/a.go", `func init() {}`, "has init"},
		{"retrieval/a.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "has time.Sleep"},
		{"retrieval/a.go", "import clock \"time\"\nvar wait = clock.Sleep", "has time.Sleep"},
		{"internal/vault/a.go", "import \"fmt\"\nfunc f() { fmt.Println() }", "has fmt.Println"},
		{"internal/httpapi/a.go", "import \"log\"\nfunc f() { log.Printf(``) }", "has log.Printf"},
		{"cmd/assent/a.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "has time.Sleep"},
	} {
		got := problems(t, c.name, c.source)
		if len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %s\n\treported %q, want %q", c.name, c.source, got, c.want)
		}
	}
}

func TestWhatTheRulesAllowIsNotReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, source string }{
		{"consent/a.go", `import "golang.org/x/text/unicode/norm"`},
		{"consent/a.go", `import "net/netip"`},
		{"consent/a_test.go", `import "github.com/assent-gateway/assent/internal/storetest"`},
		{"consent/testdata/a.go", `import "github.com/gin-gonic/gin"`},
		{"retrieval/a.go", "type t struct{}\nfunc (t) init() {}"},
		{"retrieval/a.go", "import \"time\"\nvar _ = time.NewTimer"},
		{"internal/sqlite/a.go", `import _ "modernc.org/sqlite"`},
		{"internal/gateway/a.go", `import "github.com/assent-gateway/assent/internal/httpapi"`},
		{"cmd/assent/a.go", "import \"fmt\"\nfunc f() { fmt.Println() }"},
	} {
		if got := problems(t, c.name, c.source); len(got) > 0 {
			t.Errorf("%s: %s\n\treported %q", c.name, c.source, got)
		}
	}
}

func problems(t *testing.T, name, source string) (out []string) {
	t.Helper()
	pkgs, err := readDir(fstest.MapFS{name: &fstest.MapFile{Data: []byte("package p\n" + source + "\n")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		out = append(out, p.imports()...)
		out = append(out, p.calls()...)
	}
	return out
}
