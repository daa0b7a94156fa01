package testweaviate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// errNone names what is missing and how to get it.
var errNone = errors.New("there is no Weaviate server here: scripts/get-weaviate builds one")

// binary returns the newest server that get-weaviate built.
func binary() (string, error) {
	if bin := os.Getenv("ASSENT_WEAVIATE_BIN"); bin != "" {
		return bin, nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", errNone
		}
		cache = filepath.Join(home, ".cache")
	}
	found, _ := filepath.Glob(filepath.Join(cache, "assent", "weaviate-server-v*"))
	if len(found) == 0 {
		return "", errNone
	}
	slices.Sort(found)
	return found[len(found)-1], nil
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
