-- What a month should cost at most, and who was told when.

CREATE TABLE budgets (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id          uuid NOT NULL,
    name        text NOT NULL,
    amount      numeric(20, 2) NOT NULL CHECK (amount > 0),
    pause       boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX budgets_name ON budgets (tenant_id, name);
COMMENT ON COLUMN budgets.pause IS 'At the whole amount the tenant''s active services are paused, once a month.';

CREATE TABLE budget_notices (
    tenant_id   uuid NOT NULL,
    budget_id   uuid NOT NULL,
    period      text NOT NULL,
    percent     int NOT NULL CHECK (percent BETWEEN 1 AND 100),
    at          timestamptz NOT NULL,
    spent       numeric(20, 2) NOT NULL,
    PRIMARY KEY (tenant_id, budget_id, period, percent),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets ON DELETE CASCADE
);
COMMENT ON TABLE budget_notices IS 'Which parts of a budget were reached in which month. The key makes each be told once, by however many processes that look.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['budgets', 'budget_notices'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;

-- Who has a budget, so that it can be looked after.
CREATE POLICY operator ON budgets TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT ON budgets TO syncline_operator;
