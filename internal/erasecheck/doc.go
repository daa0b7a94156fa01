// Package erasecheck looks whether what an erasure was to delete is gone. It
// shares no code with what deletes: it counts by person and by number with
// queries of its own, asks the index below every permit, asks the vault whether
// keys are there, and reads the files of data directory and vault byte for byte
// as the operating system gives them.
//
// What it looks for is gathered before anything is deleted (gather.go): numbers
// of documents, slots and ids of keys, and needles: beginnings of records as
// they are sealed (their salts), keyed lookups, wrapped keys, vectors, codes and
// clear forms of texts and names. All of it rests sealed in one file of the
// vault, under a one-time key that is destroyed when the receipt is signed.
//
// Every probe is made once before the deletion, too. What it finds then is its
// control: a probe that found nothing of what was there proves nothing later,
// and the erasure is not called done. The scan of files has a second control,
// a needle planted in each of the two directories for the time of the scan.
//
// Where vectors are in an index outside that is made anew for erasures, and its
// servers' files can be read, they are read, too (outside.go). Nothing is planted
// there: that the same forms were seen before the deletion is the control. A
// vector that a living passage has as well is that passage's.
//
// Where data or keys are in a database server, its files cannot be read: there
// is no scan, and the levels are lower and say why (Setup).
//
// What it cannot see: memory of the process beyond the index, and what lies
// below the files.
package erasecheck
