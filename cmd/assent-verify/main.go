// Command assent-verify checks from outside what a gateway says about its log:
// single proofs, receipts, two checkpoints, a whole log, training manifests.
//
// It is a binary of its own and imports, of this module, internal/verify
// alone: an auditor can read all of it in an hour and build it without the
// gateway. Origin and key are pinned by the arguments; it keeps no state and
// asks nobody but the log it is pointed at, and only when told to.
//
// It says one sentence. The exit status is 0 when everything verifies (the
// sentence is on stdout), 1 when something was refused, 2 when nothing was
// found out: a mistake in the command line, a file or a network that cannot be
// read (the sentence is on stderr). A script may rely on 0 alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/assent-gateway/assent/internal/verify"
)

// The exit statuses.
const (
	verified = 0
	refused  = 1
	unknown  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(report(os.Stderr, err))
}

const overview = `usage: assent-verify COMMAND --key VKEY …

  proof FILE             a .tlog-proof: an entry stands in the log
  receipt FILE           the receipt of a consent record, or of an erasure
  consistency OLD NEW    the log at checkpoint NEW continues the log at OLD
  log URL|DIR            a whole log: every tile, every entry
  manifest DIR           a training manifest: statement, entry, files, rows
  drill FILE             the report of a restore drill

VKEY is the log's verifier key, NAME+ID+BASE64, from a source you trust.
Exit status: 0 verified, 1 refused, 2 not found out.
assent-verify COMMAND -h says more.
`

// run is the whole program short of the process: tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	s := &session{getenv: getenv, out: stdout, err: stderr}
	if len(args) == 0 {
		return &usageError{"which command?", overview}
	}
	switch args[0] {
	case "proof":
		return s.proof(args[1:])
	case "receipt":
		return s.receipt(args[1:])
	case "consistency":
		return s.consistency(ctx, args[1:])
	case "log":
		return s.log(ctx, args[1:])
	case "manifest":
		return s.manifest(args[1:])
	case "drill":
		return s.drill(args[1:])
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, overview)
		return err
	}
	return &usageError{"there is no such command", overview}
}

// A session is what a command has of the outside world.
type session struct {
	getenv   func(string) string
	out, err io.Writer
}

// report prints why and returns the exit status.
func report(w io.Writer, err error) int {
	var (
		usage *usageError
		why   *verify.Refusal
	)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return verified
	case errors.As(err, &why):
		fmt.Fprintf(w, "refused: %v\n", err)
		return refused
	case errors.As(err, &usage):
		fmt.Fprintf(w, "assent-verify: %s\n%s", usage.problem, usage.usage)
	default:
		fmt.Fprintf(w, "not verified: %v\n", err)
	}
	return unknown
}
