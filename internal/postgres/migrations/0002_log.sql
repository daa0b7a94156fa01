-- The transparency log. Level 0 of the tree is ledger.leaf; log_nodes has the
-- hashes that tiles of level 1 and above hold, each written once.

CREATE TABLE log_heads (
	tenant     text COLLATE "C" PRIMARY KEY REFERENCES tenants (id),
	checkpoint bytea NOT NULL
);

CREATE TABLE log_nodes (
	tenant text COLLATE "C" NOT NULL REFERENCES tenants (id),
	level  smallint NOT NULL,
	idx    bigint NOT NULL,
	hash   bytea NOT NULL,
	PRIMARY KEY (tenant, level, idx)
);
