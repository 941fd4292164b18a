-- The ledger in partitions by the time that is in an event's key, so that a key is unique without a table of keys beside it,
-- which cost as much to write as the ledger.
--
-- Keys are made of ids and times that are the same whenever the event comes again: an attempt, a commit, a quarter of an hour. That
-- time, not when the fact became true, says which partition an event is in; as it is a function of the key, two rows with one
-- key would be in one partition, where the primary key forbids them. billing.KeyTime is the same in the program.

CREATE FUNCTION usage_kept(key text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    id text := substring(key FROM '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}');
BEGIN
    IF key LIKE 'int:%' AND right(key, 14) ~ '^:\d{8}T\d{4}$' THEN
        RETURN make_timestamptz(substr(right(key, 13), 1, 4)::int, substr(right(key, 13), 5, 2)::int, substr(right(key, 13), 7, 2)::int,
            substr(right(key, 13), 10, 2)::int, substr(right(key, 13), 12, 2)::int, 0, 'UTC');
    END IF;
    RETURN coalesce('epoch'::timestamptz + ('x' || substr(replace(id, '-', ''), 1, 12))::bit(48)::bigint * interval '1 millisecond', 'epoch');
END
$$;
COMMENT ON FUNCTION usage_kept(text) IS 'The time in the key of a usage event: usage_events.kept. The epoch for a key without any.';

CREATE TABLE usage_events_new (
    tenant_id   uuid NOT NULL,
    key         text COLLATE "C" NOT NULL,
    kept        timestamptz NOT NULL DEFAULT 'epoch',
    meter       text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    service_id  uuid NOT NULL,
    system      text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL DEFAULT '',
    data_class  text COLLATE "C" NOT NULL DEFAULT '',
    quantity    bigint NOT NULL,
    realtime    boolean NOT NULL DEFAULT false,
    complex     boolean NOT NULL DEFAULT false,
    premium     boolean NOT NULL DEFAULT false,
    ref         uuid,
    part        smallint NOT NULL DEFAULT 0,
    since       timestamptz,
    CONSTRAINT usage_events_quantity CHECK (quantity > 0 OR (meter = 'records' AND quantity < 0)),
    CONSTRAINT usage_events_since CHECK (since IS NULL OR (meter = 'records' AND quantity = 1))
) PARTITION BY RANGE (kept);
CREATE TABLE usage_events_new_rest PARTITION OF usage_events_new DEFAULT;

ALTER TABLE usage_events NO FORCE ROW LEVEL SECURITY; -- or its owner would see none of the rows to be moved
ALTER TABLE usage_events DISABLE ROW LEVEL SECURITY;
INSERT INTO usage_events_new (tenant_id, key, kept, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since)
SELECT tenant_id, key, usage_kept(key), meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since FROM usage_events;
DROP TABLE usage_events_rest, usage_events, usage_keys;
ALTER TABLE usage_events_new RENAME TO usage_events;
ALTER TABLE usage_events_new_rest RENAME TO usage_events_rest;
ALTER TABLE usage_events ADD CONSTRAINT usage_events_pkey PRIMARY KEY (tenant_id, key, kept);
CREATE INDEX usage_events_period ON usage_events (tenant_id, meter, at);
COMMENT ON TABLE usage_events IS 'The ledger: counted facts, each with a key of its own so that it counts once (invariant 6). Only ever added to; it outlives the service. A partition a month, made ahead by add_usage_partition; what has none is kept in usage_events_rest.';
COMMENT ON COLUMN usage_events.kept IS 'The time in the key, usage_kept(key): by it, not by when the fact became true, the ledger is partitioned, so that one key has one partition.';
COMMENT ON COLUMN usage_events.at IS 'When the fact became true; the month that it is charged in.';
COMMENT ON COLUMN usage_events.ref IS 'The attempt whose journal entries, those with the same part, are the operations counted here.';
COMMENT ON COLUMN usage_events.since IS 'Of a revived record: when it had been deleted. A record that dies and comes back within one period counts once.';

-- The functions that every event goes through can be put into the statements that use them only without an addition of times, which is
-- not the same in every zone. So deaths are summed up by quarters that end when the others begin, and a quarter of theirs by its first
-- microsecond.
DROP FUNCTION usage_slot(bigint, timestamptz), usage_since(bigint, timestamptz);
CREATE FUNCTION usage_slot(quantity bigint, at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', at, CASE WHEN quantity < 0 THEN '2000-01-01 00:00:00.000001+00'::timestamptz ELSE '2000-01-01 00:00:00+00'::timestamptz END);
COMMENT ON FUNCTION usage_slot(bigint, timestamptz) IS 'The quarter of an hour that an event is summed up in, by its first moment: usage_rollups.slot.';
CREATE FUNCTION usage_since(quantity bigint, since timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN quantity < 0 THEN 'infinity'::timestamptz ELSE coalesce(date_bin('15 minutes', since, '2000-01-01 00:00:00.000001+00'::timestamptz), '-infinity'::timestamptz) END;
COMMENT ON FUNCTION usage_since(bigint, timestamptz) IS 'Which records an event is about: usage_rollups.since.';
COMMENT ON COLUMN usage_rollups.slot IS 'The first moment of the quarter of an hour that the events fall in. Of deaths (records, negative) quarters begin a microsecond after the others: a record that died exactly when a month began was not live in it.';
COMMENT ON COLUMN usage_rollups.since IS 'Of revivals: the first moment of the quarter that they had died in, as a death has it. Of deaths infinity, of everything else -infinity.';
ALTER TABLE usage_rollups NO FORCE ROW LEVEL SECURITY;
TRUNCATE usage_rollups, usage_deltas;
INSERT INTO usage_rollups
SELECT tenant_id, meter, usage_slot(quantity, at), service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
ALTER TABLE usage_rollups FORCE ROW LEVEL SECURITY;

-- Whoever adds events adds to the sums, by whatever statement. Its plan is kept: the program has every other made anew.
CREATE OR REPLACE FUNCTION sum_usage() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO usage_deltas (tenant_id, meter, slot, service_id, system, object, data_class, realtime, complex, premium, since, units)
    SELECT tenant_id, meter, usage_slot(quantity, at), service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
    FROM added GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
    RETURN NULL;
END
$$;
CREATE TRIGGER sum_usage AFTER INSERT ON usage_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_usage();

CREATE OR REPLACE FUNCTION add_usage_partition(month date) RETURNS boolean LANGUAGE plpgsql AS $$
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
    EXECUTE format('WITH moved AS (DELETE FROM usage_events_rest WHERE kept >= %L AND kept < %L RETURNING *) INSERT INTO %I SELECT * FROM moved', first, next, name);
    ALTER TABLE usage_events_rest FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', name);
    EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, next);
    RETURN true;
END
$$;

DO $$
DECLARE
    month date;
    t text;
BEGIN
    FOREACH month IN ARRAY ARRAY(
        SELECT generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months', '1 month')::date
        UNION SELECT date_trunc('month', kept AT TIME ZONE 'UTC')::date FROM usage_events WHERE kept > 'epoch'
        ORDER BY 1) LOOP
        PERFORM add_usage_partition(month);
    END LOOP;
    -- The tenant is looked up once for a statement, not for each row: a month has millions.
    DROP POLICY tenant ON usage_rollups;
    DROP POLICY tenant ON usage_deltas;
    FOREACH t IN ARRAY ARRAY['usage_events', 'usage_events_rest', 'usage_rollups', 'usage_deltas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON usage_events TO syncline_app;
