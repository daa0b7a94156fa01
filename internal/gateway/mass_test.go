package gateway_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
)

// forgets asks for a person's erasure by a key, and returns where it then stands.
func forgets(t testing.TB, g *gateway.Gateway, by, who string) erasure.State {
	t.Helper()
	e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(t, who), By: by})
	if err != nil {
		t.Fatal(err)
	}
	return e.State
}

// The limit on mass erasure counts what a key asked for before a restart, however
// much others asked for before it.
func TestMassLimitOutlivesARestart(t *testing.T) {
	t.Parallel()
	c := gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: adminKey, ErasuresByHand: true, MassLimit: 2}
	g, err := gateway.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		forgets(t, g, "other", fmt.Sprint("o", i))
	}
	for i := range 2 {
		if s := forgets(t, g, "one", fmt.Sprint("p", i)); s != erasure.Suppressed {
			t.Errorf("%d: %v", i, s)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, c)
	if s := forgets(t, g, "one", "p2"); s != erasure.Received {
		t.Errorf("beyond the limit, after a restart: %v", s)
	}
	if s := forgets(t, g, "two", "q"); s != erasure.Suppressed {
		t.Errorf("another key: %v", s)
	}
}

// Two gateways count one key's erasures together.
func TestMassLimitIsOfTheDeployment(t *testing.T) {
	c := newCluster(t, server(t))
	cfg := gateway.Config{ErasuresByHand: true, MassLimit: 2}
	a, b := c.open(cfg), c.open(cfg)
	if s := forgets(t, a, "one", "p0"); s != erasure.Suppressed {
		t.Errorf("the first: %v", s)
	}
	if s := forgets(t, b, "one", "p1"); s != erasure.Suppressed {
		t.Errorf("the second: %v", s)
	}
	if s := forgets(t, a, "one", "p2"); s != erasure.Received {
		t.Errorf("the third, of which this gateway took two: %v", s)
	}
}
