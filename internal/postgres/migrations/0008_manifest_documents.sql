-- Which documents a manifest holds, by number, a sealed list for each shard: so
-- that an erasure of documents finds the manifests that hold them.
CREATE TABLE manifest_documents (
	tenant   text COLLATE "C" NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	part     bigint NOT NULL,
	sealed   bytea NOT NULL,
	PRIMARY KEY (tenant, manifest, part),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
);

-- Numbers of documents that were erased: of is a manifest that held them, or an
-- erasure that has not come to manifests yet.
CREATE TABLE erased_documents (
	tenant text COLLATE "C" NOT NULL REFERENCES tenants (id),
	of     text COLLATE "C" NOT NULL,
	num    bigint NOT NULL,
	PRIMARY KEY (tenant, of, num)
);
