// Package events is what leaves a ledger for others, and what comes in from
// them, as CloudEvents 1.0 (structured JSON): DESIGN §4, Events.
//
// An event carries personal data: it goes only to recipients that the operator
// registered or configured. Sinks and inboxes of brokers are adapters of their
// own; they know nothing of what an event says.
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
