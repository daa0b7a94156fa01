package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/vault"
)

// ErrNotCrossSigned: no checkpoint bears both keys of a log yet.
var ErrNotCrossSigned = errors.New("gateway: the log's newest checkpoint does not bear its new key yet: start the gateway once, so that it signs with both")

var errSharedLogKeys = errors.New("gateway: the log keys of a shared vault are not rotated yet")

// RetireLogKeys ends the use of the older keys of the logs of the tenants named,
// or, when none is, of every tenant that has one. The gateway is stopped. A log
// whose newest checkpoint, in vault and data, does not bear the new key is
// refused: whoever trusts the older key alone would never see who follows it.
// It returns the tenants whose key was retired, after an error too.
func RetireLogKeys(ctx context.Context, cfg Config, tenants []string) (retired []string, err error) {
	g, err := openStopped(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	dir, ok := g.vault.(dirVault)
	if !ok {
		return nil, errSharedLogKeys
	}
	v := dir.Vault
	if err := g.newLog(); err != nil {
		return nil, err
	}
	all := len(tenants) == 0
	if all {
		tenants = v.Tenants()
	}
	for _, t := range tenants {
		keys, ok := v.Tenant(t)
		switch {
		case !ok:
			return retired, vault.ErrNoTenant
		case keys.Retiring == [32]byte{} && all:
			continue
		case keys.Retiring == [32]byte{}:
			return retired, vault.ErrNotRetiring
		}
		if err := g.crossSigned(ctx, v, consent.TenantID(t)); err != nil {
			return retired, err
		}
		if err := v.RetireLogKey(t); err != nil {
			return retired, err
		}
		retired = append(retired, t)
	}
	return retired, nil
}

func (g *Gateway) crossSigned(ctx context.Context, v *vault.Vault, t consent.TenantID) error {
	inVault, err := v.Checkpoint(string(t))
	if err != nil {
		return err
	}
	inData, err := g.db.LogCheckpoint(ctx, t)
	if err != nil {
		return fmt.Errorf("read the newest checkpoint: %w", err)
	}
	for _, text := range [][]byte{inVault, inData} {
		if ok, err := g.Tree.BearsNewestKey(t, text); err != nil || !ok {
			return errors.Join(err, ErrNotCrossSigned)
		}
	}
	return nil
}
