-- What was recorded about a training run after it was bound: a model's digest,
-- or what a person decided about it. Sealed, with the name of who decided.
CREATE TABLE manifest_run_notes (
	tenant   text COLLATE "C" NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	lookup   bytea NOT NULL,
	position bigint NOT NULL,
	sealed   bytea NOT NULL,
	PRIMARY KEY (tenant, manifest, position),
	FOREIGN KEY (tenant, manifest, lookup) REFERENCES manifest_runs (tenant, manifest, lookup)
);

ALTER TABLE manifest_run_notes ALTER sealed SET STORAGE EXTERNAL;
