-- People can end a vendor's telling of changes for a while.

ALTER TABLE connection_subscriptions ADD COLUMN paused_at timestamptz;
COMMENT ON COLUMN connection_subscriptions.paused_at IS 'Since when a person wants it to rest; NULL while it does not. A paused row stays when the last service goes.';
