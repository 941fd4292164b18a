-- How connections do, over time: when each is looked at next, what is known of its ends and quota, and a bounded history.

CREATE TABLE connection_health (
    tenant_id        uuid NOT NULL,
    connection_id    uuid NOT NULL,
    next_check_at    timestamptz NOT NULL DEFAULT now(),
    failures         integer NOT NULL DEFAULT 0,
    took_ms          integer NOT NULL DEFAULT 0,
    ends_at          timestamptz,
    ends_what        text NOT NULL DEFAULT '',
    noticed          integer,
    quota_left       double precision,
    quota_of         double precision,
    quota_resets_at  timestamptz,
    quota_at         timestamptz,
    endpoint         text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX connection_health_due ON connection_health (next_check_at);
COMMENT ON COLUMN connection_health.noticed IS 'The last notice of the end that was given: 14, 3 or 0 days before. Null while it is far away, and again when the end moved on.';
COMMENT ON COLUMN connection_health.endpoint IS 'The second address, while the first cannot be reached; empty for the first.';

CREATE TABLE connection_spells (
    tenant_id      uuid NOT NULL,
    connection_id  uuid NOT NULL,
    since          timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,
    state          text NOT NULL,
    reason         text NOT NULL DEFAULT '',
    checks         integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, connection_id, since),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
COMMENT ON TABLE connection_spells IS 'Times during which a connection was found in one state for one reason. Kept for 90 days, at most 500 of a connection.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['connection_health', 'connection_spells'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
CREATE POLICY operator ON connection_health TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON connection_health TO syncline_operator;

-- Row by row over ten minutes, so that not all are looked at in one moment. The owner is subject to the policies, too.
ALTER TABLE connections NO FORCE ROW LEVEL SECURITY;
ALTER TABLE connection_health NO FORCE ROW LEVEL SECURITY;
INSERT INTO connection_health (tenant_id, connection_id, next_check_at) SELECT tenant_id, id, now() + random() * interval '10 minutes' FROM connections;
ALTER TABLE connection_health FORCE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
