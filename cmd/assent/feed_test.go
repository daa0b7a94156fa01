package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A trial is a feed of documents to a fake, and what came of it.
type trial struct {
	*feed
	fake *fake

	mu      sync.Mutex
	results []string        // "number status" in the order they came
	waits   []time.Duration // passed at once instead of waited
	told    []string
}

func newTrial(t *testing.T, batch int) *trial {
	f := newFake(t)
	tr := &trial{fake: f}
	c := testClient(t, f.URL)
	c.wait = func(ctx context.Context, d time.Duration) error {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.waits = append(tr.waits, d)
		return ctx.Err()
	}
	tr.feed = &feed{
		client: c, path: "/v1/collections/c/documents", batch: batch, flights: 2, patience: time.Minute,
		waiting: func(err error) { tr.told = append(tr.told, err.Error()) },
		done: func(l line, raw json.RawMessage) {
			var r struct{ Status string }
			if l.bad != "" {
				r.Status = "bad"
			} else if err := json.Unmarshal(raw, &r); err != nil {
				t.Error(err)
			}
			tr.results = append(tr.results, fmt.Sprintf("%d %s", l.number, r.Status))
		},
	}
	return tr
}

func (tr *trial) run(t *testing.T, text string) error {
	t.Helper()
	return tr.feed.run(t.Context(), stdin(text), describeDocument)
}

// stored reports whether lines 1 to n were stored, in this order.
func (tr *trial) stored(t *testing.T, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%d stored", i+1))
	}
	if got := strings.Join(tr.results, ", "); got != strings.Join(want, ", ") {
		t.Errorf("results %s", got)
	}
}

func TestResultsComeInTheOrderOfTheLinesWhateverTheOrderOfTheAnswers(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 2)
	second := make(chan struct{})
	tr.fake.fault = func(n int, _ http.ResponseWriter, lines []string) bool {
		switch ids(lines) {
		case "d1 d2":
			<-second
		case "d3 d4":
			close(second)
		}
		return false
	}
	if err := tr.run(t, docs(7)); err != nil {
		t.Fatal(err)
	}
	tr.stored(t, 7)
}

func TestWhatMayPassIsTriedAgainWhenTheGatewaySays(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 502, 503, 504} {
		tr := newTrial(t, 10)
		tr.fake.fault = func(n int, w http.ResponseWriter, _ []string) bool {
			if n > 2 {
				return false
			}
			w.Header().Set("Retry-After", "7")
			problemAnswer(w, status, "later")
			return true
		}
		if err := tr.run(t, docs(3)); err != nil {
			t.Fatal(status, err)
		}
		tr.stored(t, 3)
		if len(tr.waits) != 2 || tr.waits[0] != 7*time.Second || tr.waits[1] != 7*time.Second {
			t.Errorf("%d: waited %v, want what Retry-After says", status, tr.waits)
		}
		if len(tr.told) != 1 || !strings.Contains(tr.told[0], "later") {
			t.Errorf("%d: told %q, want it once", status, tr.told)
		}
	}
}

func TestAStreamGoesOnFromTheFirstLineWithoutAResult(t *testing.T) {
	t.Parallel()
	result := `{"status":"stored"}` + "\n"
	for name, fault := range map[string]func(http.ResponseWriter) bool{
		"the connection breaks between results": func(w http.ResponseWriter) bool { return cut(w, result, result) },
		"the connection breaks in a result":     func(w http.ResponseWriter) bool { return cut(w, result, result, `{"stat`) },
		"the answer ends in a result": func(w http.ResponseWriter) bool {
			io.WriteString(w, result+result+`{"stat`)
			return true
		},
		"the answer ends early": func(w http.ResponseWriter) bool {
			io.WriteString(w, result+result)
			return true
		},
		"the gateway says that it cannot go on": func(w http.ResponseWriter) bool {
			io.WriteString(w, result+result+`{"status":"error","problem":{"status":503,"type":"urn:assent:problem:ledger_unavailable"}}`+"\n")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, 10)
			tr.fake.fault = func(n int, w http.ResponseWriter, _ []string) bool { return n == 1 && fault(w) }
			if err := tr.run(t, docs(5)); err != nil {
				t.Fatal(err)
			}
			tr.stored(t, 5)
			if got := ids(tr.fake.requests[1]); len(tr.fake.requests) != 2 || got != "d3 d4 d5" {
				t.Errorf("the second of %d requests has %s", len(tr.fake.requests), got)
			}
		})
	}
}

func TestPatienceEndsButStartsAnewWithEveryResult(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 10)
	tr.patience = 30 * time.Second
	tr.fake.fault = func(n int, w http.ResponseWriter, _ []string) bool {
		switch {
		case n <= 18 && n%6 == 0: // one result in six requests, three times
			io.WriteString(w, `{"status":"stored"}`+"\n")
		default:
			w.Header().Set("Retry-After", "5")
			problemAnswer(w, 503, "later")
		}
		return true
	}
	err := tr.run(t, docs(4))
	if err == nil || !strings.Contains(err.Error(), "gave up") || !answered(err, 503) {
		t.Errorf("error %v", err)
	}
	tr.stored(t, 3)
	var total time.Duration
	for _, d := range tr.waits {
		total += d
	}
	if total < 75*time.Second || total > 120*time.Second {
		t.Errorf("waited %v in all", total)
	}
}

func TestWhatCannotPassEndsTheFeedAndNamesTheLine(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter) bool{
		"a problem": func(w http.ResponseWriter) bool { problemAnswer(w, 403, "scope_missing"); return true },
		"a problem under way": func(w http.ResponseWriter) bool {
			io.WriteString(w, `{"status":"error","problem":{"status":403,"type":"x:scope_missing"}}`)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, 2)
			tr.fake.fault = func(_ int, w http.ResponseWriter, lines []string) bool {
				return ids(lines) == "d3 d4" && fault(w)
			}
			err := tr.run(t, docs(1000))
			if !answered(err, 403) || !strings.Contains(err.Error(), "stdin, line 3 and after") {
				t.Errorf("error %v", err)
			}
			tr.stored(t, 2)
			if n := len(tr.fake.requests); n > 4 {
				t.Errorf("%d requests, want it to stop", n)
			}
		})
	}
	t.Run("results that no line asked for", func(t *testing.T) {
		t.Parallel()
		tr := newTrial(t, 2)
		tr.fake.fault = func(_ int, w http.ResponseWriter, _ []string) bool {
			io.WriteString(w, strings.Repeat(`{"status":"stored"}`+"\n", 3))
			return true
		}
		if err := tr.run(t, docs(2)); err == nil || !strings.Contains(err.Error(), "not one result a line") {
			t.Errorf("error %v", err)
		}
	})
}

func TestARequestThatIsTooLargeIsHalved(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 8)
	tr.fake.fault = func(_ int, w http.ResponseWriter, lines []string) bool {
		if len(lines) <= 2 {
			return false
		}
		problemAnswer(w, 413, "too_large")
		return true
	}
	if err := tr.run(t, docs(8)); err != nil {
		t.Fatal(err)
	}
	tr.stored(t, 8)
}

// raise makes most at least n. Two at once must not both read the old value, or
// the smaller of theirs may be the one that stays.
func raise(most *atomic.Int32, n int32) {
	for {
		old := most.Load()
		if n <= old || most.CompareAndSwap(old, n) {
			return
		}
	}
}

func TestLinesOfOneDocumentNeverTravelAtOnce(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 1)
	var flying, most atomic.Int32
	tr.fake.fault = func(_ int, _ http.ResponseWriter, lines []string) bool {
		raise(&most, flying.Add(1))
		time.Sleep(time.Millisecond)
		flying.Add(-1)
		return false
	}
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, `{"id":"same","text":"version %d"}`+"\n", i)
	}
	if err := tr.run(t, text.String()); err != nil {
		t.Fatal(err)
	}
	tr.stored(t, 20)
	if most.Load() != 1 || !strings.Contains(tr.fake.documents["same"], "version 19") {
		t.Errorf("%d at once; in the end %s", most.Load(), tr.fake.documents["same"])
	}
}

func TestNoMoreIsReadThanIsUnderWay(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 1)
	hold := make(chan struct{})
	var flying, most atomic.Int32
	tr.fake.fault = func(int, http.ResponseWriter, []string) bool {
		raise(&most, flying.Add(1))
		<-hold
		flying.Add(-1)
		return false
	}
	// A line is larger than what the reader reads ahead, so that lines show.
	one := `{"id":"d%d","owners":["user:ada"],"text":"` + strings.Repeat("t", 256<<10) + `"}` + "\n"
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, one, i)
	}
	in := stdin(text.String())
	ended := make(chan error, 1)
	go func() { ended <- tr.feed.run(t.Context(), in, describeDocument) }()
	for flying.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // time to read on, if it would
	if lines := in.read.Load() / int64(len(one)); lines > 5 {
		t.Errorf("%d lines were read while two are under way", lines)
	}
	close(hold)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	tr.stored(t, 40)
	if most.Load() != 2 {
		t.Errorf("%d requests at once, want 2", most.Load())
	}
}

func TestAnInterruptEndsAFeedThatWaits(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	tr.client.wait = func(ctx context.Context, _ time.Duration) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	tr.fake.fault = func(_ int, w http.ResponseWriter, lines []string) bool {
		if ids(lines) == "d1 d2" {
			return false
		}
		problemAnswer(w, 503, "later")
		return true
	}
	if err := tr.feed.run(ctx, stdin(docs(100)), describeDocument); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestBackoffGrowsToTenSeconds(t *testing.T) {
	t.Parallel()
	for attempt, most := range map[int]time.Duration{0: 250 * time.Millisecond, 3: 2 * time.Second, 6: 10 * time.Second, 500: 10 * time.Second} {
		for range 100 {
			if d := backoff(attempt); d < most/2 || d >= most {
				t.Fatalf("attempt %d: %v", attempt, d)
			}
		}
	}
}
