// Package amqp is the adapter of RabbitMQ and others that speak AMQP 0-9-1:
// events go out to the exchange assent.events, events of other systems come in
// from the queue assent.inbox, and those that cannot be applied rest in the
// queue assent.inbox.dead.
//
// # Out
//
// Messages are persistent, and sent when the broker has confirmed every one: a
// message that no queue took is an error. So that there is one, a queue
// assent.events is bound to the exchange; whoever binds queues of his own may
// read those instead, and has to empty or unbind that one. The routing key is
// the message's key in hexadecimal, the same for all events of a person. One
// publisher sends in order; after a lost connection it sends again, and repeats
// of what the old connection had taken may come late.
//
// # In
//
// assent.inbox has one consumer at a time (single active consumer), whichever
// gateway that is, which applies messages in order (see broker.Line) and
// acknowledges each when it is durable. What is not acknowledged when a
// connection ends is delivered again, in its place.
//
// Exchange and queues that are absent are made, durable; those that are there
// are taken as they are, and may be of another type (quorum queues, in a
// cluster). Dead letters are kept for 14 days.
package amqp
