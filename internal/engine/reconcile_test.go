// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// The worked example of docs/reconciliation.md, on PostgreSQL and MariaDB: one amount is rounded by the other system, one
// invoice is refused by it.
func TestDocsReconciliation(t *testing.T) {
	m := newMixedBench(t, blocks(t, "reconciliation", "yaml")[0],
		`CREATE TABLE invoices ("invoiceId" varchar(20) PRIMARY KEY, amount numeric(10,2), date date)`,
		`CREATE TABLE invoices (invoiceId varchar(20) PRIMARY KEY, amount decimal(10,1) CHECK (amount < 1000), date date)`)
	m.inPG(`INSERT INTO invoices VALUES ('INV-1', 10, '2024-10-02'), ('INV-2', 99.94, '2024-10-12'), ('INV-3', 5000, '2024-10-20'), ('INV-4', 7, '2024-11-01')`)
	books := reconcile.NewManager(store.InTx(m.db, func(tx *store.Tx) reconcile.Tx { return tx }))
	m.engine.WithChore(books.Chore)
	m.start()
	m.eventually("the first sync", func() bool {
		return m.fromMy(`SELECT count(*) FROM invoices`) == "3" && m.number(`SELECT count(*) FROM dead_letters`) == 1 && m.settledDown()
	})
	who := auth.System(m.tenant, "test")
	october := time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC)
	r, err := books.Start(context.Background(), who, m.service, reconcile.Request{Since: october, Until: october.AddDate(0, 1, 0), Systems: []string{"quickbooks", "stripe"}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "what came out", []int64{r.Matched, r.Unmatched, r.Discrepancies}, []int64{1, 1, 1})
	found, err := books.Discrepancies(context.Background(), who, reconcile.Query{Reconciliation: r.ID, Limit: 10})
	if err != nil || len(found) != 2 {
		t.Fatalf("%d findings, %v", len(found), err)
	}
	for _, d := range found {
		if d.Unmatched {
			expect(t, "who has not what", []any{d.Title, d.MissingIn, d.Amount}, "[INV-3 [stripe] 5000]")
			if d, err = books.Flag(context.Background(), who, d.ID, "amount-mismatch", "accounting-team"); err != nil || d.State != reconcile.Flagged {
				t.Errorf("flagging: %v %v", d.State, err)
			}
		} else {
			expect(t, "what differs", []any{d.Title, d.Field, d.Difference}, "[INV-2 amount 0.04]")
		}
		if d, err = books.Resolve(context.Background(), who, d.ID, "rounding-difference", "-0.04"); err != nil || d.State != reconcile.Resolved {
			t.Errorf("resolving: %v %v", d.State, err)
		}
		if _, err = books.Resolve(context.Background(), who, d.ID, "again", ""); err == nil {
			t.Error("it was resolved twice")
		}
	}
	// The schedule: due a day after the service was made, by the worker that carries it.
	m.exec(`UPDATE services SET created_at = created_at - interval '2 days'`)
	m.eventually("the scheduled one", func() bool {
		return m.number(`SELECT count(*) FROM reconciliations WHERE scheduled AND state = 'succeeded'`) == 1
	})
}

// brokenBooks finds data that it cannot read, for a while.
type brokenBooks struct {
	*store.Tx
	err func() error
}

func (b brokenBooks) EntitiesAfter(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) ([]*record.Entity, error) {
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.Tx.EntitiesAfter(ctx, s, collection, after, limit)
}

// A reconciliation that cannot be carried out has failed, and those behind it go on; one that met a database which does not
// answer stays queued.
func TestReconciliationFails(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	var trouble error
	books := reconcile.NewManager(store.InTx(b.db, func(tx *store.Tx) reconcile.Tx { return brokenBooks{tx, func() error { return trouble }} }))
	add := func() uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		b.exec(`INSERT INTO reconciliations (tenant_id, id, service_id, state, since, until, systems, tolerance, actor, asked_at) VALUES ($1, $2, $3, 'queued', now() - interval '1 day', now(), '{warehouse,shop}', '0', 'test', now())`,
			uuid.UUID(b.tenant), id, uuid.UUID(b.service))
		return id
	}
	doc, err := service.Parse([]byte(twoWay), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	states := func() string {
		return fmt.Sprint(b.number(`SELECT count(*) FROM reconciliations WHERE state = 'queued'`), b.number(`SELECT count(*) FROM reconciliations WHERE state = 'succeeded'`),
			b.number(`SELECT count(*) FROM reconciliations WHERE state = 'failed' AND error <> '' AND finished_at IS NOT NULL`))
	}
	add()
	trouble = fault.New(fault.Unavailable, "database.unavailable", "The database does not answer.")
	if err := books.Chore(context.Background(), b.tenant, b.service, doc); err == nil || states() != "1 0 0" {
		t.Errorf("the database did not answer: %v, queued, succeeded and failed: %s", err, states())
	}
	trouble = errors.New("a row that cannot be read")
	if err := books.Chore(context.Background(), b.tenant, b.service, doc); err == nil || states() != "0 0 1" {
		t.Errorf("a row could not be read: %v, queued, succeeded and failed: %s", err, states())
	}
	trouble = nil
	add()
	if err := books.Chore(context.Background(), b.tenant, b.service, doc); err != nil || states() != "0 1 1" {
		t.Errorf("all is well: %v, queued, succeeded and failed: %s", err, states())
	}
	// The document asks for a system that it no longer has.
	doc.SyncConfig.Reconciliation = &service.Reconciliation{Systems: []string{"warehouse", "attic"}}
	b.exec(`UPDATE services SET created_at = created_at - interval '40 days'`)
	if err := books.Chore(context.Background(), b.tenant, b.service, doc); err != nil || states() != "0 1 2" {
		t.Errorf("a system is gone: %v, queued, succeeded and failed: %s", err, states())
	}
}
