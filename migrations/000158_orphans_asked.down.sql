-- What was held of orphans is known of from their references alone.
DELETE FROM holds WHERE kind = 'orphans';
ALTER TABLE holds DROP CONSTRAINT holds_kind_check;
ALTER TABLE holds ADD CONSTRAINT holds_kind_check CHECK (kind IN ('deletes', 'absent', 'changes', 'values'));
ALTER TABLE entity_references DROP COLUMN fate;
