-- Events: how far each sink has come, and which process delivers until
-- held_until; by which entry manifests became stale; recipients, whose address
-- and secret rest sealed.

CREATE TABLE event_cursors (
	tenant     text COLLATE "C" NOT NULL REFERENCES tenants (id),
	sink       text COLLATE "C" NOT NULL,
	position   bigint NOT NULL,
	holder     bytea,
	held_until bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, sink)
);

CREATE TABLE event_stale (
	tenant   text COLLATE "C" NOT NULL REFERENCES tenants (id),
	manifest text COLLATE "C" NOT NULL,
	position bigint NOT NULL,
	PRIMARY KEY (tenant, manifest)
);
CREATE INDEX event_stale_position ON event_stale (tenant, position, manifest);

CREATE TABLE processors (
	tenant  text COLLATE "C" NOT NULL REFERENCES tenants (id),
	name    text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	sealed  bytea NOT NULL,
	PRIMARY KEY (tenant, name)
);
