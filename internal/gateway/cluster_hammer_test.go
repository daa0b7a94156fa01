package gateway_test

import (
	"testing"
	"time"

	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
)

// Three gateways on one Postgres, hammered together: a revocation that any of
// them acknowledged holds at all of them.
func TestHammerOnThreeGatewaysFindsNoStaleRow(t *testing.T) {
	c := newCluster(t, server(t))
	a := newAnvil(t, 64, c.open(gateway.Config{}), c.open(gateway.Config{}), c.open(gateway.Config{}))
	a.strike(t, eval.HammerConfig{Writers: 8, Readers: 18, Rows: 200_000, Writes: 1_000, AtMost: 180 * time.Second, Seed: 4}, false)
}
