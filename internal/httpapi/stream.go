package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
)

// Bounds of one batch of a stream.
const (
	batchLines = 256
	batchBytes = maxBody
)

// A line of a stream, numbered from 1; blank ones are counted and passed over.
type line struct {
	n   int
	raw []byte
	bad error // it was too long
}

// isStream reports whether the body is NDJSON, and refuses what streams refuse.
func (c *call) isStream() (bool, error) {
	name, err := c.mediaType()
	if err != nil || name != ndjson {
		return false, err
	}
	if _, ok, err := c.header(onceHeader); ok || err != nil {
		return true, invalid(onceHeader, "is not for streams: their lines are idempotent by themselves")
	}
	return true, nil
}

// stream answers NDJSON line by line while it comes. handle gets batches of
// lines, as many as have come, and returns one result a line, in order; with an
// error, only those of the lines before the failure. An error before the first
// answer is a problem; later it is one more line, after which nothing was done.
func (c *call) stream(handle func([]line) ([]any, error)) error {
	rc := http.NewResponseController(c.w)
	_ = rc.EnableFullDuplex() // HTTP/1 else reads the whole body before the first answer
	in := &lineReader{r: bufio.NewReaderSize(c.r.Body, 64<<10)}
	for {
		c.extend()
		batch, readErr := in.batch()
		if len(batch) > 0 {
			results, err := handle(batch)
			if err != nil && len(results) == 0 && !c.w.Written() {
				return err
			}
			if err := c.writeLines(results, err); err != nil {
				return nil // the client has gone
			}
			if err != nil {
				return nil
			}
			_ = rc.Flush()
		}
		switch {
		case readErr == io.EOF:
			return c.writeLines(nil, nil) // headers, even without a line
		case readErr != nil: // after the first answer this cuts the rest: half of a body has no whole answer
			return errCutShort
		}
	}
}

var errCutShort = invalid("", "the body ended before its length")

// streamError is the last line of a stream that failed under way.
type streamError struct {
	Status  string  `json:"status"` // "error"
	Problem problem `json:"problem"`
}

func (c *call) writeLines(results []any, failed error) error {
	if !c.w.Written() {
		c.w.Header().Set("Content-Type", ndjson)
		c.w.WriteHeader(http.StatusOK)
		c.w.WriteHeaderNow()
	}
	if failed != nil {
		p := problemOf(failed)
		c.Log.Error("stream failed", "status", p.Status, "code", p.Code, "error", failed)
		results = append(results, streamError{"error", p})
	}
	var out bytes.Buffer
	for _, r := range results {
		if err := json.MarshalWrite(&out, r, json.Deterministic(true)); err != nil {
			return err
		}
		out.WriteByte('\n')
	}
	_, err := c.w.Write(out.Bytes())
	return err
}

// lineReader cuts a body into lines of at most maxBody bytes.
type lineReader struct {
	r *bufio.Reader
	n int
}

var errLineTooLong = errors.New("httpapi: line too long")

// batch returns lines until it has enough or would have to wait for more. A
// last line without an end counts, one that a broken connection cut does not.
func (l *lineReader) batch() (out []line, err error) {
	size := 0
	for {
		raw, err := l.line()
		switch {
		case err == errLineTooLong:
			out = append(out, line{n: l.n, bad: invalid("", "the line is longer than 8 MiB")})
		case err != nil && err != io.EOF:
			return out, err
		default:
			if raw = bytes.TrimSpace(raw); len(raw) > 0 {
				out = append(out, line{n: l.n, raw: raw})
				size += len(raw)
			}
			if err == io.EOF {
				return out, io.EOF
			}
		}
		if len(out) >= batchLines || size >= batchBytes || len(out) > 0 && !l.ready() {
			return out, nil
		}
	}
}

// ready reports whether a whole line has come already.
func (l *lineReader) ready() bool {
	b, _ := l.r.Peek(l.r.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

// line reads the next line; what is too long is read to its end and dropped.
func (l *lineReader) line() (line []byte, err error) {
	l.n++
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxBody+1; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err == nil && tooLong, err == io.EOF && tooLong:
			return nil, errLineTooLong
		default:
			return line, err
		}
	}
}
