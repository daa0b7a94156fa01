// Package logging makes the gateway's logger: one that cannot be made to say
// what nobody decided it may say (DESIGN P10).
//
// Attributes pass an allow-list of keys, and each key takes one shape of value:
// a number, a duration, a word of an enumeration, an id that the gateway made,
// a route's template, an error. Everything else is dropped and counted, in
// groups too; a record that lost something says how much in
// attributes_dropped. A deny-list would have to know every name that a secret
// will ever be logged under; this list has to know only what somebody needs.
//
// Of an error neither its text nor its fields are written, since drivers and
// decoders quote their input there: only the types along its chain, and the
// texts of those sentinels that the logger was told of and that the error wraps.
//
// A message is a constant in the source. Handlers cannot see that, so a test
// reads the tree: every call's message is a literal and every key is on the
// list. Here a message that does not look like one is withheld.
//
// It does not promise that a word is no name: whoever logs under a key of that
// shape vouches that the value comes from an enumeration or from the gateway.
package logging
