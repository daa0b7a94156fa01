package openaiembed

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/assent-gateway/assent/retrieval"
)

// Name is the embedder's part of a collection's pin.
const Name = "openai"

// Config says which endpoint, and how patient to be with it. URL, Model and
// Dimensions are required; what else is zero has a default.
type Config struct {
	URL        string // the base, such as https://api.openai.com/v1
	Key        string // "": no Authorization header
	Model      string
	Revision   string // the operator's word for which model is behind the name
	Dimensions int
	// AllowPlaintext lets texts leave the machine over plain http.
	AllowPlaintext bool

	Timeout  time.Duration // of one request; 0: 30 s
	Patience time.Duration // of one batch with its retries; 0: 60 s
	Attempts int           // 0: 6
	Backoff  time.Duration // the first wait is at most this, each next twice it; 0: 250 ms

	// For tests: the clock, waiting, and chance from 0 to 1.
	Now    func() time.Time
	Wait   func(context.Context, time.Duration) error
	Chance func() float64
}

// Limits of one request, and of requests at a time.
const (
	maxTexts  = 96
	maxBytes  = 192 << 10 // a token is at least a byte: far below every vendor's limit
	bulkLanes = 4
	fastLanes = 16 // requests with a single text
	maxWait   = 10 * time.Second
)

// Errors of Check, one sentence each; none quotes the setting.
var (
	ErrURL        = errors.New("is no http or https address with a host, without user, query or fragment")
	ErrPlaintext  = errors.New("would send texts over plain http to another machine")
	ErrModel      = errors.New("is required, and at most 256 characters")
	ErrDimensions = errors.New("is not between 1 and 4096")
)

// CheckURL refuses an address that texts should not go to.
func CheckURL(address string, allowPlaintext bool) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return ErrURL
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) && !allowPlaintext {
		return ErrPlaintext
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Check validates a Config.
func (c Config) Check() error {
	err := CheckURL(c.URL, c.AllowPlaintext)
	switch {
	case err != nil:
		return err
	case c.Model == "" || len(c.Model) > 256:
		return ErrModel
	case c.Dimensions < 1 || c.Dimensions > retrieval.MaxDimensions:
		return ErrDimensions
	}
	return nil
}

// An Endpoint is the embedder at one endpoint. It is safe for concurrent use.
type Endpoint struct {
	cfg        Config
	client     *openai.Client
	bulk, fast chan struct{}
	// shorten is set once the model was seen to give more dimensions than
	// configured: from then on it is asked for fewer. Not from the start, since
	// most servers refuse the parameter.
	shorten atomic.Bool

	mu   sync.Mutex
	held time.Time // no request before
}

// New returns an Endpoint. It asks nothing of the network.
func New(c Config) (*Endpoint, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c.Timeout, c.Patience, c.Backoff = or(c.Timeout, 30*time.Second), or(c.Patience, time.Minute), or(c.Backoff, 250*time.Millisecond)
	c.Attempts = or(c.Attempts, 6)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = bulkLanes + fastLanes
	cfg := openai.DefaultConfig(c.Key)
	cfg.BaseURL = c.URL
	cfg.HTTPClient = &guard{&http.Client{Transport: transport, CheckRedirect: stay}}
	return &Endpoint{
		cfg: c, client: openai.NewClientWithConfig(cfg),
		bulk: make(chan struct{}, bulkLanes), fast: make(chan struct{}, fastLanes),
	}, nil
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// For returns the embedder; ErrEmbedderMismatch when another number of
// dimensions than the configured one is wanted.
func (e *Endpoint) For(dimensions int) (retrieval.Embedder, error) {
	if dimensions != 0 && dimensions != e.cfg.Dimensions {
		return nil, retrieval.ErrEmbedderMismatch
	}
	return e, nil
}

// Identity pins a collection to model, revision and dimensions. The address is
// not part of it: the same model may move.
func (e *Endpoint) Identity() retrieval.EmbedderPin {
	return retrieval.EmbedderPin{Name: Name, Model: e.cfg.Model, Revision: e.cfg.Revision, Dimensions: e.cfg.Dimensions}
}
