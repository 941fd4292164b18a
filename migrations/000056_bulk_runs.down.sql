DROP TABLE run_selections;
DELETE FROM runs WHERE kind IN ('bulk', 'records');
ALTER TABLE runs DROP CONSTRAINT runs_kind_check;
ALTER TABLE runs ADD CONSTRAINT runs_kind_check CHECK (kind IN ('first', 'scheduled', 'manual'));
