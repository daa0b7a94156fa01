package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/logging"
)

// drainTime is how long requests under way may take to end at a stop.
const drainTime = 10 * time.Second

// serve opens the gateway and serves it until ctx ends.
func serve(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := loadConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "assent: settings")
	cfg.print(stdout)
	// The address first: one that is taken should leave no directories behind.
	// Whoever connects before the gateway is open waits for it.
	listener, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; another address can be set with ASSENT_ADDR or --addr", cfg.addr, err)
	}
	defer listener.Close()
	log := logging.New(stderr, nil, gateway.Sentinels()...)
	w, err := watch(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer w.stop()
	embedders, err := embedders(cfg)
	if err != nil {
		return err
	}
	g, err := gateway.Open(ctx, gateway.Config{
		DataDir: cfg.data, VaultDir: cfg.vault, AllowVaultInside: cfg.allow["ASSENT_ALLOW_VAULT_INSIDE"],
		PostgresURL: cfg.postgres, VaultURL: cfg.vaultURL, AllowParameterLogging: cfg.allow["ASSENT_ALLOW_PARAMETER_LOGGING"],
		AdminKey: cfg.adminKey, Policy: cfg.policy, TransparencyLog: cfg.log, Weaviate: cfg.weaviate,
		WeaviateRebuild: cfg.weaviateRebuild, WeaviateData: cfg.weaviateData,
		KMS: cfg.kms.service, KMSKey: cfg.kms.key,
		Log: log, Telemetry: w.telemetry, MetricsHere: cfg.metricsHere(),
		Embedders: embedders, RateLimit: cfg.outside.rateLimit, ProcessorsWithin: cfg.outside.processors,
		Kafka: cfg.brokers.kafka, AMQP: cfg.brokers.amqp, BrokerTenant: cfg.brokers.tenant,
	})
	if err != nil {
		return err
	}
	defer g.Close()
	server := httpapi.Server(cfg.addr, g.Handler())
	server.RegisterOnShutdown(g.Quiesce)
	served := make(chan error, 2)
	w.serve(stdout, served)
	greet(stdout, cfg, g, listener.Addr())
	go func() {
		if cfg.tlsCert != "" {
			served <- server.ServeTLS(listener, cfg.tlsCert, cfg.tlsKey)
			return
		}
		served <- server.Serve(listener)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return g.Close()
}

// greet prints where the gateway is, where its key is, and what to try.
func greet(w io.Writer, cfg *config, g *gateway.Gateway, addr net.Addr) {
	scheme := "http"
	if cfg.tlsCert != "" {
		scheme = "https"
	}
	url := scheme + "://" + addr.String()
	fmt.Fprintf(w, "\nassent: serving on %s\n", url)
	if err := g.Ready(context.Background()); err != nil {
		fmt.Fprintf(w, "assent: NOT READY: %s/readyz says why\n", url)
	}
	for _, limit := range g.Limits {
		fmt.Fprintf(w, "assent: LIMIT: %s\n", limit)
	}
	if g.AdminKeyFile == "" {
		return
	}
	fmt.Fprintf(w, "assent: a key that may do everything is in %s\n", g.AdminKeyFile)
	if f, ok := w.(*os.File); ok && g.AdminKeyMade && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(w, "assent: it is %s\n", g.AdminKey)
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "assent"
	} else if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, exe); err == nil && filepath.IsLocal(rel) {
			exe = "./" + rel
		}
	}
	fmt.Fprintf(w, `
Try, in another terminal:

  export ASSENT_URL=%s ASSENT_KEY=$(cat %s)
  %s demo
  %s consent show user:demo-ada

`, url, g.AdminKeyFile, exe, exe)
}
