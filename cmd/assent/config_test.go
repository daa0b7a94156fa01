package main

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

func load(env map[string]string, args ...string) (*config, error) {
	return loadConfig(args, func(name string) string { return env[name] }, io.Discard)
}

func TestServeNeedsNoSettings(t *testing.T) {
	t.Parallel()
	c, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != "127.0.0.1:8080" || c.data != "./assent-data" || c.vault != "assent-data.vault" {
		t.Errorf("%+v", c)
	}
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	t.Parallel()
	file := write(t, "assent.json", `{"ASSENT_ADDR": "127.0.0.1:1", "ASSENT_DATA": "file", "ASSENT_VAULT": "vault"}`)
	c, err := load(map[string]string{"ASSENT_CONFIG": file, "ASSENT_ADDR": "127.0.0.1:2", "ASSENT_DATA": "env"}, "--addr", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != "127.0.0.1:3" || c.data != "env" || c.vault != "vault" {
		t.Errorf("addr %s, data %s, vault %s", c.addr, c.data, c.vault)
	}
}

func TestAllMistakesAreNamedAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	_, err := load(map[string]string{
		"ASSENT_ADDR": "0.0.0.0:80", "ASSENT_ADMIN_KEY": "hush", "ASSENT_TRUSTED_PROXIES": "somewhere",
		"ASSENT_POLICY": "/nonexistent", "ASSENT_ALLOW_VAULT_INSIDE": "yes",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"ASSENT_ADDR", "ASSENT_ADMIN_KEY", "ASSENT_TRUSTED_PROXIES", "ASSENT_POLICY", "ASSENT_ALLOW_VAULT_INSIDE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the error shows the key: %v", err)
	}
}

func TestAnAddressOffLoopbackNeedsTLSOrAProxyOrItsOverride(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"loopback":            {map[string]string{"ASSENT_ADDR": "[::1]:8080"}, true},
		"a name for loopback": {map[string]string{"ASSENT_ADDR": "localhost:8080"}, true},
		"every address":       {map[string]string{"ASSENT_ADDR": ":8080"}, false},
		"another name":        {map[string]string{"ASSENT_ADDR": "localhost.example:8080"}, false},
		"TLS":                 {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_TLS_CERT": "c", "ASSENT_TLS_KEY": "k"}, true},
		"half of TLS":         {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_TLS_CERT": "c"}, false},
		"a proxy":             {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_TRUSTED_PROXIES": "10.0.0.0/8, 10.1.2.3"}, true},
		"the override":        {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_ALLOW_PLAINTEXT": "1"}, true},
		"another override":    {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_ALLOW_VAULT_INSIDE": "1"}, false},
	} {
		if _, err := load(c.env); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheConfigurationFileHoldsNamesThatServeKnows(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		`{"ASSENT_DATE": "x"}`: "ASSENT_DATE",
		`{"ASSENT_DATA": 7}`:   "not a JSON object of strings",
		`ASSENT_DATA=x`:        "not a JSON object of strings",
	} {
		_, err := load(nil, "--config", write(t, "assent.json", content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", content, err, want)
		}
	}
	if _, err := load(nil, "--config", "/nonexistent/assent.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestPrintedSettingsHideTheKey(t *testing.T) {
	t.Parallel()
	c, err := load(map[string]string{"ASSENT_ADMIN_KEY": "hush-hush-hush-hush-hush"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c.print(&out)
	if strings.Contains(out.String(), "hush") || !strings.Contains(out.String(), "ASSENT_ADMIN_KEY  (set, hidden)") {
		t.Error(out.String())
	}
}

func TestWeaviateIsConfiguredWholeAndItsKeyHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := load(map[string]string{"ASSENT_WEAVIATE_URL": "https://vectors.example:8443", "ASSENT_WEAVIATE_API_KEY": "hush", "ASSENT_ALLOW_OPEN_WEAVIATE": "1", "ASSENT_WEAVIATE_DATA": dir},
		"--weaviate-grpc", "vectors.example:50051", "--weaviate-rebuild", "24h")
	if err != nil {
		t.Fatal(err)
	}
	if w := c.weaviate; w == nil || w.URL != "https://vectors.example:8443" || w.GRPC != "vectors.example:50051" || w.APIKey != "hush" || !w.Open ||
		c.weaviateRebuild != 24*time.Hour || !slices.Equal(c.weaviateData, []string{dir}) {
		t.Error("not as set")
	}
	var out strings.Builder
	c.print(&out)
	if strings.Contains(out.String(), "hush") || !strings.Contains(out.String(), "ASSENT_WEAVIATE_API_KEY    (set, hidden)") {
		t.Error(out.String())
	}
	for name, env := range map[string]map[string]string{
		"ASSENT_WEAVIATE_URL":     {"ASSENT_WEAVIATE_URL": "vectors:8080"},
		"ASSENT_WEAVIATE_GRPC":    {"ASSENT_WEAVIATE_URL": "http://vectors:8080", "ASSENT_WEAVIATE_GRPC": "vectors"},
		"ASSENT_WEAVIATE_API_KEY": {"ASSENT_WEAVIATE_API_KEY": "hush"},
		"ASSENT_WEAVIATE_REBUILD": {"ASSENT_WEAVIATE_REBUILD": "24h"},
		"at least 5m":             {"ASSENT_WEAVIATE_URL": "http://v:8080", "ASSENT_WEAVIATE_REBUILD": "1s"},
		"ASSENT_WEAVIATE_DATA":    {"ASSENT_WEAVIATE_URL": "http://v:8080", "ASSENT_WEAVIATE_REBUILD": "24h", "ASSENT_WEAVIATE_DATA": dir + "/none"},
		"without both":            {"ASSENT_WEAVIATE_URL": "http://v:8080", "ASSENT_WEAVIATE_DATA": dir},
	} {
		if _, err := load(env); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
