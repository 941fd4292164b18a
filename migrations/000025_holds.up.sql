-- The brake: changes that are larger than anybody meant are kept here until a person says whether they may go on.

CREATE TABLE holds (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    collection  text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('deletes', 'absent', 'changes', 'values')),
    state       text NOT NULL CHECK (state IN ('gathering', 'open', 'released', 'rejected', 'settled', 'alerted')),
    reason      text NOT NULL,
    opened_at   timestamptz NOT NULL,
    decided_at  timestamptz,
    decided_by  text NOT NULL DEFAULT '',
    note        text NOT NULL DEFAULT '',
    restore     boolean NOT NULL DEFAULT false,
    total       bigint NOT NULL DEFAULT 0,
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE UNIQUE INDEX holds_open ON holds (tenant_id, service_id, system, object, kind) WHERE state IN ('gathering', 'open');
CREATE INDEX holds_service ON holds (tenant_id, service_id, state, id);
COMMENT ON TABLE holds IS 'Questions to people: may these changes of one object go on? One open question of each kind.';
COMMENT ON COLUMN holds.state IS 'gathering: the reading that shows what is missing is not at its end; open: waits for a person; released, rejected: decided, the engine is at it; settled: nothing is held any more; alerted: the document only wants to be told.';
COMMENT ON COLUMN holds.restore IS 'Of a rejected one: the system is brought back to what the others hold; otherwise it keeps what it has.';
COMMENT ON COLUMN holds.total IS 'How many changes were held when a person decided.';

CREATE TABLE held_changes (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    key         text NOT NULL,
    hold_id     uuid NOT NULL,
    entity_id   uuid,
    title       text NOT NULL DEFAULT '',
    op          text NOT NULL CHECK (op IN ('upsert', 'delete')),
    absent      boolean NOT NULL DEFAULT false,
    fields      jsonb,
    record_version text NOT NULL DEFAULT '',
    at          timestamptz,
    why         text NOT NULL DEFAULT '',
    before      jsonb,
    after       jsonb,
    held_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id, system, object, key),
    FOREIGN KEY (tenant_id, hold_id) REFERENCES holds ON DELETE CASCADE
);
CREATE INDEX held_changes_hold ON held_changes (tenant_id, hold_id, key);
COMMENT ON TABLE held_changes IS 'Changes as they were read, the latest of each record. Neither the entity nor any other system knows of them; the cursor has moved on, so this is where they are (invariant 2).';

CREATE TABLE brakes (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    since       timestamptz NOT NULL,
    run_id      uuid,
    deletes     bigint NOT NULL DEFAULT 0,
    changes     bigint NOT NULL DEFAULT 0,
    created     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, service_id, system, object),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE brakes IS 'How much each object changed in this run or, for a realtime service, since the time. Only what a limit could be about is counted.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['holds', 'held_changes', 'brakes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
