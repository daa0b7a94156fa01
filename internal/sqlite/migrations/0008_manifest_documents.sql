-- Which documents a manifest holds, by number, a sealed list for each shard: so
-- that an erasure of documents finds the manifests that hold them.
CREATE TABLE manifest_documents (
	tenant   TEXT NOT NULL,
	manifest TEXT NOT NULL,
	part     INTEGER NOT NULL,
	sealed   BLOB NOT NULL,
	PRIMARY KEY (tenant, manifest, part),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
) STRICT, WITHOUT ROWID;

-- Numbers of documents that were erased: of is a manifest that held them, or an
-- erasure that has not come to manifests yet.
CREATE TABLE erased_documents (
	tenant TEXT NOT NULL REFERENCES tenants (id),
	of     TEXT NOT NULL,
	num    INTEGER NOT NULL,
	PRIMARY KEY (tenant, of, num)
) STRICT, WITHOUT ROWID;
