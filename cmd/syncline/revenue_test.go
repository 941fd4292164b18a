// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// Sums over all tenants, by the same numbers that are in their invoices; no name of a tenant.
func TestRevenue(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	month := time.Now().UTC().Format("2006-01")
	for n, state := range []string{"open", "open", "paid"} {
		id := storetest.Tenant(t, db)
		if _, err := conn.Exec(t.Context(), `INSERT INTO invoices (tenant_id, id, state, period, period_start, period_end, time_zone, plan, plan_version, currency, total, credited, computed_at, created_at)
			VALUES ($1, $2, $3, $4, now(), now(), 'UTC', 'per-sync', 1, 'usd', $5, 1, now(), now())`, uuid.UUID(id), uuid.New(), state, month, 100*(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DATABASE_URL", url)
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		c := revenueCommand()
		c.SetArgs(append([]string{}, args...)) // never nil: it would take those of the test program
		c.SetOut(&out)
		if err := c.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := "MONTH    STATE  INVOICES  TENANTS  TOTAL    CREDITED\n" + month + "  open   2         2        $300.00  $2.00\n" + month + "  paid   1         1        $300.00  $1.00\n"
	if got := run(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := run("--json"); !strings.Contains(got, `"total": "300.00"`) || strings.Count(got, `"month"`) != 2 {
		t.Errorf("as JSON: %s", got)
	}
	lines := strings.Split(strings.TrimSpace(run("--csv", "--months", "1")), "\n")
	if len(lines) != 2 || lines[0] != "month,plan,currency,agreements,recurring,invoices,invoiced,collected,outstanding,given_up,credited,refunded,from_credit,drafts" ||
		lines[1] != month+",per-sync,usd,0,0.00,3,600.00,299.00,298.00,0.00,3.00,0.00,0.00,0.00" {
		t.Errorf("as CSV: %q", lines)
	}
	if got := run("--plans"); !strings.Contains(got, "per-sync") || !strings.Contains(got, "$600.00") || !strings.Contains(got, "$299.00") {
		t.Errorf("by plan: %s", got)
	}
}
