-- Our requests to vendors to tell of changes.

CREATE TABLE connection_subscriptions (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    callback       text NOT NULL DEFAULT '',
    consumers      text[] NOT NULL DEFAULT '{}',
    sealed         bytea,
    offered        bytea,
    renew_at       timestamptz,
    claimed_until  timestamptz,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
COMMENT ON TABLE connection_subscriptions IS 'One subscription of a connection serves all services that listen; the last that goes ends it. One process at a time claims the row and asks the vendor without holding a transaction.';
COMMENT ON COLUMN connection_subscriptions.sealed IS 'The ids at the vendor and the secret that it signs with.';
COMMENT ON COLUMN connection_subscriptions.offered IS 'A secret that the vendor handed over at the address while the claim lasts.';
COMMENT ON COLUMN connection_subscriptions.renew_at IS 'When to ask again: before it ends, or a while after asking failed. NULL is never.';

ALTER TABLE connection_subscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE connection_subscriptions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON connection_subscriptions TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_subscriptions TO syncline_app;
