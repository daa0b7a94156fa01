package main

import (
	"strings"
	"testing"
)

func TestSumSaysWhatFailedAndWhatWasSkipped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, out, skipped string
		passed           int
		failed           bool
	}{
		"a package that passes is a line": {
			in: `{"Action":"output","Package":"p","Test":"T","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"T"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}`,
			out: "ok  \tp\t0.1s\n", passed: 1,
		},
		"a failing test is shown whole": {
			in: `{"Action":"output","Package":"p","Test":"T","Output":"    a_test.go:1: why\n"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`,
			out: "    a_test.go:1: why\nFAIL\tp\t0.1s\n", failed: true,
		},
		"a skipped test is noted with its reason": {
			in: `{"Action":"output","Package":"p","Test":"T","Output":"=== RUN   T\n"}
{"Action":"output","Package":"p","Test":"T","Output":"    a_test.go:12: there is no ../shared/data\n"}
{"Action":"output","Package":"p","Test":"T","Output":"--- SKIP: T (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"T"}
{"Action":"skip","Package":"q"}`,
			skipped: "p T: there is no ../shared/data",
		},
		"a build that fails is a failure": {
			in: `{"ImportPath":"p","Action":"build-output","Output":"p/a.go:1: no\n"}
{"ImportPath":"p","Action":"build-fail"}`,
			out: "p/a.go:1: no\n", failed: true,
		},
		"what go itself says is passed on": {in: "go: no such flag\n", out: "go: no such flag\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := newSum(&out)
			if err := s.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.out || strings.Join(s.skipped, "|") != c.skipped || s.passed != c.passed || s.failed != c.failed {
				t.Errorf("printed %q, skipped %q, passed %d, failed %t", out.String(), s.skipped, s.passed, s.failed)
			}
		})
	}
}
