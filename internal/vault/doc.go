// Package vault keeps in one directory what must outlive, and be able to
// forget, the data beside it: keys, and the journal of the ledger. It is not
// the data directory, is not restored from backups of it, and only one process
// has it open.
//
//	lock        held while the vault is open
//	epoch-<n>   the key that everything else here is wrapped or sealed under
//	keyring     keys of the tenants and of the system, replaced as a whole
//	slots       subject and record keys, each in 128 bytes overwritten in place
//	journal     every ledger entry's position and leaf, some with a sealed payload
//	admin.key   the operator's key, in clear
//
// # What it promises
//
// What a method returned without error is durable: it survives kill -9 and the
// loss of power, as far as the disk honours a flush.
//
// A destroyed key is gone: its slot is overwritten with zeros in place, synced,
// and only then given out again; an old ref finds another id there and gets
// [ErrKeyGone], also when a restored row presents it. No unwrapped slot key is
// kept in memory by this package.
//
// A head never includes what is not durable, and the journal never has a gap.
//
// Nothing of a person is in clear: keys are wrapped, payloads are sealed, and
// identifiers are given to it in neither but payloads. In clear are tenant ids,
// positions, leaves, kinds and the admin key.
//
// Damage is refused, not repaired: [ErrDamaged], with the file and the offset,
// never with content. What is open to others is not read: [ErrPermissions].
//
// # What it does not promise
//
// Overwriting in place reaches the file as the operating system reads it. Flash
// that levels wear, file systems that copy on write and snapshots below them
// keep older bytes; for them the epoch key would have to go, too. The epoch key
// rests here in clear: whoever can read the directory can unwrap every slot
// that has no parent. Checksums find accidents; they do not keep out someone
// who can write here. Go does not clear freed memory.
//
// # Crashes
//
// After each durable step, what a crash leaves and who repairs it:
//
//	Create    before the rename    a sibling directory that nothing reads
//	          after it             a whole vault
//	AddTenant before the rename    keyring.tmp, removed by Open
//	          after it             a tenant whose keys nobody was given; they
//	                               serve as well as any
//	Put       written, or synced   keys that no row names: wiped by Sweep at start
//	Destroy   written              gone or not, and not acknowledged: the caller's
//	                               open job repeats it
//	Append    written              none, some or all of the records: Open cuts
//	                               off a torn one, the gateway reads Head and
//	                               appends the rest from the ledger
//
// A step that failed is treated as one that may have happened: slots are out of
// use until wiped, the journal takes nothing until Mend. No failed sync is ever
// just tried again, since the kernel may have dropped the pages it could not
// write and then reports success; the bytes are written anew.
package vault
