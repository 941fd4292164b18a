ALTER TABLE attempts DROP COLUMN since;
