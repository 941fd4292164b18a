-- What a service's maximum delay means for its turn among workers, and that it is late already.

ALTER TABLE services ADD COLUMN max_delay_ms bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN services.max_delay_ms IS 'How long a change may be owed to a system by the live document; 0 for no limit. Who nears it goes first among the tenant''s.';

CREATE TABLE lags (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE lags IS 'Services that people were told are later than their documents allow. The row goes when they are told that it is over, so that a worker that starts meanwhile does not tell it again.';

ALTER TABLE lags ENABLE ROW LEVEL SECURITY;
ALTER TABLE lags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lags TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, DELETE ON lags TO syncline_app;
