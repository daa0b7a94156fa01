-- Events: how far each sink has come, and which process delivers until
-- held_until; by which entry manifests became stale; recipients, whose address
-- and secret rest sealed.

CREATE TABLE event_cursors (
	tenant     TEXT NOT NULL REFERENCES tenants (id),
	sink       TEXT NOT NULL,
	position   INTEGER NOT NULL,
	holder     BLOB,
	held_until INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, sink)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_stale (
	tenant   TEXT NOT NULL REFERENCES tenants (id),
	manifest TEXT NOT NULL,
	position INTEGER NOT NULL,
	PRIMARY KEY (tenant, manifest)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_stale_position ON event_stale (tenant, position, manifest);

CREATE TABLE processors (
	tenant  TEXT NOT NULL REFERENCES tenants (id),
	name    TEXT NOT NULL,
	version INTEGER NOT NULL,
	sealed  BLOB NOT NULL,
	PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
