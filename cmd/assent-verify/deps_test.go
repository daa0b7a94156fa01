package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The binary holds nothing of what writes the log: of this module
// internal/verify, and the standard library besides.
func TestImportsNothingOfWhatItVerifies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	const module = "github.com/assent-gateway/assent/"
	want := []string{module + "cmd/assent-verify", module + "internal/verify"}
	got := strings.Fields(string(out))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("imports %q, want %q", got, want)
	}
}
