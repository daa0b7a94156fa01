package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

// tenantIn and tenantOut are POST /v1/tenants.
type tenantIn struct {
	Name string `json:"name"`
}

// madeOut is what is told of a new tenant or key: its secret this once.
type madeOut struct {
	ID  string `json:"id"`
	Key string `json:"key,omitempty"`
}

func (c *call) createTenant() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in tenantIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	name, err := credential.ParseName(in.Name)
	if err != nil {
		return err
	}
	var secret string
	out, _, err := c.repeatable(raw, func(consent.Once) (outcome, error) {
		id, made, err := c.Tenants.CreateTenant(c.ctx(), name)
		secret = made
		return outcome{Status: http.StatusCreated, ID: string(id)}, err
	})
	if err != nil {
		return err
	}
	return c.json(out.Status, madeOut{out.ID, secret})
}

// keyIn is POST /v1/keys. An absent list of collections or namespaces is all
// that the maker's key has; an empty one is none.
type keyIn struct {
	Name        string   `json:"name"`
	Scopes      []string `json:"scopes"`
	Purposes    []string `json:"purposes"`
	Collections []string `json:"collections"`
	Namespaces  []string `json:"namespaces"`
	ExpiresAt   *string  `json:"expires_at"`
}

func (c *call) createKey() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	grant, expires, err := c.grant(raw)
	if err != nil {
		return err
	}
	var secret string
	out, _, err := c.repeatable(raw, func(once consent.Once) (out outcome, err error) {
		out = outcome{Status: http.StatusCreated, ID: credential.NewKeyID(), kept: true}
		var remember []consent.Remembered
		if once != (consent.Once{}) {
			r, err := c.remembered(once, out)
			if err != nil {
				return out, err
			}
			remember = append(remember, r)
		}
		secret, err = c.Credentials.Create(c.ctx(), c.key, out.ID, grant, expires, remember)
		if errors.Is(err, consent.ErrRemembered) { // by another process meanwhile
			out, _, err = c.recall(once)
		}
		return out, err
	})
	if err != nil {
		return err
	}
	return c.json(out.Status, madeOut{out.ID, secret})
}

// remembered seals an outcome for the store that commits it with the write.
func (c *call) remembered(once consent.Once, out outcome) (consent.Remembered, error) {
	plain, err := json.Marshal(out)
	if err != nil {
		return consent.Remembered{}, err
	}
	head, err := c.Ledger.Head(c.ctx(), c.tenant())
	if err != nil {
		return consent.Remembered{}, err
	}
	return c.Ledger.Remember(c.ctx(), c.tenant(), once, plain, head.Now)
}

// grant reads and checks what a new key is to be given; that its maker has all
// of it, the service checks.
func (c *call) grant(raw []byte) (g credential.Grant, expires consent.Time, err error) {
	var in keyIn
	if err := decode(raw, &in); err != nil {
		return g, 0, err
	}
	if g.Name, err = credential.ParseName(in.Name); err != nil {
		return g, 0, err
	}
	if g.Scopes, err = credential.ParseScopes(in.Scopes); err != nil {
		return g, 0, invalid("scopes", "holds what is no scope")
	}
	if in.Purposes == nil {
		return g, 0, invalid("purposes", "is required; an empty list is none")
	}
	known, _, err := c.Ledger.Purposes(c.ctx(), c.tenant())
	if err != nil {
		return g, 0, err
	}
	for i, p := range in.Purposes {
		if !slices.Contains(known, p) {
			return g, 0, invalid("purposes["+strconv.Itoa(i)+"]", "is not a purpose of the policy")
		}
	}
	until, err := timeField("expires_at", in.ExpiresAt)
	if err != nil {
		return g, 0, err
	}
	g.Purposes = in.Purposes
	g.Collections = orMakers(in.Collections, c.key.Collections)
	g.Namespaces = orMakers(in.Namespaces, c.key.Namespaces)
	return g, consent.TimeOf(until), nil
}

func orMakers(asked, makers []string) []string {
	if asked == nil {
		return makers
	}
	return asked
}

type keysOut struct {
	Keys []keyOut `json:"keys"`
}

// keyOut is a key without its secret. A list that is absent is all: it is
// omitted when nil, never when empty, which is what omitempty would do.
type keyOut struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Scopes      []string  `json:"scopes"`
	Purposes    *[]string `json:"purposes,omitzero"`
	Collections *[]string `json:"collections,omitzero"`
	Namespaces  *[]string `json:"namespaces,omitzero"`
	CreatedAt   string    `json:"created_at"`
	ExpiresAt   string    `json:"expires_at,omitempty"`
	RevokedAt   string    `json:"revoked_at,omitempty"`
}

func (c *call) listKeys() error {
	keys, err := c.Credentials.List(c.ctx(), c.key)
	if err != nil {
		return err
	}
	out := keysOut{Keys: make([]keyOut, len(keys))}
	for i, k := range keys {
		out.Keys[i] = keyOut{
			ID: k.ID, Name: k.Name.Reveal(), Scopes: k.Scopes.Names(),
			Purposes: listed(k.Purposes), Collections: listed(k.Collections), Namespaces: listed(k.Namespaces),
			CreatedAt: k.CreatedAt.String(), ExpiresAt: k.ExpiresAt.String(), RevokedAt: k.RevokedAt.String(),
		}
	}
	return c.json(http.StatusOK, out)
}

// listed keeps none and all apart.
func listed(names []string) *[]string {
	if names == nil {
		return nil
	}
	return &names
}

func (c *call) revokeKey() error {
	_, _, err := c.repeatable(nil, func(consent.Once) (outcome, error) {
		err := c.Credentials.Revoke(c.ctx(), c.key, c.param("id"))
		if errors.Is(err, credential.ErrNotFound) {
			err = nil
		}
		return outcome{Status: http.StatusNoContent}, err
	})
	if err != nil {
		return err
	}
	return c.nothing()
}
