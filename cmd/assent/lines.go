package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// maxLine bounds a line. A longer one is invalid; it is skipped, not kept.
const maxLine = 8 << 20

// A line is one record of a file of JSON lines.
type line struct {
	file   string
	number int    // in its file, from 1
	name   string // the record's id, as far as it has one
	order  string // records that share it are sent one after the other
	text   []byte // without the line's end
	bad    string // why it cannot be sent; "": it can
}

// An input is what a command was given to read: files, or stdin as "-".
type input struct {
	files []string
	stdin io.Reader
	size  int64        // in bytes as they lie on disk; 0: not known
	read  atomic.Int64 // of size
}

// newInput looks at all files before the first is read, so that a wrong name
// is found before anything was sent.
func newInput(files []string, stdin io.Reader) (*input, error) {
	in := &input{files: files, stdin: stdin}
	known := true
	for _, name := range files {
		if name == "-" {
			known = false
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			return nil, fmt.Errorf("%s is a directory, not a file of JSON lines", name)
		}
		known = known && info.Mode().IsRegular()
		in.size += info.Size()
	}
	if !known {
		in.size = 0
	}
	return in, nil
}

// lines calls use with every line that is not blank, file after file, until it
// returns an error. describe sets name and order of a JSON object.
func (in *input) lines(describe func(*line), use func(line) error) error {
	for _, name := range in.files {
		if err := in.file(name, describe, use); err != nil {
			return err
		}
	}
	return nil
}

func (in *input) file(name string, describe func(*line), use func(line) error) error {
	raw := in.stdin
	if name == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		raw = f
	}
	r, err := unzipped(&counted{raw, &in.read})
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for n := 1; ; n++ {
		text, long, err := readLine(r)
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s, line %d: %w", name, n, err)
		}
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 || long {
			l := line{file: name, number: n, text: text}
			if long {
				l.bad = "longer than 8 MiB"
			} else if json.Valid(text) && text[0] == '{' {
				describe(&l)
			} else {
				l.bad = "not a JSON object"
			}
			if err := use(l); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// unzipped reads gzip as what it holds, anything else as it is. The magic
// number decides, not the name.
func unzipped(r io.Reader) (*bufio.Reader, error) {
	plain := bufio.NewReaderSize(r, 64<<10)
	if magic, err := plain.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return plain, nil // an error of reading comes again
	}
	z, err := gzip.NewReader(plain)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(z, 64<<10), nil
}

// readLine returns the next line in memory of its own; io.EOF comes with the
// last one. Of a line that is too long nothing is kept.
func readLine(r *bufio.Reader) (text []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(text)+len(part) > maxLine; long {
			text = nil
		} else {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, long, err
		}
	}
}

// counted counts what is read through it.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
