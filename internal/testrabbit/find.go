package testrabbit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// errNone names what is missing and how to get it.
var errNone = errors.New("there is no RabbitMQ server here: scripts/get-rabbitmq fetches one")

// binaries are the programs of one tree.
type binaries struct {
	server string // the script that starts the server
	erl    string // the directory of erl
	epmd   string
}

// find returns the programs that get-rabbitmq fetched.
func find() (b binaries, err error) {
	root := os.Getenv("ASSENT_RABBITMQ_ROOT")
	if root == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return b, errNone
			}
			cache = filepath.Join(home, ".cache")
		}
		root = filepath.Join(cache, "assent", "rabbitmq")
	}
	servers, _ := filepath.Glob(filepath.Join(root, "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
	epmds, _ := filepath.Glob(filepath.Join(root, "usr/lib/erlang/erts-*/bin/epmd"))
	if len(servers) == 0 || len(epmds) == 0 {
		return b, errNone
	}
	return binaries{servers[len(servers)-1], filepath.Join(root, "usr/lib/erlang/bin"), epmds[len(epmds)-1]}, nil
}

// require ends a test that cannot be run here.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errNone) && os.Getenv("ASSENT_REQUIRE") != "all":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}
