-- Systems disagreed so often that a rule of the document told of it.
CREATE TABLE conflict_alerts (
    tenant_id      uuid NOT NULL,
    id             uuid NOT NULL,
    service_id     uuid NOT NULL,
    field          text,
    threshold      bigint NOT NULL,
    within_seconds bigint NOT NULL,
    conflicts      bigint NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX conflict_alerts_service ON conflict_alerts (tenant_id, service_id, at);
COMMENT ON TABLE conflict_alerts IS 'One row each time that so many conflicts arose within a time that the document wants people told.';
COMMENT ON COLUMN conflict_alerts.field IS 'The entity''s field that the rule is about; null for any.';
COMMENT ON COLUMN conflict_alerts.conflicts IS 'How many there were within the time when it was raised.';
ALTER TABLE conflict_alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE conflict_alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON conflict_alerts TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON conflict_alerts TO syncline_app;
