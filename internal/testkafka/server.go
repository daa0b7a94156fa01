package testkafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/assent-gateway/assent/internal/testport"
)

// partitions is how many a topic gets that does not say.
const partitions = 4

// A Server is a broker of a test's own, whose data outlives its ends.
type Server struct {
	t     testing.TB
	dir   string
	ports *testport.Block
	opts  []kfake.Opt
	*kfake.Cluster
}

// New makes a broker that is down.
func New(t testing.TB, opts ...kfake.Opt) *Server {
	t.Helper()
	ports, err := testport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ports.Close)
	s := &Server{t: t, dir: t.TempDir(), ports: ports, opts: opts}
	t.Cleanup(s.Stop)
	return s
}

// Start makes a broker and starts it.
func Start(t testing.TB, opts ...kfake.Opt) *Server {
	t.Helper()
	s := New(t, opts...)
	s.Restart()
	return s
}

// Addr is host and port of the broker.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.ports.Port(0)) }

// Restart starts a broker that is down, on its port and its data.
func (s *Server) Restart() {
	s.t.Helper()
	opts := append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(s.ports.Port(0)), kfake.DataDir(s.dir), kfake.SyncWrites(), kfake.DefaultNumPartitions(partitions),
	}, s.opts...)
	var err error
	for range 100 { // its port may be taken for a moment
		if s.Cluster, err = kfake.NewCluster(opts...); err == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	s.t.Fatal(err)
}

// Stop ends the broker; a test's end does, too.
func (s *Server) Stop() {
	if s.Cluster != nil {
		s.Close()
		s.Cluster = nil
	}
}
