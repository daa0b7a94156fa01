package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// hookSecret is that of the receivers' signatures.
var hookSecret = bytes.Repeat([]byte{7}, 32)

// A delivered event is one that a receiver took.
type delivered struct {
	ID, Type, Subject string
	Data              struct {
		Position    int64 `json:"ledger_position"`
		ID, State   string
		Status      string
		Identifiers []string
	}
	body []byte
}

// A receiver takes webhooks as somebody else would: it checks the signature by
// the standard's words, and keeps what it took in order.
type receiver struct {
	t      *testing.T
	url    string
	answer func(d *delivered) (status int, body string)

	mu    sync.Mutex
	took  []delivered
	tries int
	more  chan struct{}
}

func newReceiver(t *testing.T, answer func(d *delivered) (int, string)) *receiver {
	t.Helper()
	if answer == nil {
		answer = func(*delivered) (int, string) { return 204, "" }
	}
	r := &receiver{t: t, answer: answer, more: make(chan struct{}, 1)}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the gateway was killed
	}
	id, sent := q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, hookSecret)
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	if at, err := strconv.ParseInt(sent, 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		r.t.Errorf("webhook-timestamp %q", sent)
	}
	if q.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		r.t.Error("a signature that does not fit")
	}
	d := delivered{body: body}
	if err := json.Unmarshal(body, &d); err != nil || d.ID != id || q.Method != "POST" {
		r.t.Errorf("event %v, id %s", err, id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	status, answer := r.answer(&d)
	if status < 300 {
		r.took = append(r.took, d)
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// until waits until what was taken is enough.
func (r *receiver) until(enough func([]delivered) bool) []delivered {
	r.t.Helper()
	for deadline := time.After(2 * time.Minute); ; {
		r.mu.Lock()
		took := append([]delivered{}, r.took...)
		r.mu.Unlock()
		if enough(took) {
			return took
		}
		select {
		case <-r.more:
		case <-deadline: // against deadlocks
			r.t.Fatalf("took %d events and no more", len(took))
		}
	}
}

// register makes the receiver a processor.
func (r *receiver) register(g *gateway.Gateway, name string, key []byte, kinds ...events.Kind) {
	r.t.Helper()
	_, _, err := g.Processors.Put(r.t.Context(), gateway.DefaultTenant, events.Processor{
		Name: name, URL: r.url + "/hook?token=s3cret", Secret: hookSecret, PublicKey: key, Role: events.RoleProcessor, Kinds: kinds,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// inOrder checks that everything of a range arrived, in the order of the ledger:
// what comes twice comes with the same id, right where it was.
func inOrder(t *testing.T, took []delivered) (distinct int) {
	t.Helper()
	last := int64(0)
	seen := map[string]string{}
	for i, d := range took {
		if d.Data.Position < last {
			t.Errorf("event %d is of entry %d, after one of %d", i, d.Data.Position, last)
		}
		last = d.Data.Position
		if before, again := seen[d.ID]; again && before != string(d.body) {
			t.Errorf("event %s came twice and differs", d.ID)
		} else if !again {
			distinct++
		}
		seen[d.ID] = string(d.body)
	}
	return distinct
}

// TestProcessorsAreTold: of what they asked for, in order, again and again
// until they take it.
func TestProcessorsAreTold(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{})
	say(t, g, consent.Granted, []string{"before"}, rag)
	down := true
	moody := newReceiver(t, nil)
	moody.answer = func(d *delivered) (int, string) {
		if down = !down; down {
			return 204, ""
		}
		return []int{500, 302, 404}[d.Data.Position%3], "no"
	}
	deaf := newReceiver(t, nil)
	moody.register(g, "moody", nil, events.Consent)
	deaf.register(g, "deaf", nil, events.Manifest)
	const people, times = 5, 6
	for i := range times {
		for p := range people {
			say(t, g, []consent.Status{consent.Granted, consent.Revoked}[i%2], []string{fmt.Sprint("p", p)}, rag)
		}
	}
	took := moody.until(func(took []delivered) bool { return len(took) >= people*times })
	if n := inOrder(t, took); n != people*times {
		t.Errorf("%d distinct events of %d", n, people*times)
	}
	last := map[string]string{}
	for _, d := range took {
		if d.Type != events.TypeChanged || d.Subject == "" || d.Subject == "user:before" || last[d.Subject] == d.Data.Status {
			t.Errorf("%+v", d)
		}
		last[d.Subject] = d.Data.Status
	}
	if deaf.mu.Lock(); len(deaf.took) != 0 {
		t.Error("told of what it did not ask for")
	}
	deaf.mu.Unlock()
	// It gets nothing more once it is dropped.
	if err := g.Processors.Drop(t.Context(), gateway.DefaultTenant, "moody"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := g.CursorOf(t.Context(), "processor.moody"); found || err != nil {
		t.Errorf("its cursor: %v %v", found, err)
	}
}

// TestDeliverySurvivesKills: a gateway that is killed between sending an event
// and noting that it did, over and over; nothing is lost, and the order holds.
func TestDeliverySurvivesKills(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	dir := filepath.Join(t.TempDir(), "data")
	c := startChild(t, dir, "")
	status, answer, err := c.call("PUT", "/v1/processors/crm", map[string]any{
		"url": r.url, "secret": events.ShowSecret(hookSecret), "role": "processor", "kinds": []string{"consent", "erasure"}})
	if err != nil || status != 201 {
		t.Fatal(status, answer, err)
	}
	c.kill()
	said := 0
	for round, crash := range []string{"event.sent:1", "event.send:2", "event.sent:3", "tx.committed:3", "event.sent:2", "event.send:1"} {
		c = startChild(t, dir, crash)
		if c.url == "" {
			continue // it was killed on its way up, by what the round before left
		}
		for i := range 4 {
			// One that got no answer may be in the ledger or not: it is not counted,
			// but must be in order if it is there.
			status, _, err := c.call("POST", "/v1/consent", map[string]any{"user_id": fmt.Sprintf("user:r%dp%d", round, i),
				"consent_type": rag, "status": "denied", "source": "test"})
			if err == nil && status == 201 {
				said++
			}
		}
		<-c.dead
	}
	c = startChild(t, dir, "")
	status, answer, err = c.call("POST", "/v1/erasures", map[string]any{"scope": "subject", "subject": "user:last"})
	if err != nil || status != 202 {
		t.Fatal(status, answer, err)
	}
	took := r.until(func(took []delivered) bool { return len(took) > 0 && took[len(took)-1].Type == events.TypeSuppressed })
	if n := inOrder(t, took); n < said+1 {
		t.Errorf("%d distinct events of %d that were acknowledged", n, said+1)
	}
	if len(took) == inOrder(t, took) {
		t.Error("nothing came twice, so no kill was between sending and noting")
	}
	if last := took[len(took)-1]; fmt.Sprint(last.Data.Identifiers) != "[user:last]" || last.Subject != "user:last" {
		t.Errorf("told of the erasure of %v", last.Data.Identifiers)
	}
}

// TestThreeGatewaysDeliverOnce: they take turns; whoever goes, another goes on.
func TestThreeGatewaysDeliverOnce(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	c := newCluster(t, server(t))
	var gateways []*gateway.Gateway
	for range 3 {
		gateways = append(gateways, c.open(gateway.Config{DeliveryLease: 2 * time.Second}))
	}
	r.register(gateways[0], "crm", nil, events.Consent)
	const people = 30
	for i := range people {
		say(t, gateways[i%3], consent.Denied, []string{fmt.Sprint("p", i)}, rag)
	}
	took := r.until(func(took []delivered) bool { return len(took) >= people })
	if n := inOrder(t, took); n != people || len(took) != people {
		t.Errorf("%d events, %d distinct, of %d", len(took), n, people)
	}
	// Whoever delivers goes, and so does another.
	gateways[0].Close()
	gateways[1].Close()
	for i := range people {
		say(t, gateways[2], consent.Denied, []string{fmt.Sprint("q", i)}, rag)
	}
	took = r.until(func(took []delivered) bool { return inOrder(t, took) >= 2*people })
	// One that was on its way when a gateway went may come twice.
	if n := inOrder(t, took); n != 2*people {
		t.Errorf("%d events, %d distinct, of %d", len(took), n, 2*people)
	}
}

// TestProcessorsOfAnErasure: each says something else; what is ours is erased
// and verified meanwhile, the receipt names who did not acknowledge, and each of
// its bytes counts.
func TestProcessorsOfAnErasure(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	g := openGateway(t, gateway.Config{AdminKey: adminKey, ProcessorsWithin: time.Hour, Now: func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}})
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, _ := ed25519.GenerateKey(nil)
	sign := func(key ed25519.PrivateKey, d *delivered) string {
		sum := sha256.Sum256(d.body)
		return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte("assent-erasure-acknowledgement/v1\n"+d.Data.ID+"\n"+hex.EncodeToString(sum[:])+"\n")))
	}
	answers := map[string]func(*delivered) string{
		"plain":   func(*delivered) string { return `{"acknowledged": true}` },
		"signing": func(d *delivered) string { return `{"acknowledged": true, "signature": "` + sign(private, d) + `"}` },
		"calling": func(*delivered) string { return `{"thanks": true}` },
		"lying":   func(d *delivered) string { return `{"acknowledged": true, "signature": "` + sign(foreign, d) + `"}` },
		"bare":    func(*delivered) string { return `{"acknowledged": true}` }, // it has a key, and does not sign
		"no":      func(*delivered) string { return `{"acknowledged": false}` },
		"mute":    func(*delivered) string { return "" },
	}
	keyed := map[string]bool{"signing": true, "calling": true, "lying": true, "bare": true}
	receivers := map[string]*receiver{}
	for name, answer := range answers {
		r := newReceiver(t, func(d *delivered) (int, string) { return 200, answer(d) })
		var key []byte
		if keyed[name] {
			key = public
		}
		r.register(g, name, key, events.Erasure)
		receivers[name] = r
	}
	ear := newReceiver(t, nil)
	ear.register(g, "ear", nil, events.Consent) // told of no erasure, and no target

	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	if _, err := g.Ledger.Identify(t.Context(), gateway.DefaultTenant, subject(t, "ada"), subject(t, "email:ada@example.org")); err != nil {
		t.Fatal(err)
	}
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	id := erase(t, g, "ada").ID
	state := func() (erasure.Erasure, map[string]string) {
		t.Helper()
		e, err := g.Erasure.Get(t.Context(), gateway.DefaultTenant, id)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for _, p := range e.Processors {
			said[p.Name] = p.State.String()
		}
		return e, said
	}
	told := map[string]*delivered{}
	for name, r := range receivers {
		for _, d := range r.until(func(took []delivered) bool { return len(took) > 0 }) {
			told[name] = &d
			if fmt.Sprint(d.Data.Identifiers) != "[user:ada email:ada@example.org]" || d.Data.ID != id || d.Data.State != "suppressed" {
				t.Errorf("%s was told of %+v", name, d.Data)
			}
		}
	}
	// What is ours is not held back by who is silent.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		e, said := state()
		if e.State == erasure.Verifying && e.Level == erasure.Purged && said["no"] == "refused" && said["plain"] == "acknowledged" && said["signing"] == "acknowledged" {
			break
		}
		if time.Now().After(deadline) || e.State == erasure.Completed || e.State == erasure.CompletedWithExceptions {
			t.Fatalf("%v %v %v", e.State, e.Level, said)
		}
	}
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	call := func(processor, signature string) int {
		t.Helper()
		status, _, err := call(srv.URL, adminKey, "POST", "/v1/erasures/"+id+"/acknowledgements", map[string]any{"processor": processor, "signature": signature})
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	for _, c := range []struct {
		processor, signature string
		want                 int
	}{
		{"calling", sign(foreign, told["calling"]), 403},                                            // by another's key
		{"calling", sign(private, &delivered{body: []byte("{}"), Data: told["calling"].Data}), 403}, // of another event
		{"mute", sign(private, told["mute"]), 403},                                                  // it has no key
		{"nobody", sign(private, told["mute"]), 404},
		{"ear", sign(private, told["mute"]), 404},
		{"calling", "!", 400},
		{"calling", sign(private, told["calling"]), 204},
		{"calling", sign(private, told["calling"]), 204},
	} {
		if got := call(c.processor, c.signature); got != c.want {
			t.Errorf("%s: %d, want %d", c.processor, got, c.want)
		}
	}
	want := map[string]string{"plain": "acknowledged", "signing": "acknowledged", "calling": "acknowledged", "no": "refused",
		"lying": "silent", "bare": "silent", "mute": "silent"}
	if _, said := state(); fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("said %v", said)
	}
	ahead.Store(int64(time.Hour + time.Minute)) // the time that they have is over
	e := ended(t, g, id)
	if e.State != erasure.CompletedWithExceptions || e.Level != erasure.Purged {
		t.Errorf("ended as %v, %v", e.State, e.Level)
	}
	if got := call("lying", sign(private, told["lying"])); got != 409 {
		t.Errorf("after the end: %d", got)
	}
	if told, err := g.Erasure.Told(t.Context(), gateway.DefaultTenant, id); err != nil || len(told.Names) != 0 {
		t.Errorf("after the end it names %v, %v", told.Names, err)
	}
	checkProcessorsReceipt(t, g, id, want, public, sign(private, told["calling"]))
}

func checkProcessorsReceipt(t *testing.T, g *gateway.Gateway, id string, want map[string]string, public ed25519.PublicKey, called string) {
	t.Helper()
	file, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := g.Tree.Key(gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	trust := verify.Trust{Keys: []*verify.Key{key}}
	r, err := trust.Erasure(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range r.Statement.Processors {
		got[p.Name] = p.State
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || r.Statement.State != "completed_with_exceptions" {
		t.Errorf("the receipt says %v, %s", got, r.Statement.State)
	}
	signature, _ := base64.StdEncoding.DecodeString(called)
	if err := r.Acknowledged("calling", public, signature); err != nil {
		t.Errorf("its acknowledgement: %v", err)
	}
	for _, name := range []string{"plain", "lying", "mute", "nobody"} {
		if r.Acknowledged(name, public, signature) == nil {
			t.Errorf("taken for the acknowledgement of %s", name)
		}
	}
	signature[3] ^= 1
	if r.Acknowledged("calling", public, signature) == nil {
		t.Error("another signature is taken")
	}
	for _, word := range []string{"ada", "example.org", "s3cret", "127.0.0.1"} {
		if says(file, word) {
			t.Errorf("the receipt says %q", word)
		}
	}
	if text := verify.ExplainErasure(r); !strings.Contains(text, "mute (processor): silent") || !strings.Contains(text, "calling (processor): acknowledged, signed") {
		t.Errorf("explained as %s", text)
	}
	var refusal *verify.Refusal
	from := bytes.Index(file, []byte("notice_sha256"))
	to := bytes.Index(file, []byte(`"remains"`))
	if from < 0 || to < from {
		t.Fatal("the receipt has no processors")
	}
	for i := from; i < to; i++ {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(file)
			bad[i] ^= flip
			if _, err := trust.Erasure(bad); !errors.As(err, &refusal) {
				t.Fatalf("byte %d edited: %v", i, err)
			}
		}
	}
}

// TestErasuresWaitForABroker: until it has the event, and no longer than the
// time that recipients have.
func TestErasuresWaitForABroker(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{})
	b := &broker{up: make(chan struct{})}
	if err := g.Deliver(t.Context(), gateway.DefaultTenant, "kafka", b); err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Granted, []string{"ada"}, rag)
	id := erase(t, g, "ada").ID
	for { // it is down: what is ours is done, and the erasure is not
		e, err := g.Erasure.Get(t.Context(), gateway.DefaultTenant, id)
		if err != nil {
			t.Fatal(err)
		}
		if e.State == erasure.Verifying && e.Level == erasure.Purged {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(b.up)
	if e := ended(t, g, id); e.State != erasure.Completed || len(e.Processors) != 1 || e.Processors[0].State != erasure.Acknowledged {
		t.Errorf("ended as %v %v", e.State, e.Processors)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var suppressed *delivered
	for _, m := range b.took {
		var d delivered
		if err := json.Unmarshal(m.Event, &d); err != nil {
			t.Fatal(err)
		}
		if d.Type == events.TypeSuppressed {
			suppressed = &d
		}
	}
	if suppressed == nil || fmt.Sprint(suppressed.Data.Identifiers) != "[user:ada]" {
		t.Errorf("the broker has %+v", suppressed)
	}
}

// A broker is a sink that is down until it is up.
type broker struct {
	up   chan struct{}
	mu   sync.Mutex
	took []events.Message
}

func (b *broker) Send(_ context.Context, batch []events.Message) error {
	select {
	case <-b.up:
	default:
		return errors.New("down")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took = append(b.took, batch...)
	return nil
}
