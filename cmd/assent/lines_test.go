package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readAll returns every line as "number name bad".
func readAll(t *testing.T, in *input) ([]string, error) {
	t.Helper()
	var got []string
	err := in.lines(describeDocument, func(l line) error {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s %s", l.number, l.name, l.bad)))
		return nil
	})
	return got, err
}

func stdin(text string) *input { return &input{files: []string{"-"}, stdin: strings.NewReader(text)} }

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

func TestLinesAreNumberedAsInTheFile(t *testing.T) {
	t.Parallel()
	long := `{"id":"` + strings.Repeat("x", maxLine) + `"}`
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"blank lines count and are passed over": {"\n{\"id\":\"a\"}\n \t\n{\"id\":\"b\"}\n\n", []string{"2 a", "4 b"}},
		"the last line needs no end":            {"{\"id\":\"a\"}\n{\"id\":\"b\"}", []string{"1 a", "2 b"}},
		"CRLF and a byte order mark":            {"\ufeff{\"id\":\"a\"}\r\n{\"id\":\"b\"}\r\n", []string{"1 a", "2 b"}},
		"what is no JSON object is bad": {"{\"id\":\"a\"}\nnonsense\n[1]\n\"s\"\n{\"id\":\"b\"}{}\n{\"id\":\"c\"}", []string{
			"1 a", "2  not a JSON object", "3  not a JSON object", "4  not a JSON object", "5  not a JSON object", "6 c"}},
		"an id of another kind is the gateway's to judge": {`{"id":7}`, []string{"1"}},
		"what is too long is bad and not kept":            {"{\"id\":\"a\"}\n" + long + "\n{\"id\":\"b\"}\n", []string{"1 a", "2  longer than 8 MiB", "3 b"}},
		"too long at the end":                             {long, []string{"1  longer than 8 MiB"}},
		"gzip":                                            {zipped("{\"id\":\"a\"}\n{\"id\":\"b\"}\n"), []string{"1 a", "2 b"}},
		"gzip of several members":                         {zipped("{\"id\":\"a\"}\n") + zipped("{\"id\":\"b\"}\n"), []string{"1 a", "2 b"}},
		"nothing":                                         {"", nil},
		"one byte":                                        {"\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(t, stdin(c.text))
			if err != nil || strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestGzipThatBreaksOffIsAnErrorAfterItsLines(t *testing.T) {
	t.Parallel()
	whole := zipped(docs(1000))
	got, err := readAll(t, stdin(whole[:len(whole)-9]))
	if err == nil || !strings.Contains(err.Error(), "stdin, line ") || len(got) == 0 {
		t.Errorf("%d lines, error %v", len(got), err)
	}
}

func TestFilesAreLookedAtBeforeTheFirstIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "docs.jsonl")
	if err := os.WriteFile(file, []byte(docs(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{file, filepath.Join(dir, "absent")}, {file, dir}} {
		if _, err := newInput(files, nil); err == nil {
			t.Errorf("%v: no error", files)
		}
	}
	in, err := newInput([]string{file, file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, in)
	if err != nil || strings.Join(got, "|") != "1 d1|2 d2|1 d1|2 d2" {
		t.Errorf("%q, %v", got, err)
	}
	if in.size != int64(2*len(docs(2))) || in.read.Load() != in.size {
		t.Errorf("size %d, read %d", in.size, in.read.Load())
	}
}
