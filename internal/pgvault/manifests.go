package pgvault

import (
	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/training"
)

// Manifests returns the vault as the port of training manifests.
func (v *Vault) Manifests() training.Vault { return manifestPort{v} }

type manifestPort struct{ v *Vault }

func (p manifestPort) ManifestKeys(t consent.TenantID) (training.Keys, bool) {
	k, ok := p.v.keys(t)
	return k.ForManifests(), ok
}

func (p manifestPort) NewFileKey() (seal.Key, seal.Ref, error) {
	key := seal.NewKey()
	refs, err := p.v.Put([]vault.NewKey{{Key: key}})
	if err != nil {
		return seal.Key{}, seal.Ref{}, err
	}
	return key, refs[0], nil
}

func (p manifestPort) FileKey(ref seal.Ref) (seal.Key, error) {
	if ref.IsZero() {
		return seal.Key{}, training.ErrErased
	}
	k, err := p.v.Key(ref, nil)
	if gone(err) {
		return k, training.ErrErased
	}
	return k, err
}

func (p manifestPort) Destroy(refs ...seal.Ref) error { return p.v.Destroy(refs...) }
