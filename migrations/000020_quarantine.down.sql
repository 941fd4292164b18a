ALTER TABLE dead_letters DROP COLUMN field, DROP COLUMN rule, DROP COLUMN edit, DROP COLUMN edited_by;
