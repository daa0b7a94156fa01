// Package broker is what the adapters of message brokers share: how messages of
// an inbox are applied, how long to wait before trying again, and whom to
// connect to in the clear.
//
// # An inbox
//
// A Line applies the messages of one queue or partition, one after the other. A
// message is settled, that is acknowledged to its broker, when its Receiver has
// it durable, and not before: after a crash anywhere it is delivered again, and
// applied once. One that never can be applied is settled when it is durable
// among the dead letters. Any other failure is tried again for as long as it
// takes, and those behind it wait: order is kept.
//
// One message must not stop all others for ever, though. After some minutes of
// failing, and only then, the line tries those behind it; as soon as one of them
// is applied, the failure is not an outage, and the first goes to the dead
// letters as failed. While none of them is applied, or none is there, the first
// is tried on.
//
// Dead letters hold the message as it came. They are for a person to look at:
// what is put back into the inbox is applied as if it came for the first time.
package broker
