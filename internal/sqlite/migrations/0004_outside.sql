-- What an index outside may hold besides live versions: state 0 is reserved, its
-- lease ends at until; state 1 is owed, to be taken out.
CREATE TABLE outside_documents (
	tenant     TEXT NOT NULL REFERENCES tenants (id),
	num        INTEGER NOT NULL,
	collection INTEGER NOT NULL,
	state      INTEGER NOT NULL,
	until      INTEGER NOT NULL,
	PRIMARY KEY (tenant, num)
) STRICT, WITHOUT ROWID;

-- Which verdicts of a person the properties outside reflect; NULL while a
-- change is under way.
CREATE TABLE outside_people (
	tenant     TEXT NOT NULL REFERENCES tenants (id),
	collection INTEGER NOT NULL,
	subject    INTEGER NOT NULL,
	seq        INTEGER NOT NULL,
	verdicts   BLOB,
	PRIMARY KEY (tenant, collection, subject)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX outside_people_seq ON outside_people (tenant, seq);

CREATE TABLE outside_heads (
	tenant TEXT PRIMARY KEY REFERENCES tenants (id),
	seq    INTEGER NOT NULL,
	holder TEXT NOT NULL,
	until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX document_subjects_subject ON document_subjects (subject, doc);
