// Package gateway puts the parts together: one data directory and one vault, or
// a Postgres and a vault that other gateways use too, become a gateway that can
// be served. It is the only place that knows every adapter; commands and
// end-to-end tests start here.
//
// # Start
//
// The vault is opened or made first, then the data directory, which is bound
// to that vault by its id. A vault that is older than the data is refused (see
// checkVault): its journal could not tell whether the data is the newest. Every
// tenant's ledger is read and compared with the vault's journal; then heads are
// read into the index. What a crash left behind is settled on the way: entries
// that the journal lacks are appended, documents whose key is gone are dropped,
// key slots that no row names are wiped; ledgers and keys are made to agree on
// which keys are revoked; what happened to the vault while nothing ran is
// entered. A ledger that is behind its journal, or
// differs from it, stays closed (503, and readyz says why), and then nothing is
// wiped: the copy that was put back may not be the newest.
//
// On a Postgres the same, while other gateways write: what they commit
// meanwhile is not missing, what they have made keys for is not wiped, and a
// tenant that they make later is opened when it is first asked for (Enter).
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/amqp"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/kafka"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/internal/pgvault"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sealedfile"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/internal/webhook"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// DefaultTenant is the tenant of the bootstrap key.
const DefaultTenant consent.TenantID = "default"

// Errors of Open.
var (
	// ErrNoVault: there is data but not its vault, without which nothing in it
	// can be read and no refusal be known.
	ErrNoVault = errors.New("gateway: the data directory has data, but its vault is missing: put the vault back where ASSENT_VAULT points; without it the data cannot be opened")
	// ErrForeignVault: data and vault do not belong together.
	ErrForeignVault = errors.New("gateway: the vault is not the one this data directory was made with")
	// ErrVaultInside: a copy of the data would carry its keys.
	ErrVaultInside = errors.New("gateway: the vault lies inside the data directory, so that every copy of the data would carry its keys; override by name with ASSENT_ALLOW_VAULT_INSIDE=1")
	// ErrNoData: there is no data directory to work on.
	ErrNoData = errors.New("gateway: there is no data at that place: set ASSENT_DATA or --data")
	// ErrInUse: another process serves this data directory.
	ErrInUse = errors.New("gateway: another process uses this data directory")
)

// Config says what to open. DataDir or PostgresURL is required.
type Config struct {
	DataDir  string
	VaultDir string // "": DataDir + ".vault"
	// PostgresURL and VaultURL, together, are in place of DataDir: the data's
	// database and the vault's. VaultDir then holds the vault's epoch key.
	PostgresURL, VaultURL string
	// AllowParameterLogging overrides postgres.ErrLogsParameters.
	AllowParameterLogging bool
	// AllowVaultInside overrides ErrVaultInside.
	AllowVaultInside bool
	AdminKey         string          // the bootstrap key; "": kept in the vault, made on first start
	Policy           *consent.Policy // nil: the built-in one
	TransparencyLog  LogConfig
	KMS              vault.KMS         // nil: the epoch key rests in the vault
	KMSKey           string            // the KMS's key that wraps new epoch keys
	Weaviate         *weaviate.Options // nil: the embedded index
	// WeaviateRebuild is how often Weaviate's classes are made anew at most, when
	// erasures wait for that; 0: never, and erasures in Weaviate end with absence.
	WeaviateRebuild time.Duration
	// WeaviateData are the directories of its servers' files, where this gateway
	// can read them.
	WeaviateData []string
	Log          *slog.Logger
	// Embedders is the embedder in use; nil: the local one.
	Embedders retrieval.Embedders
	// Kafka and AMQP are brokers that events come in and go out by; nil: none.
	Kafka *kafka.Options
	AMQP  *amqp.Options
	// BrokerTenant is whose events they are; "": DefaultTenant.
	BrokerTenant consent.TenantID
	// Telemetry observes everything; nil: nothing does.
	Telemetry *telemetry.Telemetry
	// MetricsHere serves /metrics beside the rest of the HTTP interface.
	MetricsHere bool
	// RateLimit is how many requests a second one API key may make; 0: any.
	RateLimit float64

	// For tests: the database's clock, and what is called before and after
	// durable steps (see sqlite.Options, vault.Options, consent.Options).
	Now        func() time.Time
	DBFault    func(op string) error
	VaultFault func(op string) error
	Step       func(string)
	// Deaf drops every notification of other gateways.
	Deaf        bool
	LogInterval time.Duration // between two checkpoints; 0: see translog.Options
	// WrapIndex puts something between the service and the index.
	WrapIndex func(retrieval.Index) retrieval.Index
	Training  TrainingConfig
	// WrapChecker puts something between erasures and their verification.
	WrapChecker func(erasure.Checker) erasure.Checker
	// MassLimit is erasure.Deps.MassLimit.
	MassLimit int
	// ProcessorsWithin is erasure.Deps.AnswerWithin; DeliveryLease, for tests, that
	// of what delivers events.
	ProcessorsWithin, DeliveryLease time.Duration
	// RedactPatience is for how long an erasure waits for an embedder before it
	// removes what it was to keep for others; 0: an hour.
	RedactPatience time.Duration
	// ErasuresByHand leaves erasures to whoever calls Erasure.Carry.
	ErasuresByHand bool
	// RebuildsByHand leaves rebuilds to whoever calls Retrieval.Rebuild.
	RebuildsByHand bool

	quiet bool // nothing runs beside, and nothing is signed: for a drill
}

// A Gateway is everything opened, ready to be served.
type Gateway struct {
	Ledger      *consent.Ledger
	Retrieval   *retrieval.Service
	Training    *training.Service
	Credentials *credential.Service
	Tree        *translog.Log
	Erasure     *erasure.Service
	Events      *events.Stream
	Processors  *events.Processors
	// AdminKey is the bootstrap key. AdminKeyMade is set when this start made it.
	AdminKey     string
	AdminKeyMade bool
	AdminKeyFile string
	// Limits name what this gateway cannot promise, as the operator set it up.
	Limits []string

	cfg       Config
	vault     keeper
	db        database
	feed      retrieval.Feed  // nil where nobody else changes the corpus
	index     *outside        // nil: the embedded one
	local     *embedded.Index // nil: the one outside
	manifests string          // where their files are
	lock      *os.File
	open      opened

	lost atomic.Bool // the database lacks a tenant whose journal the vault has

	stopLog       func() // nil before it runs
	stopWatch     func() error
	stopListening func() // nil when nobody listens
	stopTraining  func() // the same
	stopErasure   func() // nil before it runs
	reconciler    reconciler

	brokers brokers

	deliveries     deliveries
	stopDeliveries func() // nil before they run

	stopping chan struct{} // closed by Quiesce
	quiet    sync.Once

	closed atomic.Bool
}

// Quiesce ends what would not end by itself: streams of events. It is for a
// server that begins to stop.
func (g *Gateway) Quiesce() {
	if g.stopping != nil { // else nothing was started
		g.quiet.Do(func() { close(g.stopping) })
	}
}

// Open opens, or on first use makes, a gateway.
func Open(ctx context.Context, cfg Config) (g *Gateway, err error) {
	cfg.defaults()
	g = &Gateway{cfg: cfg, stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	openAll := g.openFiles
	if cfg.PostgresURL != "" {
		openAll = g.openCluster
	}
	if err := openAll(ctx, mayMake); err != nil {
		return g, err
	}
	if err := g.checkVault(ctx); err != nil {
		return g, err
	}
	if err := g.openAdminKey(ctx); err != nil {
		return g, err
	}
	if err := g.wire(ctx); err != nil {
		return g, err
	}
	if err := g.openTenants(ctx); err != nil {
		return g, err
	}
	if cfg.quiet {
		return g, nil
	}
	g.runLog()
	g.listen()
	g.index.run(g)
	g.runTraining()
	if err := g.openBrokers(ctx); err != nil {
		return g, err
	}
	g.runErasures()
	g.runDeliveries()
	g.runBrokers()
	g.runReconciler()
	return g, g.observe()
}

func (c *Config) defaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.VaultDir == "" {
		c.VaultDir = filepath.Clean(c.DataDir) + ".vault"
	}
	if c.DataDir == "" { // on a Postgres: for the files of manifests
		c.DataDir = filepath.Clean(c.VaultDir) + ".data"
	}
}

// Whether what is not there is made.
type making bool

const (
	mayMake   making = true
	mustExist making = false
)

func (g *Gateway) openFiles(ctx context.Context, missing making) (err error) {
	if inside, err := within(g.cfg.VaultDir, g.cfg.DataDir); err != nil {
		return err
	} else if inside && !g.cfg.AllowVaultInside {
		return ErrVaultInside
	}
	_, statErr := os.Stat(g.cfg.dbPath())
	fresh := errors.Is(statErr, os.ErrNotExist)
	if fresh && missing == mustExist {
		return ErrNoData
	}
	if err := g.openDirVault(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(g.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("gateway: make the data directory: %w", err)
	}
	if g.lock, err = lockDir(g.cfg.DataDir); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, g.cfg.dbPath(), sqlite.Options{Now: g.cfg.Now, Fault: g.cfg.DBFault})
	if err != nil {
		return err
	}
	g.db = db
	return g.bindVault(ctx)
}

// openDirVault opens the vault in a directory; for fresh data it is made.
func (g *Gateway) openDirVault(fresh bool) error {
	options := vault.Options{Fault: g.cfg.VaultFault, KMS: g.cfg.KMS, KMSKey: g.cfg.KMSKey}
	v, err := vault.Open(g.cfg.VaultDir, options)
	if errors.Is(err, vault.ErrNotExist) {
		if !fresh {
			return ErrNoVault
		}
		v, err = vault.Create(g.cfg.VaultDir, options)
	}
	if errors.Is(err, vault.ErrLocked) {
		return fmt.Errorf("%w: another assent uses %s", err, g.cfg.VaultDir)
	}
	if err != nil {
		return err
	}
	g.vault = dirVault{v}
	return nil
}

// bindVault makes data and vault belong together, or says that they do not.
func (g *Gateway) bindVault(ctx context.Context) error {
	id := g.vault.ID()
	bound, err := g.db.VaultID(ctx)
	if err == nil && len(bound) == 0 {
		if err = g.db.SetVaultID(ctx, id[:]); err == nil {
			bound, err = g.db.VaultID(ctx) // another gateway may have been first
		}
	}
	if err == nil && string(bound) != string(id[:]) {
		err = ErrForeignVault
	}
	return err
}

// within reports whether inner is outer or lies below it.
func within(inner, outer string) (bool, error) {
	a, err := resolved(inner)
	if err != nil {
		return false, err
	}
	b, err := resolved(outer)
	if err != nil {
		return false, err
	}
	rel, err := filepath.Rel(b, a)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// resolved returns a path without symbolic links, as far as it exists.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := path; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest), nil
		}
		if dir == filepath.Dir(dir) {
			return path, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gateway: open the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrInUse
	}
	return f, nil
}

func (g *Gateway) openAdminKey(ctx context.Context) (err error) {
	g.AdminKey = g.cfg.AdminKey
	if g.AdminKey != "" {
		return nil
	}
	g.AdminKeyFile = adminKeyFile(g.vault)
	g.AdminKey, g.AdminKeyMade, err = g.vault.AdminKey(ctx, credential.NewSecret())
	return err
}

func (g *Gateway) wire(ctx context.Context) error {
	if err := g.newLog(); err != nil {
		return err
	}
	g.Ledger = consent.NewLedger(g.db, g.vault.Consent(), consent.Options{
		Log: g.cfg.Log, Tree: g.Tree, Step: g.cfg.Step, Observer: g.cfg.Telemetry.Ledger(),
	})
	index, connect, err := g.openIndex(ctx)
	if err != nil {
		return err
	}
	var embedders retrieval.Embedders = localembed.Embedders{}
	if g.cfg.Embedders != nil {
		embedders = g.cfg.Embedders
	}
	if g.cfg.WrapIndex != nil {
		index = g.cfg.WrapIndex(index)
	}
	g.Retrieval = retrieval.NewService(retrieval.Deps{
		Ledger: g.Ledger, Catalogue: g.db, Index: index, Feed: g.feed, Records: g.vault.Records(),
		Embedders: embedders, Outside: g.index.catalogue(), Keys: g.vault.CatalogueKeys, Log: g.cfg.Log, Step: g.cfg.Step,
		Observer: g.cfg.Telemetry.Retrieval(), Condemning: g.db,
	})
	connect(g.Retrieval)
	if err := g.newTraining(); err != nil {
		return err
	}
	g.wireErasure()
	g.newStream()
	options := []credential.Option{
		credential.WithBootstrap(DefaultTenant, g.AdminKey), credential.WithLedger(g.Ledger, g.Enter),
	}
	if g.cfg.PostgresURL != "" { // another gateway may revoke a key
		options = append(options, credential.WithoutCache())
	}
	g.Credentials = credential.NewService(g.db, g.vault.System(), options...)
	return nil
}

func (g *Gateway) openTenants(ctx context.Context) error {
	if err := g.ensureTenant(ctx, DefaultTenant); err != nil {
		return err
	}
	journals, err := g.journals(ctx) // first: who is in the vault by now is in the database
	if err != nil {
		return err
	}
	tenants, err := g.db.Tenants(ctx)
	if err != nil {
		return err
	}
	whole := true
	for _, t := range tenants {
		ok, err := g.openTenant(ctx, t.ID)
		if err != nil {
			return err
		}
		g.open.mark(t.ID)
		whole = whole && ok
	}
	if lost := lostTenants(journals, tenants); lost > 0 {
		g.cfg.Log.Error("the vault knows tenants that the database lacks: restored from a backup", "count", lost)
		g.lost.Store(true)
		whole = false
	}
	if err := g.enterEvents(ctx); err != nil {
		return err
	}
	if !whole {
		return nil // nothing is wiped while a ledger is closed
	}
	if err := g.sweep(ctx); err != nil {
		return err
	}
	if err := g.tidyErasures(ctx); err != nil {
		return err
	}
	return g.vault.Settled(ctx) // keys that an older vault brought back are wiped
}

// openTenant reports false when the tenant's ledger is closed: then it is
// there, and answers 503.
func (g *Gateway) openTenant(ctx context.Context, id consent.TenantID) (bool, error) {
	if err := g.Ledger.Open(ctx, id); err != nil {
		if !errors.Is(err, consent.ErrUnavailable) || g.cfg.PostgresURL != "" && !final(err) {
			return false, err
		}
		g.cfg.Log.Error("ledger closed", "why", consent.Why(err))
		g.Credentials.Suspend(id)
		return false, nil
	}
	if err := g.enterTenant(ctx, id); err != nil {
		return false, err
	}
	if _, err := g.Ledger.EnterPolicy(ctx, id, g.cfg.Policy); err != nil {
		return false, err
	}
	if err := g.Credentials.Reconcile(ctx, id); err != nil {
		return false, err
	}
	if g.cfg.Policy != nil {
		_, digest, err := g.Ledger.Purposes(ctx, id)
		if err != nil {
			return false, err
		}
		if digest != g.cfg.Policy.Digest() {
			g.cfg.Log.Warn("the policy file is of a lower version than the policy in force, and was ignored")
		}
	}
	loaded, err := g.Retrieval.Load(ctx, id)
	if err != nil {
		return false, err
	}
	g.Erasure.Serve(id)
	g.cfg.Log.Info("tenant open", "collections", loaded.Collections, "documents", loaded.Documents,
		"passages", loaded.Passages, "dropped", loaded.Dropped, "damaged", loaded.Damaged)
	return true, nil
}

// final reports whether a ledger that did not open will not, if asked again.
func final(err error) bool {
	return errors.Is(err, consent.ErrBehindJournal) || errors.Is(err, consent.ErrDiverged) || errors.Is(err, consent.ErrTampered)
}

// journals lists the tenants that have a journal.
func (g *Gateway) journals(ctx context.Context) ([]consent.TenantID, error) {
	ids, err := g.vault.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var out []consent.TenantID
	for _, id := range ids {
		head, err := g.vault.Head(ctx, consent.TenantID(id))
		if err != nil {
			return nil, err
		}
		if head > 0 {
			out = append(out, consent.TenantID(id))
		}
	}
	return out, nil
}

// lostTenants counts tenants with a journal that the database does not know.
func lostTenants(journals []consent.TenantID, known []credential.TenantRow) int {
	there := map[consent.TenantID]bool{}
	for _, t := range known {
		there[t.ID] = true
	}
	lost := 0
	for _, id := range journals {
		if !there[id] {
			lost++
		}
	}
	return lost
}

func (g *Gateway) sweep(ctx context.Context) error {
	wiped, err := g.vault.Sweep(ctx, func() (func(seal.Ref) bool, error) { return g.namedKeys(ctx) })
	if err == nil && wiped > 0 {
		g.cfg.Log.Info("key slots that no row names were wiped", "count", wiped)
	}
	return err
}

// namedKeys returns what the rows name, and the ledgers: each is brought to the head
// after the keys were listed, since another gateway's entries name keys, too. A
// commit of our own comes first: where commits wait for a standby, it returns when
// those before it are to be seen.
func (g *Gateway) namedKeys(ctx context.Context) (func(seal.Ref) bool, error) {
	generation, err := g.db.VaultGeneration(ctx)
	if err == nil {
		err = g.db.SetVaultGeneration(ctx, generation)
	}
	if err != nil {
		return nil, err
	}
	if _, whole, err := g.openHere(ctx); err != nil || !whole {
		return nil, cmp.Or(err, consent.ErrUnavailable) // what a closed ledger names nobody can tell
	}
	named := map[seal.Ref]bool{}
	err = g.db.KeyRefs(ctx, func(ref seal.Ref) error {
		named[ref] = true
		return nil
	})
	g.Ledger.LinkKeys(func(ref seal.Ref) { named[ref] = true })
	return func(ref seal.Ref) bool { return named[ref] }, err
}

// ensureTenant makes a tenant's keys and row where they are missing.
func (g *Gateway) ensureTenant(ctx context.Context, id consent.TenantID) error {
	if err := g.vault.AddTenant(ctx, string(id)); err != nil {
		return err
	}
	now, err := g.db.Now(ctx)
	if err != nil {
		return err
	}
	err = g.db.AddTenant(ctx, credential.TenantRow{ID: id, CreatedAt: now}, nil, nil)
	if errors.Is(err, credential.ErrExists) {
		return nil
	}
	return err
}

// readyPatience is how long Ready waits for databases.
const readyPatience = 5 * time.Second

// Ready reports whether the gateway may serve, and why not.
func (g *Gateway) Ready(ctx context.Context) error {
	if g.lost.Load() {
		return consent.ErrBehindJournal // a tenant's whole ledger is
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	if _, err := g.vault.Generation(ctx); err != nil {
		return fmt.Errorf("%w: the vault cannot be read", consent.ErrUnavailable)
	}
	if err := g.index.ready(ctx); err != nil {
		return err
	}
	return g.Ledger.Ready(ctx)
}

// Alarms name what is wrong though the gateway may serve: "canary" when an index
// returned, since this process began, what no permit allows. It left no answer.
func (g *Gateway) Alarms() []string {
	if g.Retrieval.Alarms() == 0 {
		return nil
	}
	return []string{"canary"}
}

// KeySlots is how many keys the vault holds, of people and of documents; -1
// when it cannot be asked.
func (g *Gateway) KeySlots() int {
	used, err := g.vault.Slots(context.Background())
	if err != nil {
		return -1
	}
	return used
}

// Close closes everything, at any stage of Open; closing again does nothing.
func (g *Gateway) Close() error {
	if g.closed.Swap(true) {
		return nil
	}
	g.Quiesce()
	var errs []error
	if g.stopWatch != nil {
		errs = append(errs, g.stopWatch())
	}
	if g.stopListening != nil {
		g.stopListening()
	}
	if g.stopDeliveries != nil {
		g.stopDeliveries() // what was not acknowledged, the next start sends
	}
	errs = append(errs, g.closeBrokers())
	g.stopReconciler()
	if g.stopErasure != nil {
		g.stopErasure() // what it did not finish, the next start goes on with
	}
	if g.stopTraining != nil {
		g.stopTraining() // what it did not finish, the next start does
	}
	if g.stopLog != nil {
		g.stopLog() // what it did not sign for, the next start does
	}
	g.index.stop()
	if g.db != nil {
		errs = append(errs, g.db.Close())
	}
	if g.vault != nil {
		errs = append(errs, g.vault.Close())
	}
	if g.lock != nil {
		errs = append(errs, g.lock.Close())
	}
	return errors.Join(errs...)
}

// Handler returns the gateway's HTTP interface.
func (g *Gateway) Handler() http.Handler {
	return httpapi.New(g.deps())
}

func (g *Gateway) deps() httpapi.Deps {
	metrics, observer := g.watchHTTP()
	var rebuild func(context.Context, consent.TenantID) error
	if g.index != nil {
		rebuild = g.StartRebuild
	}
	return httpapi.Deps{
		Rebuild: rebuild,
		Metrics: metrics, Observer: observer, RateLimit: g.cfg.RateLimit,
		Ledger: g.Ledger, Retrieval: g.Retrieval, Credentials: g.Credentials, Erasure: g.Erasure, Events: g.Events, Processors: g.Processors, Stopping: g.stopping,
		Training: g.Training, Tenants: g, Enter: g.Enter, Tree: g.Tree, PublicLog: g.cfg.TransparencyLog.Public, Ready: g.Ready, Alarms: g.Alarms, Log: g.cfg.Log,
		Outages: []error{
			sqlite.ErrClosed, sqlite.ErrBusy, sqlite.ErrFull, sqlite.ErrCorrupt, sqlite.ErrOther,
			postgres.ErrClosed, postgres.ErrUnreachable, postgres.ErrRefused, postgres.ErrNotPrimary, postgres.ErrNotDurable,
			postgres.ErrLogsParameters, postgres.ErrUnreplicated, postgres.ErrBusy, postgres.ErrFull, postgres.ErrCorrupt,
			postgres.ErrOther, pgvault.ErrDamaged, retrieval.ErrIndex, sealedfile.ErrDisk, training.ErrFull,
		},
	}
}

// Sentinels are errors of the adapters whose texts are constants, for a log
// that writes no others.
func Sentinels() []error {
	return []error{
		sqlite.ErrClosed, sqlite.ErrBusy, sqlite.ErrFull, sqlite.ErrCorrupt, sqlite.ErrSchema,
		vault.ErrBroken, vault.ErrGap, vault.ErrDamaged,
		postgres.ErrClosed, postgres.ErrUnreachable, postgres.ErrRefused, postgres.ErrNotPrimary, postgres.ErrNotDurable,
		postgres.ErrLogsParameters, postgres.ErrUnreplicated, postgres.ErrBusy, postgres.ErrFull, postgres.ErrCorrupt,
		postgres.ErrSchema, postgres.ErrOther, pgvault.ErrDamaged,
		retrieval.ErrConflict, retrieval.ErrEmbedder, retrieval.ErrIndex, retrieval.ErrNoRebuild,
		weaviate.ErrSchema, weaviate.ErrOpen, weaviate.ErrAutoSchema,
		training.ErrFull, training.ErrDamaged, sealedfile.ErrDisk,
		webhook.ErrUnreachable, webhook.ErrRefused, events.ErrUnavailable,
	}
}
