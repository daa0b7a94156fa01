// Package httpapi is the gateway's HTTP interface: the wire contract on one
// side, one call of a domain on the other. Gin stays in here.
//
// # A request's way
//
// Access log and recovery; then, in this order, authenticate, limit, scope,
// principal, query parameters, body, domain. So a stranger learns nothing from how a body
// is judged, and a key without the scope nothing from what is there. A handler
// decodes, makes one call, encodes, and returns its error; what an error looks
// like outside stands in one table (problem.go). What is not in the table is a
// 500 that says nothing.
//
// Tenant, scopes, purposes and collections come from the credential; the
// principal from headers that only a key with act_as may send; never from a
// body. A purpose outside policy or key is refused before anything is looked up.
//
// # Bodies
//
// JSON is read strictly: no unknown member, no name twice, no null, no lone
// surrogate, nothing after the end, bounded depth and size. An error names the
// offending field as far as its name is ours, never a value. The documents of
// one envelope are read one by one, so that a bad one is refused by itself.
// NDJSON is read and answered in batches while it comes; a bad line is answered
// as invalid and the stream goes on.
//
// # Repeats
//
// A write under an Idempotency-Key holds a lock for that key of that credential
// and route, so that a repeat waits for the first; afterwards it gets the first
// one's outcome. What is remembered commits with the write where the ledger or
// the catalogue makes it (consent, ingest, keys), and after it where doing the
// write again comes to the same (collections, deletions); a tenant made by a
// request that then died is made again, empty, by its repeat.
//
// # What it does not say
//
// No body, path, header, query or error text of a request is logged or comes
// back in a problem. What is hidden and what is absent look the same. Answers
// are never cached (no-store) and never redirect: a Location would repeat the
// path, and with it an identifier.
package httpapi
