package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/assent-gateway/assent/internal/events"
)

// Errors of Send. Their texts are all there is to know.
var (
	// ErrUnreachable: no answer came.
	ErrUnreachable = errors.New("webhook: the recipient cannot be reached")
	// ErrRefused: the answer was none of 200 to 299.
	ErrRefused = errors.New("webhook: the recipient does not take an event")
)

const (
	timeout = 15 * time.Second
	// maxAnswer is what is read of an answer.
	maxAnswer = 64 << 10
)

// A Sink posts events.
type Sink struct {
	url    string
	secret []byte
	client *http.Client
	// answered is given the event and the answer that took it.
	answered func(ctx context.Context, event, answer []byte) error
}

// New returns a sink. answered is called after each event that was taken, with
// the event and the body of the answer; its error makes the event count as not
// sent. The caller checked the address (events.CheckURL).
func New(address string, secret []byte, answered func(ctx context.Context, event, answer []byte) error) *Sink {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	dialer := &net.Dialer{Timeout: timeout, ControlContext: dials(address)}
	transport := &http.Transport{ // no proxy from the environment: where events go, the operator said
		DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, IdleConnTimeout: time.Minute,
		MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	return &Sink{address, secret, &http.Client{Timeout: timeout, CheckRedirect: stay, Transport: transport}, answered}
}

// dials says whether an address that a recipient's name led to may be dialled,
// whatever a name server says: this machine by a name of it, and it alone; and
// nothing that is not somebody's address, as those of the link are, where clouds
// keep their metadata.
func dials(address string) func(context.Context, string, string, syscall.RawConn) error {
	u, err := url.Parse(address)
	local := err == nil && events.Local(u.Hostname())
	return func(_ context.Context, _, to string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(to)
		if err != nil {
			return ErrUnreachable
		}
		ip := at.Addr().Unmap()
		if ip.IsLoopback() != local || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
			return ErrUnreachable
		}
		return nil
	}
}

// Close gives connections back.
func (s *Sink) Close() { s.client.CloseIdleConnections() }

// Send implements events.Sink.
func (s *Sink) Send(ctx context.Context, batch []events.Message) error {
	for _, m := range batch {
		if err := s.post(ctx, m.Event); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) post(ctx context.Context, event []byte) error {
	var head struct{ ID string }
	if json.Unmarshal(event, &head) != nil || head.ID == "" {
		return events.ErrMalformed
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(event))
	if err != nil {
		return ErrUnreachable // the error itself quotes the address
	}
	sent := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "assent")
	req.Header.Set("webhook-id", head.ID)
	req.Header.Set("webhook-timestamp", sent)
	req.Header.Set("webhook-signature", Sign(s.secret, head.ID, sent, event))
	resp, err := s.client.Do(req)
	if err != nil {
		return ErrUnreachable // the same
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return ErrRefused
	}
	if err != nil {
		return ErrUnreachable
	}
	return s.answered(ctx, event, answer)
}

// Sign returns the signature of a message as Standard Webhooks write it.
func Sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
