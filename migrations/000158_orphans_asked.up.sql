-- Records that come to refer to a deleted one after its deletion was weighed are weighed by themselves, and a person is asked about many.

ALTER TABLE entity_references ADD COLUMN fate text NOT NULL DEFAULT '';
COMMENT ON COLUMN entity_references.fate IS 'Of a reference to a deleted record. follows: weighed, or released by a person, so that the document''s rule for orphans is carried out; stays: a person said that it is not; empty: not weighed yet.';
CREATE INDEX entity_references_fate ON entity_references (tenant_id, service_id) WHERE fate <> '';

ALTER TABLE holds DROP CONSTRAINT holds_kind_check;
ALTER TABLE holds ADD CONSTRAINT holds_kind_check CHECK (kind IN ('deletes', 'absent', 'changes', 'values', 'orphans'));
