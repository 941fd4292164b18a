-- The tenant is looked up once for a statement that goes over a page of records, not for each row and each look into an index: the
-- setting's text is read and parsed each time. The rule is the same.

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['entities', 'links', 'journal', 'deliveries', 'attempts', 'entity_references'] LOOP
        EXECUTE format('DROP POLICY tenant ON %I', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
    END LOOP;
END
$$;

-- An entity's history, in the order of time. Ids of entities are unique by themselves; tenant and service in front of them made each
-- entry nearly twice as large and each comparison three, in the index with the most entries of all. Row-level security looks at the rows.
DROP INDEX journal_entity;
CREATE INDEX journal_entity ON journal (entity_id, id);
