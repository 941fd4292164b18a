DROP TABLE lags;
ALTER TABLE services DROP COLUMN max_delay_ms;
