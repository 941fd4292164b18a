// SPDX-License-Identifier: Apache-2.0

package migrations_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/migrations"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func texts(t *testing.T, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// everything describes what the migrations made: tables with columns, constraints, indexes, policies, grants, functions.
func everything(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return texts(t, conn, `
		SELECT format('column %s.%s.%s %s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable, column_default, ordinal_position)
		FROM information_schema.columns WHERE table_schema IN ('public', 'river')
		UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'river')
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname IN ('public', 'river')
		UNION ALL SELECT format('policy %s %s %s %s %s %s', tablename, policyname, roles, cmd, qual, with_check) FROM pg_policies
		UNION ALL SELECT format('grant %s %s %s', table_name, grantee, privilege_type)
		FROM information_schema.role_table_grants WHERE table_schema IN ('public', 'river')
		UNION ALL SELECT format('function %s', oid::regprocedure) FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'river')
		UNION ALL SELECT format('security %s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity)
		FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'river')
		ORDER BY 1`)
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	up := func() []string {
		t.Helper()
		if err := migrations.Up(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		version, dirty, err := migrations.Version(t.Context(), url)
		if err != nil || dirty || version != migrations.Latest {
			t.Fatalf("the database is at version %d, dirty %v, %v; want %d", version, dirty, err, migrations.Latest)
		}
		return everything(t, connect(t, url))
	}
	first := up()
	if again := up(); !slices.Equal(first, again) {
		t.Error("a second Up changed the schema")
	}
	if err := migrations.Down(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	left := texts(t, connect(t, url), `
		SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'river') AND relkind IN ('r', 'v', 'm', 'S', 'f')
		  AND relname <> 'schema_migrations'
		UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'river')
		UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace::regnamespace::text IN ('public', 'river') AND typtype IN ('e', 'd')
		UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'river'`)
	if len(left) > 0 {
		t.Errorf("Down left behind: %s", strings.Join(left, ", "))
	}
	if again := up(); !slices.Equal(first, again) {
		t.Error("Up after Down made a different schema")
	}
}

func TestUpAtOnce(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := migrations.Up(t.Context(), url); err != nil {
				t.Errorf("migrating beside others: %v", err)
			}
		})
	}
	all.Wait()
	if version, dirty, err := migrations.Version(t.Context(), url); err != nil || dirty || version != migrations.Latest {
		t.Errorf("the database is at version %d, dirty %v, %v; want %d", version, dirty, err, migrations.Latest)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(os.DirFS("."), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^(\d{6})_[a-z0-9_]+\.(up|down)\.sql$`)
	steps := map[string][]string{}
	for _, name := range names {
		m := form.FindStringSubmatch(name)
		if m == nil {
			t.Errorf("%s is not named like 000001_idea.up.sql", name)
			continue
		}
		steps[m[1]] = append(steps[m[1]], m[2])
	}
	if last := slices.Max(slices.Collect(maps.Keys(steps))); last != fmt.Sprintf("%06d", migrations.Latest) {
		t.Errorf("the last step is %s and Latest is %d", last, migrations.Latest)
	}
	for number, ways := range steps {
		if slices.Sort(ways); !slices.Equal(ways, []string{"down", "up"}) {
			t.Errorf("step %s has %v, want one up and one down: two steps with one number clash", number, ways)
		}
	}
}
