package gateway

import (
	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/httpapi"
)

// Inbox returns what applies the events of a broker's inbox. Whoever may write
// to a broker is not known here, and no event says whose it is (P11): all that
// comes in by one inbox is of the tenant that the operator named for it, with
// the rights to record consent and to ask for erasures. by names the inbox in
// the audit of entries, and has a limit on mass erasure as a key has.
func (g *Gateway) Inbox(t consent.TenantID, by string) events.Receiver {
	return httpapi.Receiver(g.deps(), t, by)
}
