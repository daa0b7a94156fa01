package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Settings of every session, whatever the server's own are. Keepalives let the
// server notice within 15 seconds that a gateway is gone and give its locks
// back; jit costs more than any of our statements.
var (
	sessionSettings = map[string]string{
		"application_name": "assent", "jit": "off", "timezone": "UTC", "statement_timeout": "0",
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "2",
		"default_transaction_isolation": "read committed",
	}
	// A writer that says nothing for long holds everyone up: it is ended. Who
	// waits for a lock that long is told that the database is busy.
	writerSettings = map[string]string{"idle_in_transaction_session_timeout": "30s", "lock_timeout": "15s"}
	// A stream's callback may take its time.
	readerSettings = map[string]string{"idle_in_transaction_session_timeout": "0"}
)

const connectTimeout = 5 * time.Second

func (db *DB) pool(url string, conns int, o Options, settings map[string]string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, &failure{doing: "read the database's URL", kind: ErrURL}
	}
	for _, list := range []map[string]string{sessionSettings, settings} {
		for name, value := range list {
			c.ConnConfig.RuntimeParams[name] = value
		}
	}
	c.MaxConns = int32(conns)
	c.MaxConnLifetime, c.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // see DB.on
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	c.ConnConfig.DialFunc = dialer().DialContext
	c.ConnConfig.ValidateConnect = validatePrimary
	c.ConnConfig.OnNotice = notice
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		return db.checkSettings(ctx, conn, o.AllowParameterLogging)
	}
	return pgxpool.NewWithConfig(context.Background(), c)
}

// validatePrimary refuses a server that follows another or takes no writes;
// of several hosts the next one is tried then.
func validatePrimary(ctx context.Context, c *pgconn.PgConn) error {
	results, err := c.Exec(ctx, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool`).ReadAll()
	if err != nil {
		return err
	}
	if string(results[0].Rows[0][0]) != "f" {
		return &failure{doing: "connect", kind: ErrNotPrimary}
	}
	return nil
}

// settingsSQL asks for what a ledger depends on. The parameters of statements
// reach the log by whole statements (log_statement, log_min_duration_*,
// samples), on errors, by printed plans, and by two extensions.
const settingsSQL = `SELECT
	current_setting('server_encoding') = 'UTF8',
	current_setting('synchronous_commit') <> 'off' AND current_setting('fsync')::bool AND current_setting('full_page_writes')::bool,
	current_setting('synchronous_commit') IN ('on', 'remote_apply') AND current_setting('synchronous_standby_names') <> '',
	current_setting('log_parameter_max_length_on_error')::text <> '0'
		OR current_setting('debug_print_parse')::bool OR current_setting('debug_print_rewritten')::bool OR current_setting('debug_print_plan')::bool
		OR coalesce(current_setting('auto_explain.log_min_duration', true), '-1') <> '-1'
		OR coalesce(current_setting('pgaudit.log_parameter', true), 'off') <> 'off'
		OR current_setting('log_parameter_max_length')::text <> '0' AND (
			current_setting('log_statement') IN ('mod', 'all') OR current_setting('log_min_duration_statement') <> '-1'
			OR current_setting('log_min_duration_sample') <> '-1' OR current_setting('log_transaction_sample_rate') <> '0'),
	set_config('synchronous_commit', current_setting('synchronous_commit'), false)`

// checkSettings refuses a server that would lose acknowledged writes or write
// people into its log. synchronous_commit is pinned for the session, so that
// a reload of the server's configuration cannot take it back.
func (db *DB) checkSettings(ctx context.Context, c *pgx.Conn, allowLogging bool) error {
	const doing = "check the server's settings"
	var utf8, durable, replicated, logs bool
	err := c.QueryRow(ctx, settingsSQL).Scan(&utf8, &durable, &replicated, &logs, nil)
	switch {
	case err != nil:
		return fail(doing, err)
	case !utf8:
		return &failure{doing: doing, kind: ErrEncoding}
	case !durable:
		return &failure{doing: doing, kind: ErrNotDurable}
	case logs && !allowLogging:
		return &failure{doing: doing, kind: ErrLogsParameters}
	}
	db.replicated.Store(replicated)
	return nil
}

// warned marks, in a connection's CustomData, that the server warned.
const warned = "assent warned"

// notice is called while the connection reads; its text is not looked at.
func notice(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warned] = true
	}
}
