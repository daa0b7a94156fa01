package sqlite

import (
	"context"
	"errors"
	"syscall"

	lite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/assent-gateway/assent/consent"
)

// What went wrong, as callers may tell it apart. Every failure of the database
// wraps exactly one of these or a context's error; failures of ledger methods
// also wrap consent.ErrUnavailable.
var (
	// ErrClosed: the DB was closed.
	ErrClosed = errors.New("the database is closed")
	// ErrBusy: another process holds the file, or readers hold back a checkpoint.
	ErrBusy = errors.New("the database is busy")
	// ErrFull: no room on the disk.
	ErrFull = errors.New("the disk is full")
	// ErrCorrupt: the file is damaged, not a database, or a row has a shape
	// that this package never writes.
	ErrCorrupt = errors.New("the database is corrupt")
	// ErrSchema: the file has a migration that this program does not know, or
	// tables that no migration made.
	ErrSchema = errors.New("the database has an unknown schema")
	// ErrMode: users other than the owner can read the file.
	ErrMode = errors.New("the database file is readable by others")
	// ErrOther: anything else.
	ErrOther = errors.New("the database failed")
)

// A failure is an error of the database, translated. Its text is made of
// constants only: the driver's own text can quote data.
type failure struct {
	doing string // a verb phrase
	kind  error
	cause error // never printed; the error of a test's Fault, or an errno
}

func (f *failure) Error() string { return "sqlite: " + f.doing + ": " + f.kind.Error() }

func (f *failure) Unwrap() []error {
	if f.cause != nil {
		return []error{f.kind, f.cause}
	}
	return []error{f.kind}
}

// fail translates an error of the driver, of database/sql or of the file
// system. This is the one place where such errors end. nil stays nil.
func fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *failure
	if errors.As(err, &known) {
		return err
	}
	f := &failure{doing: doing, kind: ErrOther}
	var code *lite.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		f.kind = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		f.kind = context.DeadlineExceeded
	case errors.Is(err, errShape):
		f.kind = ErrCorrupt
	case errors.As(err, &code):
		f.kind = kindOf(code.Code())
	case errors.As(err, &errno):
		f.cause = errno
		if errno == syscall.ENOSPC {
			f.kind = ErrFull
		}
	}
	return f
}

func kindOf(code int) error {
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return ErrBusy
	case sqlite3.SQLITE_FULL:
		return ErrFull
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return ErrCorrupt
	}
	return ErrOther
}

// isUnique reports whether a row was refused because another has its key.
func isUnique(err error) bool {
	var e *lite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return true
	}
	return false
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
