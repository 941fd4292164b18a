-- What people see of our requests to vendors to tell of changes.

ALTER TABLE connection_subscriptions
    ADD COLUMN since   timestamptz,
    ADD COLUMN ends_at timestamptz,
    ADD COLUMN reason  text NOT NULL DEFAULT '';
COMMENT ON COLUMN connection_subscriptions.since IS 'Since when the vendor tells; NULL until it first agreed.';
COMMENT ON COLUMN connection_subscriptions.ends_at IS 'When it ends at the vendor unless it is renewed; NULL is never.';
COMMENT ON COLUMN connection_subscriptions.reason IS 'Why asking last failed, for people; empty when it did not.';
