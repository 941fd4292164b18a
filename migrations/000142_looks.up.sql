-- How often a system is looked at: polling adapts, and people want to know to what.
ALTER TABLE cursors ADD COLUMN look_every_ms bigint, ADD COLUMN next_look_at timestamptz;
COMMENT ON COLUMN cursors.look_every_ms IS 'How long reading waits at present before it looks again by itself; null where it does not.';
COMMENT ON COLUMN cursors.next_look_at IS 'When that is. Written when the wait changes, and with waits of seconds each time.';
