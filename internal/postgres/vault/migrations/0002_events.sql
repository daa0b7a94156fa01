-- What ledgers are to be told of (vault.Event), one row a tenant: taken off when
-- its ledger has the entry. first, last, lost and unknown are of a replay.

CREATE TABLE events (
	seq     bigint GENERATED ALWAYS AS IDENTITY,
	id      text COLLATE "C" NOT NULL,
	tenant  text COLLATE "C" NOT NULL REFERENCES keyrings (tenant),
	event   text COLLATE "C" NOT NULL,
	first   bigint NOT NULL DEFAULT 0,
	last    bigint NOT NULL DEFAULT 0,
	lost    bigint NOT NULL DEFAULT 0,
	unknown bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (id, tenant)
);
