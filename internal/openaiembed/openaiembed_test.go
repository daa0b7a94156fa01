package openaiembed_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/openaiembed"
	"github.com/assent-gateway/assent/retrieval"
)

func TestTextsComeBackAsVectorsInTheirOrder(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	emb, _ := connect(t, e)
	var texts []string
	for i := range 500 {
		texts = append(texts, strings.Repeat("a", i+1))
	}
	got, err := emb.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		if !slices.Equal(got[i], vectorOf(text, dims)) {
			t.Fatalf("text %d: %v", i, got[i])
		}
	}
	for _, r := range e.requests() {
		if r.path != "/v1/embeddings" || r.auth != "Bearer sk-secret" || r.Model != "m" || r.Dimensions != 0 || r.Format != "float" || len(r.Input) > 96 {
			t.Errorf("a request to %s for %d texts, model %s, dimensions %d", r.path, len(r.Input), r.Model, r.Dimensions)
		}
	}
	if n := len(e.requests()); n != 6 {
		t.Errorf("%d requests", n)
	}
	want := retrieval.EmbedderPin{Name: "openai", Model: "m", Dimensions: dims}
	if emb.Identity() != want {
		t.Errorf("%+v", emb.Identity())
	}
	if _, err := emb.For(dims + 1); !errors.Is(err, retrieval.ErrEmbedderMismatch) {
		t.Errorf("other dimensions: %v", err)
	}
}

func TestARequestIsBoundedInBytesToo(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	emb, _ := connect(t, e)
	big := strings.Repeat("x", 100<<10)
	if _, err := emb.Embed(t.Context(), []string{big, big, strings.Repeat("y", 1<<20), "z"}); err != nil {
		t.Fatal(err)
	}
	if n := len(e.requests()); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// What passes is asked for again; what comes back at last is used.
func TestPassingFailuresAreRetried(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w http.ResponseWriter) bool{
		"500":     func(w http.ResponseWriter) bool { return status(w, 500) },
		"502":     func(w http.ResponseWriter) bool { return status(w, 502) },
		"408":     func(w http.ResponseWriter) bool { return status(w, 408) },
		"429":     func(w http.ResponseWriter) bool { return status(w, 429) },
		"garbage": func(w http.ResponseWriter) bool { return body(w, "<html>secret text") },
		"two values": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":[1,2,3]}]} {"data":[]}`)
		},
		"cut":         func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":[1,2`) },
		"null number": func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":[1,null,3]}]}`) },
		"NaN":         func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":[1,NaN,3]}]}`) },
		"no vector":   func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":null}]}`) },
		"no index":    func(w http.ResponseWriter) bool { return body(w, `{"data":[{"embedding":[1,2,3]}]}`) },
		"base64": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":"AACAPwAAAEAAAEBA"}]}`)
		},
		"infinite":     func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":[1,1e300,3]}]}`) },
		"a hangup":     func(w http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
		"half a body":  func(w http.ResponseWriter) bool { w.Header().Set("Content-Length", "999"); return body(w, `{"data":[`) },
		"a huge reply": func(w http.ResponseWriter) bool { return body(w, `{"x":"%s"}`, strings.Repeat("x", 17<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, func(n int, _ request, w http.ResponseWriter) bool { return n < 3 && fail(w) })
			emb, c := connect(t, e)
			got, err := emb.Embed(t.Context(), []string{"secret text"})
			if err != nil || !slices.Equal(got[0], vectorOf("secret text", dims)) {
				t.Fatalf("%v, %v", got, err)
			}
			if want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}; !slices.Equal(c.waits, want) {
				t.Errorf("waited %v, want %v", c.waits, want)
			}

			always := serve(t, func(_ int, _ request, w http.ResponseWriter) bool { return fail(w) })
			emb, c = connect(t, always)
			got, err = emb.Embed(t.Context(), []string{"secret text"})
			silent(t, got, err)
			if n := len(always.requests()); n != 6 || len(c.waits) != 5 {
				t.Errorf("%d requests, %d waits", n, len(c.waits))
			}
		})
	}
}

// silent wants an error that says nothing of text, key, address or answer.
func silent(t *testing.T, got [][]float32, err error) {
	t.Helper()
	if got != nil || !errors.Is(err, retrieval.ErrEmbedder) {
		t.Errorf("%v, %v", got, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		for _, word := range []string{"secret", "quotes", "127.0.0.1", "http"} {
			if strings.Contains(fmt.Sprintf(verb, err), word) {
				t.Errorf("the error says %q: "+verb, word, err)
			}
		}
	}
}

// What a repeat cannot mend fails at once.
func TestOtherFailuresAreNotRetried(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w http.ResponseWriter) bool{
		"401":        func(w http.ResponseWriter) bool { return status(w, 401) },
		"400":        func(w http.ResponseWriter) bool { return status(w, 400) },
		"404":        func(w http.ResponseWriter) bool { return status(w, 404) },
		"a redirect": func(w http.ResponseWriter) bool { return status(w, 307, "Location: /v1/elsewhere") },
		"204":        func(w http.ResponseWriter) bool { w.WriteHeader(204); return true },
		"too few":    func(w http.ResponseWriter) bool { return body(w, `{"data":[{"index":0,"embedding":[1,2,3]}]}`) },
		"none":       func(w http.ResponseWriter) bool { return body(w, `{"data":[]}`) },
		"an index twice": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}`)
		},
		"index outside": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":2,"embedding":[1,2,3]}]}`)
		},
		"index below": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":-1,"embedding":[1,2,3]}]}`)
		},
		"too short": func(w http.ResponseWriter) bool {
			return body(w, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2]}]}`)
		},
		"an error in 200": func(w http.ResponseWriter) bool { return body(w, `{"error":{"message":"quotes secret text"}}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, func(_ int, _ request, w http.ResponseWriter) bool { return fail(w) })
			emb, _ := connect(t, e)
			got, err := emb.Embed(t.Context(), []string{"secret text", "another"})
			silent(t, got, err)
			if n := len(e.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestRetryAfterHoldsEverybodyBack(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Retry-After: 7", "Retry-After-Ms: 7000", "Retry-After: Sun, 09 Sep 2001 01:46:47 GMT"} {
		e := serve(t, func(n int, _ request, w http.ResponseWriter) bool {
			return n == 1 && status(w, 429, header, "Date: Sun, 09 Sep 2001 01:46:40 GMT")
		})
		emb, c := connect(t, e)
		if _, err := emb.Embed(t.Context(), []string{"one"}); err != nil {
			t.Fatal(err)
		}
		if len(c.waits) != 1 || c.waits[0] < 7*time.Second || c.waits[0] > 8*time.Second {
			t.Errorf("%s: waited %v", header, c.waits)
		}
		// Longer than a batch may take: it fails at once, and so do others
		// meanwhile, without a request.
		long := serve(t, func(_ int, _ request, w http.ResponseWriter) bool { return status(w, 429, "Retry-After: 3600") })
		emb, c = connect(t, long)
		for range 2 {
			got, err := emb.Embed(t.Context(), []string{"one"})
			silent(t, got, err)
		}
		if len(long.requests()) != 1 || len(c.waits) != 0 {
			t.Errorf("%d requests, waited %v", len(long.requests()), c.waits)
		}
		c.Wait(t.Context(), time.Hour+time.Second)
		emb.Embed(t.Context(), []string{"one"})
		if len(long.requests()) != 2 {
			t.Error("it never asks again")
		}
	}
}

func TestASpentRateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	e := serve(t, func(n int, _ request, w http.ResponseWriter) bool {
		if n == 1 {
			w.Header().Set("X-Ratelimit-Limit-Requests", "60")
			w.Header().Set("X-Ratelimit-Remaining-Requests", "0")
			w.Header().Set("X-Ratelimit-Reset-Requests", "12s")
		}
		return false
	})
	emb, c := connect(t, e)
	for range 3 {
		if _, err := emb.Embed(t.Context(), []string{"one"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.waits) != 1 || c.waits[0] < 12*time.Second {
		t.Errorf("waited %v", c.waits)
	}
}

// A model that can be shortened is asked to, once it was seen to be longer.
func TestALongerModelIsAskedForFewerDimensions(t *testing.T) {
	t.Parallel()
	e := serve(t, func(_ int, r request, w http.ResponseWriter) bool {
		return r.Dimensions == 0 && body(w, `{"data":[{"index":0,"embedding":[1,2,3,4,5]}]}`)
	})
	emb, _ := connect(t, e)
	for range 2 {
		if _, err := emb.Embed(t.Context(), []string{"one"}); err != nil {
			t.Fatal(err)
		}
	}
	r := e.requests()
	if len(r) != 3 || r[1].Dimensions != dims || r[2].Dimensions != dims {
		t.Errorf("%+v", r)
	}
	stubborn := serve(t, func(_ int, _ request, w http.ResponseWriter) bool {
		return body(w, `{"data":[{"index":0,"embedding":[1,2,3,4,5]}]}`)
	})
	emb, _ = connect(t, stubborn)
	got, err := emb.Embed(t.Context(), []string{"one"})
	silent(t, got, err)
}

// Not more than four batches at a time, and a query does not wait for them.
func TestFewRequestsAtATimeAndAQueryPassesThem(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	e.entered, e.goOn = make(chan struct{}, 64), make(chan struct{})
	emb, _ := connect(t, e)
	texts := make([]string, 96*12)
	for i := range texts {
		texts[i] = "t"
	}
	done := make(chan error, 3)
	for range 2 {
		go func() { _, err := emb.Embed(t.Context(), texts); done <- err }()
	}
	for range 4 {
		<-e.entered
	}
	go func() { _, err := emb.Embed(t.Context(), []string{"a query"}); done <- err }()
	<-e.entered // the query's, while four batches are held
	r := e.requests()
	if len(r) != 5 || len(r[4].Input) != 1 {
		t.Errorf("%d requests", len(r))
	}
	close(e.goOn)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if e.most > 5 {
		t.Errorf("%d requests at once", e.most)
	}
}

func TestASlowEndpointIsGivenUp(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	e.entered, e.goOn = make(chan struct{}, 64), make(chan struct{})
	defer close(e.goOn)
	emb, _ := connect(t, e, func(c *openaiembed.Config) { c.Timeout, c.Attempts = 20*time.Millisecond, 2 })
	got, err := emb.Embed(t.Context(), []string{"one"})
	silent(t, got, err)
	// A caller that goes away is not kept.
	held := serve(t, nil)
	held.entered, held.goOn = make(chan struct{}, 64), make(chan struct{})
	defer close(held.goOn)
	emb, _ = connect(t, held)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-held.entered; cancel() }()
	if _, err := emb.Embed(ctx, []string{"one"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAnEndpointThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	emb, c := connect(t, e)
	e.Close()
	got, err := emb.Embed(t.Context(), []string{"one"})
	silent(t, got, err)
	if len(c.waits) != 5 {
		t.Errorf("waited %v", c.waits)
	}
}

func TestAddressesThatTextsShouldNotGoToAreRefused(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{
		"https://api.example.org/v1":     nil,
		"http://127.0.0.1:11434/v1":      nil,
		"http://[::1]:8081":              nil,
		"http://localhost:8081/v1":       nil,
		"http://api.example.org/v1":      openaiembed.ErrPlaintext,
		"http://localhost.example/v1":    openaiembed.ErrPlaintext,
		"http://10.0.0.1/v1":             openaiembed.ErrPlaintext,
		"https://user:pw@example.org/v1": openaiembed.ErrURL,
		"https://example.org/v1?key=x":   openaiembed.ErrURL,
		"https://example.org/v1#x":       openaiembed.ErrURL,
		"ftp://example.org":              openaiembed.ErrURL,
		"example.org":                    openaiembed.ErrURL,
		"https://":                       openaiembed.ErrURL,
		"":                               openaiembed.ErrURL,
		"http://%zz":                     openaiembed.ErrURL,
	} {
		c := openaiembed.Config{URL: address, Model: "m", Dimensions: 8}
		if _, err := openaiembed.New(c); !errors.Is(err, want) {
			t.Errorf("%s: %v", address, err)
		}
		c.AllowPlaintext = true
		if _, err := openaiembed.New(c); want == openaiembed.ErrPlaintext && err != nil {
			t.Errorf("%s, overridden: %v", address, err)
		}
	}
	for _, c := range []openaiembed.Config{
		{URL: "https://a.example", Dimensions: 8},
		{URL: "https://a.example", Model: strings.Repeat("m", 257), Dimensions: 8},
		{URL: "https://a.example", Model: "m"},
		{URL: "https://a.example", Model: "m", Dimensions: 4097},
	} {
		if _, err := openaiembed.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
