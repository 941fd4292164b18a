-- Reconciliation: what systems hold over a span of time is compared, as bookkeepers do.

CREATE TABLE reconciliations (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    service_id    uuid NOT NULL,
    state         text NOT NULL CHECK (state IN ('queued', 'succeeded', 'failed')),
    scheduled     boolean NOT NULL DEFAULT false,
    since         timestamptz NOT NULL,
    until         timestamptz NOT NULL,
    systems       text[] NOT NULL,
    tolerance     text NOT NULL,
    actor         text NOT NULL,
    asked_at      timestamptz NOT NULL,
    finished_at   timestamptz,
    matched       bigint NOT NULL DEFAULT 0,
    unmatched     bigint NOT NULL DEFAULT 0,
    discrepancies bigint NOT NULL DEFAULT 0,
    error         text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX reconciliations_service ON reconciliations (tenant_id, service_id, id);
CREATE INDEX reconciliations_queued ON reconciliations (tenant_id, service_id) WHERE state = 'queued';
COMMENT ON COLUMN reconciliations.tolerance IS 'Numbers that differ by at most this are equal; a decimal as text.';

CREATE TABLE discrepancies (
    tenant_id         uuid NOT NULL,
    id                uuid NOT NULL,
    reconciliation_id uuid NOT NULL,
    service_id        uuid NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('unmatched', 'difference')),
    entity_id         uuid NOT NULL,
    other_id          uuid,
    collection        text NOT NULL,
    title             text NOT NULL DEFAULT '',
    field             text NOT NULL DEFAULT '',
    sides             jsonb NOT NULL,
    missing_in        text[] NOT NULL DEFAULT '{}',
    difference        text NOT NULL DEFAULT '',
    amount            text NOT NULL DEFAULT '',
    at                timestamptz NOT NULL,
    state             text NOT NULL CHECK (state IN ('open', 'resolved', 'flagged')),
    resolution        text NOT NULL DEFAULT '',
    adjustment        text NOT NULL DEFAULT '',
    reason            text NOT NULL DEFAULT '',
    assigned_to       text NOT NULL DEFAULT '',
    decided_by        text NOT NULL DEFAULT '',
    decided_at        timestamptz,
    version           bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, reconciliation_id) REFERENCES reconciliations ON DELETE CASCADE
);
CREATE INDEX discrepancies_of ON discrepancies (tenant_id, reconciliation_id, id);
CREATE INDEX discrepancies_open ON discrepancies (tenant_id, service_id, state, id);
COMMENT ON COLUMN discrepancies.sides IS 'Who holds what: [{"system", "key", "value"}].';
COMMENT ON COLUMN discrepancies.difference IS 'The first side''s number less the second''s, a decimal as text; empty where they are no numbers.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['reconciliations', 'discrepancies'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
