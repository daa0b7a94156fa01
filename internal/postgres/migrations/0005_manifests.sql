-- Training manifests. What is asked for and what came of it rests sealed;
-- inputs is a MAC, so that an earlier manifest of the same inputs is found.
-- key names the vault slot of the files' key; NULL once there are no files.

CREATE TABLE manifests (
	tenant     text COLLATE "C" NOT NULL REFERENCES tenants (id),
	id         text COLLATE "C" NOT NULL,
	state      smallint NOT NULL,
	holder     text COLLATE "C" NOT NULL,
	inputs     bytea NOT NULL,
	key_slot   bigint,
	key_id     bytea,
	created_at bigint NOT NULL,
	sealed     bytea NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX manifests_inputs ON manifests (tenant, inputs);
CREATE INDEX manifests_state ON manifests (state);

-- Shards that are written, while a manifest is built.
CREATE TABLE manifest_parts (
	tenant   text COLLATE "C" NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	part     bigint NOT NULL,
	sealed   bytea NOT NULL,
	PRIMARY KEY (tenant, manifest, part),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
);

-- Whose data a manifest holds, by number.
CREATE TABLE manifest_subjects (
	tenant   text COLLATE "C" NOT NULL,
	subject  bigint NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, subject, manifest),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
);

-- Training runs bound to a manifest; lookup is a MAC of the run's id.
CREATE TABLE manifest_runs (
	tenant   text COLLATE "C" NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	lookup   bytea NOT NULL,
	position bigint NOT NULL,
	sealed   bytea NOT NULL,
	PRIMARY KEY (tenant, manifest, lookup),
	FOREIGN KEY (tenant, manifest) REFERENCES manifests (tenant, id)
);

ALTER TABLE manifests ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE manifest_parts ALTER sealed SET STORAGE EXTERNAL;
ALTER TABLE manifest_runs ALTER sealed SET STORAGE EXTERNAL;
