package gateway_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testpg"
)

// pg is the server that tests share which do not change it.
var pg struct {
	once   sync.Once
	server *testpg.Server
	err    error
}

// server returns the shared server, started when first asked for.
func server(t testing.TB) *testpg.Server {
	t.Helper()
	pg.once.Do(func() { pg.server, pg.err = testpg.New() })
	testpg.Require(t, pg.err)
	return pg.server
}

// A cluster is what gateways share: two databases, and an epoch key of which
// each has a copy.
type cluster struct {
	t           testing.TB
	dir         string
	data, vault string // URLs
	made        int
}

func newCluster(t testing.TB, s *testpg.Server) *cluster {
	t.Helper()
	return &cluster{t: t, dir: t.TempDir(), data: s.Database(t), vault: s.Database(t)}
}

// config is that of one more gateway, with a directory of its own for its copy
// of the epoch key.
func (c *cluster) config(cfg gateway.Config) gateway.Config {
	c.t.Helper()
	first := filepath.Join(c.dir, "vault0")
	cfg.PostgresURL, cfg.VaultURL, cfg.AdminKey = c.data, c.vault, adminKey
	cfg.VaultDir = filepath.Join(c.dir, fmt.Sprint("vault", c.made))
	if c.made > 0 {
		copyEpoch(c.t, first, cfg.VaultDir)
	}
	c.made++
	return cfg
}

func (c *cluster) open(cfg gateway.Config) *gateway.Gateway {
	c.t.Helper()
	return openGateway(c.t, c.config(cfg))
}

func copyEpoch(t testing.TB, from, to string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(from, "epoch-1"))
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "epoch-1"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantWholeJournal compares the journal with the ledger, in the databases
// themselves: the same leaf at every position, and no position that only one
// has.
func (c *cluster) wantWholeJournal(t testing.TB, after *gateway.Gateway) {
	t.Helper()
	if _, err := after.Ledger.Head(t.Context(), gateway.DefaultTenant); err != nil {
		t.Fatal(err)
	}
	ledger, journal := leavesIn(t, c.data, "ledger"), leavesIn(t, c.vault, "journal")
	if len(ledger) == 0 || len(ledger) != len(journal) {
		t.Fatalf("%d entries in the ledger, %d in the journal", len(ledger), len(journal))
	}
	for at, leaf := range ledger {
		if journal[at] != leaf {
			t.Errorf("the journal has another leaf at %v", at)
		}
	}
}

// wantOneLog lets every gateway sign what there is: they come to one
// checkpoint, of the whole ledger, in both databases.
func (c *cluster) wantOneLog(t testing.TB, gateways ...*gateway.Gateway) {
	t.Helper()
	for i, g := range gateways {
		if err := g.Tree.Integrate(t.Context(), gateway.DefaultTenant); err != nil {
			t.Errorf("gateway %d: %v", i, err)
		}
	}
	var inData, inVault string
	ctx := context.Background()
	for url, at := range map[string]struct {
		to    *string
		table string
	}{c.data: {&inData, "log_heads"}, c.vault: {&inVault, "checkpoints"}} {
		conn := connect(t, url)
		var b []byte
		if err := conn.QueryRow(ctx, "SELECT checkpoint FROM "+at.table+" WHERE tenant = $1", gateway.DefaultTenant).Scan(&b); err != nil {
			t.Fatal(err)
		}
		*at.to = string(b)
		conn.Close(ctx)
	}
	head, err := gateways[0].Ledger.Head(ctx, gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(inData, "\n"); inData != inVault || len(lines) < 2 || lines[1] != fmt.Sprint(head.Position) {
		t.Errorf("checkpoints differ, or are not of the whole ledger of %d entries:\n%s\n%s", head.Position, inData, inVault)
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A place is a position of a tenant.
type place struct {
	tenant   string
	position int64
}

func leavesIn(t testing.TB, url, table string) map[place]string {
	t.Helper()
	ctx := context.Background()
	conn := connect(t, url)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT tenant, position, leaf FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	out := map[place]string{}
	var at place
	var leaf []byte
	_, err = pgx.ForEachRow(rows, []any{&at.tenant, &at.position, &leaf}, func() error {
		out[at] = string(leaf)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
