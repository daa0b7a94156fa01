-- The transparency log. Level 0 of the tree is ledger.leaf; log_nodes has the
-- hashes that tiles of level 1 and above hold, each written once.

CREATE TABLE log_heads (
	tenant     TEXT PRIMARY KEY REFERENCES tenants (id),
	checkpoint BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_nodes (
	tenant TEXT NOT NULL REFERENCES tenants (id),
	level  INTEGER NOT NULL,
	idx    INTEGER NOT NULL,
	hash   BLOB NOT NULL,
	PRIMARY KEY (tenant, level, idx)
) STRICT, WITHOUT ROWID;
