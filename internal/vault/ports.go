package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// Consent returns the vault as the ledger's port.
func (v *Vault) Consent() consent.Vault { return ledgerPort{v} }

// Records returns the vault as the port of documents' record keys.
func (v *Vault) Records() retrieval.Records { return recordPort{v} }

// CatalogueKeys returns a tenant's keys for the catalogue; false when unknown.
func (v *Vault) CatalogueKeys(t consent.TenantID) (retrieval.Keys, bool) {
	k, ok := v.Tenant(string(t))
	if !ok {
		return retrieval.Keys{}, false
	}
	return k.ForCatalogue(), true
}

// ForCatalogue are the keys that the catalogue of the tenant uses.
func (t TenantKeys) ForCatalogue() retrieval.Keys {
	return retrieval.Keys{
		Catalogue: seal.Derive(t.Index, "assent catalogue"),
		Terms:     seal.Derive(t.Index, "assent terms"),
		Payload:   seal.Derive(t.Payload, "assent catalogue payload"),
	}
}

// ForLedger are the keys that the ledger of the tenant uses.
func (t TenantKeys) ForLedger() consent.Keys {
	return consent.Keys{Lookup: t.Lookup, Suppression: t.Suppression, MAC: t.MAC, Payload: t.Payload}
}

// ForManifests are the keys that training manifests of the tenant use.
func (t TenantKeys) ForManifests() training.Keys {
	return training.Keys{
		Derive:  seal.Derive(t.Index, "assent manifests"),
		Payload: seal.Derive(t.Payload, "assent manifests payload"),
	}
}

// ForErasures are the keys that erasures of the tenant use.
func (t TenantKeys) ForErasures() erasure.Keys {
	return erasure.Keys{
		Name:    seal.Derive(t.Suppression, "assent erasure names"),
		Payload: seal.Derive(t.Payload, "assent erasure jobs"),
		Archive: seal.Derive(t.Payload, "assent erasure archive"),
		Claim:   seal.Derive(t.Suppression, "assent erasure claims"),
	}
}

// ErasureKeys returns a tenant's keys for erasures; false when unknown.
func (v *Vault) ErasureKeys(t consent.TenantID) (erasure.Keys, bool) {
	k, ok := v.Tenant(string(t))
	if !ok {
		return erasure.Keys{}, false
	}
	return k.ForErasures(), true
}

// Manifests returns the vault as the port of training manifests.
func (v *Vault) Manifests() training.Vault { return manifestPort{v} }

type ledgerPort struct{ v *Vault }

func (p ledgerPort) Keys(t consent.TenantID) (consent.Keys, bool) {
	k, ok := p.v.Tenant(string(t))
	return k.ForLedger(), ok
}

func (p ledgerPort) NewSubjectKeys(n int) ([]seal.Key, []seal.Ref, error) {
	keys, fresh := make([]seal.Key, n), make([]NewKey, n)
	for i := range keys {
		keys[i] = seal.NewKey()
		fresh[i] = NewKey{Key: keys[i]}
	}
	refs, err := p.v.Put(fresh)
	return keys, refs, err
}

func (p ledgerPort) SubjectKey(ref seal.Ref) (seal.Key, error) {
	k, err := p.v.Key(ref, nil)
	if gone(err) {
		return k, consent.ErrKeyGone
	}
	return k, err
}

func (p ledgerPort) Destroy(refs ...seal.Ref) error { return p.v.Destroy(refs...) }
func (p ledgerPort) MendJournal() error             { return p.v.Mend() }

// gone reports whether an error of Key is about the key. Every other error is
// the disk's, and no reason to believe that anything was destroyed.
func gone(err error) bool { return errors.Is(err, ErrKeyGone) || errors.Is(err, ErrWrongParent) }

func (p ledgerPort) JournalHead(t consent.TenantID) (consent.Position, error) {
	return consent.Position(p.v.Head(string(t))), nil
}

func (p ledgerPort) JournalLeaf(t consent.TenantID, pos consent.Position) ([32]byte, error) {
	leaf, ok, err := p.v.Leaf(string(t), uint64(pos))
	if err == nil && !ok {
		err = fmt.Errorf("vault: no such entry in the journal")
	}
	return leaf, err
}

func (p ledgerPort) ReadJournal(t consent.TenantID, pos consent.Position) (consent.JournalRecord, error) {
	r, err := p.v.Read(string(t), uint64(pos))
	return consent.JournalRecord{
		Position: consent.Position(r.Position), Leaf: r.Leaf, Kind: consent.Kind(r.Kind), Payload: r.Payload,
	}, err
}

func (p ledgerPort) AppendJournal(t consent.TenantID, recs []consent.JournalRecord) error {
	for {
		head := p.v.Head(string(t))
		fresh, err := p.fresh(t, recs, consent.Position(head))
		if err != nil {
			return err
		}
		err = p.v.Append(fresh)
		switch {
		case !errors.Is(err, ErrGap):
			return err
		case p.v.Head(string(t)) == head: // otherwise another call was faster: look again
			return consent.ErrJournalGap
		}
	}
}

// fresh returns the records beyond a head; those up to it must be there.
func (p ledgerPort) fresh(t consent.TenantID, recs []consent.JournalRecord, head consent.Position) ([]Record, error) {
	out := make([]Record, 0, len(recs))
	for _, r := range recs {
		if r.Position > head {
			out = append(out, Record{Tenant: string(t), Position: uint64(r.Position), Leaf: r.Leaf, Kind: byte(r.Kind), Payload: r.Payload})
			continue
		}
		if leaf, err := p.JournalLeaf(t, r.Position); err != nil {
			return nil, err
		} else if leaf != r.Leaf {
			return nil, consent.ErrDiverged
		}
	}
	return out, nil
}

type recordPort struct{ v *Vault }

func (p recordPort) Put(keys []retrieval.RecordKey) ([]seal.Ref, error) {
	fresh := make([]NewKey, len(keys))
	for i, k := range keys {
		fresh[i] = NewKey{Key: k.Key, Parent: k.Parent}
	}
	return p.v.Put(fresh)
}

func (p recordPort) Open(ref seal.Ref, parent *seal.Key) (seal.Key, error) {
	k, err := p.v.Key(ref, parent)
	if gone(err) {
		return k, retrieval.ErrKeyGone
	}
	return k, err
}

// Warm has nothing to do: a slot is a read of this machine's page cache.
func (p recordPort) Warm(context.Context, []seal.Ref) error { return nil }

func (p recordPort) Destroy(refs ...seal.Ref) error { return p.v.Destroy(refs...) }

type manifestPort struct{ v *Vault }

func (p manifestPort) ManifestKeys(t consent.TenantID) (training.Keys, bool) {
	k, ok := p.v.Tenant(string(t))
	return k.ForManifests(), ok
}

func (p manifestPort) NewFileKey() (seal.Key, seal.Ref, error) {
	key := seal.NewKey()
	refs, err := p.v.Put([]NewKey{{Key: key}})
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
