package httpapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/internal/httpapi"
)

var param = regexp.MustCompile(`[:*]([a-z]+)`)

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	if err := loadSpec(t).Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRoutesAreTheTablesAndOpenAPIs: what Gin serves, what the table says and
// what openapi.yaml promises, with the scope of each, are the same.
func TestRoutesAreTheTablesAndOpenAPIs(t *testing.T) {
	t.Parallel()
	var served, table, promised []string
	for _, r := range httpapi.Engine(httpapi.Deps{}).Routes() {
		if r.Method != http.MethodHead { // there for every GET
			served = append(served, r.Method+" "+r.Path)
		}
	}
	scopes, stated := map[string]string{}, map[string]string{}
	for _, l := range httpapi.Table() {
		table = append(table, l.Method+" "+l.Path)
		scopes[l.Method+" "+param.ReplaceAllString(l.Path, "{$1}")] = l.Scope
	}
	for path, item := range loadSpec(t).Paths.Map() {
		for method, op := range item.Operations() {
			promised = append(promised, method+" "+path)
			stated[method+" "+path], _ = op.Extensions["x-assent-scope"].(string)
			if !slices.Contains([]string{"public"}, stated[method+" "+path]) && op.Responses.Value("401") == nil {
				t.Errorf("%s %s does not promise 401", method, path)
			}
			if op.Responses.Value("401") != nil && op.Responses.Value("429") == nil {
				t.Errorf("%s %s does not promise 429", method, path)
			}
		}
	}
	slices.Sort(served)
	slices.Sort(table)
	slices.Sort(promised)
	if diff := cmp.Diff(table, served); diff != "" {
		t.Errorf("Gin serves other routes than the table (-table +gin):\n%s", diff)
	}
	if diff := cmp.Diff(scopes, stated); diff != "" {
		t.Errorf("openapi.yaml has other routes or scopes (-table +openapi):\n%s", diff)
	}
	for _, l := range httpapi.Table() {
		if l.Scope == "" {
			t.Errorf("%s %s needs no scope at all", l.Method, l.Path)
		}
	}
}
