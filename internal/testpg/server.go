package testpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/internal/testport"
)

// A Server is a Postgres server of a test's own.
type Server struct {
	bin      string
	owner    owner
	dir      string
	ports    *testport.Block
	settings []string
	process  *exec.Cmd
	ended    chan struct{} // closed when the process has ended

	making sync.Mutex
	made   int // databases so far
}

// Start starts a server that is stopped and removed when the test ends.
// Settings are "name=value".
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
	return newServer(settings, func(s *Server) error {
		// initdb syncs nothing: what it writes is not what tests are about.
		return s.owner.run(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-A", "trust", "-U", "postgres",
			"-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	})
}

// Require skips or fails a test when New failed.
func Require(t testing.TB, err error) { t.Helper(); require(t, err) }

// Standby starts a server that follows s.
func (s *Server) Standby(t testing.TB, settings ...string) *Server {
	t.Helper()
	r, err := newServer(settings, func(r *Server) error {
		return s.owner.run(filepath.Join(s.bin, "pg_basebackup"), "-D", r.data(), "-d", s.URL("postgres"),
			"-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	})
	require(t, err)
	t.Cleanup(r.Stop)
	return r
}

func newServer(settings []string, fill func(*Server) error) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.owner, err = findOwner(); err != nil {
		return nil, err
	}
	if s.dir, err = s.owner.dir(); err != nil {
		return nil, err
	}
	if err = fill(s); err == nil {
		if s.ports, err = testport.Take(1); err == nil {
			err = s.Restart()
		}
	}
	if err != nil {
		s.ports.Close()
		os.RemoveAll(s.dir)
		return nil, err
	}
	return s, nil
}

// Dir is where every file of the server is, its log too.
func (s *Server) Dir() string { return s.dir }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL names a database of the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.ports.Port(0), database)
}

// Restart starts a server that was killed, on its port, and waits until it
// takes connections.
func (s *Server) Restart() error {
	args := []string{"-D", s.data(), "-p", fmt.Sprint(s.ports.Port(0)), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=64MB"}
	for _, set := range s.settings {
		args = append(args, "-c", set)
	}
	for until := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if s.process == nil || s.hasEnded() { // it ends at once while children of the killed one live
			log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			s.process = s.owner.command(filepath.Join(s.bin, "postgres"), args...)
			s.process.Stdout, s.process.Stderr = log, log
			err = s.process.Start()
			log.Close()
			if err != nil {
				return err
			}
			s.ended = make(chan struct{})
			go func(c *exec.Cmd, ended chan struct{}) { c.Wait(); close(ended) }(s.process, s.ended)
		}
		if s.ready() {
			return nil
		}
		if time.Now().After(until) {
			return errors.New("postgres does not start:\n" + s.Log())
		}
	}
}

func (s *Server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *Server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err == nil {
		c.Close(ctx)
	}
	return err == nil
}

// Kill ends the server and its children as kill -9 does: nothing is flushed,
// nobody is told.
func (s *Server) Kill() {
	children := s.children()
	s.signal(syscall.SIGKILL)
	for _, pid := range children { // they would answer for some milliseconds more
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children are the processes that the server started.
func (s *Server) children() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var pid, parent int
		var state string
		_, after, _ := strings.Cut(string(b), ") ") // the command stands in brackets
		if _, err := fmt.Sscan(after, &state, &parent); err != nil || parent != s.process.Process.Pid {
			continue
		}
		if _, err := fmt.Sscan(string(b), &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() {
	s.signal(syscall.SIGQUIT)
	s.ports.Close()
	os.RemoveAll(s.dir)
}

func (s *Server) signal(sig syscall.Signal) {
	if s.process == nil || s.hasEnded() {
		return
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
