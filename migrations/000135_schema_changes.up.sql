-- The fields that services go by in each object, and what became otherwise in the systems since.

CREATE TABLE object_shapes (
    tenant_id  uuid NOT NULL,
    service_id uuid NOT NULL,
    system     text NOT NULL,
    object     text NOT NULL,
    fields     jsonb NOT NULL,
    PRIMARY KEY (tenant_id, service_id, system, object),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE object_shapes IS 'What an object''s fields are taken to be: as they were first found, and as a person accepted since.';

CREATE TABLE schema_changes (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    field       text NOT NULL,
    name        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('added', 'removed', 'retyped')),
    was         jsonb NOT NULL,
    is_now      jsonb NOT NULL,
    state       text NOT NULL CHECK (state IN ('open', 'accepted', 'dismissed', 'over')),
    settled     boolean NOT NULL,
    quarantined boolean NOT NULL,
    found_at    timestamptz NOT NULL,
    decided_at  timestamptz,
    decided_by  text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE UNIQUE INDEX schema_changes_live ON schema_changes (tenant_id, service_id, system, object, field) WHERE NOT settled;
CREATE INDEX schema_changes_service ON schema_changes (tenant_id, service_id, id);
COMMENT ON COLUMN schema_changes.name IS 'The entity''s name of the field; empty when no mapping names it.';
COMMENT ON COLUMN schema_changes.settled IS 'The service goes by it, or the system is again as it was. An accepted one is not settled until the flow took it up.';
COMMENT ON COLUMN schema_changes.quarantined IS 'The field is neither read nor written because of it.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['object_shapes', 'schema_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
