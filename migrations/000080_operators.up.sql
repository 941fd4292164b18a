-- Who runs the installation, what they did to it, and the plans they publish for all tenants.

CREATE TABLE operators (
    user_id     uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    granted_at  timestamptz NOT NULL,
    granted_by  text NOT NULL
);
COMMENT ON TABLE operators IS 'People who run the installation. No tenant''s owner can make one: rows come from syncline operator grant, on the database itself.';

CREATE TABLE installation_log (
    seq         bigint PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor_kind  text NOT NULL,
    actor_id    text NOT NULL,
    actor_name  text NOT NULL,
    action      text NOT NULL,
    subject     text NOT NULL,
    detail      json NOT NULL DEFAULT '{}',
    request_id  text NOT NULL DEFAULT '',
    ip          text NOT NULL DEFAULT '',
    prev_hash   bytea NOT NULL,
    hash        bytea NOT NULL
);
COMMENT ON TABLE installation_log IS 'What operators did that concerns no single tenant, as a hash chain like audit_log. Rows are only ever added. What they did for a tenant is in that tenant''s audit_log.';

CREATE TABLE plan_versions (
    name        text NOT NULL,
    version     int NOT NULL CHECK (version > 0),
    plan        jsonb NOT NULL,
    from_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE plan_versions IS 'Versions of plans of the price list that operators published, beside those that are a part of the program. A version never changes, and an agreement keeps the one it was made under.';
COMMENT ON COLUMN plan_versions.from_at IS 'From when on the version can be chosen.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['operators', 'installation_log', 'plan_versions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY operator ON %I TO syncline_operator USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, DELETE ON operators TO syncline_operator;
GRANT SELECT, INSERT ON installation_log, plan_versions TO syncline_operator;

-- The price list is for everybody.
CREATE POLICY published ON plan_versions FOR SELECT TO syncline_app USING (true);
GRANT SELECT ON plan_versions TO syncline_app;

-- The overview of tenants says what each agreed to and what credit it has.
CREATE POLICY operator ON subscriptions TO syncline_operator USING (true) WITH CHECK (true);
CREATE POLICY operator ON credits TO syncline_operator USING (true) WITH CHECK (true);
CREATE POLICY operator ON credit_uses TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT ON subscriptions, credits, credit_uses TO syncline_operator;
