// Package sqlite keeps ledger, catalogue and credentials in one SQLite file,
// for a gateway that runs alone. It implements consent.Store,
// retrieval.Catalogue and credential.Store on one [DB], over modernc.org/sqlite
// (no cgo).
//
// # Connections
//
// There is one writer and a pool of readers. A write waits for its turn, opens
// BEGIN IMMEDIATE on the writer's connection, and commits before it gives the
// turn away; with SQLite's single writer this is the lock of the ledger head,
// of the corpus head and of every subject's row at once, so no write is ever
// retried for a serialisation conflict. Readers see the last commit (WAL) and
// never wait for the writer; that is why prepare and confirm, which run inside
// a write, may read through the DB. They must not write through it: that waits
// for a turn they hold themselves. A callback of a stream (Rows, Subjects,
// Live, KeyRefs) holds one of the few readers' connections while it runs and
// should not wait for the DB.
//
// A write that has begun is not cut short by its context: the context is
// looked at while waiting, and once more just before COMMIT.
//
// # Durable steps
//
// synchronous=FULL: COMMIT returns after the WAL is synced. A crash before that
// leaves nothing of the transaction, a crash after it leaves all. The file is
// used by one process alone (the data directory is locked elsewhere), so the
// committed ledger head of each tenant may be kept in memory: it is published
// after COMMIT and before the next write can begin. When COMMIT does not say
// what became of it, the head is forgotten and read from the file again.
//
// # What rests in the file
//
// Sealed boxes, MACs, random numbers, positions and times; see the migrations.
// Deleted content is zeroed (secure_delete), in the main file once the WAL is
// checkpointed, and frames of the WAL are gone when [DB.Checkpoint] truncated
// it; until then a deleted record still lies there, closed under its key.
// Nothing spills into temporary files (temp_store=MEMORY), and all files are
// readable by their owner alone; a file that others can read is refused.
//
// # Why documents lie in the order of their ingest
//
// A document's number is random. Tables clustered by it write a different page
// for every passage: measured, 3 000 to 7 000 documents a second and slower as
// the file grows, against 14 000 to 31 000 when parts are appended and found by
// arithmetic (documents.id << 20 | passage number; no index of their own). The
// start of a gateway reads every head: in this order it reads the file once,
// front to back. So Live gives documents in the order of ingest, and the heads
// of each in the order of their numbers.
//
// # What it does not promise
//
// Two processes on one file. An empty box and a nil one are the same: both
// come back with length 0.
package sqlite
