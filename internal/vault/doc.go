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
//	state       generation, backups, restores; events that ledgers are to be told of
//	probe-<id>  during an erasure: what its verification looks for, sealed
//	rewrap      during a rotation: slots on their way into place
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
// keep older bytes. A rotation makes those bytes worthless as far as they are
// slots or keyring; the old epoch key itself was a file, too, and may lie there
// as well. Without a KMS the epoch key rests here in clear: whoever can read the
// directory can unwrap every slot that has no parent. Checksums find accidents;
// they do not keep out someone who can write here. Go does not clear freed
// memory.
//
// # Rotation
//
// [Vault.Rotate] makes a new epoch key, puts the keyring under it, renews the
// outer layer of every slot without knowing a parent, and destroys the old key.
// The journal needs nothing: its payloads are sealed under keys of the keyring,
// which stay the same. So do the keys in the slots: a rotation renews what wraps
// them, and is of no use against someone who has read the keys themselves. A
// copy of the whole directory has its own epoch key and is not affected.
//
// # A key service
//
// [Options] may name a [KMS], which wraps the epoch key; internal/localkms speaks
// to one over HTTP (ASSENT_KMS_URL), and is an example of one. What it changes:
//
//	                            epoch key in a file    wrapped by a KMS
//	reading the directory       opens every slot       opens nothing without the
//	                            that has no parent     right to use the KMS
//	reading the running         the epoch key          the same: it is unwrapped
//	process                                            once, at Open
//	start                       needs nothing          needs the KMS
//	a backup, or copy of the    opens with what is     opens as long as the KMS has
//	directory from before       in it, for ever        the key it was wrapped under:
//	                                                   rotate to another, destroy it
//	bytes that the disk keeps   may hold the epoch     hold it wrapped
//	below the file              key
//	who used the key            nobody can say         the KMS's log
//	a lost KMS key              -                      every key of the vault is lost
//	a destroyed slot is         purged: overwritten    the same
//	                            and synced
//
// The vault of a cluster is a database of wrapped keys, whose pages, logs and
// replicas nobody overwrites. There a key is purged only when a later epoch is in
// force and every holder of the older one has confirmed to be rid of it:
// [Rotation] says so, and is all there is of it yet.
//
// # Backup and restore
//
// A backup opens every key that was in the vault when it was made, also those
// destroyed since. It is therefore on the vault's list before its first byte is
// written, and while one is on the list [Vault.KeyDestroyed] answers Absent and
// not Purged, until the operator reports every copy destroyed.
//
// A restored vault does not know what happened since its backup. The data does,
// if it is the newest: the ledger completes the journal, and rows name the keys
// that live. Hence the rule for whoever writes rows: a row whose key is destroyed
// stops naming it, else a restored vault gives that key back. The cases:
//
//	vault     data       what happens
//	restored  newest     journal and keys are all there: it serves. Otherwise the
//	                     gateway refuses to start (ErrOldVault) until Accept: then
//	                     the journal is completed from the ledger, keys that no
//	                     row names are wiped before anybody is served, documents
//	                     whose keys came after the backup are dropped and counted
//	restored  older than ErrOldVault, as above: from here it looks the same as the
//	          newest,    case above. Accept would lose what the newest data knew,
//	          ahead of   and nothing would say so: compare with a checkpoint first
//	          the vault
//	any       behind the 503 until the newest data is put back, or this replayed
//	          vault      (assent vault replay), Accept or not
//	copied    newest     ErrOldVault, by the generation that the data has seen, or
//	by hand              by a journal that lacks more than one batch
//	old       as old     they agree, and no look at this machine can tell: only a
//	                     checkpoint that left it can
//
// The operator's procedure: (1) look for a newer copy of the vault; restoring is
// for when there is none. (2) assent vault restore. (3) Start. When it serves,
// done, but for the last case: so (4) compare the ledger's head with the newest
// checkpoint outside (file drop, webhook, a receipt in somebody's hands): a
// checkpoint of a larger tree than the ledger has entries means that the data is
// old; do not accept, find the newest data. (5) assent vault accept, and start.
// (6) Ingest again what the log counts as dropped. (7) When every copy of an older
// backup is destroyed: assent vault forget.
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
//	Rotate    key made             a key that wraps nothing: destroyed by Open
//	          keyring replaced     two epochs: Open finishes, as in all below
//	          slots in rewrap      not synced: wiped; synced: put in place
//	          slots in place       each old, new or torn: written again
//	          old key overwritten  a file of zeros that no slot needs: removed
//	Backup    listed               a backup on the list that may not exist, and an
//	                               event that says it was made
//	RotateLogKey, RetireLogKey     as AddTenant: the keyring is replaced as a whole
//	Restore   before the rename        a sibling directory, which holds keys
//	Append    written              none, some or all of the records: Open cuts
//	                               off a torn one, the gateway reads Head and
//	                               appends the rest from the ledger
//
// A step that failed is treated as one that may have happened: slots are out of
// use until wiped, the journal takes nothing until Mend. No failed sync is ever
// just tried again, since the kernel may have dropped the pages it could not
// write and then reports success; the bytes are written anew.
package vault
