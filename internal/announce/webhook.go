package announce

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// webhookTimeout bounds one call.
const webhookTimeout = 15 * time.Second

// A Webhook gets every checkpoint as the body of a POST, as text/plain. Any
// answer of 200 to 299 is taken for receipt. Redirects are not followed.
type Webhook struct {
	url    string
	client *http.Client
}

// NewWebhook takes an http or https address.
func NewWebhook(address string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("announce: the webhook is not an http or https address")
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Webhook{address, &http.Client{Timeout: webhookTimeout, CheckRedirect: stay}}, nil
}

// Send posts a checkpoint.
func (w *Webhook) Send(ctx context.Context, _ string, _ uint64, checkpoint []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(checkpoint))
	if err != nil {
		return errors.New("announce: make a request to the webhook")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := w.client.Do(req)
	if err != nil {
		return errors.New("announce: reach the webhook") // the error itself quotes the address
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return errors.New("announce: the webhook refused a checkpoint")
	}
	return nil
}
