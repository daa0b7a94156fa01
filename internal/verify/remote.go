package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	requestTimeout = 60 * time.Second
	attempts       = 4
	firstPause     = 250 * time.Millisecond
	maxRedirects   = 5
)

// A Remote is a log behind HTTP.
type Remote struct {
	base   *url.URL
	token  string
	client *http.Client
}

// NewRemote is the log whose checkpoint is at base+"/checkpoint"; token, when
// not empty, goes with every request as a bearer token. Redirects are followed
// on the same scheme and host only.
func NewRemote(base, token string) (*Remote, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("not the address of a log: https://HOST/PATH without a query")
	}
	r := &Remote{base: u, token: token}
	r.client = &http.Client{
		Timeout: requestTimeout,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || req.URL.Host != u.Host || req.URL.Scheme != u.Scheme {
				return errRedirect
			}
			return nil
		},
	}
	return r, nil
}

var errRedirect = errors.New("the log redirects to another place; that is not followed")

// Read fetches a file. A server that is overloaded or fails is asked again,
// three times.
func (r *Remote) Read(ctx context.Context, path string, limit int) ([]byte, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		b, again, err := r.get(ctx, path, limit)
		if err == nil || !again || attempt == attempts {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// get asks once; again says that another attempt may do better.
func (r *Remote) get(ctx context.Context, path string, limit int) (b []byte, again bool, err error) {
	address := strings.TrimSuffix(r.base.String(), "/") + "/" + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, false, fmt.Errorf("ask for %s: %w", path, err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, !errors.Is(err, errRedirect), fmt.Errorf("fetch %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		b, err = readAll(resp.Body, path, limit)
		var refusal *Refusal
		return b, err != nil && !errors.As(err, &refusal), err
	case code == http.StatusNotFound || code == http.StatusGone:
		return nil, false, refuse(ErrMissing, "%s", path)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return nil, false, fmt.Errorf("fetch %s: the log wants a token with the scope audit (status %d)", path, code)
	default:
		return nil, code == http.StatusTooManyRequests || code >= 500, fmt.Errorf("fetch %s: status %d", path, code)
	}
}
