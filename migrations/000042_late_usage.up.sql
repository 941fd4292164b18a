-- When an event was added tells late usage from what an invoice had charged already. Nobody knows it of events from before.
ALTER TABLE usage_events ADD COLUMN added_at timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN usage_events.added_at IS 'When the event was added to the ledger; at says when the fact became true.';
