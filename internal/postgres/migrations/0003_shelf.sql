-- What a gateway must read again: shelf counts the changes of a tenant's
-- collections; the two indexes find the versions that came or ended after a
-- corpus position. Expressions, as documents_live.
ALTER TABLE corpus_heads ADD COLUMN shelf bigint NOT NULL DEFAULT 0;
CREATE INDEX documents_came ON documents ((tenant || ''), from_pos) WHERE to_pos = 0;
CREATE INDEX documents_ended ON documents ((tenant || ''), to_pos) WHERE to_pos > 0;
