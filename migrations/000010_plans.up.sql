-- What tenants agreed to pay, and the plans that were made for one of them.

CREATE TABLE custom_plans (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL,
    version     int NOT NULL CHECK (version > 0),
    plan        jsonb NOT NULL,
    from_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    PRIMARY KEY (tenant_id, name, version)
);
COMMENT ON TABLE custom_plans IS 'Plans made for one tenant by an operator. A version never changes; other prices are another version. The published price list is a part of the program.';
COMMENT ON COLUMN custom_plans.from_at IS 'From when on the version can be chosen.';

CREATE TABLE subscriptions (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id            uuid NOT NULL,
    plan_name     text NOT NULL,
    plan_version  int NOT NULL,
    plan          jsonb NOT NULL,
    add_ons       text[] NOT NULL,
    coupons       jsonb NOT NULL DEFAULT '[]',
    from_at       timestamptz NOT NULL,
    trial_until   timestamptz,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    note          text NOT NULL DEFAULT '',
    withdrawn_at  timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX subscriptions_from ON subscriptions (tenant_id, from_at);
COMMENT ON TABLE subscriptions IS 'What was agreed from when on, until the next one begins. Never changed: other terms are another row, so that what a past period costs is always known. A tenant without a row is on the default plan.';
COMMENT ON COLUMN subscriptions.plan IS 'The plan as agreed, prices included: a change of the price list changes no agreement.';
COMMENT ON COLUMN subscriptions.withdrawn_at IS 'Taken back before it began.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['custom_plans', 'subscriptions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON custom_plans TO syncline_app;
GRANT SELECT, INSERT, UPDATE (withdrawn_at) ON subscriptions TO syncline_app;
