-- The data under management: entities, links with their shadows, what is owed, the journal, conflicts, dead letters.
-- Everything here is written set-based, so rows are narrow and indexes few.
-- The tables with a row per record have no foreign key to services: a service is archived, never deleted while they hold
-- its data, and a check per row would cost as much as the row.

CREATE TABLE cursors (
    tenant_id      uuid NOT NULL,
    service_id     uuid NOT NULL,
    system         text NOT NULL,
    object         text NOT NULL,
    cursor         bytea,
    phase          text NOT NULL DEFAULT 'snapshot' CHECK (phase IN ('snapshot', 'stream')),
    done           bigint NOT NULL DEFAULT 0,
    total          bigint NOT NULL DEFAULT 0,
    detection      text NOT NULL DEFAULT '',
    detection_why  text NOT NULL DEFAULT '',
    read_at        timestamptz,
    changed_at     timestamptz,
    failing_since  timestamptz,
    error_code     text NOT NULL DEFAULT '',
    error          text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, service_id, system, object),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
COMMENT ON TABLE cursors IS 'Where reading each object stands. The cursor moves only in the commit that stores what it covers (invariant 1).';
COMMENT ON COLUMN cursors.done IS 'Records read in the snapshot so far, of about total.';

CREATE TABLE entities (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    id          uuid NOT NULL,
    collection  text NOT NULL,
    match_key   text,
    fields      jsonb NOT NULL,
    stamps      jsonb,
    held        text[],
    origin      text NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    deleted_at  timestamptz,
    PRIMARY KEY (tenant_id, service_id, id)
) WITH (fillfactor = 85);
CREATE INDEX entities_match ON entities (tenant_id, service_id, collection, match_key) WHERE match_key IS NOT NULL;
COMMENT ON COLUMN entities.match_key IS 'The values of the match fields as one text; records with the same one are the same thing.';
COMMENT ON COLUMN entities.stamps IS 'Per field who changed it last and when, {"phone": {"s": "crm", "t": "2026-..."}}, for fields changed after the entity was made; all others came from origin at created_at.';
COMMENT ON COLUMN entities.held IS 'Fields with an open conflict: they are not sent anywhere until somebody decides.';

CREATE TABLE links (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    entity_id   uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL,
    key         text NOT NULL,
    state       text NOT NULL DEFAULT 'synced' CHECK (state IN ('synced', 'pending', 'conflict', 'rejected', 'frozen')),
    behind      jsonb,
    own_form    jsonb,
    version     text NOT NULL DEFAULT '',
    synced_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, service_id, entity_id, system)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX links_key ON links (tenant_id, service_id, system, object, key);
COMMENT ON TABLE links IS 'Which record of a system is a copy of which entity; at most one per system.';
COMMENT ON COLUMN links.behind IS 'The shadow where it differs because the entity moved on: field -> the value the system still holds. Shadow = entity fields, overlaid by own_form, overlaid by behind. A system that changes a field listed here changes it at the same time as another did: a conflict.';
COMMENT ON COLUMN links.own_form IS 'Fields that the system holds in its own form of the entity''s value (rounded, trimmed, normalised) and that count as equal.';

CREATE TABLE deliveries (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    collection  text NOT NULL,
    entity_id   uuid NOT NULL,
    since       timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    tries       int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, service_id, system, entity_id)
);
COMMENT ON TABLE deliveries IS 'The duty to bring a system up to date with an entity; one at a time, whatever happened since (bursts coalesce). A row goes when the duty is settled.';

CREATE TABLE attempts (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    id          uuid NOT NULL,
    system      text NOT NULL,
    collection  text NOT NULL,
    entity_ids  uuid[] NOT NULL,
    started_at  timestamptz NOT NULL,
    lost        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, service_id, id)
);
COMMENT ON TABLE attempts IS 'Duties being carried out right now, a batch a row: written in the commit that causes them, removed by the one that settles them. What a crash leaves here is found out about before the system is read or written again.';
COMMENT ON COLUMN attempts.lost IS 'It was cut short: the system may have been written or not.';

CREATE TABLE journal (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    service_id  uuid NOT NULL,
    entity_id   uuid NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('change', 'delivery', 'decision')),
    op          text NOT NULL CHECK (op IN ('create', 'update', 'delete', 'link', 'unlink')),
    system      text NOT NULL,
    actor       text NOT NULL DEFAULT '',
    cause       uuid,
    part        smallint NOT NULL DEFAULT 0,
    before      jsonb,
    after       jsonb,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX journal_entity ON journal (tenant_id, service_id, entity_id, id);
CREATE INDEX journal_cause ON journal (tenant_id, cause) WHERE kind = 'delivery';
COMMENT ON TABLE journal IS 'What happened to each entity: a change that came in, a delivery that was applied, a person''s decision. Ids are in the order of time. Only ever added to.';
COMMENT ON COLUMN journal.cause IS 'The run, attempt or conflict that brought it about.';
COMMENT ON COLUMN journal.part IS 'Of a delivery: which usage event of the attempt counts it (usage_events.ref = cause and the same part).';
COMMENT ON INDEX journal_cause IS 'Opens an invoice line into the single operations.';
COMMENT ON COLUMN journal.before IS 'The changed fields as they were; null for a creation. After: as they became; null for a deletion.';

CREATE TABLE conflicts (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    service_id   uuid NOT NULL,
    entity_id    uuid NOT NULL,
    collection   text NOT NULL,
    field        text NOT NULL,
    base         jsonb,
    sides        jsonb NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'resolved')),
    strategy     text NOT NULL,
    winner       text NOT NULL DEFAULT '',
    result       jsonb,
    reason       text NOT NULL DEFAULT '',
    decided_by   text NOT NULL DEFAULT '',
    opened_at    timestamptz NOT NULL,
    resolved_at  timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE UNIQUE INDEX conflicts_open ON conflicts (tenant_id, service_id, entity_id, field) WHERE state = 'open';
CREATE INDEX conflicts_service ON conflicts (tenant_id, service_id, state, id);
COMMENT ON COLUMN conflicts.field IS 'The entity''s field; empty when one side deleted the record and another changed it.';
COMMENT ON COLUMN conflicts.sides IS 'Who holds what: [{"system", "value", "at", "seenAt", "deleted"}], the entity''s value first.';

CREATE TABLE dead_letters (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    service_id   uuid NOT NULL,
    direction    text NOT NULL CHECK (direction IN ('in', 'out')),
    system       text NOT NULL,
    object       text NOT NULL,
    key          text NOT NULL DEFAULT '',
    entity_id    uuid,
    op           text NOT NULL CHECK (op IN ('upsert', 'delete')),
    code         text NOT NULL,
    message      text NOT NULL,
    payload      jsonb,
    tries        int NOT NULL DEFAULT 1,
    state        text NOT NULL CHECK (state IN ('open', 'redriven', 'discarded', 'settled')),
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    decided_by   text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    version      bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, service_id) REFERENCES services ON DELETE CASCADE
);
CREATE UNIQUE INDEX dead_letters_open_in ON dead_letters (tenant_id, service_id, system, object, key) WHERE state = 'open' AND direction = 'in';
CREATE UNIQUE INDEX dead_letters_open_out ON dead_letters (tenant_id, service_id, system, entity_id) WHERE state = 'open' AND direction = 'out';
CREATE INDEX dead_letters_service ON dead_letters (tenant_id, service_id, state, id);
COMMENT ON TABLE dead_letters IS 'Changes that could not be taken in or sent out, waiting for a person (invariant 2).';

CREATE TABLE counters (
    tenant_id   uuid NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    minute      timestamptz NOT NULL,
    read        bigint NOT NULL DEFAULT 0,
    equal       bigint NOT NULL DEFAULT 0,
    created     bigint NOT NULL DEFAULT 0,
    updated     bigint NOT NULL DEFAULT 0,
    deleted     bigint NOT NULL DEFAULT 0,
    conflicts   bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    lag_ms      bigint NOT NULL DEFAULT 0,
    lag_max_ms  bigint NOT NULL DEFAULT 0,
    lag_count   bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, service_id, system, minute)
);
COMMENT ON TABLE counters IS 'Work per system and minute, counted in the commits that did it. created, updated and deleted are what was applied to the system; lag is from the change at its origin to the receipt here.';

CREATE TABLE usage_events (
    tenant_id   uuid NOT NULL,
    key         text NOT NULL,
    meter       text NOT NULL,
    at          timestamptz NOT NULL,
    service_id  uuid NOT NULL,
    system      text NOT NULL,
    object      text NOT NULL DEFAULT '',
    data_class  text NOT NULL DEFAULT '',
    quantity    bigint NOT NULL,
    realtime    boolean NOT NULL DEFAULT false,
    complex     boolean NOT NULL DEFAULT false,
    premium     boolean NOT NULL DEFAULT false,
    ref         uuid,
    part        smallint NOT NULL DEFAULT 0,
    since       timestamptz,
    PRIMARY KEY (tenant_id, key),
    CHECK (quantity > 0 OR (meter = 'records' AND quantity < 0)),
    CHECK (since IS NULL OR (meter = 'records' AND quantity = 1)),
    FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX usage_events_period ON usage_events (tenant_id, meter, at);
COMMENT ON TABLE usage_events IS 'The ledger: counted facts, each with a key of its own so that it counts once (invariant 6). Only ever added to; it outlives the service.';
COMMENT ON COLUMN usage_events.ref IS 'The attempt whose journal entries, those with the same part, are the operations counted here.';
COMMENT ON COLUMN usage_events.since IS 'Of a revived record: when it had been deleted. A record that dies and comes back within one period counts once.';

CREATE TABLE invoices (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    state         text NOT NULL CHECK (state IN ('draft', 'open', 'paid', 'void', 'uncollectible')),
    period        text NOT NULL CHECK (period ~ '^\d{4}-\d{2}$'),
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL,
    time_zone     text NOT NULL,
    plan          text NOT NULL,
    plan_version  int NOT NULL,
    currency      text NOT NULL,
    total         numeric(20, 2) NOT NULL,
    computed_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    version       bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE UNIQUE INDEX invoices_period ON invoices (tenant_id, period) WHERE state <> 'void';
COMMENT ON COLUMN invoices.period IS 'The calendar month in the tenant''s time zone, "2026-11". It identifies the period, because the instants move when the tenant changes the zone.';
COMMENT ON COLUMN invoices.plan IS 'The rate card, with its version, that the lines were rated by.';

CREATE TABLE invoice_lines (
    tenant_id    uuid NOT NULL,
    invoice_id   uuid NOT NULL,
    number       int NOT NULL,
    price        text NOT NULL,
    meter        text NOT NULL,
    description  text NOT NULL,
    quantity     bigint NOT NULL,
    amount       numeric(20, 2) NOT NULL,
    charged      boolean NOT NULL,
    explanation  jsonb NOT NULL,
    selector     jsonb NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, number),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices ON DELETE CASCADE
);
COMMENT ON COLUMN invoice_lines.charged IS 'False for usage shown for information; its amount is 0.';
COMMENT ON COLUMN invoice_lines.selector IS 'Which usage events the line is made of: the filter that opens it into its operations.';

-- The planner multiplies the shares of tenant and service, as if they had nothing to do with each other, and gives a tenant
-- it never met no share at all. It then believes that a service has one row, and reads all of its rows again for each key.
-- A fixed, small number of distinct values keeps it looking for the index that has the key.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM (VALUES
        ('entities', 'tenant_id', 4), ('entities', 'service_id', 4), ('entities', 'collection', 2),
        ('links', 'tenant_id', 4), ('links', 'service_id', 4), ('links', 'system', 2), ('links', 'object', 2),
        ('deliveries', 'tenant_id', 4), ('deliveries', 'service_id', 4), ('deliveries', 'system', 2), ('deliveries', 'collection', 2),
        ('journal', 'tenant_id', 4), ('journal', 'service_id', 4)) AS v (of, name, distinct_values)
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 1', c.of, c.name);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET (n_distinct = %s)', c.of, c.name, c.distinct_values);
    END LOOP;
END
$$;

-- Statistics before the first record, so that the above holds before the first autovacuum, too: the tables are filled with rows of the usual shape (20 tenants with 2 services of 2 systems), looked at, and emptied; what
-- was learnt stays.
INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT md5('t' || i % 20)::uuid, md5('s' || i % 40)::uuid, gen_random_uuid(), 'contacts', 'k' || i, '{}', 'a', now(), now() FROM generate_series(1, 2000) i;
INSERT INTO links (tenant_id, service_id, entity_id, system, object, key, synced_at)
SELECT tenant_id, service_id, id, s, 'contacts', match_key, now() FROM entities, unnest(ARRAY['a', 'b']) s;
INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT tenant_id, service_id, 'b', 'contacts', id, now(), now() FROM entities;
INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system)
SELECT tenant_id, gen_random_uuid(), service_id, id, now(), 'change', 'create', 'a' FROM entities;
ANALYZE entities, links, deliveries, journal;
TRUNCATE entities, links, deliveries, journal;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['cursors', 'entities', 'links', 'deliveries', 'attempts', 'journal', 'conflicts', 'dead_letters',
                             'counters', 'usage_events', 'invoices', 'invoice_lines'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO syncline_app', t);
    END LOOP;
END
$$;
REVOKE UPDATE ON journal, usage_events FROM syncline_app;
REVOKE DELETE ON usage_events FROM syncline_app;
