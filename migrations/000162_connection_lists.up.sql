-- Long lists of keys that connectors compare with, when a system does not say what changed or what is gone.

CREATE TABLE connection_lists (
    tenant_id      uuid NOT NULL,
    id             uuid NOT NULL,
    connection_id  uuid NOT NULL,
    consumer       text NOT NULL,
    used_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX connection_lists_by_connection ON connection_lists (tenant_id, connection_id, consumer);
COMMENT ON TABLE connection_lists IS 'A cursor names the lists it needs. One that no cursor names any more is dropped when the cursor after it is safe; what crashes leave behind goes with its consumer, or after 30 days without use.';
COMMENT ON COLUMN connection_lists.consumer IS 'Whose reading it belongs to: svc_ and the id of a service.';

CREATE TABLE connection_list_keys (
    tenant_id  uuid NOT NULL,
    list_id    uuid NOT NULL,
    key        bytea NOT NULL,
    digest     bigint NOT NULL,
    PRIMARY KEY (tenant_id, list_id, key),
    FOREIGN KEY (tenant_id, list_id) REFERENCES connection_lists ON DELETE CASCADE
);
COMMENT ON COLUMN connection_list_keys.digest IS 'Of what was read, where records are compared; 1 where only keys are.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['connection_lists', 'connection_list_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
