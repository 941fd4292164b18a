// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
)

// What database-trigger leaves in the source database:
//
//	syncline.relations             a row for each table with a log
//	syncline.consumers             who reads which log, and up to where it may be trimmed
//	syncline.changes_<oid>         the log: for each changed row its key, transaction, time and origin
//	syncline.writes                what was written last, see recall.go
//	syncline.note_<oid>() ...      what the triggers syncline_* on the table call
//
// A plain table gets triggers for each statement, which cost little with many rows. A partitioned table, or one that a
// subscription fills, gets triggers for each row: those for statements do not fire for rows written to a partition
// directly, or by logical replication.

// logVersion changes when logs of older programs are no longer good enough and must be made anew.
const logVersion = 1

// lockClass marks our advisory locks, see arm in watch.go: "SYNC" in ASCII.
const lockClass = 0x53594e43

// channel is what triggers notify.
const channel = "syncline_changes"

// ensureSchema does nothing to what is there: a role that was given the schema need not own it. It asks the catalog's table and
// not to_regnamespace, which answers from what the session remembers: who waited for the maker before it would still know of none.
// Opening the table makes the session hear what was committed meanwhile, also for the lines after this one.
const ensureSchema = `
IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'syncline') THEN
  CREATE SCHEMA syncline;
  COMMENT ON SCHEMA syncline IS 'Logs of changed rows, kept by Syncline. Removed with the last service that reads them.';
END IF;`

const makeSchema = `
DO $syncline$ BEGIN` + ensureSchema + `
IF to_regclass('syncline.relations') IS NULL THEN
  CREATE TABLE syncline.relations (
    relation oid PRIMARY KEY, name text NOT NULL, shape text NOT NULL, triggers int NOT NULL, notifies boolean NOT NULL,
    made xid8 NOT NULL DEFAULT pg_current_xact_id(), made_at timestamptz NOT NULL DEFAULT now(),
    floor xid8 NOT NULL DEFAULT '0');
  COMMENT ON COLUMN syncline.relations.floor IS 'Changes of transactions below may have been removed.';
  CREATE TABLE syncline.consumers (
    consumer text, relation oid REFERENCES syncline.relations ON DELETE CASCADE,
    acked xid8 NOT NULL, seen_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (consumer, relation));
  COMMENT ON COLUMN syncline.consumers.acked IS 'All changes of transactions below are safely stored by the consumer.';
END IF;
END $syncline$`

// shape is what the log of a table depends on; when it is not what was recorded, the log is made anew.
func (t *table) shape() string {
	var keys []string
	for _, k := range t.key {
		keys = append(keys, t.columns[k].name+" "+t.columns[k].native)
	}
	return fmt.Sprintf("%d|%s|%s", logVersion, strings.Join(keys, ", "), t.parts)
}

func (t *table) logName() string { return fmt.Sprintf("syncline.changes_%d", t.oid) }

// lockKey is the oid as the second part of an advisory lock.
func (t *table) lockKey() int32 { return int32(t.oid) }

// logKeys are the log's key columns: k1, k2, ...
func (t *table) logKeys(alias string) string {
	list := make([]string, len(t.key))
	for i := range t.key {
		list[i] = fmt.Sprintf("%sk%d", alias, i+1)
	}
	return strings.Join(list, ", ")
}

// sameKey is the condition that a row of the table has the key of a row with key columns k1, k2, ...
func (t *table) sameKey(table, keys string) string {
	list := make([]string, len(t.key))
	for i, k := range t.key {
		list[i] = fmt.Sprintf("%s.%s = %s.k%d", table, quote(t.columns[k].name), keys, i+1)
	}
	return strings.Join(list, " AND ")
}

// logHealth asks whether the log of $1 is there and its triggers are.
const logHealth = `
SELECT r.shape, r.made::text, r.triggers = (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = r.relation AND g.tgname ~ '^syncline_' AND g.tgenabled <> 'D')
FROM syncline.relations r WHERE r.relation = $1`

func missingRelation(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000")
}

func forbidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

// beginChangeLog makes the log if it is not there, registers the consumer, and only then takes the position. Somebody
// else may clean up at the same time, so it is tried again.
func (s *system) beginChangeLog(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	for range 5 {
		ok, err := s.tryBeginChangeLog(ctx, c, t, p)
		if ok || err != nil && !missingRelation(err) {
			return err
		}
	}
	return &connector.Error{Class: connector.Retry, Code: "postgresql.in_use", Message: fmt.Sprintf("The log of changes of %s is being made and removed by others at the same time; it will be tried again.", t.sql())}
}

func (s *system) tryBeginChangeLog(ctx context.Context, c *pgconn.PgConn, t *table, p *place) (ok bool, err error) {
	healthy := false
	err = statement{sql: logHealth, params: []param{t.id()}, row: func(v [][]byte) error {
		healthy = string(v[0]) == t.shape() && string(v[2]) == "t"
		return nil
	}}.run(ctx, c)
	if err != nil && !missingRelation(err) {
		return false, err
	}
	if healthy {
		err = inTransaction(ctx, c, func() error {
			return pipeline(ctx, c,
				statement{sql: fmt.Sprintf("SELECT pg_advisory_xact_lock_shared(%d, 0)", lockClass)}, // nobody cleans up meanwhile
				s.register(t))
		})
	} else {
		err = s.makeLog(ctx, c, t)
	}
	if err != nil {
		return false, err
	}
	// From here on the log keeps what is not visible now, because the consumer's place is committed.
	err = statement{sql: `SELECT pg_current_snapshot()::text, made::text FROM syncline.relations r WHERE relation = $1
	  AND EXISTS (SELECT 1 FROM syncline.consumers c WHERE c.relation = r.relation AND consumer = $2)`, params: []param{t.id(), text(s.consumer())}, row: func(v [][]byte) error {
		p.Seen, p.Made, ok = string(v[0]), string(v[1]), true
		return nil
	}}.run(ctx, c)
	return ok, err
}

// register makes the log keep what this consumer has not read.
func (s *system) register(t *table) statement {
	return statement{
		sql: `INSERT INTO syncline.consumers (consumer, relation, acked) SELECT $1, relation, pg_snapshot_xmin(pg_current_snapshot()) FROM syncline.relations WHERE relation = $2
		      ON CONFLICT (consumer, relation) DO UPDATE SET seen_at = now()`,
		params: []param{text(s.consumer()), t.id()},
	}
}

func (s *system) consumer() string {
	if s.env.Consumer == "" {
		return "unnamed"
	}
	return s.env.Consumer
}

// makeLog makes the log and the triggers in one transaction. It waits for those who are writing to the table right now,
// because their changes would not be logged; but not for long, because others wait behind us meanwhile.
func (s *system) makeLog(ctx context.Context, c *pgconn.PgConn, t *table) error {
	a, err := s.abilities(ctx, c, t)
	if err != nil {
		return err
	}
	facts := struct{ subscribed, rekeys, prepares bool }{}
	err = statement{sql: `SELECT EXISTS (SELECT 1 FROM pg_subscription_rel WHERE srrelid = $1),
	  EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgtype & 1 = 1 AND tgtype & 2 = 2 AND tgtype & 16 = 16),
	  current_setting('max_prepared_transactions')::int > 0`, params: []param{t.id()}, row: func(v [][]byte) error {
		facts.subscribed, facts.rekeys, facts.prepares = string(v[0]) == "t", string(v[1]) == "t", string(v[2]) == "t"
		return nil
	}}.run(ctx, c)
	if err != nil {
		return err
	}
	triggers, create := t.makeLogStatements(t.partitioned || facts.subscribed, facts.rekeys, !facts.prepares, a.owner || a.superuser)
	err = inTransaction(ctx, c, func() error {
		if err := execute(ctx, c,
			// One maker at a time; makers of other tables would meet in the schema's tables.
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass),
			makeSchema,
			"SET LOCAL lock_timeout = '3s'",
			"LOCK TABLE "+t.sql()+" IN SHARE ROW EXCLUSIVE MODE",
		); err != nil {
			return err
		}
		healthy := false // another maker may have been quicker
		err := statement{sql: logHealth, params: []param{t.id()}, row: func(v [][]byte) error {
			healthy = string(v[0]) == t.shape() && string(v[2]) == "t"
			return nil
		}}.run(ctx, c)
		if err != nil {
			return err
		}
		if healthy {
			return s.register(t).run(ctx, c)
		}
		if err := execute(ctx, c, t.dropLog()...); err != nil {
			return err
		}
		if err := execute(ctx, c, create...); err != nil {
			return err
		}
		return pipeline(ctx, c, statement{
			sql:    "INSERT INTO syncline.relations (relation, name, shape, triggers, notifies) VALUES ($1, $2, $3, $4, $5)",
			params: []param{t.id(), text(t.sql()), text(t.shape()), {value: fmt.Append(nil, triggers), oid: 23}, {value: fmt.Append(nil, !facts.prepares), oid: 16}},
		}, s.register(t))
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" {
		return &connector.Error{Class: connector.Retry, Code: "postgresql.locked", Err: err,
			Message: fmt.Sprintf("The triggers that tell of changes cannot be made yet, because a transaction that writes to %s has been open for long; it will be tried again.", t.sql())}
	}
	return classify("making the log of changes", err)
}

// makeLogStatements are the statements that make a table's log, and how many triggers the table itself then has. rekeys
// says that triggers of others may change the key in an update that does not name it; notify that writers may use NOTIFY
// (those that prepare transactions for two-phase commit cannot); always that the triggers are to fire also for rows
// that replication brings.
func (t *table) makeLogStatements(eachRow, rekeys, notify, always bool) (triggers int, create []string) {
	log, oid := t.logName(), t.oid
	var keys, newKeys, oldKeys []string
	for i, k := range t.key {
		name := quote(t.columns[k].name)
		keys = append(keys, fmt.Sprintf("%s AS k%d", name, i+1))
		newKeys, oldKeys = append(newKeys, "NEW."+name), append(oldKeys, "OLD."+name)
	}
	plainKeys := t.keyList("changed")
	into := fmt.Sprintf("INSERT INTO %s (%s)", log, t.logKeys(""))
	wake := ""
	if notify {
		wake = fmt.Sprintf(`
  IF FOUND AND NOT pg_catalog.pg_try_advisory_xact_lock_shared(%d, %d) THEN
    PERFORM pg_catalog.pg_notify('%s', '%d'); -- somebody waits; see arm
  END IF;`, lockClass, t.lockKey(), channel, oid)
	}
	function := func(name, body string) string {
		return fmt.Sprintf("CREATE FUNCTION syncline.%s_%d() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $syncline$\nBEGIN\n%s%s\n  RETURN NULL;\nEND\n$syncline$",
			name, oid, body, wake)
	}
	create = []string{
		fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s WITH NO DATA", log, strings.Join(keys, ", "), t.from()),
		fmt.Sprintf(`ALTER TABLE %s ADD seq bigint GENERATED ALWAYS AS IDENTITY (CACHE 256), ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
		  ADD at timestamptz NOT NULL DEFAULT clock_timestamp(), ADD origin text DEFAULT nullif(current_setting('syncline.origin', true), '')`, log),
		fmt.Sprintf("CREATE INDEX ON %s (xid, seq)", log),
		fmt.Sprintf("ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_threshold = 5000)", log),
	}
	trigger := func(name, rest string) {
		create = append(create, fmt.Sprintf("CREATE TRIGGER syncline_%s %s", name, fmt.Sprintf(rest, t.sql())))
		if always {
			create = append(create, fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER syncline_%s", t.sql(), name))
		}
		triggers++
	}
	call := func(name string) string { return fmt.Sprintf("EXECUTE FUNCTION syncline.%s_%d()", name, oid) }
	if eachRow {
		create = append(create, function("note", fmt.Sprintf(`  IF TG_OP <> 'DELETE' THEN
    %[1]s VALUES (%[2]s);
  END IF;
  IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (%[3]s) IS DISTINCT FROM (%[2]s) THEN
    %[1]s VALUES (%[3]s);
  END IF;`, into, strings.Join(newKeys, ", "), strings.Join(oldKeys, ", "))))
		trigger("row", "AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW "+call("note"))
	} else {
		create = append(create,
			function("note", fmt.Sprintf("  %s SELECT %s FROM changed;", into, plainKeys)),
			function("rekey", fmt.Sprintf("  %s VALUES (%s);", into, strings.Join(oldKeys, ", "))))
		trigger("insert", "AFTER INSERT ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT "+call("note"))
		trigger("update", "AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT "+call("note"))
		trigger("delete", "AFTER DELETE ON %s REFERENCING OLD TABLE AS changed FOR EACH STATEMENT "+call("note"))
		of := "" // naming the columns spares all other updates even the look at the key
		if !rekeys {
			var names []string
			for _, k := range t.key {
				names = append(names, quote(t.columns[k].name))
			}
			of = " OF " + strings.Join(names, ", ")
		}
		trigger("rekey", "AFTER UPDATE"+strings.ReplaceAll(of, "%", "%%")+" ON %s FOR EACH ROW WHEN (("+
			strings.ReplaceAll(strings.Join(oldKeys, ", ")+") IS DISTINCT FROM ("+strings.Join(newKeys, ", "), "%", "%%")+")) "+call("rekey"))
	}
	// Each row that a TRUNCATE removes is logged before it goes. A TRUNCATE of a partitioned table fires the triggers of its
	// partitions, so these have them and it has none.
	note := strings.ReplaceAll(fmt.Sprintf("%s SELECT %s FROM ONLY ", into, strings.Join(keys, ", ")), "%", "%%") + "%s"
	create = append(create, function("truncate", fmt.Sprintf("  EXECUTE pg_catalog.format(%s, TG_RELID::pg_catalog.regclass);\n  PERFORM 1;", literal(note))))
	if t.partitioned {
		for _, leaf := range strings.Split(t.parts, ",") {
			if leaf != "" {
				create = append(create, fmt.Sprintf(`DO $syncline$ BEGIN EXECUTE pg_catalog.format('CREATE TRIGGER syncline_truncate BEFORE TRUNCATE ON %%s FOR EACH STATEMENT EXECUTE FUNCTION syncline.truncate_%d()', %s::oid::regclass); END $syncline$`, oid, leaf))
			}
		}
	} else {
		trigger("truncate", "BEFORE TRUNCATE ON %s FOR EACH STATEMENT "+call("truncate"))
	}
	return triggers, create
}

// dropLog removes the log, its functions and, with these, the triggers.
func (t *table) dropLog() []string {
	return []string{
		fmt.Sprintf("DROP FUNCTION IF EXISTS syncline.note_%d() CASCADE", t.oid),
		fmt.Sprintf("DROP FUNCTION IF EXISTS syncline.rekey_%d() CASCADE", t.oid),
		fmt.Sprintf("DROP FUNCTION IF EXISTS syncline.truncate_%d() CASCADE", t.oid),
		fmt.Sprintf("DROP TABLE IF EXISTS syncline.changes_%d", t.oid),
		fmt.Sprintf("DELETE FROM syncline.relations WHERE relation = %d", t.oid),
	}
}
