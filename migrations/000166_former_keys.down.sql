ALTER TABLE entities DROP COLUMN former_keys;
