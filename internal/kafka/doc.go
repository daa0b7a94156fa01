// Package kafka is the adapter of Apache Kafka: events go out to the topic
// assent.events, events of other systems come in from assent.inbox, and those
// that cannot be applied rest in assent.inbox.dead.
//
// # Out
//
// A record's key is the message's, so that all events of a person are in one
// partition, in their order. The producer is idempotent and waits for all
// replicas in sync (how many have to be is the topic's min.insync.replicas). One
// producer lives as long as its Sink, and what it could not deliver is still
// before what comes later: repeats are in order, too.
//
// # In
//
// Gateways are members of one group: each partition has one reader at a time,
// which applies its records in order (see broker.Line). Offsets are committed up
// to what is durable, every second, before a partition is given away and at the
// end; whoever reads on after a crash reads some of it again, and the Receiver
// knows it. Records are CloudEvents in structured or binary mode; keys are other
// systems' own and decide what is in order with what.
//
// Topics that are absent are made, with the broker's defaults for partitions and
// replicas; dead letters are kept for 14 days. Topics that are there are taken
// as they are.
package kafka
