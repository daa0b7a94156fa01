-- What the verification of an open erasure looks for, sealed under a one-time
-- key that is a slot: when that is destroyed, nothing opens it.
CREATE TABLE probes (
	id  text COLLATE "C" PRIMARY KEY,
	box bytea NOT NULL
);
ALTER TABLE probes ALTER box SET STORAGE EXTERNAL;
