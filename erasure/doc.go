// Package erasure makes "forget me" true and shows it: of a person, of
// documents, of what is past its retention.
//
// A request is suppressed first and carried out second. One transaction writes
// the ledger's entry, the suppression and the job (consent.Ledger.Suppress),
// then the vault's journal, then the acknowledgement: from then on no gateway
// returns anything of it. The job then goes through the steps of the cascade
// (run.go), which are a graph; each may be repeated, and progress is kept by
// compare-and-swap on the job's row, so that a crash at any instruction leaves
// an open job that the next start goes on with.
//
//	after this step                  a crash leaves
//	suppressed, acknowledged         a job in "suppressed": begun at the next start
//	the one-time key is named        probe material not written or not whole: gathered anew;
//	                                 nothing is deleted yet
//	the probe material is sealed     a job in "running": its steps are repeated from the first
//	any step                         the same; what is gone is no error
//	all steps                        a job in "verifying": verified anew
//	the receipt's statement is       the statement is frozen in the row, its digest in the
//	entered in the ledger            log: the next start proves and signs it, the same one
//	the receipt is in the row        a one-time key that no open job names: wiped at the
//	                                 next start, and the sealed file with it
//
// Verification is behind a port (Checker) and shares no code with deletion. A
// level is stated only as far as it was looked for: see Level. The receipt
// (receipt.go) says per target the level, how it was checked, what remains and
// what is not covered; it holds nothing of the person, and whoever has the
// request's claim can show that it is theirs.
//
// It knows the ledger and, through small ports (ports.go), everything else.
package erasure
