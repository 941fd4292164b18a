-- What customers configure: connections, services and their revisions; and when the work runs: runs, leases, workers.

CREATE TABLE connections (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id           uuid NOT NULL,
    name         text NOT NULL,
    connector    text NOT NULL,
    settings     jsonb NOT NULL,
    sealed       bytea,
    owner_id     uuid,
    state        text NOT NULL CHECK (state IN ('unchecked', 'healthy', 'degraded', 'expired', 'revoked')),
    reason       text NOT NULL DEFAULT '',
    checked_at   timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX connections_name ON connections (tenant_id, name);
COMMENT ON COLUMN connections.sealed IS 'The secret settings as sealed JSON; associated data are tenant and connection id.';
COMMENT ON COLUMN connections.owner_id IS 'The service whose document holds this connection inline; null for one made by itself.';

CREATE TABLE services (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id           uuid NOT NULL,
    name         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('draft', 'active', 'paused', 'action_required', 'archived')),
    reason       text NOT NULL DEFAULT '',
    revision     int NOT NULL,
    realtime     boolean NOT NULL,
    pool         text NOT NULL DEFAULT 'default',
    priority     smallint NOT NULL DEFAULT 2,
    next_run_at  timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX services_name ON services (tenant_id, name);
CREATE INDEX services_realtime ON services (tenant_id, id) WHERE state = 'active' AND realtime;
CREATE INDEX services_due ON services (next_run_at) WHERE state = 'active' AND next_run_at IS NOT NULL;
COMMENT ON COLUMN services.priority IS '0 critical, 1 realtime, 2 standard, 3 bulk';

CREATE TABLE revisions (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    number      int NOT NULL,
    document    jsonb NOT NULL,
    source      text NOT NULL,
    format      text NOT NULL CHECK (format IN ('yaml', 'json')),
    author      text NOT NULL,
    note        text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id, number),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE revisions IS 'Every accepted document, never changed: the source as written and its canonical form.';

CREATE TABLE runs (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    service_id   uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('first', 'scheduled', 'manual')),
    state        text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    actor        text NOT NULL,
    revision     int NOT NULL,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    finished_at  timestamptz,
    cancel_at    timestamptz,
    counts       jsonb NOT NULL DEFAULT '{}',
    error_code   text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',
    version      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX runs_service ON runs (tenant_id, service_id, id);
CREATE INDEX runs_open ON runs (tenant_id, service_id) WHERE state IN ('queued', 'running');
COMMENT ON COLUMN runs.counts IS 'Per system what was read, created, updated, deleted, equal, rejected, in conflict, and how much is to come; written in the commits they count.';

CREATE FUNCTION add_counts(a jsonb, d jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN a || coalesce((
        SELECT jsonb_object_agg(s.key, coalesce(a -> s.key, '{}') || (
            SELECT jsonb_object_agg(f.key, CASE
                WHEN f.key NOT IN ('done', 'total', 'owed') THEN to_jsonb(coalesce((a -> s.key ->> f.key)::bigint, 0) + f.value::text::bigint)
                WHEN f.value::text::bigint > 0 THEN f.value
                ELSE coalesce(a -> s.key -> f.key, f.value)
            END)
            FROM jsonb_each(s.value) f))
        FROM jsonb_each(d) s), '{}');
COMMENT ON FUNCTION add_counts(jsonb, jsonb) IS
    'A run''s figures plus those of one commit: per system, amounts are added; done, total and owed are levels and replaced.';

CREATE TABLE leases (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    worker_id   uuid NOT NULL,
    fence       bigint NOT NULL,
    expires_at  timestamptz NOT NULL,
    pool        text NOT NULL DEFAULT 'default',
    since       timestamptz NOT NULL DEFAULT now(),
    yield       boolean NOT NULL DEFAULT false,
    failures    int NOT NULL DEFAULT 0,
    not_before  timestamptz,
    PRIMARY KEY (tenant_id, service_id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE leases IS 'Which worker carries a service''s data now. Every commit of the engine checks the fence, so a worker that was lost and comes back can write nothing.';
COMMENT ON COLUMN leases.worker_id IS 'The zero uuid while the lease is granted but no worker has taken it up. Times here are the database''s clock, the one clock that all workers share.';
COMMENT ON COLUMN leases.pool IS 'The pool it was granted on: the service''s own, or the one that stands in for it.';
COMMENT ON COLUMN leases.yield IS 'The scheduler asks the worker to stop at the next commit, because others wait for the slot.';
COMMENT ON COLUMN leases.failures IS 'How often carrying failed in a row; not_before holds the next try back accordingly.';

CREATE TABLE workers (
    id          uuid PRIMARY KEY,
    pools       text[] NOT NULL,
    region      text NOT NULL,
    slots       int NOT NULL,
    host        text NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
);
COMMENT ON COLUMN workers.slots IS 'How many services the process carries at once.';
COMMENT ON TABLE workers IS 'Live worker processes. Not a tenant''s table; only the operator role uses it.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['connections', 'services', 'revisions', 'runs', 'leases'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
    -- The scheduler's tick looks at all tenants' services, and hands out runs and leases.
    FOREACH t IN ARRAY ARRAY['services', 'runs', 'leases'] LOOP
        EXECUTE format('CREATE POLICY operator ON %I TO syncline_operator USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
REVOKE UPDATE ON revisions FROM syncline_app;
ALTER TABLE workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE workers FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON workers TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO syncline_operator;
GRANT SELECT, UPDATE ON services TO syncline_operator;
GRANT SELECT, INSERT, UPDATE ON runs, leases TO syncline_operator;
