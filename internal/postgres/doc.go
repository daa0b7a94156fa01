// Package postgres keeps ledger, catalogue and credentials in one Postgres
// database, for several gateways at once. It implements consent.Store,
// retrieval.Catalogue and credential.Store on one [DB], over pgx and its pool;
// internal/sqlite is the reference for what they do.
//
// # Primary only
//
// Consent is read where it is written. A connection to a server that follows
// another, or takes no writes, is refused as it is made, and of several hosts
// in the URL the one that takes writes is used; the reading of a head asks the
// server once more, in the same statement. An old primary that does not know
// of the new one is not noticed here: fencing it is the duty of whatever
// promotes. A gateway that saw the new one's head meets ErrHeadBackwards.
//
// # Connections
//
// Writers and readers have pools of their own, so that prepare and confirm,
// which run inside a write, may read through the DB however many writes wait.
// They must not write through it: that waits for locks they hold themselves.
// Half of the readers stay free of streams (Rows, Subjects, Live, KeyRefs),
// whose callbacks may therefore ask, but not stream.
//
// A server that ends takes its connections with it. The first call to notice
// gives all of them up and begins anew on a fresh one, once, when it has
// neither given a row away nor begun to write; else it fails as unreachable.
// Both sides probe a quiet connection and give up one that swallows what is
// sent, and the server ends a writer that is idle in a transaction for 30
// seconds: a gateway that vanished gives its locks back.
// Sessions need a connection of their own: no pooler by transaction between.
//
// # Locks and order
//
// READ COMMITTED, with explicit locks, always in this order, so that writes
// wait but do not deadlock:
//
//	Append:           ledger head, [corpus head], people ascending, new people
//	Commit:           corpus head, people ascending, new people
//	other catalogue:  corpus head
//
// A head is a row per tenant and ledger or corpus, locked until the commit:
// positions have no gaps and are in commit order over all gateways. Heads have
// tables of their own, so that an ingest holds up no consent but that of its
// people. Append says why this makes a revocation that overtakes an ingest
// win. Statements of a step go in one message; each sees what was committed
// when it began, so a head read after a lock is as new as the lock.
//
// A conflict that the server resolves (deadlock, serialisation) rolls back,
// and the write is tried again, six times in all.
//
// # Durable steps
//
// COMMIT returns when the WAL is on the primary's disk, and on a standby's
// where replication is synchronous ([DB.SynchronousReplication]; without it
// P2 across a failover is a named limit). Servers without fsync,
// full_page_writes or synchronous_commit are refused, and sessions keep the
// setting they were accepted with. A commit whose wait for the standby was
// called off is an error, though it happened. A write that has begun to commit
// is not cut short by its context.
//
// Time is the server's clock, in nanoseconds of its microseconds, read under
// the locks and never below the newest entry's.
//
// What was appended is notified after the commit (see waker) and heard by
// [DB.Listen]: it wakes other gateways earlier, and may be lost.
//
// # What the server could tell
//
// Its files hold sealed boxes, MACs, random numbers, positions and times; see
// the migrations. Its log would hold parameters under settings that Open
// refuses unless told otherwise; they are looked at by every new connection,
// not while it lives (30 minutes). Unique conflicts are met with ON CONFLICT,
// not as errors, which would log the keys. Errors here quote nothing of the
// driver's.
//
// # What it does not promise
//
// Bounded physical deletion: row versions that ended rest in the files until
// VACUUM, and in the WAL and its archives beyond; what they hold is closed by
// the destruction of its key. An empty box and a nil one are the same.
package postgres
