package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/vault"
)

// vaultEvent is the sealed part of an entry about keys or a restore.
type vaultEvent struct {
	ID         string     `json:"id"` // of the event: it is entered once
	Event      string     `json:"event"`
	Generation uint64     `json:"generation,omitempty"`
	Taken      *time.Time `json:"taken,omitempty"`
	Epoch      uint32     `json:"epoch,omitempty"`
	// KeyDestroyed is set when every copy of the key that the event ended is
	// known to be gone: not while a backup may hold it.
	KeyDestroyed bool       `json:"key_destroyed,omitempty"`
	Gap          *vault.Gap `json:"gap,omitempty"`
	LogKey       string     `json:"log_key,omitempty"` // the public key, hex
}

// enterEvents tells every open ledger what happened to the vault and to its
// data while nothing ran, each event once: a crash between the entry and the
// vault's list leaves an entry that is found by its id. A ledger that is closed
// is told by a later start.
func (g *Gateway) enterEvents(ctx context.Context) error {
	events, err := g.vault.Events(ctx)
	if err != nil {
		return err
	}
	tenants, err := g.vault.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, name := range tenants {
		id := consent.TenantID(name)
		var mine []vault.Event
		for _, e := range events {
			if slices.Contains(e.Tenants, name) {
				mine = append(mine, e)
			}
		}
		logKeys, err := g.logKeyEvents(ctx, id)
		if err != nil {
			return err
		}
		if len(mine)+len(logKeys) == 0 {
			continue
		}
		if _, err := g.Ledger.Head(ctx, id); errors.Is(err, consent.ErrUnavailable) || errors.Is(err, consent.ErrUnknownTenant) {
			continue
		}
		if err := g.tell(ctx, id, mine, logKeys); err != nil {
			return err
		}
	}
	return nil
}

// tell enters what a ledger has not been told.
func (g *Gateway) tell(ctx context.Context, id consent.TenantID, events []vault.Event, logKeys []vaultEvent) error {
	t := telling{Gateway: g, id: id, told: map[string]bool{}, last: map[consent.Kind]consent.Position{}}
	for _, kind := range []consent.Kind{consent.KindVault, consent.KindRestore} {
		if err := t.read(ctx, kind); err != nil {
			return err
		}
	}
	g.step("event.read")
	for _, e := range events {
		kind, body := g.eventBody(id, e)
		if err := t.enter(ctx, kind, body); err != nil {
			return err
		}
		g.step("event.entered") // a crash here: it is found by its id
		if err := g.vault.Entered(ctx, e.ID, string(id)); err != nil {
			return err
		}
	}
	for _, e := range logKeys {
		if err := t.enter(ctx, consent.KindVault, e); err != nil {
			return err
		}
	}
	return nil
}

// A telling knows what a ledger was told, and by which entry of each kind last.
type telling struct {
	*Gateway
	id   consent.TenantID
	told map[string]bool
	last map[consent.Kind]consent.Position
}

func (t *telling) read(ctx context.Context, kind consent.Kind) error {
	return t.Ledger.Notes(ctx, t.id, kind, func(p consent.Position, plain []byte) error {
		var e vaultEvent
		if json.Unmarshal(plain, &e) != nil {
			return consent.ErrTampered
		}
		t.told[e.ID], t.last[kind] = true, p
		return nil
	})
}

// enter enters an event, unless it was told: by another gateway that starts at
// the same time, too, which the ledger finds out under its head's lock.
func (t *telling) enter(ctx context.Context, kind consent.Kind, e vaultEvent) error {
	for !t.told[e.ID] {
		err := t.Ledger.EnterNext(ctx, t.id, consent.Note{Kind: kind, Body: e}, t.last[kind])
		if err != nil && !errors.Is(err, consent.ErrOvertaken) {
			return err
		}
		if err := t.read(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gateway) eventBody(id consent.TenantID, e vault.Event) (consent.Kind, vaultEvent) {
	body := vaultEvent{ID: e.ID, Event: e.Event, Generation: e.Generation, Taken: e.Taken, Epoch: e.Epoch}
	switch e.Event {
	case vault.Rotated:
		// Open has finished the rotation: older epoch keys are overwritten. A
		// backup holds the one it was made under.
		body.KeyDestroyed = len(g.vault.Backups()) == 0
	case vault.VaultRestored:
		return consent.KindRestore, body
	case vault.Replayed:
		gap := e.Gaps[string(id)]
		body.Gap = &gap
		return consent.KindRestore, body
	}
	return consent.KindVault, body
}

// logKeyEvents are those that the keys of a tenant's log tell of: nothing else
// remembers them, and their ids are made from the keys. That a retired key is
// destroyed is not said: the keyring that held it was replaced, not overwritten.
func (g *Gateway) logKeyEvents(ctx context.Context, tenant consent.TenantID) ([]vaultEvent, error) {
	keys, retired, err := g.vault.LogKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []vaultEvent
	add := func(event string, public [32]byte) {
		sum := sha256.Sum256(append([]byte(event+"\x00"), public[:]...))
		out = append(out, vaultEvent{ID: hex.EncodeToString(sum[:16]), Event: event, LogKey: hex.EncodeToString(public[:])})
	}
	for i, public := range keys {
		if i > 0 {
			add("log_key_added", public)
		}
		if i < retired {
			add("log_key_retired", public)
		}
	}
	return out, nil
}
