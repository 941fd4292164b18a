ALTER TABLE usage_events DROP COLUMN added_at;
