// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

// So many conflicts within the time are told once, by the field that the rule names, in the commit of the one that makes them many.
func TestConflictAlerts(t *testing.T) {
	b := newBench(t, `
service: stock
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
syncConfig:
  frequency: realtime
  conflictResolution: manual
  matchFields: [sku]
  conflictAlerts:
    - {field: quantity, count: 2, within: 1h}
    - {field: name, count: 1, within: 1h}
    - {count: 3, within: 1d}
    - {field: quantity, count: 9, within: 1h}
`, "warehouse", "shop")
	// disagree makes conflicts of that many products that only now come together.
	n := 0
	disagree := func(products int64) {
		t.Helper()
		for range products {
			sku := fmt.Sprint("A", n)
			b.user("warehouse").Put(record.Key(sku), record.Fields{"sku": sku, "quantity": record.Int(1)})
			b.user("shop").Put(record.Key(sku), record.Fields{"sku": sku, "quantity": record.Int(2)})
			n++
		}
		b.eventually("the conflicts", func() bool { return b.number(`SELECT count(*) FROM conflicts WHERE field = 'quantity'`) == int64(n) })
	}
	raised := func() (list []string) {
		t.Helper()
		reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
		alerts, err := reader.ConflictAlerts(context.Background(), auth.System(b.tenant, "test"), engine.AlertQuery{Service: b.service, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range alerts {
			field := "any"
			if a.Field != nil {
				field = *a.Field
			}
			list = append(list, fmt.Sprintf("%s from %d", field, a.Count))
		}
		if told := b.number(`SELECT count(*) FROM events WHERE type = 'conflict.alert'`); told != int64(len(alerts)) {
			t.Errorf("%d alerts were told of, %d are listed", told, len(alerts))
		}
		return list
	}
	b.start()
	disagree(1)
	expect(t, "one conflict", raised(), []string(nil))
	disagree(1)
	expect(t, "two", raised(), []string{"quantity from 2"})
	disagree(1)
	expect(t, "three: the same is not told again", raised(), []string{"any from 3", "quantity from 2"})
	b.exec(`UPDATE conflict_alerts SET at = at - interval '2 hours' WHERE field = 'quantity'`)
	disagree(1)
	expect(t, "it goes on after its time", len(raised()), 3)
	reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	if _, err := reader.ConflictAlerts(context.Background(), auth.Principal{Tenant: b.tenant, Name: uuid.NewString()}, engine.AlertQuery{Limit: 1}); err == nil {
		t.Error("somebody who may not see records sees alerts")
	}
}
