ALTER TABLE connection_subscriptions DROP COLUMN paused_at;
