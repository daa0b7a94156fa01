package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// send repeats until every line has its result. With an error come the results
// that there were.
func (f *feed) send(ctx context.Context, lines []line) (results []json.RawMessage, err error) {
	var spent time.Duration
	for attempt := 0; len(results) < len(lines); attempt++ {
		began := time.Now()
		got, err := f.attempt(ctx, lines[len(results):])
		results = append(results, got...)
		if err == nil {
			continue
		}
		left := lines[len(results):]
		if spent += time.Since(began); len(got) > 0 {
			spent, attempt = 0, 0
		}
		var p *problem
		switch {
		case ctx.Err() != nil:
			return results, ctx.Err()
		case errors.As(err, &p) && p.Status == http.StatusRequestEntityTooLarge && len(left) > 1:
			got, err := f.send(ctx, left[:len(left)/2])
			results = append(results, got...)
			if err != nil {
				return results, err
			}
			continue
		case len(left) == 0:
			return results, err
		case errors.As(err, &p) && !p.transient():
			return results, fmt.Errorf("%s, line %d and after: %w", left[0].file, left[0].number, err)
		}
		d := backoff(attempt)
		if p != nil && p.retryAfter > 0 {
			d = p.retryAfter
		}
		if spent += d; spent > f.patience {
			return results, fmt.Errorf("gave up after %v of trying: %w", (spent - d).Round(time.Second), err)
		}
		if attempt == 0 {
			f.waiting(err)
		}
		if err := f.client.wait(ctx, d); err != nil {
			return results, err
		}
	}
	return results, nil
}

// backoff is the time before attempt+1: a quarter of a second doubling to ten
// seconds, half of it left to chance so that clients do not come in step.
func backoff(attempt int) time.Duration {
	d := min(250*time.Millisecond<<min(attempt, 10), 10*time.Second)
	return d/2 + rand.N(d/2)
}

// attempt sends lines once and returns the results that came. A nil error
// means one result for every line.
func (f *feed) attempt(ctx context.Context, lines []line) ([]json.RawMessage, error) {
	var body bytes.Buffer
	for _, l := range lines {
		body.Write(l.text)
		body.WriteByte('\n')
	}
	resp, err := f.client.do(ctx, http.MethodPost, f.path, "application/x-ndjson", &body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var results []json.RawMessage
	r := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		text, _, err := readLine(r)
		if err != nil && err != io.EOF {
			return results, fmt.Errorf("%w: the answer broke off", errUnreachable)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			switch {
			case !json.Valid(text) && err == io.EOF:
				return results, fmt.Errorf("%w: the answer broke off", errUnreachable)
			case !json.Valid(text), len(results) == len(lines):
				return results, &problem{Status: resp.StatusCode, Detail: "not one result a line; is ASSENT_URL a gateway?"}
			}
			if p := brokenOff(text); p != nil {
				return results, p
			}
			results = append(results, text)
		}
		if err == io.EOF {
			break
		}
	}
	if len(results) < len(lines) {
		return results, fmt.Errorf("%w: the answer ended early", errUnreachable)
	}
	return results, nil
}

// brokenOff reads the line that ends an answer when the gateway could not go
// on; nil for a result.
func brokenOff(text []byte) *problem {
	var last struct {
		Status  string   `json:"status"`
		Problem *problem `json:"problem"`
	}
	if json.Unmarshal(text, &last) != nil || last.Status != "error" || last.Problem == nil {
		return nil
	}
	return last.Problem
}
