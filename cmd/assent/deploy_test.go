package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "github.com/oasdiff/yaml3"

	"github.com/assent-gateway/assent/internal/testweaviate"
)

// What the files in deploy set is what serve knows and takes.
func TestDeploySetsWhatServeTakes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "deploy")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	image := map[string]string{}
	for _, m := range regexp.MustCompile(`(ASSENT_[A-Z_]+)=(\S+)`).FindAllStringSubmatch(string(read("Dockerfile")), -1) {
		image[m[1]] = m[2]
	}
	unit := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^Environment=(ASSENT_[A-Z_]+)=(\S+)$`).FindAllStringSubmatch(string(read("assent.service")), -1) {
		unit[m[1]] = m[2]
	}
	takes(t, "assent.service", unit)
	var file struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal(read("compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	var secret map[string]string
	if err := json.Unmarshal(read("secrets.example/cluster.json"), &secret); err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, s := range file.Services {
		if s.Image != "assent" {
			continue
		}
		n++
		env := maps.Clone(image)
		maps.Copy(env, s.Environment)
		if env["ASSENT_CONFIG"] != "" {
			delete(env, "ASSENT_CONFIG") // its content instead
			maps.Copy(env, secret)
		}
		for k, v := range env {
			if strings.HasPrefix(v, "${") {
				env[k] = "" // unset in the environment of docker compose
			}
		}
		takes(t, name, env)
	}
	if n != 4 {
		t.Errorf("%d gateways", n)
	}
	// Placeholders that nobody replaced are refused.
	if _, err := load(secret); err == nil || !strings.Contains(err.Error(), "ASSENT_ADMIN_KEY") {
		t.Errorf("the example's admin key is taken: %v", err)
	}
}

// takes fails when serve does not know a name, or refuses the whole; names that
// are still to be built are known, and refused.
func takes(t *testing.T, who string, env map[string]string) {
	t.Helper()
	unbuilt := false
	for name := range env {
		known := slices.ContainsFunc(settings, func(s setting) bool { return s.env == name }) || strings.HasPrefix(name, "OTEL_")
		if !known && !slices.Contains(later, name) {
			t.Errorf("%s sets %s, which serve does not know", who, name)
		}
		unbuilt = unbuilt || !known
	}
	env = maps.Clone(env)
	if env["ASSENT_ADMIN_KEY"] != "" {
		env["ASSENT_ADMIN_KEY"] = "assent_long_enough_for_an_admin"
	}
	if _, err := load(env); err != nil && !unbuilt {
		t.Errorf("%s: serve refuses its settings: %v", who, err)
	}
}

// A Weaviate that is set up as compose.yaml does it is one that a gateway takes,
// and a search and an insert work with the key alone.
func TestAGatewayTakesTheWeaviateOfTheComposeFile(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]struct{ Environment map[string]string }
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	settings := []string{"AUTOSCHEMA_ENABLED=true"} // the server's own default
	for name, v := range file.Services["weaviate"].Environment {
		if name != "PERSISTENCE_DATA_PATH" && name != "CLUSTER_HOSTNAME" {
			settings = append(settings, name+"="+v)
		}
	}
	w := testweaviate.Start(t, append(settings, "AUTHENTICATION_APIKEY_ALLOWED_KEYS=hush-hush")...)
	env := map[string]string{
		"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(t.TempDir(), "data"),
		"ASSENT_WEAVIATE_URL": w.URL(), "ASSENT_WEAVIATE_GRPC": w.GRPC(), "ASSENT_WEAVIATE_API_KEY": "hush-hush",
	}
	s, err := serveWith(t, env)
	if err != nil {
		t.Fatal(err)
	}
	at := func(stdin string, args ...string) string {
		t.Helper()
		got := assentWith(t, map[string]string{"ASSENT_URL": s.url, "ASSENT_DATA": env["ASSENT_DATA"]}, strings.NewReader(stdin), args...)
		if got.status != 0 {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.out
	}
	at("", "consent", "grant", "ada", "embedding_v1.0", "rag_retrieval_v1.0")
	at(`{"id":"a","owners":["ada"],"text":"The printer is on fire."}`, "ingest", "--collection", "mails", "-")
	if out := at("", "search", "--collection", "mails", "printer"); !strings.Contains(out, "  a\n") {
		t.Error(out)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	delete(env, "ASSENT_WEAVIATE_API_KEY")
	if s, err := serveWith(t, env); err == nil {
		_ = s.stop()
		t.Error("it serves without the key")
	}
}
