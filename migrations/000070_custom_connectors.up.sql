-- Connectors that tenants describe themselves by a manifest. Each accepted manifest is an unchangeable version.

CREATE TABLE custom_connectors (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    type        text NOT NULL,
    title       text NOT NULL,
    version     integer NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, type)
);
COMMENT ON COLUMN custom_connectors.version IS 'The version that connections use: the newest.';

CREATE TABLE custom_connector_versions (
    tenant_id   uuid NOT NULL,
    type        text NOT NULL,
    number      integer NOT NULL,
    source      text NOT NULL CHECK (octet_length(source) <= 262144),
    note        text NOT NULL DEFAULT '',
    author      text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, type, number),
    FOREIGN KEY (tenant_id, type) REFERENCES custom_connectors ON DELETE CASCADE
);
COMMENT ON COLUMN custom_connector_versions.source IS 'The manifest as it was written.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['custom_connectors', 'custom_connector_versions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
