package testrabbit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/testport"
)

// A Server is a RabbitMQ server of a test's own.
type Server struct {
	bin     binaries
	dir     string
	ports   *testport.Block // AMQP, distribution, epmd
	epmd    *process
	process *process
}

// Start starts a server that is stopped and removed when the test ends.
// Settings are lines of rabbitmq.conf, "name = value".
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
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "assent-rabbit-"); err != nil {
		return nil, err
	}
	if err = s.prepare(settings); err == nil {
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

// prepare writes what the server reads, and starts its epmd.
func (s *Server) prepare(settings []string) (err error) {
	for name, content := range map[string]string{
		"plugins": "[].\n", "rabbitmq.conf": strings.Join(settings, "\n") + "\n", "environment": "",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	if s.ports, err = testport.Take(3); err != nil {
		return err
	}
	s.epmd, err = start(s.dir, s.environment(), s.bin.epmd, "-address", "127.0.0.1", "-port", fmt.Sprint(s.ports.Port(2)))
	return err
}

// Addr is host and port of the server.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.ports.Port(0)) }

// URL is the address of the server, with its first user.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

func (s *Server) environment() []string {
	return append(os.Environ(),
		"PATH="+s.bin.erl+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+s.dir, // for the Erlang cookie
		fmt.Sprintf("RABBITMQ_NODENAME=assent%d@localhost", s.ports.Port(0)),
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", s.ports.Port(0)),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", s.ports.Port(1)),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
		fmt.Sprintf("ERL_EPMD_PORT=%d", s.ports.Port(2)),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_MNESIA_BASE="+filepath.Join(s.dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(s.dir, "logs"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(s.dir, "plugins"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(s.dir, "rabbitmq"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(s.dir, "environment"),
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server, and no shell stays between
	)
}

// Restart starts a server that was killed, on its ports and its data, and waits
// until it takes connections.
func (s *Server) Restart() (err error) {
	if s.process, err = start(s.dir, s.environment(), s.bin.server); err != nil {
		return err
	}
	for until := time.Now().Add(90 * time.Second); ; {
		if s.ready() {
			return nil
		}
		select {
		case <-s.process.ended:
			return errors.New("rabbitmq does not start:\n" + s.Log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(until) {
			return errors.New("rabbitmq is not ready after 90 s:\n" + s.Log())
		}
	}
}

func (s *Server) ready() bool {
	c, err := amqp.DialConfig(s.URL(), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err == nil {
		c.Close()
	}
	return err == nil
}

// Kill ends the server as kill -9 does: nothing is flushed, nobody is told.
func (s *Server) Kill() { s.process.end(syscall.SIGKILL) }

// Suspend makes the server stand still, connections and all; Resume ends that.
func (s *Server) Suspend() { s.process.signal(syscall.SIGSTOP) }

// Resume lets a suspended server go on.
func (s *Server) Resume() { s.process.signal(syscall.SIGCONT) }

// Stop ends the server and removes its directory.
func (s *Server) Stop() {
	s.process.end(syscall.SIGKILL)
	s.epmd.end(syscall.SIGKILL)
	s.ports.Close()
	os.RemoveAll(s.dir)
}

// Log returns what the server wrote to its output.
func (s *Server) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "output"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// A process is one of the server's, in a group of its own.
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it has
}

// start starts a program that dies with us; what it says goes to a file.
func start(dir string, env []string, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{exec.Command(name, args...), make(chan struct{})}
	p.command.Dir, p.command.Env = dir, env
	p.command.Stdout, p.command.Stderr = out, out
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.command.Wait(); close(p.ended) }()
	return p, nil
}

// signal reaches the process and what it started.
func (p *process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.command.Process.Pid, sig) }

func (p *process) end(sig syscall.Signal) {
	if p == nil {
		return
	}
	select {
	case <-p.ended:
	default:
		p.signal(sig)
		<-p.ended
	}
}
