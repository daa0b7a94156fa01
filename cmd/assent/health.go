package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const healthUsage = `assent health [--ready]

Exits with status 0 when the gateway answers, for a supervisor or a container's
health check. Without ASSENT_URL it asks the gateway of its own ASSENT_ADDR on
this machine. It needs no key.`

// healthPatience bounds the question.
const healthPatience = 5 * time.Second

// health asks /healthz, or /readyz, and sends no key.
func health(ctx context.Context, s *session, args []string) error {
	fs := newFlags(healthUsage)
	ready := fs.Bool("ready", false, "ask whether it may serve, not only whether it is alive")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("health takes nothing besides its flags")
	}
	address, own := s.getenv("ASSENT_URL"), false
	if address == "" {
		address, own = ownAddress(s.getenv), true
	}
	path := "/healthz"
	if *ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+path, nil)
	if err != nil {
		return errors.New("ASSENT_URL or ASSENT_ADDR is not an address")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if own { // on this machine, under whatever name its certificate has
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return errUnreachable
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway answers %d", resp.StatusCode)
	}
	return nil
}

// ownAddress is where the gateway with these settings listens, on loopback
// when it listens everywhere.
func ownAddress(getenv func(string) string) string {
	scheme := "http"
	if getenv("ASSENT_TLS_CERT") != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(getenv("ASSENT_ADDR"))
	if err != nil {
		return defaultURL
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
