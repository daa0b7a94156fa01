// Package translog makes of each tenant's ledger a transparency log: an RFC
// 6962 tree over the leaves of its entries, signed checkpoints, tiles and
// proofs, in the formats of C2SP (tlog-tiles, tlog-checkpoint, tlog-proof,
// signed-note). Entry n of the log is the ledger's entry at position n+1, in
// its canonical form (consent.Row.AppendEntry), ciphertext included: what is
// erased stays provable and cannot be read.
//
// # What it promises
//
// A checkpoint is never signed that is inconsistent with one signed before,
// whatever crashes and however many gateways write. One is signed soon after
// every commit: a round follows the last one after Interval.
//
// Whoever holds an earlier checkpoint sees every rewriting since, also by
// someone with database and signing key. A checkpoint that nobody else holds
// proves nothing against whoever has the vault: therefore outlets.
//
// # The order of durable steps
//
// One writer per process and tenant goes this way; writers of several
// processes meet in the two compare-and-swaps.
//
//	entry committed in the database, then in the vault's journal (consent)
//	   an entry that the journal lacks is not signed for
//	tree extended by leaves that the ledger applied; checkpoint signed in memory
//	   crash: nothing happened; nobody saw it, and the next one is over the
//	   same leaves, hence consistent
//	vault: compare-and-swap of the newest checkpoint, durable
//	   crash: the vault is ahead of the database by a checkpoint that nobody
//	   saw. The next start, or another writer, checks it against the leaves and
//	   finishes the next step
//	database: compare-and-swap of the newest checkpoint, and the tree's new
//	nodes, in one transaction
//	   crash: published, but not sent out. The next start sends it
//	published: served, and handed to the outlets
//	   crash: as before; a webhook may hear of the same checkpoint twice
//
// So nothing is ever served that the vault does not have, and the vault never
// goes back: a database restored from a backup is behind it and stays closed.
// A vault restored to an older state than the database is brought up to the
// database's checkpoint, if the leaves agree with both.
//
// # What a start checks
//
// The ledger gives every entry that it applies to the tree, from position 1
// (consent.Tree). At the size of the newest checkpoint of the vault, and at
// that of the database's, the roots must be the same, and every node stored
// must be the one computed; otherwise the ledger stays closed.
//
// # Where the tree rests
//
// Level 0 is the ledger's own column of leaves: nothing is stored twice. Of
// the upper levels only the nodes that tiles hold are stored, one row for every
// 256 of the level below, 0.13 bytes an entry; rows are written once and never
// change, so that a partial tile is the beginning of its rows and needs no
// garbage collection. What lies between two levels of tiles is hashed when a
// proof is asked for: at most 255 hashes a level, and what comes out is checked
// against the checkpoint's root before it leaves.
//
// # Names
//
// The origin is "<prefix>/<tenant>", the prefix "assent" unless configured
// (ASSENT_LOG_ORIGIN: an operator whose log is read from outside sets the URL
// it is served under, without scheme). It is also the name of the key. A log
// keeps its origin for ever: a start under another is refused (ErrOrigin).
//
// # Rotation of the key
//
// A log has one key, or, from a rotation until the older is retired, two: then
// both sign every checkpoint, so that who pinned the older sees it vouch for the
// tree that the new one signs. That the new key came, and the old went, are
// entries. A start accepts a checkpoint, in vault or database, of any key that
// the log ever had, since both may be older than the rotation; what a running
// log serves bears a key that signs.
//
// # What it does not promise
//
// Witnesses: there are none yet ([Witnesses]).
// That an entry is in the log when its write is acknowledged: that it will be,
// since the acknowledgement comes after database and journal have it.
package translog

// Witnesses is how many witnesses cosign a checkpoint.
const Witnesses = 0
