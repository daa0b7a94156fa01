// Package pgvault is the vault of several gateways: a database of wrapped keys
// ([postgres.Vault]) and a directory on each gateway that holds the one key which
// wraps them, the epoch key. It implements the ports that internal/vault
// implements over one directory (consent.Vault, retrieval.Records,
// translog.Vault, the keys of tenants and of the system), in the same forms.
//
// # Where things are
//
//	ASSENT_VAULT, on every gateway   epoch-<n>: the same file everywhere
//	                                 admin.key: the operator's key, for the command line
//	ASSENT_VAULT_URL                 which vault this is, and its generation
//	                                 tenants' keys, sealed under the epoch key
//	                                 slots: keys of people and documents, wrapped
//	                                 the journal, its payloads sealed
//	                                 each tenant's newest checkpoint
//	                                 events that ledgers are to be told of
//
// Neither opens anything without the other. The first gateway that starts makes
// the epoch key; the others are given a copy of the file by the operator and
// refuse to start without it ([ErrNoEpoch]). The database is another one than
// the data's and is never restored from the data's backups.
//
// # What it promises
//
// What a method returned without error is durable on the vault's database, on
// its terms (see package postgres).
//
// The journal never has a gap, whoever appends, and never another leaf for a
// position that it has.
//
// A key that no row names is wiped by Sweep only when it is older than Lease,
// by the clock of this database. Whoever makes keys commits the rows that name
// them within consent.KeyLease of making them, by a clock that nobody sets, and
// a commit that has begun ends within 30 seconds; Lease is longer than both
// together. So no gateway wipes a key that another one's row is about to name.
//
// A destroyed key is not served by the gateway that destroyed it; another may
// have read the wrapped key before, and keeps it for at most slotLease. Rows
// stop naming a key before it is destroyed and people are suppressed before
// their key is: nothing is permitted by this lag. No unwrapped slot key is kept
// in memory.
//
// # What it does not promise
//
// Physical deletion. A deleted row lives on in pages, logs, replicas and backups
// of the database; KeyDestroyed says [vault.Absent] and never [vault.Purged]. It
// would be purged after a rotation of the epoch that every gateway and every
// copy of the old epoch file is rid of (vault.Rotation). There is no rotation of
// a shared vault yet.
package pgvault
