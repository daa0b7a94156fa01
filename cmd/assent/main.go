// Command assent is the gateway and its command line.
//
// `assent serve` is the gateway, `assent vault` tends the keys of one that is
// stopped. Every other sub-command is a client of one: it talks HTTP to
// ASSENT_URL with ASSENT_KEY and holds no rule of its own, so what it can do,
// any other client can do too. Documents and consent entries
// that it streams are passed on byte for byte.
//
// Results go to stdout, progress and errors to stderr. The exit status is 0, 1
// after an error, 2 when the command line itself was wrong.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(report(os.Stderr, err))
}

// run is the whole program short of the process: tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &usageError{problem: "which command?", usage: overview()}
	}
	s := &session{getenv: getenv, in: stdin, out: stdout, err: stderr}
	switch name := args[0]; name {
	case "help", "-h", "-help", "--help":
		return s.help(args[1:])
	default:
		for _, c := range commands() {
			if c.name == name {
				return c.run(ctx, s, args[1:])
			}
		}
	}
	return &usageError{problem: "there is no such command", usage: overview()}
}

// A session is what a command has of the outside world.
type session struct {
	getenv   func(string) string
	in       io.Reader
	out, err io.Writer
}

type command struct {
	name    string
	summary string
	run     func(ctx context.Context, s *session, args []string) error
}

// commands lists the sub-commands in the order of their first use.
func commands() []command {
	return []command{
		{"serve", "serve a gateway from one data directory", func(ctx context.Context, s *session, args []string) error {
			return serve(ctx, args, s.getenv, s.out, s.err)
		}},
		{"demo", "show grants, a search, a revocation and the search after it", demo},
		{"ingest", "send documents (JSONL) to a collection", ingest},
		{"search", "search a collection", search},
		{"consent", "record, show or import consent", consentCommand},
		{"erase", "erase a person or documents, and save the receipt", erase},
		{"rebuild", "make anew what Weaviate has, so that erased people leave its files", rebuild},
		{"manifest", "build, check or compare training manifests", manifestCommand},
		{"keys", "create, list or revoke API keys", keys},
		{"health", "say whether the gateway is alive, by the exit status", health},
		{"vault", "rotate, back up or restore the keys of a stopped gateway", vaultCommand},
		{"restore-drill", "restore a backup on a copy, and sign a report of what came back", restoreDrill},
	}
}

func (s *session) help(args []string) error {
	if len(args) > 0 && args[0] != "help" {
		for _, c := range commands() {
			if c.name == args[0] {
				return c.run(context.Background(), s, []string{"-h"})
			}
		}
		return &usageError{problem: "there is no such command", usage: overview()}
	}
	_, err := io.WriteString(s.out, overview())
	return err
}

// overview is what `assent help` prints.
func overview() string {
	text := "usage: assent COMMAND [flags] [arguments]\n\n"
	for _, c := range commands() {
		text += fmt.Sprintf("  assent %-13s %s\n", c.name, c.summary)
	}
	return text + `
Every command but serve, vault and restore-drill talks to a gateway:
  ASSENT_URL  where it is; ` + defaultURL + ` when unset
  ASSENT_KEY  the API key; unset, and the gateway on this machine: the file
              admin.key in ASSENT_VAULT, else in ./assent-data.vault
assent help COMMAND says more about one.
`
}

// report prints err, if any, and returns the exit status.
func report(stderr io.Writer, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "assent: %v\n\n%s", err, usage.usage)
		return 2
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "assent: %v\n", err)
	return 1
}
