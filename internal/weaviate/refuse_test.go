package weaviate_test

import (
	"errors"
	"net"
	"testing"

	client "github.com/weaviate/weaviate-go-client/v4/weaviate"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A class that is not as this package makes it is not used.
func TestSchemasThatCannotBeTrustedAreRefused(t *testing.T) {
	testweaviate.Require(t, sharedErr)
	c, err := client.NewClient(client.Config{Host: shared.URL()[len("http://"):], Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*models.Class){
		"another tokenisation": func(m *models.Class) { m.Properties[1].Tokenization = "word" },
		"no deletion strategy": func(m *models.Class) { m.ReplicationConfig = nil },
		"a missing property":   func(m *models.Class) { m.Properties = m.Properties[1:] },
		"a foreign property": func(m *models.Class) {
			m.Properties = append(m.Properties, &models.Property{Name: "name", DataType: []string{"text"}})
		},
		"another distance": func(m *models.Class) { m.VectorIndexConfig.(map[string]any)["distance"] = "l2-squared" },
		"a higher cutoff":  func(m *models.Class) { m.VectorIndexConfig.(map[string]any)["flatSearchCutoff"] = 40_000 },
		"not filterable":   func(m *models.Class) { no := false; m.Properties[2].IndexFilterable = &no },
	} {
		t.Run(name, func(t *testing.T) {
			x, _, _ := opened(t, shared, retrieval.Shape{})
			class, err := c.Schema().ClassGetter().WithClassName(x.Class(books)).Do(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Schema().ClassDeleter().WithClassName(class.Class).Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			change(class)
			if err := c.Schema().ClassCreator().WithClass(class).Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := x.Check(t.Context(), books); !errors.Is(err, weaviate.ErrSchema) {
				t.Errorf("error is %v, want ErrSchema", err)
			}
		})
	}
}

// A server that makes classes by itself would make a dropped one anew.
func TestAnAutomaticSchemaIsRefused(t *testing.T) {
	s := testweaviate.Start(t, "AUTOSCHEMA_ENABLED=true")
	_, db := testledger.New(t, nil)
	if _, err := weaviate.Open(t.Context(), rows{db, &storetest.Corpus{}}, weaviate.Options{URL: s.URL(), GRPC: s.GRPC()}); !errors.Is(err, weaviate.ErrAutoSchema) {
		t.Errorf("error is %v, want ErrAutoSchema", err)
	}
}

// A server that answers without a key is refused off loopback, and taken when
// that is said by name; one with a key is taken with it, and not without.
func TestAnOpenServerIsRefusedOffLoopback(t *testing.T) {
	s := testweaviate.Start(t, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false", "AUTHENTICATION_APIKEY_ENABLED=true",
		"AUTHENTICATION_APIKEY_ALLOWED_KEYS=secret", "AUTHENTICATION_APIKEY_USERS=assent")
	_, db := testledger.New(t, nil)
	open := func(o weaviate.Options) error {
		x, err := weaviate.Open(t.Context(), rows{db, &storetest.Corpus{}}, o)
		if err == nil {
			x.Connect(source{&storetest.Corpus{}, seal.NewKey()}, nil)
			err = x.Create(t.Context(), books, retrieval.Shape{Dimensions: 4, Tenant: testledger.Tenant, Key: seal.NewKey()})
			if err == nil {
				err = x.Apply(t.Context(), books, retrieval.Change{Add: version(1, 1, 1)}) // gRPC carries the key, too
			}
			x.Close()
		}
		return err
	}
	if err := open(weaviate.Options{URL: s.URL(), GRPC: s.GRPC(), APIKey: "secret"}); err != nil {
		t.Errorf("with its key: %v", err)
	}
	if err := open(weaviate.Options{URL: s.URL(), GRPC: s.GRPC(), APIKey: "wrong"}); !errors.Is(err, retrieval.ErrIndex) {
		t.Errorf("with a wrong key: %v", err)
	}
	testweaviate.Require(t, sharedErr)
	addr := offLoopback(t)
	forward := listen(t, addr, shared.URL()[len("http://"):])
	if err := open(weaviate.Options{URL: "http://" + forward, GRPC: shared.GRPC()}); !errors.Is(err, weaviate.ErrOpen) {
		t.Errorf("open, off loopback: %v", err)
	}
	if err := open(weaviate.Options{URL: "http://" + forward, GRPC: shared.GRPC(), Open: true}); err != nil {
		t.Errorf("open, off loopback, allowed: %v", err)
	}
}

// offLoopback is an address of this machine that is not loopback.
func offLoopback(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}
