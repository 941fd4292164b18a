-- The two roles the program works as. Whoever migrates must be allowed to create them and to act as them.
--
-- syncline_app       every statement on behalf of one tenant; row-level security binds it (invariant 7)
-- syncline_operator  the few named statements across tenants: signing in, the scheduler's tick, workers
--
-- Roles belong to the whole cluster, so another database may have made them already, even at this very moment.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['syncline_app', 'syncline_operator'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', role_name, current_user);
        END IF;
    END LOOP;
END
$$;

-- Before PostgreSQL 15 everybody may make things in public.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO syncline_app, syncline_operator;

CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('syncline.tenant_id', true), '')::uuid;
COMMENT ON FUNCTION current_tenant() IS
    'The tenant bound to this transaction by SET LOCAL syncline.tenant_id, or null. A pooled connection that was bound before reads as empty text, hence nullif.';
