-- What simulators of vendors hold: one account for each connection whose environment is the sandbox.

CREATE TABLE sandboxes (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    connection_id uuid NOT NULL,
    vendor        text NOT NULL,
    state         bytea NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
COMMENT ON TABLE sandboxes IS 'Made-up records of a simulated account. A call locks its row, so all processes see one account.';
COMMENT ON COLUMN sandboxes.state IS 'As the simulator writes it; at most 4 MB.';

ALTER TABLE sandboxes ENABLE ROW LEVEL SECURITY;
ALTER TABLE sandboxes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sandboxes TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON sandboxes TO syncline_app;
