ALTER TABLE connection_subscriptions DROP COLUMN since, DROP COLUMN ends_at, DROP COLUMN reason;
