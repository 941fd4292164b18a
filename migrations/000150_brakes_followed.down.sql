ALTER TABLE brakes DROP COLUMN followed;
