-- What people were told of their usage, and in which month.

CREATE TABLE usage_notices (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    period      text NOT NULL,
    about       text COLLATE "C" NOT NULL,
    percent     int NOT NULL CHECK (percent BETWEEN 1 AND 100),
    at          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, period, about, percent)
);
COMMENT ON TABLE usage_notices IS 'Which thresholds of the plan were reached, and which integrations began, in which month. The key makes each be told once, by however many processes that look.';

ALTER TABLE usage_notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_notices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage_notices TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_notices TO syncline_app;
