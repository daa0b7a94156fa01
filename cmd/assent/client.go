package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const defaultURL = "http://127.0.0.1:8080"

// maxAnswer bounds an answer that is read whole: a search of 1000 long passages.
const maxAnswer = 256 << 20

// A client talks to one gateway with one key.
type client struct {
	base   *url.URL
	key    string
	header http.Header // sent with every request, beside the key
	http   *http.Client
	// wait passes the time between two attempts; it ends early with the
	// context's error.
	wait func(ctx context.Context, d time.Duration) error
}

// client makes one from the environment.
func (s *session) client() (*client, error) {
	raw := s.getenv("ASSENT_URL")
	if raw == "" {
		raw = defaultURL
	}
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" || base.RawQuery != "" || (base.Scheme != "http" && base.Scheme != "https") || base.User != nil {
		return nil, errors.New("ASSENT_URL is not an address such as " + defaultURL)
	}
	key := strings.TrimSpace(s.getenv("ASSENT_KEY"))
	if key == "" {
		if key, err = s.adminKey(base); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 5 * time.Minute
	return &client{base: base, key: key, header: http.Header{}, wait: pause, http: &http.Client{
		Transport: transport,
		// A redirect would carry a body with people's data somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// adminKey reads the bootstrap key of a gateway on this machine. It is sent
// nowhere else.
func (s *session) adminKey(base *url.URL) (string, error) {
	if !loopback(base.Hostname()) {
		return "", errors.New("ASSENT_KEY is not set: set it to an API key of the gateway at ASSENT_URL")
	}
	vault := s.getenv("ASSENT_VAULT")
	if vault == "" {
		vault = "./assent-data.vault"
		if data := s.getenv("ASSENT_DATA"); data != "" {
			vault = filepath.Clean(data) + ".vault"
		}
	}
	key, err := os.ReadFile(filepath.Join(vault, "admin.key"))
	if err != nil {
		return "", errors.New("ASSENT_KEY is not set and there is no readable admin.key in " + vault +
			": set ASSENT_KEY to an API key, or ASSENT_VAULT to the vault of the gateway on this machine")
	}
	return strings.TrimSpace(string(key)), nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// path joins segments, each percent-encoded.
func path(segments ...string) string {
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return "/" + strings.Join(segments, "/")
}

// errUnreachable: no answer came. The request may have been carried out.
var errUnreachable = errors.New("no answer from the gateway")

// do sends one request and returns an answer with a status below 300. Any
// other is a *problem; no answer wraps errUnreachable, except when ctx ended.
func (c *client) do(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base.String(), "/")+path, body)
	if err != nil {
		return nil, errors.New("the request cannot be formed: is a name in it unusual?")
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Not url.Error's own text: it holds the path, and that may name a person.
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%w at %s: %w", errUnreachable, c.base.Host, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	return resp, nil
}

// call sends in as JSON, unless it is nil, and decodes the answer into out,
// unless that is nil. It returns the answer's status.
func (c *client) call(ctx context.Context, method, path string, in, out any) (int, error) {
	var body io.Reader
	contentType := ""
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, fmt.Errorf("encode the request: %w", err)
		}
		body, contentType = bytes.NewReader(raw), "application/json"
	}
	resp, err := c.do(ctx, method, path, contentType, body)
	if errors.Is(err, errUnreachable) {
		err = fmt.Errorf("%w (start a gateway with `assent serve`, or set ASSENT_URL)", err)
	}
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return resp.StatusCode, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return 0, errors.New("the gateway's answer is not the JSON that was expected: is ASSENT_URL a gateway?")
	}
	return resp.StatusCode, nil
}
