package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/openaiembed"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/retrieval"
)

// watcher is the gateway's telemetry and, where one is set, the listener of
// its metrics.
type watcher struct {
	telemetry *telemetry.Telemetry
	listener  net.Listener // nil: none of its own
	server    *http.Server
}

// watch starts telemetry, and takes the address of the metrics.
func watch(ctx context.Context, cfg *config, log *slog.Logger) (*watcher, error) {
	w := &watcher{}
	if cfg.outside.metricsAddr != "" {
		var err error
		if w.listener, err = net.Listen("tcp", cfg.outside.metricsAddr); err != nil {
			return nil, fmt.Errorf("listen on %s: %w; another address can be set with ASSENT_METRICS_ADDR", cfg.outside.metricsAddr, err)
		}
	}
	var err error
	if w.telemetry, err = telemetry.New(ctx, telemetry.Config{Routes: httpapi.Templates(), OTLP: cfg.outside.otlp, Log: log}); err != nil {
		w.stop()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", w.telemetry.Handler())
	w.server = httpapi.Server(cfg.outside.metricsAddr, mux)
	return w, nil
}

// serve serves the metrics, if on a listener of their own, until stop.
func (w *watcher) serve(stdout io.Writer, served chan<- error) {
	if w.listener == nil {
		return
	}
	fmt.Fprintf(stdout, "\nassent: metrics on http://%s/metrics", w.listener.Addr())
	go func() {
		if err := w.server.Serve(w.listener); err != http.ErrServerClosed {
			served <- fmt.Errorf("serve metrics: %w", err)
		}
	}()
}

// stop sends what is left to a collector, and stops.
func (w *watcher) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if w.server != nil {
		_ = w.server.Close() // a scrape that is cut off is made again
	}
	if w.listener != nil {
		_ = w.listener.Close()
	}
	_ = w.telemetry.Shutdown(ctx) // the log has said so
}

// metricsHere reports whether /metrics stands beside the rest: on loopback,
// unless a proxy brings strangers there.
func (c *config) metricsHere() bool {
	host, _, err := net.SplitHostPort(c.addr)
	return err == nil && c.outside.metricsAddr == "" && loopback(host) && len(c.trustedProxies) == 0
}

// embedders is the endpoint that is configured; nil for the local embedder.
func embedders(cfg *config) (retrieval.Embedders, error) {
	if cfg.outside.embeddings == nil {
		return nil, nil
	}
	return openaiembed.New(*cfg.outside.embeddings)
}
