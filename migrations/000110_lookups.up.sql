-- Which records lookup services are to be asked about, what came of it, and how often they were asked.

CREATE TABLE lookups (
    tenant_id  uuid NOT NULL,
    service_id uuid NOT NULL,
    source     text NOT NULL,
    entity_id  uuid NOT NULL,
    collection text NOT NULL,
    question   text NOT NULL DEFAULT '',
    outcome    text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'filled', 'nothing', 'unknown', 'refused', 'complete', 'unasked')),
    asked_at   timestamptz,
    due_at     timestamptz,
    PRIMARY KEY (tenant_id, service_id, source, entity_id),
    FOREIGN KEY (tenant_id, service_id, entity_id) REFERENCES entities ON DELETE CASCADE
);
CREATE INDEX lookups_due ON lookups (tenant_id, service_id, source, collection, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX lookups_entity ON lookups (tenant_id, service_id, entity_id);
COMMENT ON TABLE lookups IS 'One row for each record and lookup service that is, or was, to be asked about it.';
COMMENT ON COLUMN lookups.question IS 'The key of the question that was answered last, a hash: the values asked by are in the record alone.';
COMMENT ON COLUMN lookups.due_at IS 'When it is to be asked; null until the record changes.';

CREATE TABLE lookup_counts (
    tenant_id     uuid NOT NULL,
    service_id    uuid NOT NULL,
    source        text NOT NULL,
    since         timestamptz NOT NULL,
    asked         bigint NOT NULL DEFAULT 0,
    known         bigint NOT NULL DEFAULT 0,
    filled        bigint NOT NULL DEFAULT 0,
    failing_since timestamptz,
    error_code    text NOT NULL DEFAULT '',
    error         text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, service_id, source, since),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE lookup_counts IS 'How often a lookup service was asked in a period, which its limit is for, and how it does.';
COMMENT ON COLUMN lookup_counts.asked IS 'Counted before it is asked, so that a crash cannot let it be asked too often.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['lookups', 'lookup_counts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
