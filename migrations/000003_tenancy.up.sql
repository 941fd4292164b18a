-- Who uses Syncline: tenants, people, their membership, sessions and keys.

CREATE TABLE tenants (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    slug        text NOT NULL UNIQUE,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    region      text NOT NULL DEFAULT 'default',
    time_zone   text NOT NULL DEFAULT 'UTC',
    demo        boolean NOT NULL DEFAULT false,
    sealed_key  bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    version     bigint NOT NULL DEFAULT 1
);
COMMENT ON COLUMN tenants.sealed_key IS 'The tenant''s own key set, encrypted with the installation''s master key. Everything sealed for the tenant is sealed with it.';

CREATE TABLE users (
    id             uuid PRIMARY KEY,
    email          text NOT NULL,
    name           text NOT NULL,
    password_hash  text NOT NULL,
    created_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
COMMENT ON TABLE users IS 'People. Not a tenant''s table: one person can be a member of several tenants. Only the operator role reads it.';

CREATE TABLE sessions (
    token_hash    bytea PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    created_at    timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    user_agent    text NOT NULL DEFAULT '',
    ip            text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_user ON sessions (user_id);
COMMENT ON TABLE sessions IS 'Signed-in browsers. Looked up by the hash of the cookie before any tenant is known, so only the operator role reads it.';

CREATE TABLE members (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email       text NOT NULL,
    name        text NOT NULL,
    role        text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'finance', 'viewer')),
    created_at  timestamptz NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE invitations (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id           uuid NOT NULL,
    email        text NOT NULL,
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'finance', 'viewer')),
    token_hash   bytea NOT NULL,
    invited_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX invitations_token ON invitations (tenant_id, token_hash);

CREATE TABLE api_keys (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id            uuid NOT NULL,
    name          text NOT NULL,
    key_hash      bytea NOT NULL,
    last_four     text NOT NULL,
    scopes        text[] NOT NULL,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    version       bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (tenant_id, key_hash);
CREATE INDEX api_keys_lookup ON api_keys (key_hash);
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the whole key; the key itself is shown once and kept nowhere.';

CREATE TABLE secrets (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL,
    sealed      bytea NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE secrets IS 'What ${NAME} in a service document stands for, sealed; associated data are tenant and name.';

CREATE TABLE audit_log (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    seq         bigint NOT NULL,
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
    hash        bytea NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX audit_log_subject ON audit_log (tenant_id, subject, seq);
COMMENT ON TABLE audit_log IS 'What people and keys did, as a hash chain per tenant: hash = SHA-256(prev_hash, entry). Rows are only ever added. detail is json, not jsonb, because the hash covers its very text.';

CREATE TABLE audit_heads (
    tenant_id   uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    seq         bigint NOT NULL,
    hash        bytea NOT NULL
);
COMMENT ON TABLE audit_heads IS 'The end of each tenant''s audit log. Its row lock puts the entries in order, and without it nobody could see that the last ones were dropped.';

CREATE TABLE idempotency_keys (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    status       int,
    header       jsonb,
    body         bytea,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
COMMENT ON COLUMN idempotency_keys.status IS 'The first answer''s status; null while the first request is still running.';

CREATE TABLE events (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL,
    type        text NOT NULL,
    service_id  uuid,
    data        jsonb NOT NULL,
    PRIMARY KEY (tenant_id, xid, id)
);
CREATE INDEX events_age ON events (at);
COMMENT ON TABLE events IS 'What browsers and programs are told live. Read in the order (xid, id) below the oldest running transaction, so that an event committed late is not skipped. Kept for an hour.';

-- Row-level security: forced, so that even the owner is bound. The same policy on every tenant table.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['members', 'invitations', 'api_keys', 'secrets', 'audit_log', 'audit_heads', 'idempotency_keys', 'events'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
REVOKE UPDATE, DELETE ON audit_log FROM syncline_app;
REVOKE DELETE ON audit_heads FROM syncline_app;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO syncline_app USING (id = current_tenant()) WITH CHECK (id = current_tenant());
GRANT SELECT, UPDATE ON tenants TO syncline_app;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;

-- The operator role: signing up and in, and looking keys up, before a tenant is known.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['tenants', 'users', 'sessions', 'members', 'invitations', 'api_keys', 'events', 'idempotency_keys'] LOOP
        EXECUTE format('CREATE POLICY operator ON %I TO syncline_operator USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON tenants, users, members TO syncline_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO syncline_operator;
GRANT SELECT, UPDATE ON invitations, api_keys TO syncline_operator;
GRANT SELECT, DELETE ON events, idempotency_keys TO syncline_operator;
