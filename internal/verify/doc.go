// Package verify checks a tenant's log from outside: single proofs, receipts,
// two checkpoints against each other, a whole log, and training manifests.
//
// It was written from the public formats alone (RFC 6962 and 9162, C2SP
// signed-note, tlog-checkpoint, tlog-tiles, tlog-proof) and from the comment
// of consent.Row.AppendEntry. It imports the standard library and nothing of
// what wrote the log: a mistake made there cannot agree with itself here. A
// test of cmd/assent-verify holds it to that.
//
// # What is trusted
//
// The verifier keys and the origin, both from the caller's own arguments
// ([Trust]); never from the log, which names neither its keys nor itself. One
// signature by one of these keys makes a checkpoint the log's word; between the
// rotation of a log's key and its end every checkpoint bears both. Everything else
// (tiles, entries, paths, sizes) is a claim that has to lead, hash by hash, to
// a signed root. Signatures by other keys are counted and otherwise ignored,
// as signed-note asks; no witness is known here yet.
//
// # How a log is checked
//
// From the top down ([Walk]). The tiles at the right edge must fold to the
// signed root; every other tile must hash to its place in the tile above it,
// which was checked before; every entry must hash to its leaf in the tiles of
// level 0 and must say its own position. So every tile is compared, every leaf
// and every node is recomputed from entries, and the first thing that is wrong
// is wrong by itself, not because of something below it: the reason names it.
// Memory is one tile a level and a few bundles, whatever the size of the log.
//
// An earlier checkpoint of the same log is then compared with a consistency
// proof made from those tiles. That is what finds a rewriting by someone who
// holds database and signing key; without an earlier checkpoint nobody can.
//
// # How a manifest is checked
//
// From the statement down ([Trust.Manifest]): its signature before anything in
// it is read, by the log's pinned key over DSSE's encoding; the proof inside it,
// of an entry of the log; that entry's own words, which name the digests of
// manifest.json and of the list of files; every file's digest, and that there is
// no other file; then the rows, where they are there as JSON: their order and,
// if none was withheld, the Merkle root over their lines. Whether somebody
// withdrew since, no file can say.
//
// # Refusals
//
// Every way of failing has its own [Refusal], compared with errors.Is. An
// error without one says nothing about the log: the network, a file, a
// mistaken argument. There is one limit to how exact a reason can be: the path
// of a single proof that does not lead to the root ([ErrPath]) cannot show
// whether the entry or a hash beside it was altered. A walk can.
//
// # Canonical
//
// One text for one meaning: base64 must be what an encoder writes, numbers
// have no leading zeros, lines end in one newline, nothing follows the end. So
// each edited byte of a proof file that bears the log's signature alone is
// refused, also those that a lenient decoder would skip. The exception is a
// signature line of another key, which may be anything (signed-note: verifiers
// must ignore it), and is never relied upon.
//
// # What it does not promise
//
// That what the log records is true, that the log is the only one its operator
// shows, or that the newest checkpoint is recent. See [Explain].
package verify
