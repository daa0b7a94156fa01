package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/pgvault"
	"github.com/assent-gateway/assent/internal/postgres"
)

// errShared is for what a database does by itself, or cannot do yet.
var errShared = errors.New("the vault of ASSENT_VAULT_URL is a database: back it up and restore it as one, apart from the data's; its epoch key is a file in ASSENT_VAULT, to be kept apart from both. It cannot be rotated yet, and no key of it counts as purged")

// sharedVault tends the vault of several gateways.
func sharedVault(ctx context.Context, s *session, fs *vaultFlags, url, verb string) error {
	switch verb {
	case "status", "accept":
	case "replay":
		if s.getenv("ASSENT_POSTGRES_URL") == "" {
			return errors.New("with ASSENT_VAULT_URL the data is a Postgres, too: set ASSENT_POSTGRES_URL")
		}
		return vaultReplay(ctx, s, fs)
	default:
		return errShared
	}
	v, err := pgvault.Open(ctx, url, fs.dir, pgvault.Options{
		MustExist: true, Epoch: fs.options,
		Database: postgres.Options{AllowParameterLogging: s.getenv("ASSENT_ALLOW_PARAMETER_LOGGING") == "1"},
	})
	if err != nil {
		return err
	}
	if verb == "accept" {
		if err = v.Accept(ctx); err == nil {
			_, err = fmt.Fprintln(s.out, acceptedText)
		}
	} else {
		err = sharedStatus(ctx, s, v)
	}
	return errors.Join(err, v.Close())
}

func sharedStatus(ctx context.Context, s *session, v *pgvault.Vault) error {
	generation, err := v.Generation(ctx)
	if err != nil {
		return err
	}
	keys, err := v.Slots(ctx)
	if err != nil {
		return err
	}
	tenants, err := v.Tenants(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "generation\t%d\nkeys\t%d\n", generation, keys)
	for _, t := range tenants {
		head, err := v.Head(ctx, consent.TenantID(t))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "journal of %s\tat %d\n", plain(t), head)
	}
	if v.Accepted() {
		fmt.Fprintf(w, "accepted\tthe next start takes the data for right\n")
	}
	return w.Flush()
}
