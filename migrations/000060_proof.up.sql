-- Proof of equality: each system of a service is compared with the entities, range by range, over and over.

CREATE TABLE proofs (
    tenant_id    uuid NOT NULL,
    service_id   uuid NOT NULL,
    due_at       timestamptz NOT NULL,
    asked_at     timestamptz,
    asked_by     text NOT NULL DEFAULT '',
    cancel_at    timestamptz,
    pass         uuid,
    started_at   timestamptz,
    progress     jsonb,
    result       jsonb,
    PRIMARY KEY (tenant_id, service_id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX proofs_asked ON proofs (tenant_id, service_id) WHERE asked_at IS NOT NULL;
COMMENT ON TABLE proofs IS 'Where the comparison of a service''s systems stands, and what the last complete one found.';
COMMENT ON COLUMN proofs.pass IS 'The comparison under way; null between two.';
COMMENT ON COLUMN proofs.progress IS 'Where it goes on after a stop, with what was counted so far.';
COMMENT ON COLUMN proofs.result IS 'Of the last complete one: as of when, how many are equal, per system how and what differs.';

CREATE TABLE proof_differences (
    tenant_id    uuid NOT NULL,
    service_id   uuid NOT NULL,
    pass         uuid NOT NULL,
    id           uuid NOT NULL,
    system       text NOT NULL,
    object       text NOT NULL,
    collection   text NOT NULL,
    key          text NOT NULL DEFAULT '',
    entity_id    uuid,
    title        text NOT NULL DEFAULT '',
    reason       text NOT NULL,
    fields       text[] NOT NULL DEFAULT '{}',
    healed       boolean NOT NULL DEFAULT false,
    found_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id, pass, id)
);
CREATE INDEX proof_differences_by ON proof_differences (tenant_id, service_id, pass, system, reason, id);
COMMENT ON TABLE proof_differences IS 'Records that were not equal when a comparison saw them, and why; of each system and reason at most some thousand. Those of an older comparison go when the next is complete.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['proofs', 'proof_differences'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
-- The scheduler looks for services whose proof is asked for.
GRANT SELECT ON proofs TO syncline_operator;
CREATE POLICY operator ON proofs FOR SELECT TO syncline_operator USING (true);
