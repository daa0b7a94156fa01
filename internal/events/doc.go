// Package events is what leaves a ledger for others, and what comes in from
// them, as CloudEvents 1.0 (structured JSON): DESIGN §4, Events.
//
// An event carries personal data: it goes only to recipients that the operator
// registered or configured. Sinks and inboxes of brokers are adapters of their
// own; they know nothing of what an event says.
//
// # Out
//
// The ledger is the outbox. An event is not stored: it is derived, always the
// same, from the entry that it is about (derive.go), so that a change and its
// event are committed together, and no copy of an event has to be erased. Who
// it names is opened when it is read; once their key is destroyed the event is
// still there and names nobody. Recipients that an erasure is told to need the
// names while it goes on: it keeps them, sealed under its one-time key (Names).
//
// That a manifest became stale is the one event that is remembered, by the
// position of the first entry that made it so (Store.Advance).
//
// # Delivery
//
// A Delivery reads events in order and gives them to a Sink; how far it came is
// a cursor in the database of the ledger. Several gateways take turns by a
// lease. What a crash leaves:
//
//	before the sink has it       the cursor before it: sent by whoever holds the lease next
//	the sink has it, the cursor  the same: sent again, with the same id
//	is behind
//	the cursor is moved          nothing to repeat
//
// Of one sink events are sent in the order of the ledger, and so in order per
// person; an event that is not taken holds up those behind it, and is tried
// again with back-off.
package events

import (
	"context"
	"errors"
)

// A Message is one event on its way.
type Message struct {
	// Key orders: messages of one key arrive in the order they were sent. It is
	// a MAC, the same for all events of a person, and names nobody.
	Key [16]byte
	// Event is a CloudEvent in structured JSON.
	Event []byte
}

// A Sink takes events out of the gateway: a broker, a webhook.
type Sink interface {
	// Send returns nil once all messages are durable at the other side; after an
	// error any of them may have arrived, and all are sent again. It is not
	// called concurrently.
	Send(ctx context.Context, batch []Message) error
}

// A Receiver applies events of other systems: consent recorded, erasure
// requested. However often one is delivered, it is applied once per source and
// id.
type Receiver interface {
	// Receive returns nil when the event is applied and durable, or was before:
	// then, and only then, is it acknowledged to its broker. ErrMalformed: it
	// never can be, and belongs into the dead letters. Any other error: again
	// later. The error's text quotes nothing of the event.
	Receive(ctx context.Context, event []byte) error
}

// ErrMalformed is the error, or is wrapped by the error, of an event that can
// never be applied.
var ErrMalformed = errors.New("events: malformed")
