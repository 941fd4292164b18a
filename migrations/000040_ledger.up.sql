-- The ledger in monthly partitions, its keys apart from it, and sums that are kept with it.
--
-- A key must be unique over all partitions, and PostgreSQL keeps unique only what holds the column that partitions are made by. The
-- same fact may come again at another time (use of a system is one event for a quarter of an hour, whenever in it), so time cannot
-- be part of the key: keys are a table of their own, and an event is added in the statement that took its key.

ALTER TABLE usage_events NO FORCE ROW LEVEL SECURITY; -- or its owner would see none of the rows to be moved
ALTER TABLE usage_events DISABLE ROW LEVEL SECURITY;
ALTER TABLE usage_events RENAME TO usage_events_before;
ALTER TABLE usage_events_before DROP CONSTRAINT usage_events_pkey;
DROP INDEX usage_events_period;

CREATE TABLE usage_keys (
    tenant_id  uuid NOT NULL,
    key        text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
COMMENT ON TABLE usage_keys IS 'The key of every usage event there ever was; whoever adds it here may add the event (invariant 6).';

CREATE TABLE usage_events (
    tenant_id   uuid NOT NULL,
    meter       text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    key         text COLLATE "C" NOT NULL,
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
    PRIMARY KEY (tenant_id, meter, at, key),
    CHECK (quantity > 0 OR (meter = 'records' AND quantity < 0)),
    CHECK (since IS NULL OR (meter = 'records' AND quantity = 1))
) PARTITION BY RANGE (at);
COMMENT ON TABLE usage_events IS 'The ledger: counted facts, each with a key of its own so that it counts once (invariant 6). Only ever added to; it outlives the service. A partition a month, made ahead by add_usage_partition; what has none is kept in usage_events_rest.';
COMMENT ON COLUMN usage_events.ref IS 'The attempt whose journal entries, those with the same part, are the operations counted here.';
COMMENT ON COLUMN usage_events.since IS 'Of a revived record: when it had been deleted. A record that dies and comes back within one period counts once.';

CREATE TABLE usage_events_rest PARTITION OF usage_events DEFAULT;

-- Sums of the ledger by a quarter of an hour. Every offset of the time zone database since 1973 is a multiple of it, so that no
-- quarter reaches over the start of a day or a month anywhere.
CREATE TABLE usage_rollups (
    tenant_id   uuid NOT NULL,
    meter       text COLLATE "C" NOT NULL,
    slot        timestamptz NOT NULL,
    service_id  uuid NOT NULL,
    system      text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    data_class  text COLLATE "C" NOT NULL,
    realtime    boolean NOT NULL,
    complex     boolean NOT NULL,
    premium     boolean NOT NULL,
    since       timestamptz NOT NULL,
    units       bigint NOT NULL,
    PRIMARY KEY (tenant_id, meter, slot, service_id, system, object, data_class, realtime, complex, premium, since)
);
COMMENT ON TABLE usage_rollups IS 'What the ledger comes to: the sum of these and of usage_deltas is that of the events, in every snapshot.';
COMMENT ON COLUMN usage_rollups.slot IS 'The quarter of an hour that the events fall in. Of deaths (records, negative) the first that begins when they have died or later: a record that died exactly when a month began was not live in it.';
COMMENT ON COLUMN usage_rollups.since IS 'Of revivals: the first quarter of an hour that begins when they had died or later. Of deaths infinity, of everything else -infinity.';

CREATE TABLE usage_deltas (
    tenant_id   uuid NOT NULL,
    id          bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    meter       text COLLATE "C" NOT NULL,
    slot        timestamptz NOT NULL,
    service_id  uuid NOT NULL,
    system      text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    data_class  text COLLATE "C" NOT NULL,
    realtime    boolean NOT NULL,
    complex     boolean NOT NULL,
    premium     boolean NOT NULL,
    since       timestamptz NOT NULL,
    units       bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE usage_deltas IS 'What events added since it was last put into usage_rollups, written with them and therefore never in anybody''s way. Moving it on is deleting it there and adding it here in one statement.';

CREATE FUNCTION usage_slot(quantity bigint, at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', CASE WHEN quantity < 0 THEN at + interval '14 minutes 59.999999 seconds' ELSE at END, '2000-01-01 00:00:00+00');
COMMENT ON FUNCTION usage_slot(bigint, timestamptz) IS 'The quarter of an hour that an event is summed up in, by its beginning: usage_rollups.slot.';
CREATE FUNCTION usage_since(quantity bigint, since timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN quantity < 0 THEN 'infinity' ELSE coalesce(date_bin('15 minutes', since + interval '14 minutes 59.999999 seconds', '2000-01-01 00:00:00+00'), '-infinity') END;
COMMENT ON FUNCTION usage_since(bigint, timestamptz) IS 'Which records an event is about: usage_rollups.since.';

INSERT INTO usage_keys SELECT tenant_id, key FROM usage_events_before;
INSERT INTO usage_rollups
SELECT tenant_id, meter, usage_slot(quantity, at),
       service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
FROM usage_events_before GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
INSERT INTO usage_events (tenant_id, meter, at, key, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since)
SELECT tenant_id, meter, at, key, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since FROM usage_events_before;
DROP TABLE usage_events_before;

-- Whoever adds events adds to the sums, by whatever statement.
CREATE FUNCTION sum_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_deltas (tenant_id, meter, slot, service_id, system, object, data_class, realtime, complex, premium, since, units)
    SELECT tenant_id, meter, usage_slot(quantity, at),
           service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
    FROM added GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
    RETURN NULL;
END
$$;
CREATE TRIGGER sum_usage AFTER INSERT ON usage_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_usage();

CREATE FUNCTION add_usage_partition(month date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name   text := 'usage_events_' || to_char(month, 'YYYYMM');
    first  timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    next   timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    LOCK TABLE usage_events IN SHARE UPDATE EXCLUSIVE MODE; -- one at a time; nobody who meters waits for it
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE usage_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    -- What came before its partition. Nobody but the program's role has a policy, not even the owner.
    ALTER TABLE usage_events_rest NO FORCE ROW LEVEL SECURITY;
    EXECUTE format('WITH moved AS (DELETE FROM usage_events_rest WHERE at >= %L AND at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved', first, next, name);
    ALTER TABLE usage_events_rest FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', name);
    EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, next);
    RETURN true;
END
$$;
COMMENT ON FUNCTION add_usage_partition(date) IS 'Makes the ledger''s partition of the month (in UTC) unless it is there, and moves into it what had come before it. It is made apart and then attached, which stops nobody who meters: only usage_events_rest is locked. For the owner.';
REVOKE EXECUTE ON FUNCTION add_usage_partition(date) FROM PUBLIC;

DO $$
DECLARE
    month date;
BEGIN
    FOREACH month IN ARRAY ARRAY(
        SELECT generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months', '1 month')::date
        UNION SELECT date_trunc('month', slot AT TIME ZONE 'UTC')::date FROM usage_rollups
        ORDER BY 1) LOOP
        PERFORM add_usage_partition(month);
    END LOOP;
END
$$;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['usage_keys', 'usage_events', 'usage_events_rest', 'usage_rollups', 'usage_deltas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END
$$;
-- Nothing on partitions: they are reached through usage_events alone.
GRANT SELECT, INSERT ON usage_keys, usage_events TO syncline_app;
GRANT SELECT, INSERT, UPDATE ON usage_rollups TO syncline_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_deltas TO syncline_app;

-- Looking across tenants for those whose sums are to be moved on.
CREATE POLICY operator ON usage_deltas TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT ON usage_deltas TO syncline_operator;
