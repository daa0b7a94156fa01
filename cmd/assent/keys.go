package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
)

const keysUsage = `assent keys create --name N --scopes A,B --purposes P,Q [flags]
assent keys list
assent keys revoke ID

Creates, lists and revokes API keys. ASSENT_KEY needs the scope admin.`

const keysCreateUsage = `assent keys create --name N --scopes A,B --purposes P,Q [flags]

Creates an API key and prints it, this once. Scopes: search, ingest,
ingest:nonpersonal, ingest:owners, consent:read, consent:write, erasure:read,
erasure:write, manifest:read, manifest:write, audit, act_as, scores, admin.`

// A keyGrant is a key without its secret.
type keyGrant struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name"`
	Scopes      []string `json:"scopes"`
	Purposes    []string `json:"purposes,omitempty"`
	Collections []string `json:"collections,omitempty"`
	Namespaces  []string `json:"namespaces,omitempty"`
	ExpiresAt   string   `json:"expires_at,omitempty"`
	RevokedAt   string   `json:"revoked_at,omitempty"`
}

func keys(ctx context.Context, s *session, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "create":
		return keysCreate(ctx, s, args[1:])
	case "list":
		return keysList(ctx, s, args[1:])
	case "revoke":
		return keysRevoke(ctx, s, args[1:])
	}
	fs := newFlags(keysUsage)
	if _, err := fs.parse(s, args); err != nil {
		return err
	}
	return fs.mistake("keys needs one of create, list, revoke")
}

func keysCreate(ctx context.Context, s *session, args []string) error {
	fs := newFlags(keysCreateUsage)
	name := fs.String("name", "", "what to call the key")
	scopes := fs.String("scopes", "", "what it may do, as a comma-separated `list`")
	purposes := fs.String("purposes", "", "what it may be used for, as a comma-separated `list`")
	collections := fs.String("collections", "", "only these collections, as a comma-separated `list`; all when not given")
	namespaces := fs.String("namespaces", "", "with act_as: only people of these namespaces, as a comma-separated `list`; all when not given")
	expires := fs.String("expires", "", "when it ends, `RFC 3339`; never when not given")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("create takes nothing besides its flags")
	}
	if err := fs.need("name", "scopes", "purposes"); err != nil {
		return err
	}
	if err := fs.filled("collections", "namespaces", "expires"); err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	grant := keyGrant{
		Name: *name, Scopes: list(*scopes), Purposes: list(*purposes),
		Collections: list(*collections), Namespaces: list(*namespaces), ExpiresAt: *expires,
	}
	var made struct{ ID, Key string }
	if _, err := c.call(ctx, http.MethodPost, "/v1/keys", grant, &made); err != nil {
		return err
	}
	fmt.Fprintln(s.err, "the key is shown this once:")
	_, err = fmt.Fprintf(s.out, "id:  %s\nkey: %s\n", plain(made.ID), plain(made.Key))
	return err
}

func keysList(ctx context.Context, s *session, args []string) error {
	fs := newFlags("assent keys list")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("list takes no arguments")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	var answer struct {
		Keys []keyGrant `json:"keys"`
	}
	if _, err := c.call(ctx, http.MethodGet, "/v1/keys", nil, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tPURPOSES\tCOLLECTIONS\tEXPIRES\tREVOKED")
	for _, k := range answer.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(k.ID), plain(k.Name), every(k.Scopes),
			every(k.Purposes), every(k.Collections), plain(k.ExpiresAt), plain(k.RevokedAt))
	}
	return w.Flush()
}

// every writes a list of which absence means all, and an empty one none.
func every(names []string) string {
	switch {
	case names == nil:
		return "all"
	case len(names) == 0:
		return "none"
	}
	return plain(strings.Join(names, ","))
}

func keysRevoke(ctx context.Context, s *session, args []string) error {
	fs := newFlags("assent keys revoke ID")
	ids, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return fs.mistake("revoke needs one ID")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if _, err := c.call(ctx, http.MethodDelete, path("v1", "keys", ids[0]), nil, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "key %s may do nothing any more\n", ids[0])
	return err
}
