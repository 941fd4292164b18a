-- Webhooks: programs that are told of events, and what was sent to them.

CREATE TABLE webhook_endpoints (
    tenant_id        uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id               uuid NOT NULL,
    name             text NOT NULL,
    url              text NOT NULL,
    types            text[] NOT NULL,
    state            text NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
    reason           text NOT NULL DEFAULT '',
    secret           bytea NOT NULL,
    old_secret       bytea,
    old_until        timestamptz,
    since            pg_snapshot NOT NULL,
    seen_xid         xid8 NOT NULL,
    seen_id          bigint NOT NULL DEFAULT 0,
    failing_since    timestamptz,
    delivered_at     timestamptz,
    created_at       timestamptz NOT NULL,
    created_by       text NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE webhook_endpoints IS 'Where a tenant wants to be told of events.';
COMMENT ON COLUMN webhook_endpoints.types IS 'Types of events, a * at the end for all that begin so; none: all but the frequent ones.';
COMMENT ON COLUMN webhook_endpoints.state IS 'active; paused by a person; disabled by us, see reason.';
COMMENT ON COLUMN webhook_endpoints.secret IS 'What messages are signed with, sealed. The one before it signs, too, until old_until.';
COMMENT ON COLUMN webhook_endpoints.since IS 'When it became active: events that could be seen then are not sent.';
COMMENT ON COLUMN webhook_endpoints.seen_xid IS 'With seen_id: the last event, in commit order, of which the endpoint has its deliveries. Events behind it are kept until it has.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'When the first of the failures began that nothing has got through since; null: the last attempt worked.';

CREATE TABLE webhook_deliveries (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    endpoint_id  uuid NOT NULL,
    event_id     text NOT NULL,
    type         text NOT NULL,
    at           timestamptz NOT NULL,
    body         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts     int NOT NULL DEFAULT 0,
    tries        int NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    settled_at   timestamptz,
    status       int NOT NULL DEFAULT 0,
    problem      text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (tenant_id, endpoint_id, event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_endpoint_due ON webhook_deliveries (tenant_id, endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (tenant_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
COMMENT ON TABLE webhook_deliveries IS 'An event to be sent to an endpoint, written from the events in one commit with the endpoint''s place in them. Kept for 30 days.';
COMMENT ON COLUMN webhook_deliveries.body IS 'What is sent, the same at each attempt.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'How often it was taken up, ever. tries counts since it was last asked for, and says which pause comes next.';
COMMENT ON COLUMN webhook_deliveries.due_at IS 'When it is sent next. Whoever takes it up puts it ahead by longer than sending takes, so that one that died gives it back.';

CREATE TABLE webhook_attempts (
    tenant_id    uuid NOT NULL,
    delivery_id  uuid NOT NULL,
    number       int NOT NULL,
    at           timestamptz NOT NULL,
    took_ms      int NOT NULL,
    status       int NOT NULL,
    problem      text NOT NULL,
    excerpt      text NOT NULL,
    PRIMARY KEY (tenant_id, delivery_id, number),
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES webhook_deliveries ON DELETE CASCADE
);
COMMENT ON COLUMN webhook_attempts.status IS 'Of the answer; 0: there was none, see problem.';
COMMENT ON COLUMN webhook_attempts.excerpt IS 'The beginning of the answer''s body.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['webhook_endpoints', 'webhook_deliveries', 'webhook_attempts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;

-- Looking for tenants with something to send, keeping events that an endpoint does not have yet, and dropping old deliveries.
CREATE POLICY operator ON webhook_endpoints TO syncline_operator USING (true) WITH CHECK (true);
CREATE POLICY operator ON webhook_deliveries TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT ON webhook_endpoints TO syncline_operator;
GRANT SELECT, DELETE ON webhook_deliveries TO syncline_operator;
