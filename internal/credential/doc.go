// Package credential says who asks: it makes, verifies, lists and revokes API
// keys, and knows which tenants there are.
//
// It promises:
//
//   - A secret is never stored and never looked up in clear. What the store
//     has is a MAC of it under a key derived from the vault's system key, so
//     that finding a key compares MACs only: nobody without that key can
//     choose what is compared, and timing says nothing about a secret.
//   - What a key may do (its grant) is sealed and bound to tenant, id, hash and
//     expiry: whoever can write the database can delete keys, but neither
//     widen one, nor move one to another tenant, nor give it another secret.
//   - A revoked or expired key is refused from the moment Revoke returned, or
//     by the database's clock. A key that cannot be read is refused.
//   - A key never grants what its maker lacks: scopes, purposes, collections
//     and namespaces are subsets. nil means all and an empty list none; the
//     two stay apart on disk.
//   - Names of keys and tenants, which people choose, never print.
//
// Opened keys are kept in memory, by hash, and dropped by Revoke. That is right
// where one process owns the database, as in the embedded gateway. An adapter
// for several gateways on one database must bound how long an entry lives, or
// look every key up (WithoutCache): another gateway's Revoke does not reach
// this one's memory.
//
// It does not promise that a tenant or key that was being made when the process
// died was made: nobody was told its secret, and it can be revoked.
package credential
