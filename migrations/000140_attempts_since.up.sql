-- What is being carried out has been owed since it first was, not since it was taken up again.

ALTER TABLE attempts ADD COLUMN since timestamptz;
UPDATE attempts SET since = started_at;
ALTER TABLE attempts ALTER COLUMN since SET DEFAULT now(), ALTER COLUMN since SET NOT NULL;
COMMENT ON COLUMN attempts.since IS 'Since when the oldest of the duties is owed.';
