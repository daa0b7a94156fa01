-- What an index outside may hold besides live versions: state 0 is reserved, its
-- lease ends at until; state 1 is owed, to be taken out.
CREATE TABLE outside_documents (
	tenant     text COLLATE "C" NOT NULL,
	num        bigint NOT NULL,
	collection bigint NOT NULL,
	state      smallint NOT NULL,
	until      bigint NOT NULL,
	PRIMARY KEY (tenant, num)
);

-- Which verdicts of a person the properties outside reflect; NULL while a
-- change is under way.
CREATE TABLE outside_people (
	tenant     text COLLATE "C" NOT NULL,
	collection bigint NOT NULL,
	subject    bigint NOT NULL,
	seq        bigint NOT NULL,
	verdicts   bytea,
	PRIMARY KEY (tenant, collection, subject)
);
CREATE INDEX outside_people_seq ON outside_people (tenant, seq);

CREATE TABLE outside_heads (
	tenant text COLLATE "C" PRIMARY KEY,
	seq    bigint NOT NULL,
	holder text NOT NULL,
	until  bigint NOT NULL
);

CREATE INDEX document_subjects_subject ON document_subjects (subject, doc);
