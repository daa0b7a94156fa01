package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/internal/pgvault"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// refused opens a gateway that must not open, and says so with err and hint.
func refused(t *testing.T, cfg gateway.Config, err error, hint string) {
	t.Helper()
	g, got := gateway.Open(t.Context(), cfg)
	if got == nil {
		g.Close()
	}
	if !errors.Is(got, err) || !strings.Contains(fmt.Sprint(got), hint) {
		t.Errorf("error is %v, want %v with %q", got, err, hint)
	}
}

// What would lose keys, mix them with the data, or open nothing, is refused at
// the start, and the text says what to do.
func TestUnfitDatabasesAreRefusedAtStart(t *testing.T) {
	s := server(t)
	c := newCluster(t, s)
	first := c.config(gateway.Config{})
	change := func(f func(*gateway.Config)) gateway.Config {
		cfg := first
		f(&cfg)
		return cfg
	}
	refused(t, change(func(c *gateway.Config) { c.PostgresURL = "postgres://[" }), postgres.ErrURL, "ASSENT_POSTGRES_URL")
	refused(t, change(func(c *gateway.Config) { c.VaultURL = "postgres://[" }), postgres.ErrURL, "ASSENT_VAULT_URL")
	refused(t, change(func(c *gateway.Config) { c.VaultURL = c.PostgresURL }), gateway.ErrSharedDatabase, "")
	// The same database under another name, and in another schema of it.
	alias := strings.Replace(c.data, "127.0.0.1", "localhost", 1) + "&search_path=pg_temp"
	refused(t, change(func(c *gateway.Config) { c.VaultURL = alias }), gateway.ErrSharedDatabase, "")
	if tables := count(t, c.data, `SELECT count(*) FROM pg_tables WHERE tablename = 'slots'`); tables != 0 {
		t.Error("a refused vault left tables in the data's database")
	}

	g := openGateway(t, first)
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, change(func(c *gateway.Config) { c.VaultURL = s.Database(t) }), gateway.ErrNoSharedVault, "ASSENT_VAULT_URL")
	other := newCluster(t, s)
	openGateway(t, other.config(gateway.Config{})).Close()
	refused(t, change(func(c *gateway.Config) {
		c.VaultURL, c.VaultDir = other.vault, filepath.Join(other.dir, "vault0")
	}), gateway.ErrForeignVault, "")
	refused(t, change(func(c *gateway.Config) { c.VaultDir = filepath.Join(t.TempDir(), "new") }), pgvault.ErrNoEpoch, "copy")
	refused(t, change(func(c *gateway.Config) { c.VaultURL = other.data }), postgres.ErrSchema, "ASSENT_VAULT_URL")
	refused(t, change(func(c *gateway.Config) { c.PostgresURL = other.vault }), postgres.ErrSchema, "ASSENT_POSTGRES_URL")
	embedded := openGateway(t, gateway.Config{})
	refused(t, change(func(c *gateway.Config) { c.VaultDir = gateway.VaultDirOf(embedded) }), vault.ErrOwnKeys, "ASSENT_VAULT")
	openGateway(t, first) // nothing of that did any harm
}

// One gateway may have a Postgres with a vault in a directory; its lock, and the
// id that the data is bound to, keep a second one out.
func TestAPostgresWithAVaultInADirectoryHasOneGateway(t *testing.T) {
	s := server(t)
	cfg := gateway.Config{PostgresURL: s.Database(t), VaultDir: filepath.Join(t.TempDir(), "vault"), AdminKey: adminKey}
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	refused(t, cfg, vault.ErrLocked, "another assent")
	other := cfg
	other.VaultDir = filepath.Join(t.TempDir(), "vault")
	refused(t, other, gateway.ErrNoVault, "")
	shared := other
	shared.VaultURL = s.Database(t)
	refused(t, shared, gateway.ErrNoSharedVault, "")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, cfg)
	if head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant); err != nil || head.Position < 2 {
		t.Errorf("head %d, error %v: what was said is there", head.Position, err)
	}
}

// Gateways on one machine may share the directory of the epoch key.
func TestGatewaysShareADirectoryOfTheEpochKey(t *testing.T) {
	c := newCluster(t, server(t))
	cfg := c.config(gateway.Config{})
	one, two := openGateway(t, cfg), openGateway(t, cfg)
	say(t, one, consent.Granted, []string{"ada"}, rag, emb)
	a, errA := one.Ledger.Head(t.Context(), gateway.DefaultTenant)
	b, errB := two.Ledger.Head(t.Context(), gateway.DefaultTenant)
	if errA != nil || errB != nil || a.Position != b.Position {
		t.Errorf("heads %d and %d, errors %v, %v", a.Position, b.Position, errA, errB)
	}
}

func TestAServerThatLogsParametersIsOverriddenByName(t *testing.T) {
	c := newCluster(t, testpg.Start(t, "log_statement=all"))
	cfg := c.config(gateway.Config{})
	refused(t, cfg, postgres.ErrLogsParameters, "ASSENT_ALLOW_PARAMETER_LOGGING=1")
	cfg.AllowParameterLogging = true
	g := openGateway(t, cfg)
	if len(g.Limits) != 2 || !strings.Contains(strings.Join(g.Limits, ""), "synchronous_standby_names") {
		t.Errorf("limits are %q: without synchronous replication both are named", g.Limits)
	}
}

func TestAReplicaIsRefusedAtStart(t *testing.T) {
	s := testpg.Start(t, "wal_level=replica")
	c := newCluster(t, s)
	cfg := c.config(gateway.Config{})
	openGateway(t, cfg).Close()
	standby := s.Standby(t)
	at := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return standby.URL(strings.TrimPrefix(u.Path, "/"))
	}
	onReplica := cfg
	onReplica.PostgresURL = at(c.data)
	refused(t, onReplica, postgres.ErrNotPrimary, "ASSENT_POSTGRES_URL")
	onReplica = cfg
	onReplica.VaultURL = at(c.vault)
	refused(t, onReplica, postgres.ErrNotPrimary, "ASSENT_VAULT_URL")
}

// Gateways that start at once, on databases that hold nothing, come to one
// ledger that is begun once, with one policy.
func TestGatewaysThatStartAtOnceComeToOneLedger(t *testing.T) {
	c := newCluster(t, server(t))
	dir := filepath.Join(t.TempDir(), "vault") // of one machine, or a volume they share
	const n = 4
	gateways := make([]*gateway.Gateway, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			gateways[i], err = gateway.Open(t.Context(), gateway.Config{PostgresURL: c.data, VaultURL: c.vault, VaultDir: dir})
			if err != nil {
				t.Errorf("gateway %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, g := range gateways {
		defer g.Close()
	}
	if t.Failed() {
		return
	}
	made := 0
	for i, g := range gateways {
		head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
		if err != nil || head.Position != 2 { // tenant, policy
			t.Errorf("gateway %d: head %d, %v", i, head.Position, err)
		}
		if err := g.Ready(t.Context()); err != nil || g.AdminKey != gateways[0].AdminKey {
			t.Errorf("gateway %d: %v, or another bootstrap key", i, err)
		}
		if g.AdminKeyMade {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d gateways made the bootstrap key", made)
	}
	c.wantWholeJournal(t, gateways[0])
}

// A database put back from a backup is behind the journal: nothing is decided
// from it, nothing is wiped, and every gateway says why.
func TestARestoredPostgresIsNotServed(t *testing.T) {
	s := server(t)
	c := newCluster(t, s)
	name := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(u.Path, "/")
	}
	cfg := c.config(gateway.Config{})
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "notes", retrieval.Spec{})
	ingest(t, g, "notes", invented("ada"))
	g.Close()
	backup := name(c.data) + "_backup"
	s.Exec(t, "postgres", "CREATE DATABASE "+backup+" TEMPLATE "+name(c.data))
	g = openGateway(t, cfg)
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	keys := g.KeySlots()
	g.Close()
	s.Exec(t, "postgres", "DROP DATABASE "+name(c.data), "CREATE DATABASE "+name(c.data)+" TEMPLATE "+backup)

	// The generation tells, too: the backup is of an older start. That is the
	// vault's being newer, which is no reason to refuse.
	g = openGateway(t, cfg)
	if err := g.Ready(t.Context()); !errors.Is(err, consent.ErrBehindJournal) {
		t.Errorf("ready: %v", err)
	}
	_, err := g.Retrieval.Search(t.Context(), caller, "notes", retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval"})
	if !errors.Is(err, consent.ErrBehindJournal) {
		t.Errorf("a search: %v", err)
	}
	if got := g.KeySlots(); got != keys {
		t.Errorf("%d keys, were %d", got, keys)
	}
}

// A vault put back from a backup is older than the data: refused, until the
// operator says that the data is right.
func TestAnOlderSharedVaultIsRefusedUntilAccepted(t *testing.T) {
	s := server(t)
	c := newCluster(t, s)
	u, err := url.Parse(c.vault)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	cfg := c.config(gateway.Config{})
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag)
	g.Close()
	s.Exec(t, "postgres", "CREATE DATABASE "+name+"_backup TEMPLATE "+name)
	g = openGateway(t, cfg)
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	g.Close()
	s.Exec(t, "postgres", "DROP DATABASE "+name, "CREATE DATABASE "+name+" TEMPLATE "+name+"_backup")
	refused(t, cfg, gateway.ErrOldVault, "accept")
	v, err := pgvault.Open(t.Context(), c.vault, cfg.VaultDir, pgvault.Options{MustExist: true})
	if err == nil {
		err = errors.Join(v.Accept(t.Context()), v.Accept(t.Context()), v.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, cfg)
	if err := g.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	c.wantWholeJournal(t, g)
	g.Close()
	g = openGateway(t, cfg) // and that was that
	var told []string
	err = g.Ledger.Notes(t.Context(), gateway.DefaultTenant, consent.KindVault, func(_ consent.Position, plain []byte) error {
		told = append(told, string(plain))
		return nil
	})
	if err != nil || len(told) != 1 || !strings.Contains(told[0], `"vault_accepted"`) {
		t.Errorf("the ledger was told %q, %v", told, err)
	}
}

// Keys that no row names are wiped at a start when they are old enough, by the
// clock of the vault's database, and only then.
func TestAStartWipesOldKeysThatNoRowNames(t *testing.T) {
	c := newCluster(t, server(t))
	cfg := c.config(gateway.Config{})
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "notes", retrieval.Spec{})
	ingest(t, g, "notes", invented("ada"))
	named := g.KeySlots()
	g.Close()
	v, err := pgvault.Open(t.Context(), c.vault, cfg.VaultDir, pgvault.Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, _, err := v.Consent().NewSubjectKeys(3); err != nil { // as a gateway that died leaves
		t.Fatal(err)
	}
	g = openGateway(t, cfg)
	if got := g.KeySlots(); got != named+3 {
		t.Errorf("%d keys, want %d: another gateway may be about to name them", got, named+3)
	}
	g.Close()
	count(t, c.vault, fmt.Sprintf(`WITH aged AS (UPDATE slots SET made_at = made_at - %d RETURNING 1) SELECT count(*) FROM aged`, 2*pgvault.Lease.Nanoseconds()))
	g = openGateway(t, cfg)
	if got := g.KeySlots(); got != named {
		t.Errorf("%d keys, want %d", got, named)
	}
	if found := documentsFound(t, g, caller, "notes", "server"); len(found) != 2 {
		t.Errorf("found %v", found)
	}
}

// watched are embedders that note by when the caller wants to be done.
type watched struct {
	retrieval.Embedders
	mu  sync.Mutex
	by  []time.Time
	any bool
}

func (w *watched) For(dimensions int) (retrieval.Embedder, error) {
	e, err := w.Embedders.For(dimensions)
	return watchedEmbedder{e, w}, err
}

type watchedEmbedder struct {
	retrieval.Embedder
	w *watched
}

func (e watchedEmbedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	by, ok := ctx.Deadline()
	e.w.mu.Lock()
	e.w.by, e.w.any = append(e.w.by, by), e.w.any || !ok
	e.w.mu.Unlock()
	return e.Embedder.Embed(ctx, texts)
}

// An ingest that has made keys gives up before they may be wiped, however long
// its embedder takes.
func TestAnIngestEndsWithTheLeaseOfItsKeys(t *testing.T) {
	w := &watched{Embedders: localembed.Embedders{}}
	g := openGateway(t, gateway.Config{Embedders: w})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "notes", retrieval.Spec{})
	ingest(t, g, "notes", invented("ada"))
	if len(w.by) == 0 || w.any || time.Until(w.by[0]) > consent.KeyLease {
		t.Errorf("embeds without the lease: by %v", w.by)
	}
}

func count(t testing.TB, url, sql string) (n int) {
	t.Helper()
	c := connect(t, url)
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
