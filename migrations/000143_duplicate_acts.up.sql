-- A merge of several records is one act of several pairs: they are taken back together.

ALTER TABLE duplicates ADD COLUMN act uuid;
CREATE INDEX duplicates_act ON duplicates (tenant_id, act) WHERE act IS NOT NULL;
COMMENT ON COLUMN duplicates.act IS 'The pair whose merge decided this one, too: what the act did stands there. Its undoing gives back what waited.';
