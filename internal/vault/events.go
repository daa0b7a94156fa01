package vault

import (
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"crypto/rand"

	"github.com/assent-gateway/assent/internal/seal"
)

// An Event is something that happened to keys or data while no gateway ran, and
// that ledgers have not been told of. It is written with what it tells of, in
// one file, so that there is never one without the other; a rotation, which is
// in another file, is found by its epoch.
type Event struct {
	ID         string         `json:"id"` // random: what tells a repeat
	Event      string         `json:"event"`
	Generation uint64         `json:"generation,omitempty"` // of a backup
	Taken      *time.Time     `json:"taken,omitempty"`      // a backup
	Epoch      uint32         `json:"epoch,omitempty"`
	Gaps       map[string]Gap `json:"gaps,omitempty"`    // of a replay, by tenant
	Tenants    []string       `json:"tenants,omitempty"` // whose ledgers are to be told
}

// What events tell.
const (
	Rotated         = "rotated"          // everything is wrapped under a new epoch key
	BackupMade      = "backup_made"      // all keys are in a backup
	BackupForgotten = "backup_forgotten" // the operator says that it is destroyed
	Accepted        = "vault_accepted"   // the operator says that data ahead of the vault is right
	VaultRestored   = "vault_restored"   // the vault was put back from a backup
	Replayed        = "ledger_replayed"  // data was put back, and replayed from the journal
)

// A Gap is what a replay brings back of a tenant's ledger.
type Gap struct {
	From    uint64 `json:"from"` // positions, inclusive
	To      uint64 `json:"to"`
	Lost    int    `json:"lost,omitempty"`    // entries of which only the leaf came back
	Unknown int    `json:"unknown,omitempty"` // of these, whose they are is not known
}

func cloneEvents(events []Event) []Event {
	out := slices.Clone(events)
	for i := range out {
		out[i].Tenants, out[i].Gaps = slices.Clone(out[i].Tenants), maps.Clone(out[i].Gaps)
	}
	return out
}

// tell adds an event for every tenant there is, or for those it names.
func (v *Vault) tell(s *state, e Event) {
	if e.Tenants == nil {
		e.Tenants = v.Tenants()
	}
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if len(e.Tenants) > 0 {
		s.Events = append(s.Events, e)
	}
}

// Events returns what ledgers are to be told of, oldest first. A rotation
// becomes an event here: of several since the last call one, of the newest.
func (v *Vault) Events() ([]Event, error) {
	s, epoch := v.past(), v.Epoch()
	if epoch <= max(s.Rotated, 1) {
		return cloneEvents(s.Events), nil
	}
	id := seal.MAC(v.epochs.Load().keys[epoch](), "vault/event of a rotation")
	s, err := v.change(func(s *state) error {
		v.tell(s, Event{ID: hex.EncodeToString(id[:16]), Event: Rotated, Epoch: epoch})
		s.Rotated = epoch
		return nil
	})
	return cloneEvents(s.Events), err
}

// Entered takes a tenant off an event's list: its ledger has been told, durably.
// A crash before it makes the caller find the event in the ledger, by its id.
func (v *Vault) Entered(id, tenant string) error {
	_, err := v.change(func(s *state) error {
		for i := range s.Events {
			if s.Events[i].ID == id {
				s.Events[i].Tenants = slices.DeleteFunc(s.Events[i].Tenants, func(t string) bool { return t == tenant })
			}
		}
		s.Events = slices.DeleteFunc(s.Events, func(e Event) bool { return len(e.Tenants) == 0 })
		return nil
	})
	return err
}

// BeginReplay puts on record that ledgers are about to be replayed. When an
// earlier replay of the same tenant was not told of yet, it goes on: one event
// covers both.
func (v *Vault) BeginReplay(gaps map[string]Gap) error {
	_, err := v.change(func(s *state) error {
		rest := maps.Clone(gaps)
		for i := range s.Events {
			for t, g := range rest {
				if e := &s.Events[i]; e.Event == Replayed && slices.Contains(e.Tenants, t) {
					e.Gaps[t] = e.Gaps[t].With(g)
					delete(rest, t)
				}
			}
		}
		if len(rest) > 0 {
			v.tell(s, Event{Event: Replayed, Gaps: rest, Tenants: slices.Sorted(maps.Keys(rest))})
		}
		return nil
	})
	return err
}

// With is a gap of which another is a part, or the other way round.
func (g Gap) With(other Gap) Gap {
	if other.From < g.From {
		g, other = other, g
	}
	g.To = max(g.To, other.To)
	return g
}
