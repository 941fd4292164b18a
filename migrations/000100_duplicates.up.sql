-- Records that are the same without being equal: what they are compared by, the pairs found, and the merges made of them.

CREATE TABLE duplicate_blocks (
    tenant_id  uuid NOT NULL,
    service_id uuid NOT NULL,
    collection text NOT NULL,
    block      text NOT NULL,
    entity_id  uuid NOT NULL,
    PRIMARY KEY (tenant_id, service_id, collection, block, entity_id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX duplicate_blocks_entity ON duplicate_blocks (tenant_id, service_id, entity_id);
COMMENT ON TABLE duplicate_blocks IS 'The blocks that living entities belong to. Only entities with a block in common are compared.';

CREATE TABLE duplicates (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    service_id uuid NOT NULL,
    collection text NOT NULL,
    a_id       uuid NOT NULL,
    b_id       uuid NOT NULL,
    score      double precision NOT NULL,
    fields     jsonb NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('ask', 'auto')),
    state      text NOT NULL CHECK (state IN ('open', 'later', 'merged', 'dismissed', 'gone')),
    found_at   timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',
    version    bigint NOT NULL DEFAULT 1,
    merge      jsonb,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE,
    CHECK (a_id < b_id)
);
CREATE UNIQUE INDEX duplicates_pair ON duplicates (tenant_id, service_id, a_id, b_id);
CREATE INDEX duplicates_b ON duplicates (tenant_id, service_id, b_id);
CREATE INDEX duplicates_state ON duplicates (tenant_id, service_id, state, id);
COMMENT ON COLUMN duplicates.fields IS 'How alike they are in which field: [{"field", "likeness", "threshold"}].';
COMMENT ON COLUMN duplicates.outcome IS 'auto: alike enough to be merged without asking.';
COMMENT ON COLUMN duplicates.state IS 'dismissed: two things; remembered, so that nobody is asked again. gone: one of them is not there any more, or they are not alike any more.';
COMMENT ON COLUMN duplicates.merge IS 'What a merge did, as its undoing needs it.';

CREATE TABLE duplicate_scans (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    collection  text NOT NULL,
    rules       text NOT NULL,
    after_id    uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    compared    bigint NOT NULL DEFAULT 0,
    found       bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, service_id, collection),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE duplicate_scans IS 'How far all entities of a collection were compared, and by which rules; other rules begin anew.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['duplicate_blocks', 'duplicates', 'duplicate_scans'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
