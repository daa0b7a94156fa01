// Command testsum makes the output of `go test -json` readable and honest: it
// prints one line a package, everything that a failing test printed, and adds
// each skipped test with its reason to a file, one a line. Its exit status is
// 0 only when everything passed and something ran.
//
//	go test -json ./... 2>&1 | testsum FILE
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: testsum FILE")
		os.Exit(2)
	}
	s := newSum(os.Stdout)
	err := s.read(os.Stdin)
	if err == nil {
		err = appendLines(os.Args[1], s.skipped)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if s.failed || s.passed == 0 {
		os.Exit(1)
	}
}

// An event is one line of test2json.
type event struct {
	Action, Package, Test, ImportPath, Output string
}

type sum struct {
	out     io.Writer
	printed map[string][]string // by package and test: what it printed
	skipped []string
	passed  int
	failed  bool
}

func newSum(out io.Writer) *sum { return &sum{out: out, printed: map[string][]string{}} }

func (s *sum) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if text != "" {
			s.line(text)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *sum) line(text string) {
	var e event
	if json.Unmarshal([]byte(text), &e) != nil {
		fmt.Fprint(s.out, text) // go itself speaks: the build, a flag
		return
	}
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output":
		s.printed[key] = append(s.printed[key], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "build-fail":
		s.failed = true
	case "pass", "fail", "skip":
		s.end(e, s.printed[key])
		delete(s.printed, key)
	}
}

// end says how a test or, without a test, a package ended.
func (s *sum) end(e event, printed []string) {
	switch {
	case e.Action == "fail":
		s.failed = true
		fmt.Fprint(s.out, strings.Join(printed, ""))
	case e.Test == "" && e.Action == "pass":
		s.passed++
		for _, p := range printed {
			if strings.HasPrefix(p, "ok ") {
				fmt.Fprint(s.out, p)
			}
		}
	case e.Test != "" && e.Action == "skip":
		s.skipped = append(s.skipped, e.Package+" "+e.Test+": "+reason(printed))
	}
}

var frame = regexp.MustCompile(`^(=== |--- |PASS|\s*--- )`)
var where = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason is what a skipped test gave as such, in one line.
func reason(printed []string) string {
	var said []string
	for _, p := range printed {
		if !frame.MatchString(p) {
			said = append(said, strings.TrimSpace(where.ReplaceAllString(p, "")))
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func appendLines(path string, lines []string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(f, l); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}
