package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/internal/events"
)

// The example of the standard's own documentation and libraries.
func TestSignIsTheStandards(t *testing.T) {
	t.Parallel()
	secret, err := events.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed as %s", got)
	}
}

var one = []events.Message{{Event: []byte(`{"id":"7-0","type":"t"}`)}}

func nothing(context.Context, []byte, []byte) error { return nil }

// What is not an answer of 200 to 299 is not taken; nothing is sent elsewhere;
// and no error says where or what.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{300, 301, 302, 303, 307, 308, 400, 401, 404, 410, 429, 500, 503} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		}))
		err := New(s.URL+"/?token=s3cret", []byte("k"), nothing).Send(t.Context(), one)
		if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%d: %v", status, err)
		}
		s.Close()
		if err := New(s.URL+"/?token=s3cret", []byte("k"), nothing).Send(t.Context(), one); !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("closed: %v", err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	if err := New("https://127.0.0.1:1/", nil, nothing).Send(t.Context(), []events.Message{{Event: []byte("{}")}}); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("without an id: %v", err)
	}
	// A certificate that nobody vouches for.
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer s.Close()
	s.Config.ErrorLog = nil
	if err := New(s.URL, []byte("k"), nothing).Send(t.Context(), one); !errors.Is(err, ErrUnreachable) || elsewhere.Load() != 0 {
		t.Errorf("an unknown certificate: %v", err)
	}
}

// Of an answer no more is read than bears an acknowledgement; what takes the
// answer can make the event come again; and what is behind an event that was not
// taken is not sent.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		_, _ = io.Copy(w, bytes.NewReader(bytes.Repeat([]byte("x"), 10*maxAnswer)))
	}))
	defer s.Close()
	size, fail := 0, errors.New("no")
	sink := New(s.URL, []byte("k"), func(_ context.Context, event, answer []byte) error {
		if string(event) != string(one[0].Event) {
			t.Errorf("the answer to %s", event)
		}
		size = len(answer)
		return fail
	})
	defer sink.Close()
	if err := sink.Send(t.Context(), append(one, one...)); !errors.Is(err, fail) || size != maxAnswer || got.Load() != 1 {
		t.Errorf("%v, %d bytes, %d events", err, size, got.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Send(ctx, one); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after its end: %v", err)
	}
}

// A recipient's name leads to this machine only where it says so, and never to
// what no recipient has; a name of this machine leads nowhere else.
func TestWhatIsDialled(t *testing.T) {
	t.Parallel()
	for _, q := range []struct {
		address, to string
		want        bool
	}{
		{"https://crm.example/", "203.0.113.7:443", true}, {"https://crm.example/", "10.1.2.3:443", true}, {"https://crm.example/", "[2001:db8::1]:443", true},
		{"https://crm.example/", "127.0.0.1:443", false}, {"https://crm.example/", "[::1]:443", false}, {"https://crm.example/", "[::ffff:127.0.0.1]:443", false},
		{"https://crm.example/", "169.254.169.254:443", false}, {"https://crm.example/", "[fe80::1]:443", false}, {"https://crm.example/", "0.0.0.0:443", false},
		{"https://crm.example/", "[::]:443", false}, {"https://crm.example/", "224.0.0.1:443", false}, {"https://169.254.169.254/", "169.254.169.254:443", false},
		{"http://localhost:9/", "127.0.0.1:9", true}, {"http://localhost:9/", "203.0.113.7:9", false}, {"https://[::1]:9/", "[::1]:9", true},
		{"http://127.0.0.1:9/", "127.0.0.1:9", true},
	} {
		if err := dials(q.address)(t.Context(), "tcp", q.to, nil); (err == nil) != q.want {
			t.Errorf("%s at %s: %v", q.address, q.to, err)
		}
	}
	// It is asked: what is nobody's address leads to this machine.
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	sink := New(strings.Replace(s.URL, "127.0.0.1", "0.0.0.0", 1), []byte("k"), nothing)
	sink.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	if err := sink.Send(t.Context(), one); !errors.Is(err, ErrUnreachable) {
		t.Errorf("by the address of nobody: %v", err)
	}
}
