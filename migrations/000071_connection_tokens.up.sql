-- Tokens that systems hand out while a connection is used, for all processes; and what vendors tell of changes.

CREATE TABLE connection_tokens (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    sealed         bytea,
    claim          uuid,
    claimed_until  timestamptz,
    renewed_at     timestamptz,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
COMMENT ON TABLE connection_tokens IS 'One of many that need a new token claims the row, asks without holding a transaction, and stores the answer before anybody uses it.';
COMMENT ON COLUMN connection_tokens.claimed_until IS 'Longer than a call to a system may take. A claim that ran out belongs to somebody who was cut off between asking and storing.';

CREATE TABLE connection_hooks (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    seq            bigint NOT NULL DEFAULT 0,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
COMMENT ON TABLE connection_hooks IS 'Connections whose vendor has told of changes. The row is locked while hints are numbered, so that a number is seen only when all before it are.';

CREATE TABLE connection_hints (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    seq            bigint NOT NULL,
    object         text NOT NULL,
    key            text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, seq),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connection_hooks ON DELETE CASCADE
);
COMMENT ON TABLE connection_hints IS 'Records that may be different. They are read; what a message said besides is not used. Kept for a day: readers also look by themselves.';

CREATE TABLE connection_messages (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    id             text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connection_hooks ON DELETE CASCADE
);
COMMENT ON TABLE connection_messages IS 'Ids of events that came, so that one that comes again is not another. Kept for a day, which is longer than any signature is good.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['connection_tokens', 'connection_hooks', 'connection_hints', 'connection_messages'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
