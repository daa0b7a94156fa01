// Package retrieval stores documents with their owners and finds passages that
// may be used: the way in (ingest.go, prepare.go, sealing.go), the search and
// its two gates (search.go, gate.go), and the exact formulas by which passages
// are ranked (analyse.go, bm25.go, fuse.go, unit.go).
//
// It promises P3 and P4 of the design. Every way out that carries a text, or
// says that one exists, asks the ledger for a permit first, searches under it,
// and judges every hit again just before it leaves, from what the record's own
// key vouches for and from the ledger's newest state. Filtering never shortens
// an answer; each says how complete it is.
//
// What rests is sealed under a key per document that the keys of all its people
// wrap. Where it rests, and what searches it, are ports (ports.go): a Catalogue
// of rows, an Index, the vault's Records, and Embedders. The form of what is
// sealed is fixed here (head.go, body.go, codec.go).
//
// It does not look for people whom nobody declared, and what has left it is out
// of its reach: Check tells later whether passages may still be used.
package retrieval
