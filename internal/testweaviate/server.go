package testweaviate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/testport"
)

// The ports of a server. A node on one host takes its own RPC port for the one
// after its Raft port, and its data port for the one after that of gossip.
const (
	portHTTP = iota
	portGRPC
	portGossip
	portData
	portRaft
	portRPC
	ports
)

// A Server is a Weaviate server of a test's own.
type Server struct {
	bin      string
	dir      string
	settings []string
	ports    *testport.Block
	process  *exec.Cmd
	ended    chan struct{} // closed when the process has ended
}

// Start starts a server that is stopped and removed when the test ends.
// Settings are environment variables, "NAME=value".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := New(settings...)
	require(t, err)
	t.Cleanup(s.Stop)
	return s
}

// New starts a server for a TestMain, which must call Stop. Its error is told
// to a test by Require.
func New(settings ...string) (*Server, error) {
	bin, err := binary()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.dir, err = os.MkdirTemp("", "assent-weaviate-"); err != nil {
		return nil, err
	}
	if s.ports, err = testport.Take(ports); err == nil {
		err = s.Restart()
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Require skips or fails a test when New failed.
func Require(t testing.TB, err error) { t.Helper(); require(t, err) }

// URL is the address of the server's HTTP interface.
func (s *Server) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.ports.Port(portHTTP)) }

// GRPC is host and port of its gRPC interface.
func (s *Server) GRPC() string { return fmt.Sprintf("127.0.0.1:%d", s.ports.Port(portGRPC)) }

// Data is the directory in which the server keeps everything.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

func (s *Server) environment() []string {
	env := append(os.Environ(),
		"PERSISTENCE_DATA_PATH="+s.Data(),
		"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true",
		"DEFAULT_VECTORIZER_MODULE=none",
		"DISABLE_TELEMETRY=true",
		"AUTOSCHEMA_ENABLED=false",
		"USE_INVERTED_SEARCHABLE=false",
		"CLUSTER_HOSTNAME=node1",
		"CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"CLUSTER_IN_LOCALHOST=true",
		"RAFT_BOOTSTRAP_EXPECT=1",
		fmt.Sprintf("GRPC_PORT=%d", s.ports.Port(portGRPC)),
		fmt.Sprintf("CLUSTER_GOSSIP_BIND_PORT=%d", s.ports.Port(portGossip)),
		fmt.Sprintf("CLUSTER_DATA_BIND_PORT=%d", s.ports.Port(portData)),
		fmt.Sprintf("RAFT_PORT=%d", s.ports.Port(portRaft)),
		fmt.Sprintf("RAFT_INTERNAL_RPC_PORT=%d", s.ports.Port(portRPC)),
		fmt.Sprintf("RAFT_JOIN=node1:%d", s.ports.Port(portRaft)),
		"LOG_LEVEL=warning",
	)
	return append(env, s.settings...)
}

// Restart starts a server that was killed, on its ports and its data, and
// waits until it is ready.
func (s *Server) Restart() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(s.bin, "--host", "127.0.0.1", "--port", fmt.Sprint(s.ports.Port(portHTTP)), "--scheme", "http")
	c.Dir, c.Env = s.dir, s.environment()
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.Start(); err != nil {
		return err
	}
	s.process, s.ended = c, make(chan struct{})
	go func(ended chan struct{}) { _ = c.Wait(); close(ended) }(s.ended)
	for until := time.Now().Add(90 * time.Second); ; {
		if s.ready() {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("weaviate does not start:\n" + s.Log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(until) {
			return errors.New("weaviate is not ready after 90 s:\n" + s.Log())
		}
	}
}

// ready asks both interfaces: the gRPC one comes a little later.
func (s *Server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/.well-known/ready", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false
	}
	c, err := net.DialTimeout("tcp", s.GRPC(), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Kill ends the server as kill -9 does: nothing is flushed, nobody is told.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Suspend makes the server stand still, connections and all; Resume ends that.
func (s *Server) Suspend() { _ = s.process.Process.Signal(syscall.SIGSTOP) }

// Resume lets a suspended server go on.
func (s *Server) Resume() { _ = s.process.Process.Signal(syscall.SIGCONT) }

// Stop ends the server and removes its directory.
func (s *Server) Stop() {
	s.signal(syscall.SIGKILL)
	s.ports.Close()
	os.RemoveAll(s.dir)
}

func (s *Server) signal(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.process.Process.Signal(sig)
	<-s.ended
}

// Log returns what the server wrote to its log.
func (s *Server) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
