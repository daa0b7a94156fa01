-- The vault of several gateways: keys, wrapped under an epoch key that this
-- database never sees, and the journal. Times are nanoseconds of the Unix epoch
-- by this server's clock. Everything named sealed, keys, wrapped or payload is a
-- box that this database cannot open.

CREATE TABLE vault (
	one        boolean PRIMARY KEY DEFAULT true CHECK (one),
	id         bytea NOT NULL,
	epoch      bigint NOT NULL,
	system     bytea NOT NULL, -- the system key, sealed
	admin      bytea,          -- the bootstrap key, sealed
	generation bigint NOT NULL DEFAULT 0,
	accepted   boolean NOT NULL DEFAULT false
);

CREATE TABLE keyrings (
	tenant text COLLATE "C" PRIMARY KEY,
	keys   bytea NOT NULL
);

CREATE TABLE slots (
	id      bytea PRIMARY KEY,
	epoch   bigint NOT NULL,
	kind    smallint NOT NULL,
	wrapped bytea NOT NULL,
	made_at bigint NOT NULL
);

-- The head is a row, locked until the commit: the journal has no gaps.
CREATE TABLE journal_heads (
	tenant   text COLLATE "C" PRIMARY KEY REFERENCES keyrings (tenant),
	position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE journal (
	tenant   text COLLATE "C" NOT NULL,
	position bigint NOT NULL,
	leaf     bytea NOT NULL,
	kind     smallint NOT NULL,
	payload  bytea,
	PRIMARY KEY (tenant, position)
);

CREATE TABLE checkpoints (
	tenant     text COLLATE "C" PRIMARY KEY REFERENCES keyrings (tenant),
	checkpoint bytea NOT NULL
);

ALTER TABLE journal ALTER payload SET STORAGE EXTERNAL;
