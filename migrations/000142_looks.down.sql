ALTER TABLE cursors DROP COLUMN look_every_ms, DROP COLUMN next_look_at;
