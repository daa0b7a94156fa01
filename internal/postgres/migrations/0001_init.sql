-- Numbers that callers draw (subject, collection, document) are random 63-bit
-- integers. Times are nanoseconds of the Unix epoch, 0 for none. Everything
-- named sealed or outcome is a box this database cannot open; an empty one may
-- be stored as NULL. lookup, digest, source, hash and key hold MACs.
--
-- Boxes do not compress: spares the attempt. A tuple of up to
-- 8 KB stays whole in its page (toast_tuple_target).
--
-- Tables that are written by the thousand have no foreign keys: every write
-- holds the tenant's head, which has one.

CREATE TABLE meta (
	name  text COLLATE "C" PRIMARY KEY,
	value bytea NOT NULL
);

CREATE TABLE tenants (
	id         text COLLATE "C" PRIMARY KEY,
	sealed     bytea,
	created_at bigint NOT NULL
);

-- The two locks of a tenant, apart from each other so that an ingest holds up
-- no consent. clock is the newest recorded_at of the ledger. The room left in
-- a page lets updates stay in it.
CREATE TABLE ledger_heads (
	tenant   text COLLATE "C" PRIMARY KEY REFERENCES tenants (id),
	position bigint NOT NULL DEFAULT 0,
	clock    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE corpus_heads (
	tenant   text COLLATE "C" PRIMARY KEY REFERENCES tenants (id),
	position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE api_keys (
	id         text COLLATE "C" PRIMARY KEY,
	tenant     text COLLATE "C" NOT NULL REFERENCES tenants (id),
	hash       bytea NOT NULL UNIQUE,
	sealed     bytea,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	revoked_at bigint NOT NULL
);
CREATE INDEX api_keys_age ON api_keys (tenant, created_at, id);

CREATE TABLE subjects (
	tenant         text COLLATE "C" NOT NULL,
	num            bigint NOT NULL,
	lookup         bytea NOT NULL,
	lookup_version smallint NOT NULL,
	key_slot       bigint NOT NULL,
	key_id         bytea NOT NULL,
	sealed         bytea,
	PRIMARY KEY (tenant, num)
);
CREATE UNIQUE INDEX subjects_lookup ON subjects (tenant, lookup);

CREATE TABLE ledger (
	tenant       text COLLATE "C" NOT NULL,
	position     bigint NOT NULL,
	kind         smallint NOT NULL,
	subject      bigint NOT NULL,
	purpose      text COLLATE "C" NOT NULL,
	major        integer NOT NULL,
	minor        integer NOT NULL,
	status       smallint NOT NULL,
	jurisdiction text COLLATE "C" NOT NULL,
	acted_at     bigint NOT NULL,
	recorded_at  bigint NOT NULL,
	expires_at   bigint NOT NULL,
	sealed       bytea,
	leaf         bytea NOT NULL,
	mac          bytea NOT NULL,
	PRIMARY KEY (tenant, position)
) WITH (toast_tuple_target = 8160);
CREATE INDEX ledger_subject ON ledger (tenant, subject, position) WHERE subject <> 0;

CREATE TABLE collections (
	tenant text COLLATE "C" NOT NULL,
	id     bigint NOT NULL,
	lookup bytea NOT NULL,
	sealed bytea,
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX collections_lookup ON collections (tenant, lookup);

-- A row is one version of a document, live while to_pos is 0. Rows are never
-- deleted: ids are given in the order of ingest and not used again.
CREATE TABLE documents (
	id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id < 1::bigint << 43),
	tenant       text COLLATE "C" NOT NULL,
	num          bigint NOT NULL,
	collection   bigint NOT NULL,
	lookup       bytea,
	digest       bytea,
	source       bytea,
	key_slot     bigint,
	key_id       bytea,
	personal     boolean NOT NULL,
	retain_until bigint NOT NULL,
	passages     bigint NOT NULL,
	decided_at   bigint NOT NULL,
	from_pos     bigint NOT NULL,
	to_pos       bigint NOT NULL DEFAULT 0,
	sealed       bytea,
	CHECK (to_pos = 0 OR num_nonnulls(lookup, digest, source, key_slot, key_id, sealed) = 0)
) WITH (toast_tuple_target = 8160);
CREATE UNIQUE INDEX documents_num ON documents (tenant, num);
CREATE UNIQUE INDEX documents_lookup ON documents (tenant, collection, lookup) WHERE to_pos = 0;
-- An expression, so that only Live uses it: partial indexes look empty to a
-- planner without statistics, which then takes this one for finding a document.
CREATE INDEX documents_live ON documents ((tenant || ''), id) WHERE to_pos = 0;

-- role 0 owns, role 1 is mentioned; ordinal keeps the order given.
CREATE TABLE document_subjects (
	doc     bigint NOT NULL,
	role    smallint NOT NULL CHECK (role IN (0, 1)),
	ordinal integer NOT NULL,
	subject bigint NOT NULL,
	PRIMARY KEY (doc, role, ordinal)
);

-- The id of a part is documents.id << 20 | passage number.
CREATE TABLE heads (
	id     bigint PRIMARY KEY,
	sealed bytea
) WITH (toast_tuple_target = 8160);

CREATE TABLE bodies (
	id     bigint PRIMARY KEY,
	sealed bytea
) WITH (toast_tuple_target = 8160);

CREATE TABLE remembered (
	tenant  text COLLATE "C" NOT NULL,
	key     bytea NOT NULL,
	body    bytea NOT NULL,
	outcome bytea,
	at      bigint NOT NULL,
	PRIMARY KEY (tenant, key)
);
CREATE INDEX remembered_at ON remembered (at);

ALTER TABLE tenants ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE api_keys ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE subjects ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE ledger ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE collections ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE documents ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE heads ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE bodies ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE remembered ALTER outcome SET STORAGE EXTERNAL;
