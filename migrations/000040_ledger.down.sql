ALTER TABLE usage_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_events DISABLE ROW LEVEL SECURITY;
ALTER TABLE usage_events RENAME TO usage_events_parted;

CREATE TABLE usage_events (
    tenant_id   uuid NOT NULL,
    key         text NOT NULL,
    meter       text NOT NULL,
    at          timestamptz NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL DEFAULT '',
    data_class  text NOT NULL DEFAULT '',
    quantity    bigint NOT NULL,
    realtime    boolean NOT NULL DEFAULT false,
    complex     boolean NOT NULL DEFAULT false,
    premium     boolean NOT NULL DEFAULT false,
    ref         uuid,
    part        smallint NOT NULL DEFAULT 0,
    since       timestamptz,
    CHECK (quantity > 0 OR (meter = 'records' AND quantity < 0)),
    CHECK (since IS NULL OR (meter = 'records' AND quantity = 1)),
    FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
INSERT INTO usage_events (tenant_id, key, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since)
SELECT tenant_id, key, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since FROM usage_events_parted;
DROP TABLE usage_events_parted, usage_keys, usage_rollups, usage_deltas;
DROP FUNCTION add_usage_partition(date), sum_usage(), usage_slot(bigint, timestamptz), usage_since(bigint, timestamptz);
ALTER TABLE usage_events ADD PRIMARY KEY (tenant_id, key);
CREATE INDEX usage_events_period ON usage_events (tenant_id, meter, at);
COMMENT ON TABLE usage_events IS 'The ledger: counted facts, each with a key of its own so that it counts once (invariant 6). Only ever added to; it outlives the service.';
COMMENT ON COLUMN usage_events.ref IS 'The attempt whose journal entries, those with the same part, are the operations counted here.';
COMMENT ON COLUMN usage_events.since IS 'Of a revived record: when it had been deleted. A record that dies and comes back within one period counts once.';
ALTER TABLE usage_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage_events TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT ON usage_events TO syncline_app;
