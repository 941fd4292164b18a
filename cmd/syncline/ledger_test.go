// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// The program moves sums on; what somebody changed by hand is found, and mended when asked for.
func TestLedger(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	for range 2 {
		id := storetest.Tenant(t, db)
		events := make([]billing.UsageEvent, sumBatch+10)
		for n := range events {
			events[n] = billing.Operations(uuid.New(), 0, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n)*15*time.Minute), uuid.New(), "shop", "stock", "products", 2)
		}
		if err := db.InTenant(t.Context(), id, func(tx *store.Tx) error { return tx.AddUsage(t.Context(), events) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := sumUsage(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if list, err := db.Operator().TenantsToSum(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("something was left: %v, %v", list, err)
	}
	t.Setenv("DATABASE_URL", url)
	run := func(args ...string) (string, error) {
		t.Helper()
		var out bytes.Buffer
		c := ledgerCommand()
		c.SetArgs(append([]string{}, args...)) // never nil: it would take those of the test program
		c.SetOut(&out)
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	const right = "The sums of 2 tenants are what their events say.\n"
	if got, err := run(); got != right || err != nil {
		t.Errorf("%s%v", got, err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `UPDATE usage_rollups SET units = 5 WHERE slot = '2026-11-01'`); err != nil {
		t.Fatal(err)
	}
	got, err := run()
	if f := fault.As(err); f == nil || f.Code != "store.sums_differ" || strings.Count(got, "the quarter from 2026-11-01T00:00:00Z: the events say 2, the sum 5\n") != 2 {
		t.Errorf("%s%v", got, err)
	}
	if got, err := run("--mend"); !strings.HasSuffix(got, "2 sums were mended.\n") || err != nil {
		t.Errorf("%s%v", got, err)
	}
	if got, err := run(); got != right || err != nil {
		t.Errorf("%s%v", got, err)
	}
}
