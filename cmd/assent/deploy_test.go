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
