package httpapi

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/events"
)

// scopeOf is what a key needs to have an event applied.
func scopeOf(typ string) credential.Scopes {
	if typ == typeRequested {
		return credential.ErasureWrite
	}
	return credential.ConsentWrite
}

// An inbox applies events to one tenant, each once per source and id, however
// often and by whichever gateway it is delivered: the mark that it was applied
// is committed in the same transaction as what it causes.
type inbox struct {
	*api
	tenant consent.TenantID
	by     string // who vouches: the id of a key, the name of a broker's inbox
	may    func(*erasure.Request) error
}

func (a *api) inbox(t consent.TenantID, by string) *inbox {
	return &inbox{api: a, tenant: t, by: by, may: func(*erasure.Request) error { return nil }}
}

// appliedOut is what became of an event: "applied", now or before, or "invalid".
type appliedOut struct {
	Status         string           `json:"status"`
	LedgerPosition consent.Position `json:"ledger_position,omitzero"`
	Field          string           `json:"field,omitempty"`
	Reason         string           `json:"reason,omitempty"`
}

type batchOut struct {
	Results []appliedOut `json:"results"`
}

func (in *inbox) apply(ctx context.Context, e *cloudEvent) (appliedOut, error) {
	once, err := in.Ledger.EventOnce(ctx, in.tenant, e.Source, e.ID)
	if err != nil {
		return appliedOut{}, err
	}
	var at consent.Position
	if e.Type == typeRequested {
		at, err = in.erase(ctx, e, once)
	} else {
		at, err = in.record(ctx, e, once)
	}
	return appliedOut{Status: "applied", LedgerPosition: at}, inData(err)
}

// record records what a person said. An entry without a time of its own is of
// the event's: events come late and out of order, and a late grant must not
// win. A clock that is ahead of the ledger's says nothing.
func (in *inbox) record(ctx context.Context, e *cloudEvent, once consent.Once) (consent.Position, error) {
	entry, err := readConsent(e.Data)
	if err != nil {
		return 0, err
	}
	if entry.ActedAt == 0 && e.Time != "" {
		head, err := in.Ledger.Head(ctx, in.tenant)
		if err != nil {
			return 0, err
		}
		happened, err := parseTime(e.Time)
		if err != nil {
			return 0, err // it was read before
		}
		if at := consent.TimeOf(happened); at <= head.Now {
			entry.ActedAt = at
		}
	}
	entry.Audit.Key, entry.Audit.AssertedBy = in.by, "application"
	results, err := in.Ledger.Record(ctx, in.tenant, []consent.Entry{entry}, once)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return 0, err
	}
	return results[0].Position, nil
}

// permitted reports whether an event may be applied by whoever brought it. What is
// wrong with it otherwise, its application says.
func (in *inbox) permitted(e *cloudEvent) error {
	var data erasureIn
	if e.Type != typeRequested || decode(e.Data, &data) != nil {
		return nil
	}
	r, err := data.request()
	if err != nil {
		return nil
	}
	return in.may(&r)
}

func (in *inbox) erase(ctx context.Context, e *cloudEvent, once consent.Once) (consent.Position, error) {
	var data erasureIn
	if err := decode(e.Data, &data); err != nil {
		return 0, err
	}
	r, err := data.request()
	if err != nil {
		return 0, err
	}
	if err := in.may(&r); err != nil {
		return 0, err
	}
	r.By, r.Once = in.by, once
	made, err := in.Erasure.Request(ctx, in.tenant, r)
	if errors.Is(err, consent.ErrRemembered) {
		at, _, err := in.Ledger.Applied(ctx, in.tenant, once)
		return at, err
	}
	return made.Position, err
}

// Receiver returns the inbox of a broker: what comes in by it is of one tenant,
// which the operator names, and may record consent and ask for erasures. by is
// the broker's name, as the audit of what it asserts has it.
func Receiver(d Deps, t consent.TenantID, by string) events.Receiver {
	return receiver{(&api{Deps: d}).inbox(t, by)}
}

type receiver struct{ *inbox }

// Receive implements events.Receiver.
func (r receiver) Receive(ctx context.Context, event []byte) error {
	if len(event) > maxBody {
		return events.ErrMalformed
	}
	e, err := readEvent(event)
	if err == nil {
		if r.Enter != nil {
			if err := r.Enter(ctx, r.tenant); err != nil {
				return err
			}
		}
		_, err = r.apply(ctx, &e)
	}
	if _, _, input := inputError(err); input {
		return malformed{err}
	}
	return err
}

// malformed is an error of input as a broker's adapter tells it from others.
type malformed struct{ error }

func (m malformed) Unwrap() []error { return []error{m.error, events.ErrMalformed} }
