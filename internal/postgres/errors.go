package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/assent-gateway/assent/consent"
)

// What went wrong, as callers may tell it apart. Every failure of the database
// wraps exactly one of these or a context's error; failures of ledger methods
// also wrap consent.ErrUnavailable.
var (
	// ErrClosed: the DB was closed.
	ErrClosed = errors.New("the database is closed")
	// ErrUnreachable: no connection, or it broke.
	ErrUnreachable = errors.New("the database cannot be reached")
	// ErrRefused: the server does not let this user in, or at something.
	ErrRefused = errors.New("the database refuses this user")
	// ErrURL: the database's URL cannot be read.
	ErrURL = errors.New("the database's URL is not valid")
	// ErrNotPrimary: the server follows another, or takes no writes.
	ErrNotPrimary = errors.New("the database is not a primary that takes writes")
	// ErrNotDurable: the server acknowledges commits that a crash may undo.
	ErrNotDurable = errors.New("the database acknowledges what is not durable: synchronous_commit, fsync or full_page_writes is off")
	// ErrLogsParameters: the server's settings can write parameters of
	// statements to its log. Options.AllowParameterLogging overrides it.
	ErrLogsParameters = errors.New("the database logs parameters of statements")
	// ErrEncoding: the database does not hold its text as UTF-8.
	ErrEncoding = errors.New("the database's encoding is not UTF8")
	// ErrUnreplicated: a commit is on the primary, and perhaps nowhere else.
	ErrUnreplicated = errors.New("the database stopped waiting for its standby")
	// ErrBusy: a lock was not to be had in time, or the server is overloaded.
	ErrBusy = errors.New("the database is busy")
	// ErrFull: no room on the server's disk.
	ErrFull = errors.New("the database's disk is full")
	// ErrCorrupt: the database is damaged, or a row has a shape that this
	// package never writes.
	ErrCorrupt = errors.New("the database is corrupt")
	// ErrSchema: the database has a migration that this program does not
	// know, or tables that no migration made.
	ErrSchema = errors.New("the database has an unknown schema")
	// ErrOther: anything else.
	ErrOther = errors.New("the database failed")
)

// A failure is an error of the database, translated. Its text is made of
// constants only: the driver's own text quotes statements, hosts and users.
type failure struct {
	doing string // a verb phrase
	kind  error
	cause error // never printed; the error of a test's Fault
}

func (f *failure) Error() string { return "postgres: " + f.doing + ": " + f.kind.Error() }

func (f *failure) Unwrap() []error {
	if f.cause != nil {
		return []error{f.kind, f.cause}
	}
	return []error{f.kind}
}

// fail translates an error of the driver. This is the one place where such
// errors end. nil stays nil.
func fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *failure
	if errors.As(err, &known) {
		return known // without what the driver put around it
	}
	return &failure{doing: doing, kind: kindOf(err)}
}

func kindOf(err error) error {
	var server *pgconn.PgError
	var scan pgx.ScanArgError
	var network net.Error
	switch {
	case errors.As(err, &server):
		return kindOfCode(server.Code)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, errShape), errors.As(err, &scan):
		return ErrCorrupt
	case errors.As(err, &network), errors.As(err, new(*pgconn.ConnectError)), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), pgconn.SafeToRetry(err):
		return ErrUnreachable
	case errors.As(err, new(*pgconn.ParseConfigError)):
		return ErrURL
	}
	return ErrOther
}

// kindOfCode reads a SQLSTATE: its class, or the whole.
func kindOfCode(code string) error {
	switch code {
	case "25006": // read_only_sql_transaction
		return ErrNotPrimary
	case "53100": // disk_full
		return ErrFull
	case "57P01", "57P02", "57P03", "57P05": // shut down, crashed, starting, ended for idleness
		return ErrUnreachable
	case "3D000", "42501": // no such database, insufficient_privilege
		return ErrRefused
	case "55P03", "57014", "25P03": // lock_not_available, query_canceled, idle in a transaction
		return ErrBusy
	case "XX001", "XX002":
		return ErrCorrupt
	}
	switch {
	case strings.HasPrefix(code, "08"):
		return ErrUnreachable
	case strings.HasPrefix(code, "28"):
		return ErrRefused
	case strings.HasPrefix(code, "40"), strings.HasPrefix(code, "53"):
		return ErrBusy
	}
	return ErrOther
}

// isConflict reports whether the server rolled a transaction back because of
// another one: the same again may succeed.
func isConflict(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01")
}

// An outage is a failure of a ledger method.
type outage struct{ *failure }

func (o outage) Error() string   { return consent.ErrUnavailable.Error() + ": " + o.failure.Error() }
func (o outage) Unwrap() []error { return []error{consent.ErrUnavailable, o.failure} }

// ledgerError marks a failure of the database as the ledger being unavailable
// and passes every other error on as it is.
func ledgerError(err error) error {
	if f, ok := err.(*failure); ok {
		return outage{f}
	}
	return err
}
