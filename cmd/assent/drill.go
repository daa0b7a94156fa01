package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
)

const drillUsage = `assent restore-drill --data BACKUP [--vault DIR] --out FILE

Shows on copies what a restore does: BACKUP is a backup of a data directory, or
the data directory in use; the vault is the one in use. Neither is written to, and
a gateway may run on them. The copy must not be ready before it is replayed, and
afterwards nothing of erased people may be returned or left.

The report is signed with the key of the tenant's log; assent-verify drill checks
it. Other tenants than "default" get files of their own beside FILE. The exit
status is 0 only when every drill was passed.

The copies hold every key while it runs: they are made in a directory beside the
vault, overwritten and removed at the end. After a crash remove it yourself.`

func restoreDrill(ctx context.Context, s *session, args []string) error {
	fs := newFlags(drillUsage)
	data := fs.String("data", s.dataDir(), "the backup, a `directory` (ASSENT_DATA)")
	dir := fs.String("vault", s.vaultDir(), "vault `directory` (ASSENT_VAULT)")
	out := fs.String("out", "", "the `file` for the report")
	work := fs.String("work", "", "a `directory` that does not exist yet, for the copies")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("restore-drill takes no arguments besides its flags")
	}
	if err := fs.need("out"); err != nil {
		return err
	}
	kms, err := kmsFrom(s.getenv)
	if err != nil {
		return err
	}
	if *work == "" {
		*work = filepath.Clean(*dir) + fmt.Sprintf(".drill-%d", os.Getpid())
	}
	cfg := gateway.Config{
		DataDir: *data, VaultDir: *dir, PostgresURL: s.getenv("ASSENT_POSTGRES_URL"), VaultURL: s.getenv("ASSENT_VAULT_URL"),
		KMS: kms.service, KMSKey: kms.key, TransparencyLog: gateway.LogConfig{Origin: s.getenv("ASSENT_LOG_ORIGIN")},
	}
	reports, err := gateway.Drill(ctx, cfg, *work)
	if err != nil {
		return err
	}
	failed := false
	for _, r := range reports {
		path := reportFile(*out, r.Tenant)
		if err := os.WriteFile(path, r.File, 0o600); err != nil {
			return err
		}
		st := &r.Statement
		word := "passed"
		if !st.Passed {
			word, failed = "FAILED", true
		}
		fmt.Fprintf(s.out, "%s: %s: %d entries replayed; of %d erased people %d documents in the backup, %d left; %d searches, %d hits of them: %s\n",
			plain(string(r.Tenant)), word, st.Replayed, st.Erased, st.RowsInBackup, st.RowsAfter, st.Searches, st.HitsOfErased, path)
	}
	if failed || len(reports) == 0 {
		return errors.New("the drill was not passed: the report says in what")
	}
	return nil
}

// reportFile is where the report of a tenant goes.
func reportFile(out string, t consent.TenantID) string {
	if t == gateway.DefaultTenant {
		return out
	}
	ext := filepath.Ext(out)
	return strings.TrimSuffix(out, ext) + "." + string(t) + ext
}
