-- Records that people froze: nothing of them is written to any system. The entity's held fields say the same to the engine.
CREATE TABLE record_freezes (
    tenant_id  uuid NOT NULL,
    service_id uuid NOT NULL,
    entity_id  uuid NOT NULL,
    frozen_at  timestamptz NOT NULL,
    frozen_by  text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, service_id, entity_id),
    FOREIGN KEY (tenant_id, service_id, entity_id) REFERENCES entities ON DELETE CASCADE
);
COMMENT ON TABLE record_freezes IS 'Records that a person froze, with who, when and why.';
ALTER TABLE record_freezes ENABLE ROW LEVEL SECURITY;
ALTER TABLE record_freezes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON record_freezes TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON record_freezes TO syncline_app;

-- What is there keeps to the old rule, which is narrower: nothing needs to be looked at again.
ALTER TABLE journal DROP CONSTRAINT journal_op_check;
ALTER TABLE journal ADD CONSTRAINT journal_op_check CHECK (op IN ('create', 'update', 'delete', 'link', 'unlink', 'freeze', 'thaw')) NOT VALID;
