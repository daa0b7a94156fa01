package gateway_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// A debt is paid by a gateway that has not heard of the collection yet: what
// another one could not take out of Weaviate is taken out, and not forgotten.
func TestADebtInACollectionThatAnotherGatewayMadeIsPaid(t *testing.T) {
	c := newCluster(t, server(t))
	o := onWeaviate(t)
	b := c.open(gateway.Config{Deaf: true, Weaviate: onWeaviate(t)})
	var failing atomic.Bool
	o.Dial = []grpc.DialOption{grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if failing.Load() && method == "/weaviate.v1.Weaviate/BatchDelete" {
			return errors.New("the wire was cut")
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	})}
	a := c.open(gateway.Config{Weaviate: o})
	say(t, a, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, a, "mail", retrieval.Spec{})
	put(t, a, caller, "mail", retrieval.Document{ID: "m", Owners: people(t, "ada")})
	failing.Store(true)
	if err := a.Retrieval.Delete(t.Context(), caller, "mail", "m"); err == nil {
		t.Fatal("a deletion that did not reach Weaviate was acknowledged")
	}
	if n, err := b.Retrieval.Sweep(t.Context(), gateway.DefaultTenant); err != nil || n != 1 {
		t.Errorf("%d debts paid, error %v", n, err)
	}
	if n, err := a.ObjectsInWeaviate(t.Context(), "mail"); err != nil || n != 0 {
		t.Errorf("%d objects left in Weaviate, error %v", n, err)
	}
}

// A tenant that could not be opened, because a database was away, is opened
// when it is asked for again.
func TestATenantIsTriedAgainAfterAnOutage(t *testing.T) {
	c := newCluster(t, server(t))
	a := c.open(gateway.Config{})
	for name, cfg := range map[string]gateway.Config{"embedded": {Deaf: true}, "weaviate": {Deaf: true, Weaviate: onWeaviate(t)}} {
		cfg = c.config(cfg)
		w, url := through(t, cfg.PostgresURL)
		cfg.PostgresURL = url
		b := openGateway(t, cfg)
		tenant, err := credential.ParseName(name)
		must(t, err)
		id, _, err := a.CreateTenant(t.Context(), tenant)
		must(t, err)
		w.set("down")
		if err := b.Enter(t.Context(), id); err == nil {
			t.Errorf("%s: opened without its database", name)
		}
		w.set("")
		if err := b.Enter(t.Context(), id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Ledger.Head(t.Context(), id); err != nil {
			t.Errorf("%s: its ledger: %v", name, err)
		}
		if _, err := b.Retrieval.Collections(t.Context(), retrieval.Caller{Tenant: id}); err != nil {
			t.Errorf("%s: its collections: %v", name, err)
		}
	}
}
