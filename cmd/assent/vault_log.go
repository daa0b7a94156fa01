package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/vault"
)

// stopped is what the gateway's own commands on a stopped gateway open.
func (f *vaultFlags) stopped(s *session) gateway.Config {
	return gateway.Config{
		PostgresURL: s.getenv("ASSENT_POSTGRES_URL"), VaultURL: s.getenv("ASSENT_VAULT_URL"),
		AllowParameterLogging: s.getenv("ASSENT_ALLOW_PARAMETER_LOGGING") == "1",
		DataDir:               f.data, VaultDir: f.dir, AllowVaultInside: s.getenv("ASSENT_ALLOW_VAULT_INSIDE") == "1",
		TransparencyLog: gateway.LogConfig{Origin: s.getenv("ASSENT_LOG_ORIGIN")},
		KMS:             f.options.KMS, KMSKey: f.options.KMSKey,
		Log: logging.New(s.err, nil, gateway.Sentinels()...),
	}
}

func vaultReplay(ctx context.Context, s *session, fs *vaultFlags) error {
	gaps, err := gateway.Replay(ctx, fs.stopped(s))
	if errors.Is(err, vault.ErrLocked) || errors.Is(err, gateway.ErrInUse) {
		return errors.New("a running gateway holds the vault or the data: stop it, then run this again")
	}
	if err != nil {
		return err
	}
	if len(gaps) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing to replay: no ledger is behind the vault's journal")
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(gaps)) {
		gap := gaps[id]
		fmt.Fprintf(s.out, "%s: entries %d to %d replayed; of %d only the leaf came back, and their people must be asked again\n",
			plain(string(id)), gap.From, gap.To, gap.Lost)
		if gap.Unknown > 0 {
			fmt.Fprintf(s.err, "%s: of %d of these an older journal does not say whose they are: earlier grants of these people stand\n",
				plain(string(id)), gap.Unknown)
		}
	}
	_, err = fmt.Fprintln(s.out, "documents and API keys made since the backup are lost: make them again. Start the gateway now.")
	if err == nil && s.getenv("ASSENT_POSTGRES_URL") != "" {
		_, err = fmt.Fprintln(s.out, "a gateway that ran meanwhile stays closed until it is started anew")
	}
	return err
}

// rotateLogKeys makes new keys for the logs of the tenants named, or of all.
func rotateLogKeys(s *session, v *vault.Vault, tenants []string) error {
	if len(tenants) == 0 {
		tenants = v.Tenants()
	}
	for _, t := range tenants {
		if err := v.RotateLogKey(t); err != nil {
			return fmt.Errorf("%s: %w", plain(t), err)
		}
		fmt.Fprintf(s.out, "%s: the log has a new key; GET /v1/log/key tells it after the next start\n", plain(t))
	}
	fmt.Fprintln(s.err, "both keys sign every checkpoint now. Give the new key to everyone who verifies, then: assent vault retire-log-key")
	return nil
}

func vaultRetireLogKey(ctx context.Context, s *session, fs *vaultFlags, tenants []string) error {
	retired, err := gateway.RetireLogKeys(ctx, fs.stopped(s), tenants)
	for _, t := range retired {
		fmt.Fprintf(s.out, "%s: the log's older key signs no more\n", plain(t))
	}
	if err == nil && len(retired) > 0 {
		fmt.Fprintln(s.err, "the vault holds its secret half no longer; what the disk may keep of it, assent vault rotate makes worthless")
	}
	return err
}
