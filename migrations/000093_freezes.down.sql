DELETE FROM journal WHERE op IN ('freeze', 'thaw');
ALTER TABLE journal DROP CONSTRAINT journal_op_check;
ALTER TABLE journal ADD CONSTRAINT journal_op_check CHECK (op IN ('create', 'update', 'delete', 'link', 'unlink'));
UPDATE entities SET held = array_remove(held, '@frozen') WHERE '@frozen' = ANY(held);
DROP TABLE record_freezes;
