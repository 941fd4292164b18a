// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// choice is a way of seeing changes, and why.
type choice struct{ by, why string }

// timestampNames are the columns that hold the time of the last change, as people name them.
var timestampNames = []string{"updated_at", "modified_at", "last_modified", "last_modified_at", "last_updated", "last_updated_at", "changed_at", "updatedAt", "modifiedAt", "lastModified", "updated", "modified", "update_time"}

// Detection says how changes of the object are seen.
func (s *system) Detection(ctx context.Context, object record.Object) (by, why string, err error) {
	err = s.on(ctx, "choosing how to see changes", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		ch, err := s.choose(ctx, c, t)
		by, why = ch.by, ch.why
		return err
	})
	return by, why, err
}

// abilities is what the role may do, and what the server and the table allow.
type abilities struct {
	schema      bool // the schema syncline is there and open to us, or can be made
	trigger     bool // TRIGGER on the table
	owner       bool // of the table
	create      bool // in the database, for a publication
	logical     bool // wal_level
	replication bool
	superuser   bool
	standby     bool
}

const findAbilities = `
SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE, CREATE') FROM pg_namespace WHERE nspname = 'syncline'), has_database_privilege(current_database(), 'CREATE')),
       has_table_privilege($1, 'TRIGGER'), pg_has_role(c.relowner, 'USAGE'), has_database_privilege(current_database(), 'CREATE'),
       current_setting('wal_level') = 'logical', r.rolreplication, r.rolsuper, pg_is_in_recovery()
FROM pg_class c, pg_roles r WHERE c.oid = $1 AND r.rolname = current_user`

func (t *table) id() param { return param{value: strconv.AppendUint(nil, uint64(t.oid), 10), oid: 26} }

func (s *system) abilities(ctx context.Context, c *pgconn.PgConn, t *table) (a abilities, err error) {
	err = statement{sql: findAbilities, params: []param{t.id()}, row: func(v [][]byte) error {
		for i, to := range []*bool{&a.schema, &a.trigger, &a.owner, &a.create, &a.logical, &a.replication, &a.superuser, &a.standby} {
			*to = string(v[i]) == "t"
		}
		return nil
	}}.run(ctx, c)
	return a, classify("asking what the role may do", err)
}

// choose takes the way that was asked for, else the best that is possible here. It is made once for each object.
func (s *system) choose(ctx context.Context, c *pgconn.PgConn, t *table) (choice, error) {
	s.mu.Lock()
	ch, made := s.chosen[t.object]
	s.mu.Unlock()
	if made {
		return ch, nil
	}
	a, err := s.abilities(ctx, c, t)
	if err != nil {
		return ch, err
	}
	if ch, err = s.decide(t, a); err != nil {
		return ch, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chosen == nil {
		s.chosen = map[record.Object]choice{}
	}
	s.chosen[t.object] = ch
	return ch, nil
}

func (s *system) decide(t *table, a abilities) (choice, error) {
	column, noColumn := s.timestampColumn(t)
	noTrigger := a.noTrigger(s, t)
	noLog := a.noLog(s, t)
	switch d := s.env.Detection; d {
	case byTrigger:
		if noTrigger != "" {
			return choice{}, &connector.Error{Class: connector.Reject, Code: "postgresql.trigger_not_possible", Message: "Changes cannot be detected by triggers: " + noTrigger}
		}
		return choice{d, "The service asks for it."}, nil
	case byLog:
		if noLog != "" {
			return choice{}, &connector.Error{Class: connector.Reject, Code: "postgresql.cdc_not_possible", Message: "Changes cannot be detected by cdc: " + noLog}
		}
		return choice{d, "The service asks for it."}, nil
	case byTimestamp:
		if noColumn != "" {
			return choice{}, &connector.Error{Class: connector.Reject, Code: "postgresql.timestamp_not_possible", Message: "Changes cannot be detected by timestamp: " + noColumn}
		}
		return choice{d, "The service asks for it; the column is " + column + "."}, nil
	case byHash:
		return choice{d, "The service asks for it."}, nil
	}
	switch {
	case noTrigger == "":
		return choice{byTrigger, "The role may make triggers, which see every change at once."}, nil
	case noLog == "":
		return choice{byLog, "Triggers are not possible (" + plain(noTrigger) + "), but logical replication is."}, nil
	case noColumn == "":
		return choice{byTimestamp, fmt.Sprintf("Triggers are not possible (%s), nor is logical replication (%s); the column %s tells of changes, but not of deletes.", plain(noTrigger), plain(noLog), column)}, nil
	}
	return choice{byHash, fmt.Sprintf("Triggers are not possible (%s), nor is logical replication (%s), and no column tells when a row changed.", plain(noTrigger), plain(noLog))}, nil
}

// plain puts a sentence or two into brackets of another.
func plain(s string) string {
	s, _, _ = strings.Cut(s, ". ")
	return strings.TrimSuffix(s, ".")
}

// noTrigger says why triggers are not possible, "" when they are.
func (a abilities) noTrigger(s *system, t *table) string {
	switch {
	case a.standby:
		return "The server is a standby, which takes no triggers. Connect to the primary."
	case !a.trigger:
		return fmt.Sprintf("The role %s may not make triggers on %s. Run GRANT TRIGGER ON %s TO %s.", s.user(), t.sql(), t.sql(), quote(s.user()))
	case !a.schema:
		return fmt.Sprintf("The role %s may not make the schema syncline. Run CREATE SCHEMA syncline AUTHORIZATION %s.", s.user(), quote(s.user()))
	}
	return ""
}

// noLog says why logical replication is not possible, "" when it is.
func (a abilities) noLog(s *system, t *table) string {
	switch {
	case !a.logical:
		return "The server's wal_level is not logical. Set it and restart the server."
	case !a.replication && !a.superuser:
		return fmt.Sprintf("The role %s may not replicate. Run ALTER ROLE %s REPLICATION.", s.user(), quote(s.user()))
	case !a.owner && !a.superuser:
		return fmt.Sprintf("The role %s does not own %s, which publishing needs. Run ALTER TABLE %s OWNER TO %s, or use triggers.", s.user(), t.sql(), t.sql(), quote(s.user()))
	case !a.create:
		return fmt.Sprintf("The role %s may not make a publication. Run GRANT CREATE ON DATABASE %s TO %s.", s.user(), quote(s.settings["database"]), quote(s.user()))
	case t.identity == "n" || t.identity == "i" || t.identity == "d" && !t.primary:
		return fmt.Sprintf("The table %s has no replica identity with its key; without one users' updates and deletes would fail once it is published. Add a primary key, or run ALTER TABLE %s REPLICA IDENTITY FULL.", t.sql(), t.sql())
	}
	return ""
}

// timestampColumn finds the column that tells when a row last changed; the second result says why there is none.
func (s *system) timestampColumn(t *table) (name, none string) {
	zone := s.settings["timestampZone"]
	usable := func(i int) bool {
		typ := t.columns[i].typ
		return typ == connector.TypeTimestamp || typ == connector.TypeDateTime && zone != ""
	}
	if name := s.settings["timestampColumn"]; name != "" {
		i, there := t.byName[name]
		switch {
		case !there:
			return "", fmt.Sprintf("The table %s has no column %q, which the connection names.", t.sql(), name)
		case !usable(i) && t.columns[i].typ == connector.TypeDateTime:
			return "", fmt.Sprintf("The column %s of %s is a timestamp without time zone. Name the zone of its times in the connection (timestampZone).", name, t.sql())
		case !usable(i):
			return "", fmt.Sprintf("The column %s of %s is a %s and no timestamp.", name, t.sql(), t.columns[i].native)
		}
		return name, ""
	}
	for _, name := range timestampNames {
		if i, there := t.byName[name]; there && usable(i) {
			return name, ""
		}
	}
	for _, name := range timestampNames {
		if i, there := t.byName[name]; there && t.columns[i].typ == connector.TypeDateTime {
			return "", fmt.Sprintf("The column %s of %s is a timestamp without time zone. Name the zone of its times in the connection (timestampZone).", name, t.sql())
		}
	}
	return "", fmt.Sprintf("The table %s has no column such as %s. Add one that is set with each change, or name it in the connection.", t.sql(), strings.Join(timestampNames[:3], ", "))
}
