// SPDX-License-Identifier: Apache-2.0

package migrations_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/migrations"
)

// Agreements that were made before what they come to by the month was kept get it from their prices: the same that the calculator says
// of a month without any usage.
func TestAgreementsGetWhatTheyComeTo(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	if err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	file := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	exec(file("000081_coupon_codes.down.sql"))
	tenant := uuid.Must(uuid.NewV7())
	exec(`INSERT INTO tenants (id, name, slug, sealed_key, created_at) VALUES ($1, 'x', 'x', '', now())`, tenant)
	want := map[uuid.UUID]string{}
	agree := func(p billing.Plan, features ...billing.Feature) {
		t.Helper()
		month, err := plans.Month(p, features, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.Must(uuid.NewV7())
		want[id] = month.Total.Fixed() + " " + string(p.Card.Currency)
		exec(`INSERT INTO subscriptions (tenant_id, id, plan_name, plan_version, plan, add_ons, from_at, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, now(), now(), 'test')`,
			tenant, id, p.Name(), p.Card.Version, text, append([]billing.Feature{}, features...))
	}
	for _, p := range billing.Catalog() {
		var all []billing.Feature
		for _, a := range p.AddOns {
			agree(p, a.Feature)
			all = append(all, a.Feature)
		}
		agree(p)
		agree(p, all...)
	}
	custom := billing.Catalog()[0]
	custom.Card.Minimum, custom.Card.Currency = decimal.RequireFromString("75.25"), "eur"
	agree(custom)

	exec(file("000081_coupon_codes.up.sql"))
	exec(file("000115_included_features.up.sql"))
	rows, err := conn.Query(t.Context(), `SELECT id, plan_name || ' ' || add_ons::text, recurring || ' ' || currency FROM subscriptions`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id uuid.UUID
		var name, got string
		if err := rows.Scan(&id, &name, &got); err != nil {
			t.Fatal(err)
		}
		if got != want[id] {
			t.Errorf("%s comes to %s by the month, want %s", name, got, want[id])
		}
		delete(want, id)
	}
	if err := rows.Err(); err != nil || len(want) != 0 {
		t.Errorf("%d agreements are gone (%v)", len(want), err)
	}
}
