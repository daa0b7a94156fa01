// Package sealedfile keeps the files of training manifests in a directory,
// sealed under keys that rest elsewhere.
//
// A file is a magic and chunks, each a box of at most 64 KiB of content behind
// its length. A box is bound to the file's name, its number and whether it is
// the last, so that no part of a file can stand in another's place and none can
// be cut off unseen; what has been read is authentic up to there. Nothing is
// ever in clear on the disk, also not while a file is written.
//
// A file is written beside its name and renamed when it is whole and synced:
// after a crash there is the old one or the new one, and perhaps a remainder
// with the suffix ".new", which the next writer of the name replaces.
//
// It does not overwrite what it removes: what rests there is of use to nobody
// once the key is destroyed.
package sealedfile
