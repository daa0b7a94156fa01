-- Erasures: each is a request and the job that carries it out. name is a MAC of
-- what is to be erased; key is the vault slot of the one-time key of the probe
-- material. sealed and archive are boxes, receipt is a file meant to be handed
-- out, which names nobody.

CREATE TABLE erasures (
	tenant        text COLLATE "C" NOT NULL,
	id            text COLLATE "C" NOT NULL,
	name          bytea NOT NULL,
	state         smallint NOT NULL,
	open          boolean NOT NULL,
	version       bigint NOT NULL,
	position      bigint NOT NULL,
	created_at    bigint NOT NULL,
	due_at        bigint NOT NULL,
	holder        bytea, -- which process carries it out, until held_until
	held_until    bigint NOT NULL DEFAULT 0,
	key_slot      bigint NOT NULL,
	key_id        bytea NOT NULL,
	sealed        bytea,
	archive       bytea,
	archive_until bigint NOT NULL,
	receipt       bytea,
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX erasures_open ON erasures (tenant, name) WHERE open;
CREATE INDEX erasures_age ON erasures (tenant, created_at, id);

-- The documents of a person, of a source, and past their retention. Expressions
-- for the reason that documents_live has one.
CREATE INDEX documents_source ON documents ((tenant || ''), source) WHERE to_pos = 0;
CREATE INDEX documents_retained ON documents ((tenant || ''), retain_until) WHERE to_pos = 0 AND retain_until <> 0;
