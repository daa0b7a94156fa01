-- Numbers that callers draw (subject, collection, document) are random 63-bit
-- integers. Times are nanoseconds of the Unix epoch, 0 for none. Everything
-- named sealed or outcome is a box this database cannot open; an empty one may
-- be stored as NULL. lookup, digest, source, hash and key hold MACs.

CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
	id          TEXT PRIMARY KEY,
	sealed      BLOB,
	created_at  INTEGER NOT NULL,
	ledger_head INTEGER NOT NULL DEFAULT 0,
	corpus_head INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
	id         TEXT PRIMARY KEY,
	tenant     TEXT NOT NULL REFERENCES tenants (id),
	hash       BLOB NOT NULL UNIQUE,
	sealed     BLOB,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	revoked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_age ON api_keys (tenant, created_at, id);

CREATE TABLE subjects (
	tenant         TEXT NOT NULL REFERENCES tenants (id),
	num            INTEGER NOT NULL,
	lookup         BLOB NOT NULL,
	lookup_version INTEGER NOT NULL,
	key_slot       INTEGER NOT NULL,
	key_id         BLOB NOT NULL,
	sealed         BLOB,
	PRIMARY KEY (tenant, num)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subjects_lookup ON subjects (tenant, lookup);

CREATE TABLE ledger (
	tenant       TEXT NOT NULL REFERENCES tenants (id),
	position     INTEGER NOT NULL,
	kind         INTEGER NOT NULL,
	subject      INTEGER NOT NULL,
	purpose      TEXT NOT NULL,
	major        INTEGER NOT NULL,
	minor        INTEGER NOT NULL,
	status       INTEGER NOT NULL,
	jurisdiction TEXT NOT NULL,
	acted_at     INTEGER NOT NULL,
	recorded_at  INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	sealed       BLOB,
	leaf         BLOB NOT NULL,
	mac          BLOB NOT NULL,
	PRIMARY KEY (tenant, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_subject ON ledger (tenant, subject, position) WHERE subject <> 0;

CREATE TABLE collections (
	tenant TEXT NOT NULL REFERENCES tenants (id),
	id     INTEGER NOT NULL,
	lookup BLOB NOT NULL,
	sealed BLOB,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX collections_lookup ON collections (tenant, lookup);

-- A row is one version of a document, live while to_pos is 0. Rows are never
-- deleted: ids are given in the order of ingest and not used again. The random
-- num would be a bad order to keep passages in, see the package comment.
CREATE TABLE documents (
	id           INTEGER PRIMARY KEY,
	tenant       TEXT NOT NULL REFERENCES tenants (id),
	num          INTEGER NOT NULL,
	collection   INTEGER NOT NULL,
	lookup       BLOB,
	digest       BLOB,
	source       BLOB,
	key_slot     INTEGER,
	key_id       BLOB,
	personal     INTEGER NOT NULL,
	retain_until INTEGER NOT NULL,
	passages     INTEGER NOT NULL,
	decided_at   INTEGER NOT NULL,
	from_pos     INTEGER NOT NULL,
	to_pos       INTEGER NOT NULL DEFAULT 0,
	sealed       BLOB,
	CHECK (to_pos = 0 OR coalesce(lookup, digest, source, key_slot, key_id, sealed) IS NULL)
) STRICT;
CREATE UNIQUE INDEX documents_num ON documents (tenant, num);
CREATE UNIQUE INDEX documents_lookup ON documents (tenant, collection, lookup) WHERE to_pos = 0;
CREATE INDEX documents_live ON documents (tenant) WHERE to_pos = 0;

-- role 0 owns, role 1 is mentioned; ordinal keeps the order given.
CREATE TABLE document_subjects (
	doc     INTEGER NOT NULL REFERENCES documents (id),
	role    INTEGER NOT NULL,
	ordinal INTEGER NOT NULL,
	subject INTEGER NOT NULL,
	PRIMARY KEY (doc, role, ordinal)
) STRICT, WITHOUT ROWID;

-- The id of a part is documents.id << 20 | passage number.
CREATE TABLE heads (
	id     INTEGER PRIMARY KEY,
	sealed BLOB
) STRICT;

CREATE TABLE bodies (
	id     INTEGER PRIMARY KEY,
	sealed BLOB
) STRICT;

CREATE TABLE remembered (
	tenant  TEXT NOT NULL,
	key     BLOB NOT NULL,
	body    BLOB NOT NULL,
	outcome BLOB,
	at      INTEGER NOT NULL,
	PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_at ON remembered (at);
