package deploy

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "github.com/oasdiff/yaml3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// document is a YAML file as JSON would hold it.
func document(t *testing.T, name string) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal(read(t, name), &tree); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return out.(map[string]any)
}

// No Docker engine is asked: the file is held against the Compose
// Specification's own schema, and its references against each other.
func TestComposeFileIsOne(t *testing.T) {
	t.Parallel()
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, "testdata/compose-spec.json")))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("compose.json", raw); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("compose.json")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, "compose.yaml")
	if err := schema.Validate(doc); err != nil {
		t.Fatal(err)
	}
	broken := document(t, "compose.yaml")
	broken["services"].(map[string]any)["assent"].(map[string]any)["volume"] = []any{"x"}
	if schema.Validate(broken) == nil {
		t.Error("the schema takes anything, so the test shows nothing")
	}
	services := doc["services"].(map[string]any)
	if len(services) < 9 {
		t.Errorf("%d services", len(services))
	}
	for _, on := range []string{"epoch-key", "postgres-data", "postgres-vault", "weaviate"} {
		if !has(services["gateway-3"].(map[string]any)["depends_on"], on) {
			t.Errorf("gateway-3 does not wait for %s", on)
		}
	}
	for name, s := range services {
		s := s.(map[string]any)
		for _, v := range list(s["volumes"]) {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, "./") {
				read(t, from)
			} else if !has(doc["volumes"], from) {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		for _, n := range list(s["networks"]) {
			if !has(doc["networks"], n) {
				t.Errorf("%s: there is no network %s", name, n)
			}
		}
		for _, n := range list(s["secrets"]) {
			if !has(doc["secrets"], n) {
				t.Errorf("%s: there is no secret %s", name, n)
			}
		}
		for _, p := range list(s["ports"]) {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, p)
			}
		}
		deps, _ := s["depends_on"].(map[string]any)
		for dep, how := range deps {
			on, ok := services[dep].(map[string]any)
			if !ok || !slices.Equal(list(on["profiles"]), list(s["profiles"])) {
				t.Errorf("%s depends on %s, which is not in its profile", name, dep)
			}
			if how.(map[string]any)["condition"] == "service_healthy" && on["healthcheck"] == nil && on["image"] != "assent" {
				t.Errorf("%s waits for the health of %s, which has no check", name, dep)
			}
		}
		if list(s["profiles"]) == nil {
			t.Errorf("%s starts in every profile", name)
		}
		if s["image"] == "assent" && (s["read_only"] != true || s["cap_drop"] == nil) {
			t.Errorf("%s has more rights than it needs", name)
		}
	}
	for name, s := range doc["secrets"].(map[string]any) {
		file := s.(map[string]any)["file"].(string)
		if !strings.HasPrefix(file, "secrets/") {
			t.Errorf("the secret %s is not in secrets/", name)
		}
		if example := read(t, "secrets.example/"+filepath.Base(file)); !strings.Contains(string(example), "CHANGE-ME") {
			t.Errorf("%s holds no placeholder", file)
		}
	}
	for _, w := range []string{"PASSWORD:", "API_KEY:", "ADMIN_KEY:", "ALLOWED_KEYS:"} {
		if strings.Contains(string(read(t, "compose.yaml")), w) {
			t.Errorf("compose.yaml sets a secret itself: %s", w)
		}
	}
}

func list(v any) (out []string) {
	l, _ := v.([]any)
	for _, one := range l {
		out = append(out, one.(string))
	}
	return out
}

func has(m any, key string) bool { _, ok := m.(map[string]any)[key]; return ok }

// The other files parse, and Prometheus scrapes every gateway there is.
func TestPrometheusScrapesEveryGateway(t *testing.T) {
	t.Parallel()
	document(t, "collector.yaml")
	prometheus := string(read(t, "prometheus.yaml"))
	document(t, "prometheus.yaml")
	for name, s := range document(t, "compose.yaml")["services"].(map[string]any) {
		env, _ := s.(map[string]any)["environment"].(map[string]any)
		if addr, ok := env["ASSENT_METRICS_ADDR"].(string); ok {
			_, port, _ := strings.Cut(addr, ":")
			if !strings.Contains(prometheus, `"`+name+":"+port+`"`) {
				t.Errorf("%s is not scraped", name)
			}
		}
	}
}

// metrics are the names that a gateway exports, each with its labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{Routes: []string{"/x"}})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := tel.Watch(telemetry.Sources{
		Ready: func(context.Context) error { return nil }, Ledger: func() consent.Stats { return consent.Stats{} },
		Log: func() translog.Stats { return translog.Stats{} }, KeySlots: func() int { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_, end := tel.HTTP().Request(t.Context(), "GET", "/x")
	end(200)
	tel.HTTP().Limited("/x")
	_, done := tel.Ledger().Begin(t.Context(), consent.StepHead)
	done(nil)
	tel.Ledger().Decided(consent.ReasonGranted)
	tel.Retrieval().Searched(retrieval.ModeHybrid, retrieval.Complete)
	tel.Retrieval().Dropped("consent")
	tel.Outside()("gone", 1)
	tel.Retrieval().Ingested(retrieval.Stored)
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	out := map[string][]string{}
	label := regexp.MustCompile(`([a-z]+)="`)
	for line := range strings.Lines(w.Body.String()) {
		name := regexp.MustCompile(`^assent_[a-z_]+`).FindString(line)
		if name == "" {
			continue
		}
		out[name] = nil
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			out[name] = append(out[name], m[1])
		}
	}
	return out
}

// What the dashboard and the README speak of is what a gateway exports.
func TestDashboardAndReadmeKnowEveryMetric(t *testing.T) {
	t.Parallel()
	exported := metrics(t)
	if len(exported) < 20 {
		t.Fatalf("only %d metrics", len(exported))
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "grafana.json"), &board); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`assent_[a-z_]+`)
	by := regexp.MustCompile(`by \(([a-z, ]+)\)`)
	shown := map[string]bool{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, n := range name.FindAllString(target.Expr, -1) {
				labels, ok := exported[n]
				if !ok {
					t.Errorf("%s shows %s, which is not exported", p.Title, n)
				}
				shown[base(n)] = true
				for _, m := range by.FindAllStringSubmatch(target.Expr, -1) {
					for l := range strings.SplitSeq(m[1], ", ") {
						if l != "instance" && !slices.Contains(labels, l) {
							t.Errorf("%s groups %s by %s", p.Title, n, l)
						}
					}
				}
			}
		}
	}
	readme := string(read(t, "../README.md"))
	for n := range exported {
		if !shown[base(n)] {
			t.Errorf("no panel shows %s", n)
		}
		if !strings.Contains(readme, "`"+base(n)+"`") {
			t.Errorf("README does not name %s", base(n))
		}
	}
}

// base is a metric's name without what a histogram appends.
func base(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// buildContext copies what .dockerignore lets into an image's build.
func buildContext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for line := range strings.Lines(string(read(t, "../.dockerignore"))) {
		what, ok := strings.CutPrefix(strings.TrimSpace(line), "!")
		if !ok {
			continue
		}
		err := filepath.WalkDir(filepath.Join("..", what), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // a domain that is still to come
			}
			if err != nil || d.IsDir() && d.Name() == "testdata" {
				return errOr(err, fs.SkipDir)
			}
			if d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			to := filepath.Join(dir, strings.TrimPrefix(path, ".."))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.WriteFile(to, read(t, path), info.Mode())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// The Dockerfile's own commands, outside Docker, on what .dockerignore leaves:
// static programs, that start with its environment and pass its health check.
func TestImageCommandsMakeAProgramThatIsHealthy(t *testing.T) {
	t.Parallel()
	file := string(read(t, "Dockerfile"))
	for _, line := range []string{"RUN ./deploy/build /out/bin", "USER 65532:65532", `CMD ["/assent", "health"]`, `ENTRYPOINT ["/assent"]`, `CMD ["serve"]`, "FROM scratch"} {
		if !strings.Contains(file, line+"\n") {
			t.Fatalf("the Dockerfile lacks %q: this test runs something else than it does", line)
		}
	}
	root := t.TempDir()
	build := exec.Command("./deploy/build", root)
	build.Dir = buildContext(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"assent", "assent-verify"} {
		static(t, filepath.Join(root, name))
	}
	env := []string{"ASSENT_ALLOW_PLAINTEXT=1"}
	for _, m := range regexp.MustCompile(`(ASSENT_[A-Z]+)=(\S+)`).FindAllStringSubmatch(file, -1) {
		value := m[2]
		if strings.HasPrefix(value, "/") {
			value = root + value
			if err := os.Mkdir(filepath.Dir(value), 0o755); err != nil { // the empty directory that is a volume
				t.Fatal(err)
			}
		} else {
			value = "127.0.0.1:0" // the port of this machine may be taken
		}
		env = append(env, m[1]+"="+value)
	}
	if len(env) != 4 {
		t.Fatalf("environment %v", env)
	}
	serve := exec.CommandContext(t.Context(), filepath.Join(root, "assent"), "serve")
	serve.Env = env
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	url, said := "", ""
	buf := make([]byte, 4096)
	for url == "" {
		n, err := out.Read(buf)
		said += string(buf[:n])
		if m := regexp.MustCompile(`serving on (http://\S+)\n`).FindStringSubmatch(said); m != nil {
			url = m[1]
		}
		if err != nil {
			t.Fatalf("it does not serve: %v\n%s", err, said)
		}
	}
	go io.Copy(io.Discard, out)
	health := exec.Command(filepath.Join(root, "assent"), "health")
	health.Env = []string{"ASSENT_ADDR=" + strings.TrimPrefix(url, "http://")}
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("not healthy: %v %s", err, out)
	}
	if err := serve.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("it stops with %v", err)
	}
	again := exec.Command(health.Path, "health")
	again.Env = health.Env
	if err := again.Run(); err == nil {
		t.Error("healthy after its end")
	}
}

// static fails when a program needs anything of the system it runs on.
func static(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libs, err := f.ImportedLibraries(); err == nil && len(libs) > 0 {
		t.Errorf("%s needs %v", path, libs)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", path)
		}
	}
	if b := read(t, path); bytes.Contains(b, []byte(filepath.Dir(filepath.Dir(path)))) {
		t.Errorf("%s holds paths of this machine", path)
	}
}
