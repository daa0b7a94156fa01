package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/weaviate"
)

// adminKey is the bootstrap key of gateways that tests start.
const adminKey = "assent_test_bootstrap_key_000000"

// TestMain lets the test binary be a gateway that a test may kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ASSENT_TEST_REPLAY"); dir != "" {
		if err := replayChild(dir, os.Getenv("ASSENT_TEST_CRASH")); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("ASSENT_TEST_SERVE"); dir != "" {
		if err := serveChild(dir, os.Getenv("ASSENT_TEST_CRASH")); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if pg.server != nil {
		pg.server.Stop()
	}
	stopWeaviate()
	os.Exit(code)
}

// childConfig is that of a process which kills itself: crash is "step:n", the
// n-th time that step is reached.
func childConfig(dir, crash string) gateway.Config {
	step, nth, _ := strings.Cut(crash, ":")
	n, _ := strconv.ParseInt(nth, 10, 64)
	var seen atomic.Int64
	die := func(at string) {
		if crash != "" && at == step && seen.Add(1) == n {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	later, _ := time.ParseDuration(os.Getenv("ASSENT_TEST_LATER"))
	fault := func(op string) error { die(op); return nil }
	cfg := gateway.Config{DataDir: dir, AdminKey: adminKey, Step: die, DBFault: fault, VaultFault: fault, LogInterval: 20 * time.Millisecond}
	if data := os.Getenv("ASSENT_TEST_POSTGRES"); data != "" {
		cfg.DataDir, cfg.VaultDir, cfg.PostgresURL, cfg.VaultURL = "", dir, data, os.Getenv("ASSENT_TEST_VAULT")
	}
	if d, err := time.ParseDuration(os.Getenv("ASSENT_TEST_AHEAD")); err == nil { // its clock is set forward
		cfg.Now = func() time.Time { return time.Now().Add(d) }
	}
	if url := os.Getenv("ASSENT_TEST_WEAVIATE"); url != "" {
		cfg.Weaviate = &weaviate.Options{URL: url, GRPC: os.Getenv("ASSENT_TEST_WEAVIATE_GRPC")}
		if files := os.Getenv("ASSENT_TEST_WEAVIATE_DATA"); files != "" {
			cfg.WeaviateRebuild, cfg.WeaviateData = 24*time.Hour, []string{files}
		}
	}
	if said, err := os.OpenFile(os.Getenv("ASSENT_TEST_LOG"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		cfg.Log = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if later != 0 {
		cfg.Now = func() time.Time { return time.Now().Add(later) }
	}
	return cfg
}

// replayChild replays a data directory.
func replayChild(dir, crash string) error {
	_, err := gateway.Replay(context.Background(), childConfig(dir, crash))
	return err
}

// replayIn runs a replay in a process of its own; false when it was killed.
func replayIn(t *testing.T, s *site, crash string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "ASSENT_TEST_REPLAY="+s.dir, "ASSENT_TEST_CRASH="+crash), s.env()...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() || err != nil && exit == nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	return err == nil
}

// serveChild serves a gateway until it is killed.
func serveChild(dir, crash string) error {
	g, err := gateway.Open(context.Background(), childConfig(dir, crash))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, g.Handler())
}

// child is a gateway in a process of its own.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	dead chan struct{}
}

func startChild(t *testing.T, dir, crash string, env ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0]), dead: make(chan struct{})}
	said := filepath.Join(t.TempDir(), "log")
	t.Cleanup(func() {
		if text, err := os.ReadFile(said); t.Failed() && err == nil {
			t.Logf("what the gateway that died at %q said:\n%s", crash, text)
		}
	})
	c.cmd.Env = append(append(os.Environ(), "ASSENT_TEST_SERVE="+dir, "ASSENT_TEST_CRASH="+crash, "ASSENT_TEST_LOG="+said), env...)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	c.url = strings.TrimSpace(line)
	go func() {
		c.cmd.Wait()
		close(c.dead)
	}()
	if err != nil {
		<-c.dead
		if crash == "" {
			t.Fatal("the child did not start")
		}
		c.url = "" // it crashed on its way up, as asked
	}
	t.Cleanup(c.kill)
	return c
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.dead
}

// call sends a request; an error means that no answer came.
func (c *child) call(method, path string, body any) (status int, answer map[string]any, err error) {
	return call(c.url, adminKey, method, path, body)
}

func call(url, key, method, path string, body any) (int, map[string]any, error) {
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, url+path, r)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var answer map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			return resp.StatusCode, nil, err
		}
	}
	return resp.StatusCode, answer, nil
}
