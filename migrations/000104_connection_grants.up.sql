-- Access that a person gives a connection in the browser (OAuth 2): the questions that are open, and who gave what is in force.

CREATE TABLE connection_authorizations (
    tenant_id      uuid NOT NULL,
    state          bytea NOT NULL,
    connection_id  uuid NOT NULL,
    session        text NOT NULL,
    redirect       text NOT NULL,
    sealed         bytea NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    used_at        timestamptz,
    refusal        text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, state),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX connection_authorizations_connection ON connection_authorizations (tenant_id, connection_id, created_at);
COMMENT ON TABLE connection_authorizations IS 'A person was sent to a vendor to give access. Who comes back must be the same session with a state that is known here, was not used and has not expired.';
COMMENT ON COLUMN connection_authorizations.state IS 'The SHA-256 of what travels through the browser.';
COMMENT ON COLUMN connection_authorizations.sealed IS 'The verifier of PKCE, sealed with the tenant''s key.';
COMMENT ON COLUMN connection_authorizations.refusal IS 'Why there was no access, for people; empty while it is open and when there was.';

ALTER TABLE connection_tokens
    ADD COLUMN granted_at timestamptz,
    ADD COLUMN granted_by text NOT NULL DEFAULT '',
    ADD COLUMN scopes text NOT NULL DEFAULT '';
COMMENT ON COLUMN connection_tokens.granted_at IS 'When a person gave access in the browser; null for tokens that were bought with the connection''s settings.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['connection_authorizations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
