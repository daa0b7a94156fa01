package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// outcome is what a run of the program left behind.
type outcome struct {
	out, err string
	status   int
}

// assent runs the program against the gateway at url.
func assent(t *testing.T, url, stdin string, args ...string) outcome {
	t.Helper()
	env := map[string]string{"ASSENT_URL": url, "ASSENT_KEY": testKey}
	return assentWith(t, env, strings.NewReader(stdin), args...)
}

func assentWith(t *testing.T, env map[string]string, stdin io.Reader, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, func(name string) string { return env[name] }, stdin, &stdout, &stderr)
	status := report(&stderr, err)
	return outcome{stdout.String(), stderr.String(), status}
}

func TestMistakesInTheCommandLineExitWithStatus2AndShowTheUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, problem, usage string }{
		{"", "which command?", "usage: assent COMMAND"},
		{"fetch", "there is no such command", "usage: assent COMMAND"},
		{"help fetch", "there is no such command", "usage: assent COMMAND"},
		{"ingest file", "--collection is missing", "usage: assent ingest"},
		{"ingest --collection c", "which FILE?", "usage: assent ingest"},
		{"ingest --collection c --visibility all f", "--visibility", "usage: assent ingest"},
		{"ingest --collection c --batch 1001 f", "--batch", "usage: assent ingest"},
		{"ingest --colection c f", "not defined: -colection", "usage: assent ingest"},
		{"search --collection c", "which QUERY?", "usage: assent search"},
		{"search q", "--collection is missing", "usage: assent search"},
		{"search --collection c --filter {x q", "--filter is not JSON", "usage: assent search"},
		{"search --collection c -k many q", "invalid value", "usage: assent search"},
		{"consent", "consent needs one of", "usage: assent consent"},
		{"consent forget ada", "consent needs one of", "usage: assent consent"},
		{"consent grant ada", "at least one TYPE", "usage: assent consent grant"},
		{"consent deny --expires 2030-01-01T00:00:00Z ada t_v1.0", "only a grant expires", "usage: assent consent deny"},
		{"consent grant --expires= ada t_v1.0", "--expires is empty", "usage: assent consent grant"},
		{"consent grant --timestamp= ada t_v1.0", "--timestamp is empty", "usage: assent consent grant"},
		{"consent show", "one USER", "usage: assent consent show"},
		{"consent import", "which FILE?", "usage: assent consent import"},
		{"keys", "keys needs one of", "usage: assent keys"},
		{"keys create --name n --scopes search", "--purposes is missing", "usage: assent keys create"},
		{"keys create --name n --scopes search --purposes p --collections=", "--collections is empty", "usage: assent keys create"},
		{"keys create --name n --scopes act_as --purposes p --namespaces=,", "--namespaces is empty", "usage: assent keys create"},
		{"keys create --name n --scopes search --purposes p --expires=", "--expires is empty", "usage: assent keys create"},
		{"keys revoke", "one ID", "usage: assent keys revoke"},
		{"keys list all", "no arguments", "usage: assent keys list"},
		{"demo now", "nothing besides its flags", "usage: assent demo"},
	} {
		got := assent(t, "http://127.0.0.1:1", "", strings.Fields(c.args)...)
		if got.status != 2 || got.out != "" {
			t.Errorf("%q: status %d, stdout %q", c.args, got.status, got.out)
		}
		if !strings.Contains(got.err, c.problem) || !strings.Contains(got.err, c.usage) {
			t.Errorf("%q: stderr lacks %q or %q:\n%s", c.args, c.problem, c.usage, got.err)
		}
	}
}

func TestHelpGoesToStdoutAndExitsWithStatus0(t *testing.T) {
	t.Parallel()
	if got := assent(t, "", "", "help"); got.status != 0 || got.err != "" || got.out != overview() {
		t.Errorf("help: %+v", got)
	}
	for _, c := range commands() {
		if !strings.Contains(overview(), "assent "+c.name) {
			t.Errorf("the overview lacks %s", c.name)
		}
		if c.name == "serve" { // speaks for itself
			continue
		}
		for _, args := range [][]string{{"help", c.name}, {c.name, "-h"}, {c.name, "--help"}} {
			got := assent(t, "", "", args...)
			if got.status != 0 || got.err != "" || !strings.HasPrefix(got.out, "usage: assent "+c.name) {
				t.Errorf("%v: %+v", args, got)
			}
		}
	}
}

func TestFlagsStandBeforeBetweenAndAfterArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, positional string
		k                int
	}{
		{"--k 3 a b", "a|b", 3},
		{"a --k 3 b", "a|b", 3},
		{"a b --k=3", "a|b", 3},
		{"a -- --k 3", "a|--k|3", 1},
		{"-- a --k 3", "a|--k|3", 1},
		{"-- -", "-", 1},
		{"- a", "-|a", 1},
		{"", "", 1},
	} {
		fs := newFlags("x")
		k := fs.Int("k", 1, "")
		got, err := fs.parse(&session{}, strings.Fields(c.args))
		if err != nil || strings.Join(got, "|") != c.positional || *k != c.k {
			t.Errorf("%q: %q, k %d, %v", c.args, got, *k, err)
		}
	}
}

func TestReportNamesAnInterrupt(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if status := report(&stderr, context.Canceled); status != 1 || stderr.String() != "assent: interrupted\n" {
		t.Errorf("status %d, %q", status, stderr.String())
	}
	stderr.Reset()
	if status := report(&stderr, errors.Join(flag.ErrHelp)); status != 0 || stderr.Len() > 0 {
		t.Errorf("help: status %d, %q", status, stderr.String())
	}
}
