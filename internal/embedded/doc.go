// Package embedded is the index that needs no server: it keeps what ranks
// (codes, keyed terms, filter values) in memory, fed by Apply, and searches it
// exactly. It implements retrieval.Index.
//
// # What it promises
//
//   - A search ranks all of, and nothing but, the passages that the permit,
//     the rule, visibility, retention and the filter allow, as of one moment:
//     it holds the collection's read lock from the first bit to the last
//     score. Results equal those of scoring every allowed passage with
//     retrieval.Cosine, BM25 and Fuse, to the last bit; fast kernels only
//     leave out what provably does not count (see vector.go).
//   - Apply takes the write lock once: a search sees a change whole or not.
//     When Apply returns, nothing of a removed version can be reached: its
//     slots are zeroed in place, its postings, lists and cached vectors gone.
//   - Whether a person permits is asked of the permit at each search (P2).
//     Masks only remember answers until the permit says what changed.
//
// It does not promise that freed memory is overwritten at once: Go's maps keep
// a deleted key's eight bytes (numbers and keyed hashes, no text) until the
// slot is used again, and what a slice outgrew stays until collected. Codes,
// the one thing that resembles content, stand in blocks that never move.
//
// # Structure
//
// A collection numbers its document versions and its passages densely; numbers
// of what was removed are used again. A set of documents is a bitset over
// those numbers. A search intersects four: a mask (consent, mask.go), who may
// see (allow.go), retention, filter; makes the list of allowed passages; scans
// their codes (vector.go) or walks postings (keyword.go).
//
// # Locks
//
// In this order: Index.mu, collection.mu, mask.mu, book.mu, then the ledger's
// own inside Permit.Sync. The Vectors port is called with none held; then the
// search starts again with what it fetched, so that its result is of one
// moment all the same.
package embedded
