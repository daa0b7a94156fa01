package openaiembed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sashabaranov/go-openai"
	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/retrieval"
)

// Embed returns one vector per text. An error is retrieval.ErrEmbedder or that
// of ctx, and then nothing of any batch is used.
func (e *Endpoint) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bulkLanes)
	for rest, into := texts, out; len(rest) > 0; {
		n := batchLen(rest)
		part, vectors := rest[:n], into[:n]
		g.Go(func() error { return e.batch(ctx, part, vectors) })
		rest, into = rest[n:], into[n:]
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// batchLen is how many of the texts, at least one, the next request takes.
func batchLen(texts []string) int {
	n, bytes := 0, 0
	for n < len(texts) && n < maxTexts {
		if bytes += len(texts[n]); bytes > maxBytes && n > 0 {
			break
		}
		n++
	}
	return n
}

// batch embeds some texts in one request that is repeated while that may help.
func (e *Endpoint) batch(ctx context.Context, texts []string, out [][]float32) error {
	lane := e.bulk
	if len(texts) == 1 {
		lane = e.fast
	}
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return ctx.Err()
	}
	deadline := e.cfg.Now().Add(e.cfg.Patience)
	for attempt := 0; ; attempt++ {
		if err := e.hold(ctx, deadline); err != nil {
			return err
		}
		short := e.shorten.Load()
		err := e.ask(ctx, texts, out, short)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errTooMany) && !short:
			e.shorten.Store(true) // at once, and it does not count
			attempt--
			continue
		}
		var r *refusal
		if !errors.As(err, &r) || !r.again || attempt+1 >= e.cfg.Attempts {
			return err
		}
		pause := time.Duration(e.cfg.Chance() * float64(min(e.cfg.Backoff<<attempt, maxWait)))
		if r.after > 0 {
			e.holdBack(r.after)
			continue // hold waits, and for everybody
		}
		if e.cfg.Now().Add(pause).After(deadline) {
			return err
		}
		if err := e.cfg.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// holdBack keeps every request from starting for a while.
func (e *Endpoint) holdBack(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if until := e.cfg.Now().Add(d); until.After(e.held) {
		e.held = until
	}
}

// hold waits until requests may start; an error when that is too late.
func (e *Endpoint) hold(ctx context.Context, deadline time.Time) error {
	for {
		e.mu.Lock()
		until := e.held
		e.mu.Unlock()
		now := e.cfg.Now()
		switch {
		case !until.After(now):
			return nil
		case until.After(deadline):
			return fmt.Errorf("%w: it asks to wait longer than may be", retrieval.ErrEmbedder)
		}
		// A little apart, so that not all of them begin at once.
		jitter := time.Duration(e.cfg.Chance() * float64(e.cfg.Backoff))
		if err := e.cfg.Wait(ctx, until.Sub(now)+jitter); err != nil {
			return err
		}
	}
}

// Errors of an answer that is not what was asked for.
var (
	errWrong   = fmt.Errorf("%w: not one whole vector per text", retrieval.ErrEmbedder)
	errTooMany = fmt.Errorf("%w: more dimensions than configured", retrieval.ErrEmbedder)
)

// ask sends one request and checks what comes back before any of it is used.
func (e *Endpoint) ask(ctx context.Context, texts []string, out [][]float32, short bool) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	req := openai.EmbeddingRequest{
		Input: texts, Model: openai.EmbeddingModel(e.cfg.Model), EncodingFormat: openai.EmbeddingEncodingFormatFloat,
	}
	if short {
		req.Dimensions = e.cfg.Dimensions
	}
	resp, err := e.client.CreateEmbeddings(ctx, req)
	if err != nil {
		// Whatever it says is dropped here: it may quote the request.
		var r *refusal
		if errors.As(err, &r) {
			return r
		}
		return &refusal{again: true}
	}
	if d := spent(resp.GetRateLimitHeaders()); d > 0 {
		e.holdBack(min(d, e.cfg.Patience))
	}
	return e.take(resp.Data, out)
}

// take puts vectors where their index says.
func (e *Endpoint) take(data []openai.Embedding, out [][]float32) error {
	if len(data) != len(out) {
		return errWrong
	}
	vectors := make([][]float32, len(out))
	for _, d := range data {
		switch {
		case d.Index < 0 || d.Index >= len(out) || vectors[d.Index] != nil:
			return errWrong
		case len(d.Embedding) > e.cfg.Dimensions:
			return errTooMany
		case len(d.Embedding) < e.cfg.Dimensions:
			return errWrong
		}
		for _, x := range d.Embedding {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return errWrong
			}
		}
		vectors[d.Index] = d.Embedding
	}
	copy(out, vectors)
	return nil
}
