// Package announce takes the log's checkpoints off the machine: to a directory
// that something else copies away, and to a webhook. Whoever holds a checkpoint
// that left the machine detects every later rewriting of what it covers, even
// by someone with database, vault and signing key; see internal/translog, which
// says when Send is called and repeats it after an error.
//
// Errors hold neither the directory nor the address: the latter may carry a
// secret.
package announce
