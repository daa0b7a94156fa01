// Package training makes manifests: what a model may be trained on, chosen by
// the ledger, and whether it still may.
//
// A manifest is a function of its inputs (inputs.go): ledger position, corpus
// position, policy, purpose, selection, splits and options. Decisions are those
// of the ledger at that position, by the time of the entry there. Rows carry
// tokens and pseudonyms that come from each person's secret in the vault and a
// key derived from the inputs (people.go), and stand in their order, so that
// two manifests cannot be joined, not even by rank, and what a person's secret
// gave dies with it.
//
// It promises P9 of the design. No row is written that the ledger does not
// permit at its head: whatever position is asked for, who is not permitted any
// more is withheld (standing.go), the last look is taken under the head's lock
// (finish.go), and what is served later is judged again (check.go, watch.go).
// Withheld rows keep their digests: data files differ by exactly those rows,
// and manifest.json not at all. Who was erased after the position, and permits
// again, does not permit those rows.
//
// # A build
//
//	scan     documents as they were, judged, sealed in sorted runs
//	merge    runs to shards in spools, the list of rows, the Merkle root
//	render   each shard to its files, on all workers
//	finish   judge all rows once more, enter the ledger, sign the statement
//
// What a crash leaves, and who repairs it: before the merge is recorded, runs
// under a key in the vault; the next start scans again. Later, shards that are
// written; the next start writes the others. After the entry and before it is
// recorded, an entry; the repeat of the same entry meets it. Files are read
// under their manifest's name only once it is ready. A failure that is not a
// crash (a full disk) makes a manifest failed, keeps what is done, and Resume
// goes on.
//
// Rows and people are apart: memory grows with the people of a tenant, as the
// ledger's does, and not with the rows.
//
// # Where the time goes
//
// Of a million short rows, 30 % refused, about 3.8 s of processor: making rows
// 1.5 (three MACs 1.0, the leaf's digest 0.3), judging and finding secrets 0.5,
// sorting and sealing runs 0.4, merging 0.5 (a third of it the tree), rendering
// Parquet 1.0 with its decoding and sealing. So rows are made on all cores
// (scribe.go), and what is left to one core is only what needs an order: the
// judge with its memory of people, and the merge, which reads ahead. What cost
// most before and gave nothing: a closure and a copy for each row, asking and
// naming the consent types of an owner for each of their documents, comparing
// keys where the records lie instead of their first eight bytes beside each
// other, syncing runs that a crash discards anyhow, recording people one
// statement each, a slice a row to write its strings by, and an encoder of Parquet
// for each file (that one was memory: 5 million rows peaked at twice 200 000).
//
// On a machine that others loaded, in one run each, a million rows of which 30 %
// are excluded: 196 692 rows a second of processor to Parquet and 244 619 to
// JSONL, where DuckDB, which neither opens, keys, hashes nor seals anything, had
// 307 884 and 270 334 (67 510, 93 968, 121 823 and 108 206 a second on the clock).
// Peak memory of 200 000 rows is 286 MB, of 5 million 277 MB.
//
// It knows neither files nor databases nor formats with a library of their own:
// ports.go. Which names stand in texts, it does not know.
package training
