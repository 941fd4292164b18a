// SPDX-License-Identifier: Apache-2.0

package migrations_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/migrations"
)

// Tables that are not a tenant's, each with the reason. A new table is a tenant's unless it is added here.
var notTenants = map[string]string{
	"tenants":           "is the tenant itself: its policy compares id",
	"users":             "one person can be a member of several tenants; only the operator role reads it",
	"sessions":          "looked up by the cookie's hash before any tenant is known; only the operator role reads it",
	"workers":           "processes, which work for all tenants; only the operator role reads it",
	"schema_migrations": "belongs to the migration tool; no role of ours may touch it",
	"operators":         "people who run the installation; only the operator role reads it",
	"installation_log":  "what operators did that concerns no single tenant; only the operator role reads it",
	"coupon_codes":      "nobody's until a tenant redeems one; only the operator role reads it",
	"plan_versions":     "the published price list, the same for everybody",
}

// Tables that are nobody's, and that every tenant may read.
var published = []string{"plan_versions"}

// Foreign keys of tenant tables that do not begin with tenant_id, each with the reason.
var foreignKeys = map[string]string{
	"members_user_id_fkey": "people are not a tenant's",
}

// What the operator role may do, exactly. Each right is one that a named operator statement needs; widen it knowingly.
var operatorGrants = map[string]string{
	"public.tenants":           "SELECT INSERT UPDATE",
	"public.users":             "SELECT INSERT UPDATE",
	"public.members":           "SELECT INSERT UPDATE",
	"public.sessions":          "SELECT INSERT UPDATE DELETE",
	"public.invitations":       "SELECT UPDATE",
	"public.api_keys":          "SELECT UPDATE",
	"public.events":            "SELECT DELETE",
	"public.idempotency_keys":  "SELECT DELETE",
	"public.budgets":           "SELECT",
	"public.usage_deltas":      "SELECT",
	"public.billing_accounts":  "SELECT",
	"public.proofs":            "SELECT",
	"public.collections":       "SELECT",
	"public.collection_events": "SELECT DELETE",
	"public.invoices":          "SELECT",
	"public.services":          "SELECT UPDATE",
	"public.runs":              "SELECT INSERT UPDATE",
	"public.leases":            "SELECT INSERT UPDATE",
	"public.workers":           "SELECT INSERT UPDATE DELETE",
	"river.river_job":          "SELECT INSERT UPDATE DELETE",
	"river.river_leader":       "SELECT INSERT UPDATE DELETE",
	"river.river_migration":    "SELECT INSERT UPDATE DELETE",
	"river.river_notification": "SELECT INSERT UPDATE DELETE",
	"river.river_queue":        "SELECT INSERT UPDATE DELETE",

	"public.operators":        "SELECT INSERT DELETE",
	"public.installation_log": "SELECT INSERT",
	"public.plan_versions":    "SELECT INSERT",
	"public.coupon_codes":     "SELECT INSERT UPDATE",
	"public.subscriptions":    "SELECT",
	"public.credits":          "SELECT",
	"public.credit_uses":      "SELECT",

	"public.connection_health":  "SELECT UPDATE",
	"public.webhook_endpoints":  "SELECT",
	"public.webhook_deliveries": "SELECT DELETE",
}

const ours = `('syncline_app', 'syncline_operator')`

func migrated(t *testing.T) *pgx.Conn {
	t.Helper()
	return connect(t, testdb.Template(t, fmt.Sprintf("catalogue %d", migrations.Latest), migrations.Up))
}

func tenantTables(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	tables := texts(t, conn, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1`)
	tables = slices.DeleteFunc(tables, func(name string) bool { return notTenants[name] != "" })
	if len(tables) < 20 {
		t.Fatalf("only %d tenant tables were found: %v", len(tables), tables)
	}
	return tables
}

// none fails with every text that the query finds.
func none(t *testing.T, conn *pgx.Conn, what, query string, args ...any) {
	t.Helper()
	if found := texts(t, conn, query, args...); len(found) > 0 {
		t.Errorf("%s: %s", what, strings.Join(found, ", "))
	}
}

// The catalogue test of invariant 7: what keeps tenants apart is in place on every table there is.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	tables := tenantTables(t, conn)

	for name := range notTenants {
		if len(texts(t, conn, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = $1`, name)) == 0 {
			t.Errorf("%s is listed as not a tenant's and does not exist", name)
		}
	}
	none(t, conn, "tables without tenant_id uuid NOT NULL", `
		SELECT c.relname::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1)
		  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.atttypid = 'uuid'::regtype AND a.attnotnull)`, tables)
	none(t, conn, "tables without forced row-level security", `
		SELECT relname::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'schema_migrations'
		  AND NOT (relrowsecurity AND relforcerowsecurity)`)
	none(t, conn, "tables without the tenant policy", `
		SELECT name FROM unnest($1::text[]) name
		WHERE NOT EXISTS (
			SELECT FROM pg_policies p WHERE p.schemaname = 'public' AND p.tablename = name AND p.policyname = 'tenant'
			  AND p.roles = '{syncline_app}' AND p.cmd = 'ALL' AND p.permissive = 'PERMISSIVE'
			  AND p.qual = p.with_check
			  AND p.qual IN ('(tenant_id = current_tenant())', '(tenant_id = ( SELECT current_tenant() AS current_tenant))'))`, tables)
	none(t, conn, "policies beside the known ones", `
		SELECT p.tablename || '.' || p.policyname FROM pg_policies p
		WHERE NOT (p.policyname = 'tenant' AND p.roles = '{syncline_app}' AND (p.tablename = ANY($1) OR p.tablename = 'tenants'))
		  AND NOT (p.policyname = 'published' AND p.roles = '{syncline_app}' AND p.cmd = 'SELECT' AND p.tablename = ANY($2))
		  AND NOT (p.policyname = 'operator' AND p.roles = '{syncline_operator}')`, tables, published)
	none(t, conn, "unique indexes that do not begin with tenant_id, and so tell one tenant of another's values", `
		SELECT i.indexrelid::regclass::text FROM pg_index i
		JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1)
		LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indisunique AND a.attname IS DISTINCT FROM 'tenant_id'`, tables)
	none(t, conn, "tables without a primary key", `
		SELECT name FROM unnest($1::text[]) name
		WHERE NOT EXISTS (SELECT FROM pg_index WHERE indisprimary AND indrelid = ('public.' || quote_ident(name))::regclass)`, tables)
	none(t, conn, "foreign keys that could lead to another tenant's row", `
		SELECT k.conname::text FROM pg_constraint k
		JOIN pg_class c ON c.oid = k.conrelid AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1)
		JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
		JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
		WHERE k.contype = 'f' AND k.conname <> ALL($2)
		  AND NOT (a.attname = 'tenant_id' AND (f.attname = 'tenant_id' OR (k.confrelid = 'public.tenants'::regclass AND f.attname = 'id')))`,
		tables, slices.Collect(maps.Keys(foreignKeys)))
	none(t, conn, "views that read with their owner's eyes", `
		SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace::regnamespace::text IN ('public', 'river') AND relkind IN ('v', 'm')
		  AND (relkind = 'm' OR NOT coalesce('security_invoker=true' = ANY(reloptions) OR 'security_invoker=on' = ANY(reloptions), false))`)
	none(t, conn, "functions that run with their owner's rights", `
		SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND pronamespace::regnamespace::text IN ('public', 'river')`)
}

func TestRolesAreWeak(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	if roles := texts(t, conn, `SELECT rolname::text FROM pg_roles WHERE rolname IN `+ours); len(roles) != 2 {
		t.Fatalf("the roles are %v", roles)
	}
	none(t, conn, "roles with a power they must not have", `
		SELECT rolname::text FROM pg_roles WHERE rolname IN `+ours+` AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin)`)
	none(t, conn, "roles that are members of others", `
		SELECT member::regrole || ' in ' || roleid::regrole FROM pg_auth_members WHERE member::regrole::text IN `+ours)
	none(t, conn, "things that the roles own, and so could alter", `
		SELECT oid::regclass::text FROM pg_class WHERE relowner::regrole::text IN `+ours+`
		UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE proowner::regrole::text IN `+ours+`
		UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspowner::regrole::text IN `+ours+`
		UNION ALL SELECT oid::regtype::text FROM pg_type WHERE typowner::regrole::text IN `+ours+`
		UNION ALL SELECT datname::text FROM pg_database WHERE datdba::regrole::text IN `+ours)
	none(t, conn, "schemas in which the roles could make things", `
		SELECT role || ' in ' || nspname FROM unnest(ARRAY['syncline_app', 'syncline_operator']) role, pg_namespace
		WHERE nspname IN ('public', 'river') AND has_schema_privilege(role, nspname, 'CREATE')`)
	none(t, conn, "rights that go round row-level security", `
		SELECT format('%s on %s to %s', privilege_type, table_name, grantee) FROM information_schema.role_table_grants
		WHERE table_schema IN ('public', 'river') AND grantee IN ('PUBLIC', 'syncline_app', 'syncline_operator')
		  AND (grantee = 'PUBLIC' OR privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER'))`)
	none(t, conn, "rights on partitions, which are reached through their table", `
		SELECT format('%s on %s to %s', g.privilege_type, g.table_name, g.grantee) FROM information_schema.role_table_grants g
		JOIN pg_class c ON c.relname = g.table_name AND c.relnamespace::regnamespace::text = g.table_schema AND c.relispartition
		WHERE g.grantee IN ('PUBLIC', 'syncline_app', 'syncline_operator')`)
	none(t, conn, "rights on the log and the ledger that would let the program rewrite them", `
		SELECT format('%s on %s', privilege_type, table_name) FROM information_schema.role_table_grants
		WHERE grantee IN `+ours+` AND ((table_name = 'audit_log' AND privilege_type IN ('UPDATE', 'DELETE'))
		   OR (table_name IN ('installation_log', 'plan_versions') AND privilege_type IN ('UPDATE', 'DELETE'))
		   OR (table_name = 'usage_events' AND privilege_type IN ('UPDATE', 'DELETE'))
		   OR (table_name = 'audit_heads' AND privilege_type = 'DELETE')
		   OR (table_name IN ('custom_plans', 'subscriptions') AND privilege_type IN ('UPDATE', 'DELETE'))
		   OR (table_name IN ('revisions', 'journal') AND privilege_type = 'UPDATE'))`)
}

func TestOperatorGrants(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	got := map[string]string{}
	for _, line := range texts(t, conn, `
		SELECT format('%s.%s %s', table_schema, table_name, string_agg(privilege_type, ' ' ORDER BY
			array_position(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']::text[], privilege_type::text)))
		FROM information_schema.role_table_grants WHERE grantee = 'syncline_operator' GROUP BY table_schema, table_name`) {
		table, rights, _ := strings.Cut(line, " ")
		got[table] = rights
	}
	for table := range maps.Keys(got) {
		if got[table] != operatorGrants[table] {
			t.Errorf("the operator role may %s %s, want %q", got[table], table, operatorGrants[table])
		}
	}
	for table, rights := range operatorGrants {
		if got[table] == "" {
			t.Errorf("the operator role may do nothing with %s, want %s", table, rights)
		}
	}
	none(t, conn, "rights on single columns", `
		SELECT format('%s on %s.%s', c.privilege_type, c.table_name, c.column_name) FROM information_schema.column_privileges c
		WHERE c.grantee = 'syncline_operator' AND NOT EXISTS (
			SELECT FROM information_schema.role_table_grants g
			WHERE g.grantee = c.grantee AND g.table_schema = c.table_schema AND g.table_name = c.table_name AND g.privilege_type = c.privilege_type)`)
}

// A row that every table takes: columns that must be given, by type; the first of the words that a check allows.
func fill(t *testing.T, conn *pgx.Conn, table string, tenant uuid.UUID) (statement string) {
	t.Helper()
	own := map[string]string{"period": "'2026-11'", "quantity": "1", "a_id": "'00000000-0000-7000-8000-000000000001'", "b_id": "'00000000-0000-7000-8000-000000000002'"}
	rows, err := conn.Query(t.Context(), `
		SELECT a.attname::text, format_type(a.atttypid, NULL), coalesce((
			SELECT substring(pg_get_constraintdef(k.oid) FROM 'ARRAY\[''([^'']+)''')
			FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]), '')
		FROM pg_attribute a
		WHERE a.attrelid = ('public.' || quote_ident($1))::regclass AND a.attnum > 0 AND NOT a.attisdropped
		  AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
		ORDER BY a.attnum`, table)
	if err != nil {
		t.Fatal(err)
	}
	var columns, values []string
	var column, kind, word string
	_, err = pgx.ForEachRow(rows, []any{&column, &kind, &word}, func() error {
		value := map[string]string{
			"text": "'x'", "bigint": "1", "integer": "1", "smallint": "1", "boolean": "false", "numeric": "1", "double precision": "1", "bytea": `'\x01'`,
			"timestamp with time zone": "now()", "uuid": "gen_random_uuid()", "uuid[]": "'{}'", "text[]": "'{}'", "jsonb": "'{}'", "json": "'{}'",
			"pg_snapshot": "'1:1:'", "xid8": "'1'",
		}[kind]
		switch {
		case column == "tenant_id":
			value = "'" + tenant.String() + "'"
		case own[column] != "":
			value = own[column]
		case word != "":
			value = "'" + word + "'"
		case value == "":
			return fmt.Errorf("the test knows no value for %s.%s of type %s", table, column, kind)
		}
		columns, values = append(columns, column), append(values, value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(columns, ", "), strings.Join(values, ", "))
}

// Every tenant table, as the program's role: one tenant sees, changes and makes its own rows only.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	ctx := t.Context()
	a, b := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	exec := func(statement string, args ...any) (int64, error) {
		tag, err := conn.Exec(ctx, statement, args...)
		return tag.RowsAffected(), err
	}
	must := func(statement string, args ...any) int64 {
		t.Helper()
		n, err := exec(statement, args...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		return n
	}
	// Partitions are reached through their table alone: TestRolesAreWeak.
	partitions := texts(t, conn, `SELECT relname::text FROM pg_class WHERE relispartition`)
	tables := slices.DeleteFunc(tenantTables(t, conn), func(name string) bool { return slices.Contains(partitions, name) })
	for _, id := range []uuid.UUID{a, b} {
		must("INSERT INTO tenants (id, name, slug, sealed_key, created_at) VALUES ($1, 'x', $2, '', now())", id, id.String())
		// The rows need not refer to anything that exists: this is about rows, not about references.
		must("SET session_replication_role = replica")
		for _, table := range tables {
			must(fill(t, conn, table, id))
		}
		must("SET session_replication_role = origin")
	}
	all := append([]string{"tenants"}, tables...)
	column := func(table string) string {
		if table == "tenants" {
			return "id"
		}
		return "tenant_id"
	}
	// as runs fn as the role, bound to a tenant or to none, and takes back what it did.
	as := func(bound string, fn func()) {
		t.Helper()
		must("BEGIN")
		must("SET LOCAL ROLE syncline_app")
		must("SET LOCAL syncline.tenant_id = '" + bound + "'")
		fn()
		must("ROLLBACK")
	}
	seen := func(table string) (ids []string) {
		t.Helper()
		return texts(t, conn, fmt.Sprintf("SELECT DISTINCT %s::text FROM %s", column(table), table))
	}
	denied := func(err error) bool {
		var pg *pgconn.PgError
		return errors.As(err, &pg) && pg.Code == "42501"
	}
	for _, table := range all {
		as("", func() {
			if ids := seen(table); len(ids) > 0 {
				t.Errorf("%s: without a tenant the program sees rows of %v", table, ids)
			}
		})
		as(a.String(), func() {
			if ids := seen(table); !slices.Equal(ids, []string{a.String()}) {
				t.Errorf("%s: bound to %v the program sees rows of %v", table, a, ids)
			}
		})
		as(a.String(), func() {
			n, err := exec(fmt.Sprintf("UPDATE %s SET %[2]s = %[2]s", table, column(table)))
			if err == nil && n != 1 || err != nil && !denied(err) {
				t.Errorf("%s: an update of everything reached %d rows, %v; want its own 1 row or a refusal", table, n, err)
			}
		})
		as(a.String(), func() {
			n, err := exec("DELETE FROM " + table)
			if err == nil && n != 1 || err != nil && !denied(err) {
				t.Errorf("%s: a deletion of everything reached %d rows, %v; want its own 1 row or a refusal", table, n, err)
			}
		})
		as(a.String(), func() {
			if _, err := exec(fmt.Sprintf("UPDATE %s SET %s = $1", table, column(table)), b); !denied(err) {
				t.Errorf("%s: moving a row to another tenant was not refused: %v", table, err)
			}
		})
		if table == "tenants" {
			continue // the program's role makes none
		}
		as(a.String(), func() {
			if _, err := exec(fill(t, conn, table, b)); !denied(err) || !strings.Contains(err.Error(), "row-level security") {
				t.Errorf("%s: inserting a row of another tenant was not refused by row-level security: %v", table, err)
			}
		})
	}
	// And a connection that was bound before, and is bound no longer, is bound to nobody.
	must("BEGIN")
	must("SET LOCAL syncline.tenant_id = '" + a.String() + "'")
	must("COMMIT")
	must("SET ROLE syncline_app")
	for _, table := range all {
		if ids := seen(table); len(ids) > 0 {
			t.Errorf("%s: after the transaction the connection still sees rows of %v", table, ids)
		}
	}
	for _, table := range []string{"users", "sessions", "workers", "schema_migrations", "operators", "installation_log", "coupon_codes"} {
		if _, err := exec("SELECT FROM " + table); !denied(err) {
			t.Errorf("%s: the program's role may read it: %v", table, err)
		}
	}
}
