DROP FUNCTION current_tenant();
-- The roles stay: other databases of the cluster may use them.
REVOKE USAGE ON SCHEMA public FROM syncline_app, syncline_operator;
