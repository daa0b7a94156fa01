// Package telemetry makes metrics and traces of what the gateway does: for
// Prometheus at /metrics, and by OTLP where the environment names a collector.
//
// # What can get out
//
// Only what is on the list (list.go): a fixed set of attribute keys, each with
// a fixed set of words. There is no function in here that makes an attribute of
// a string from elsewhere: a word that its key does not know becomes "other". So
// nothing of a person, no text, query or vector, no identifier, and no name of a
// tenant, collection or key can be a label, by construction; routes are the
// templates of the route table. Behind that stands a second, independent gate
// at the export: a view over every instrument, and a wrapper around the span
// exporter, drop attributes, events, links, status texts and span names that
// are not on the list, whoever put them there. Exemplars are off.
//
// Trace contexts of requests are not continued: their ids are a client's own
// words. Every request is a trace of its own, and none is passed on.
//
// # What it costs
//
// Adapters implement the observers that the domains declare; label sets are
// made once, at the start. Without a collector no span is made. Recording is
// lock-free or takes short locks, and nothing here waits for a network: spans
// and OTLP metrics are sent by goroutines of the SDK, and dropped where the
// collector does not keep up.
package telemetry
