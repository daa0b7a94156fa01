// Package localkms is the vault's port to a key service over HTTP, and an example
// of such a service, which keeps its keys in memory.
//
// The client is what ASSENT_KMS_URL means: it speaks to whatever answers the
// protocol below, on a unix socket, on loopback or behind TLS, such as a few
// lines in front of the key service that a company has already.
//
// The server shows what these lines have to do, and lets tests play the service
// that is away, refuses, or destroyed a key. It is not a place for keys: it
// forgets them when it ends, whoever has the token may use all of
// them, it keeps no audit, and on one machine with the vault it protects against
// nothing that file permissions do not. A real service keeps its keys in
// hardware, says who used them, and can destroy a version of one: that is what a
// vault gains from it (see package vault).
//
// The protocol, after that of many such services:
//
//	POST /v1/keys/{name}/wrap    {"plaintext": base64, "context": base64} → {"ciphertext": base64}
//	POST /v1/keys/{name}/unwrap  {"ciphertext": base64, "context": base64} → {"plaintext": base64}
//
// with a bearer token. 403 and 404 mean "refused"; all else but 200 may pass.
package localkms

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

type message struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
	Context    []byte `json:"context,omitempty"`
}

const maxBody = 256 << 10

// Client is a vault.KMS over the protocol of this package.
type Client struct {
	base  string
	token func() string // behind a func, so that it does not print
	http  *http.Client
}

var _ vault.KMS = (*Client)(nil)

// NewClient returns a client of the service at base, such as
// http://127.0.0.1:8200. The token goes over the wire as it is: off loopback,
// base is https.
func NewClient(base, token string, c *http.Client) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: func() string { return token }, http: c}
}

// Wrap implements vault.KMS.
func (c *Client) Wrap(ctx context.Context, name string, key seal.Key, aad []byte) ([]byte, error) {
	out, err := c.call(ctx, name, "wrap", message{Plaintext: key[:], Context: aad})
	return out.Ciphertext, err
}

// Unwrap implements vault.KMS.
func (c *Client) Unwrap(ctx context.Context, name string, wrapped, aad []byte) (seal.Key, error) {
	out, err := c.call(ctx, name, "unwrap", message{Ciphertext: wrapped, Context: aad})
	if err != nil {
		return seal.Key{}, err
	}
	if len(out.Plaintext) != len(seal.Key{}) {
		return seal.Key{}, errors.New("localkms: not a key")
	}
	return seal.Key(out.Plaintext), nil
}

func (c *Client) call(ctx context.Context, name, verb string, in message) (out message, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/keys/"+url.PathEscape(name)+"/"+verb, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token())
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest:
		return out, fmt.Errorf("%w: status %d", vault.ErrKMSRefused, resp.StatusCode)
	default:
		return out, fmt.Errorf("localkms: status %d", resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&out); err != nil {
		return out, errors.New("localkms: malformed answer")
	}
	return out, nil
}

// Server is the example service. The zero value is not usable.
type Server struct {
	token func() string
	mu    sync.Mutex
	keys  map[string]func() seal.Key
}

// NewServer returns a service with a fresh key of each name.
func NewServer(token string, names ...string) *Server {
	s := &Server{token: func() string { return token }, keys: map[string]func() seal.Key{}}
	for _, name := range names {
		s.keys[name] = seal.Hold(seal.NewKey())
	}
	return s
}

// Destroy forgets a key: what it wrapped cannot be unwrapped again.
func (s *Server) Destroy(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, name)
}

// ServeHTTP answers one request of the protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Bearer " + s.token()
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	name, verb, ok := parsePath(r)
	s.mu.Lock()
	key, known := s.keys[name]
	s.mu.Unlock()
	if !ok || !known || r.Method != http.MethodPost {
		http.Error(w, "no such key", http.StatusNotFound)
		return
	}
	var in, out message
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	aad := append(append([]byte(name), 0), in.Context...)
	switch verb {
	case "wrap":
		out.Ciphertext = seal.Seal(key(), in.Plaintext, aad)
	case "unwrap":
		plain, err := seal.Open(key(), in.Ciphertext, aad)
		if err != nil {
			http.Error(w, "refused", http.StatusForbidden)
			return
		}
		out.Plaintext = plain
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) // the client sees a cut answer
}

func parsePath(r *http.Request) (name, verb string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/keys/")
	escaped, verb, ok2 := strings.Cut(rest, "/")
	name, err := url.PathUnescape(escaped)
	return name, verb, ok && ok2 && err == nil && (verb == "wrap" || verb == "unwrap")
}
