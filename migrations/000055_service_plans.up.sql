-- Plans: what applying a document or carrying out a bulk run would do, found out aside.

CREATE TABLE service_plans (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('first', 'revision', 'bulk')),
    state       text NOT NULL CHECK (state IN ('queued', 'running', 'ready', 'failed', 'cancelled')),
    service_id  uuid,
    name        text NOT NULL,
    base        int NOT NULL,
    source      text NOT NULL,
    format      text NOT NULL CHECK (format IN ('yaml', 'json')),
    document    jsonb NOT NULL,
    selection   jsonb,
    differences jsonb NOT NULL DEFAULT '[]',
    notices     jsonb NOT NULL DEFAULT '[]',
    actor       text NOT NULL,
    created_at  timestamptz NOT NULL,
    started_at  timestamptz,
    seen_at     timestamptz,
    finished_at timestamptz,
    cancel_at   timestamptz,
    expires_at  timestamptz NOT NULL,
    outcome     jsonb,
    sizes       jsonb,
    hash        text NOT NULL DEFAULT '',
    error_code  text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX service_plans_name ON service_plans (tenant_id, name, id);
CREATE INDEX service_plans_hash ON service_plans (tenant_id, hash) WHERE hash <> '';
COMMENT ON TABLE service_plans IS 'What a document or a bulk run would do to the systems. It is about the live revision that it names as base, and goes when it is old.';
COMMENT ON COLUMN service_plans.base IS 'The live revision when it was made; 0 when there was no service.';
COMMENT ON COLUMN service_plans.sizes IS 'How many records each object that was read had at the end, as its system says; what is applied is refused when they moved too far.';
COMMENT ON COLUMN service_plans.seen_at IS 'When whoever makes it was last heard of.';

-- What would become of records is kept here while a plan is made, out of the way of the service. A crash may lose it: the plan
-- is then made again.
CREATE UNLOGGED TABLE service_plan_entities (
    tenant_id   uuid NOT NULL,
    plan_id     uuid NOT NULL,
    id          uuid NOT NULL,
    collection  text NOT NULL,
    match_key   text,
    body        text NOT NULL,
    PRIMARY KEY (tenant_id, plan_id, id)
);
CREATE INDEX service_plan_entities_match ON service_plan_entities (tenant_id, plan_id, collection, match_key) WHERE match_key IS NOT NULL;
COMMENT ON TABLE service_plan_entities IS 'Entities as a plan foresees them, with their links. No service knows of them.';

CREATE UNLOGGED TABLE service_plan_links (
    tenant_id   uuid NOT NULL,
    plan_id     uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    key         text NOT NULL,
    entity_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, plan_id, system, object, key)
);
COMMENT ON TABLE service_plan_links IS 'By which records the entities of a plan are found.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['service_plans', 'service_plan_entities', 'service_plan_links'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
