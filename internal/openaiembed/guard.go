package openaiembed

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/assent-gateway/assent/retrieval"
)

// maxAnswer bounds a response: 96 vectors of 4096 numbers in decimal.
const maxAnswer = 16 << 20

// A refusal is a request that brought no vectors: what may be known of it.
type refusal struct {
	again bool          // repeating it may help
	after time.Duration // what the endpoint asked for; 0: nothing
}

func (r *refusal) Error() string { return retrieval.ErrEmbedder.Error() }
func (r *refusal) Unwrap() error { return retrieval.ErrEmbedder }

// guard stands between the client library and the network. It lets through
// only answers of 200 that are of bounded size and one JSON value in which no
// number of a vector is missing: the library reads a null as zero, does not see
// what stands behind the value, reads an error's body whole and quotes it.
type guard struct{ client *http.Client }

func (g *guard) Do(req *http.Request) (*http.Response, error) {
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, &refusal{again: true} // the error itself quotes the address
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
		return nil, &refusal{again: passing(resp.StatusCode), after: retryAfter(resp.Header)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer || !whole(body) {
		return nil, &refusal{again: true} // cut short, perhaps
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// passing reports a status that a repeat may not meet.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// whole reports whether every vector is an array of numbers.
func whole(body []byte) bool {
	var answer struct {
		Data []struct {
			Index     *int            `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	for _, d := range answer.Data {
		// An array of numbers holds no n; null and a lone string do, or are no array.
		if d.Index == nil || len(d.Embedding) == 0 || d.Embedding[0] != '[' || bytes.ContainsAny(d.Embedding, `n"`) {
			return false
		}
	}
	return true
}

// retryAfter reads how long an endpoint wants to be left alone: seconds, a
// date, or milliseconds in OpenAI's own header.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.Atoi(strings.TrimSpace(h.Get("Retry-After-Ms"))); err == nil && ms > 0 {
		return time.Duration(min(ms, 24*3600*1000)) * time.Millisecond
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(min(s, 24*3600)) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date")) // by the endpoint's own clock, if it says what that is
	if err != nil {
		from = time.Now()
	}
	return max(0, at.Sub(from))
}

// spent is how long to wait after an answer that says it was the last one the
// rate limit allows; 0 when it does not say so.
func spent(l openai.RateLimitHeaders) time.Duration {
	var d time.Duration
	for _, b := range []struct {
		limit, left int
		reset       openai.ResetTime
	}{{l.LimitRequests, l.RemainingRequests, l.ResetRequests}, {l.LimitTokens, l.RemainingTokens, l.ResetTokens}} {
		if b.limit > 0 && b.left <= 0 {
			if reset, err := time.ParseDuration(string(b.reset)); err == nil {
				d = max(d, reset)
			}
		}
	}
	return d
}
