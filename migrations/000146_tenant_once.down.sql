DROP INDEX journal_entity;
CREATE INDEX journal_entity ON journal (tenant_id, service_id, entity_id, id);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['entities', 'links', 'journal', 'deliveries', 'attempts', 'entity_references'] LOOP
        EXECUTE format('DROP POLICY tenant ON %I', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END
$$;
