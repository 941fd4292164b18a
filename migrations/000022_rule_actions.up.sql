-- What business rules did, and what waits for somebody's yes or no.

CREATE TABLE rule_actions (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    service_id  uuid NOT NULL,
    entity_id   uuid NOT NULL,
    collection  text NOT NULL,
    title       text NOT NULL DEFAULT '',
    rule        text NOT NULL,
    action      text NOT NULL,
    system      text NOT NULL,
    state       text NOT NULL CHECK (state IN ('done', 'open', 'approved', 'rejected', 'lapsed')),
    fields      jsonb,
    options     jsonb,
    other_id    uuid,
    at          timestamptz NOT NULL,
    decided_at  timestamptz,
    decided_by  text NOT NULL DEFAULT '',
    reason      text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE INDEX rule_actions_service ON rule_actions (tenant_id, service_id, state, id);
CREATE UNIQUE INDEX rule_actions_open ON rule_actions (tenant_id, service_id, entity_id, rule) WHERE state = 'open';
COMMENT ON TABLE rule_actions IS 'One row each time that a record came to meet a business rule.';
COMMENT ON COLUMN rule_actions.state IS 'done: noted, for people and for what takes it up. open: waits for a person. lapsed: the record no longer meets the rule.';
COMMENT ON COLUMN rule_actions.fields IS 'The record as it was when it came to meet the rule.';
COMMENT ON COLUMN rule_actions.options IS 'What the rule''s `with` says.';
COMMENT ON COLUMN rule_actions.other_id IS 'The record that this one repeats.';

CREATE TABLE rule_seen (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    rule        text NOT NULL,
    key         text NOT NULL,
    entity_id   uuid NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id, rule, key, entity_id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE rule_seen IS 'What duplicate checks within a window compare: which record had these values when.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['rule_actions', 'rule_seen'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
