ALTER TABLE usage_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_events DISABLE ROW LEVEL SECURITY;
DROP INDEX usage_events_period;
ALTER TABLE usage_events DROP CONSTRAINT usage_events_pkey;
ALTER TABLE usage_events RENAME TO usage_events_new;
ALTER TABLE usage_events_rest RENAME TO usage_events_new_rest;

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

INSERT INTO usage_keys SELECT tenant_id, key FROM usage_events_new;
INSERT INTO usage_events (tenant_id, meter, at, key, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since)
SELECT tenant_id, meter, at, key, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since FROM usage_events_new;
DROP FUNCTION usage_slot(bigint, timestamptz), usage_since(bigint, timestamptz);
CREATE FUNCTION usage_slot(quantity bigint, at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', CASE WHEN quantity < 0 THEN at + interval '14 minutes 59.999999 seconds' ELSE at END, '2000-01-01 00:00:00+00');
COMMENT ON FUNCTION usage_slot(bigint, timestamptz) IS 'The quarter of an hour that an event is summed up in, by its beginning: usage_rollups.slot.';
CREATE FUNCTION usage_since(quantity bigint, since timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN quantity < 0 THEN 'infinity' ELSE coalesce(date_bin('15 minutes', since + interval '14 minutes 59.999999 seconds', '2000-01-01 00:00:00+00'), '-infinity') END;
COMMENT ON FUNCTION usage_since(bigint, timestamptz) IS 'Which records an event is about: usage_rollups.since.';
COMMENT ON COLUMN usage_rollups.slot IS 'The quarter of an hour that the events fall in. Of deaths (records, negative) the first that begins when they have died or later: a record that died exactly when a month began was not live in it.';
COMMENT ON COLUMN usage_rollups.since IS 'Of revivals: the first quarter of an hour that begins when they had died or later. Of deaths infinity, of everything else -infinity.';
ALTER TABLE usage_rollups NO FORCE ROW LEVEL SECURITY;
TRUNCATE usage_rollups, usage_deltas;
INSERT INTO usage_rollups
SELECT tenant_id, meter, usage_slot(quantity, at),
       service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
FROM usage_events_new GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
ALTER TABLE usage_rollups FORCE ROW LEVEL SECURITY;
DROP TABLE usage_events_new;
DROP FUNCTION usage_kept(text);

-- Whoever adds events adds to the sums, by whatever statement.
CREATE OR REPLACE FUNCTION sum_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_deltas (tenant_id, meter, slot, service_id, system, object, data_class, realtime, complex, premium, since, units)
    SELECT tenant_id, meter, usage_slot(quantity, at),
           service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since), sum(quantity)
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
    EXECUTE format('WITH moved AS (DELETE FROM usage_events_rest WHERE at >= %L AND at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved', first, next, name);
    ALTER TABLE usage_events_rest FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', name);
    EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, next);
    RETURN true;
END
$$;

DO $$
DECLARE
    month date;
BEGIN
    FOREACH month IN ARRAY ARRAY(
        SELECT generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months', '1 month')::date
        UNION SELECT date_trunc('month', at AT TIME ZONE 'UTC')::date FROM usage_events_rest
        ORDER BY 1) LOOP
        PERFORM add_usage_partition(month);
    END LOOP;
END
$$;

DO $$
DECLARE
    t text;
BEGIN
    DROP POLICY tenant ON usage_rollups;
    DROP POLICY tenant ON usage_deltas;
    FOREACH t IN ARRAY ARRAY['usage_keys', 'usage_events', 'usage_events_rest', 'usage_rollups', 'usage_deltas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END
$$;
-- Nothing on partitions: they are reached through usage_events alone.
GRANT SELECT, INSERT ON usage_keys, usage_events TO syncline_app;
