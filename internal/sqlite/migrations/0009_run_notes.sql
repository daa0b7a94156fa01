-- What was recorded about a training run after it was bound: a model's digest,
-- or what a person decided about it. Sealed, with the name of who decided.
CREATE TABLE manifest_run_notes (
	tenant   TEXT NOT NULL,
	manifest TEXT NOT NULL,
	lookup   BLOB NOT NULL,
	position INTEGER NOT NULL,
	sealed   BLOB NOT NULL,
	PRIMARY KEY (tenant, manifest, position),
	FOREIGN KEY (tenant, manifest, lookup) REFERENCES manifest_runs (tenant, manifest, lookup)
) STRICT, WITHOUT ROWID;
