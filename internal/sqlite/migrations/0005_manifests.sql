-- Training manifests. What is asked for and what came of it rests sealed;
-- inputs is a MAC, so that an earlier manifest of the same inputs is found.
-- key names the vault slot of the files' key; NULL once there are no files.

CREATE TABLE manifests (
	tenant     TEXT NOT NULL REFERENCES tenants (id),
	id         TEXT NOT NULL,
	state      INTEGER NOT NULL,
	holder     TEXT NOT NULL,
	inputs     BLOB NOT NULL,
	key_slot   INTEGER,
	key_id     BLOB,
	created_at INTEGER NOT NULL,
	sealed     BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifests_inputs ON manifests (tenant, inputs);
CREATE INDEX manifests_state ON manifests (state);

-- Shards that are written, while a manifest is built.
CREATE TABLE manifest_parts (
	tenant   TEXT NOT NULL,
	manifest TEXT NOT NULL,
	part     INTEGER NOT NULL,
	sealed   BLOB NOT NULL,
	PRIMARY KEY (tenant, manifest, part),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
) STRICT, WITHOUT ROWID;

-- Whose data a manifest holds, by number.
CREATE TABLE manifest_subjects (
	tenant   TEXT NOT NULL,
	subject  INTEGER NOT NULL,
	manifest TEXT NOT NULL,
	PRIMARY KEY (tenant, subject, manifest),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
) STRICT, WITHOUT ROWID;

-- Training runs bound to a manifest; lookup is a MAC of the run's id.
CREATE TABLE manifest_runs (
	tenant   TEXT NOT NULL,
	manifest TEXT NOT NULL,
	lookup   BLOB NOT NULL,
	position INTEGER NOT NULL,
	sealed   BLOB NOT NULL,
	PRIMARY KEY (tenant, manifest, lookup),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
) STRICT, WITHOUT ROWID;
