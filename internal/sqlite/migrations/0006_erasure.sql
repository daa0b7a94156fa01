-- Erasures: each is a request and the job that carries it out. name is a MAC of
-- what is to be erased; key is the vault slot of the one-time key of the probe
-- material. sealed and archive are boxes, receipt is a file meant to be handed
-- out, which names nobody.

CREATE TABLE erasures (
	tenant        TEXT NOT NULL REFERENCES tenants (id),
	id            TEXT NOT NULL,
	name          BLOB NOT NULL,
	state         INTEGER NOT NULL,
	open          INTEGER NOT NULL,
	version       INTEGER NOT NULL,
	position      INTEGER NOT NULL,
	created_at    INTEGER NOT NULL,
	due_at        INTEGER NOT NULL,
	holder        BLOB, -- which process carries it out, until held_until
	held_until    INTEGER NOT NULL DEFAULT 0,
	key_slot      INTEGER NOT NULL,
	key_id        BLOB NOT NULL,
	sealed        BLOB,
	archive       BLOB,
	archive_until INTEGER NOT NULL,
	receipt       BLOB,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX erasures_open ON erasures (tenant, name) WHERE open = 1;
CREATE INDEX erasures_age ON erasures (tenant, created_at, id);

-- The documents of a person, of a source, and past their retention.
CREATE INDEX documents_source ON documents (tenant, source) WHERE to_pos = 0;
CREATE INDEX documents_retained ON documents (tenant, retain_until) WHERE to_pos = 0 AND retain_until <> 0;
