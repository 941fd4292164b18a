// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// Corrections are tried under the system's own names, cleansed as they will be, and over those kept before.
func TestFlaws(t *testing.T) {
	b := newBench(t, `
service: stock
systems:
  - {id: warehouse, type: memory, objects: [products], primary: true}
  - {id: shop, type: memory, objects: [products]}
fieldMapping:
  warehouse: {SKU: sku, qty: quantity, label: name}
  shop: {sku: sku, quantity: quantity, name: name}
syncConfig:
  cleansing: {trimWhitespace: true}
  validation: {quantity: {min: 0}, name: {required: true, maxLength: 5}}
`, "warehouse", "shop")
	reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	letter := delivery.DeadLetter{System: "warehouse", Object: "products", Payload: record.Fields{"SKU": "A", "qty": record.Int(-1), "label": "Oak", "unknown": record.Int(-1)}}
	for name, c := range map[string]struct {
		kept, typed record.Fields
		want        []string
	}{
		"as it is":                  {nil, nil, []string{"qty min"}},
		"corrected":                 {nil, record.Fields{"qty": record.Int(2)}, nil},
		"worse":                     {nil, record.Fields{"label": ""}, []string{"label required", "qty min"}},
		"kept before":               {record.Fields{"qty": record.Int(2)}, nil, nil},
		"typed over what was kept":  {record.Fields{"qty": record.Int(2)}, record.Fields{"qty": record.Int(-3)}, []string{"qty min"}},
		"cleansed":                  {nil, record.Fields{"qty": record.Int(2), "label": "  Oak    "}, nil},
		"a field that is not there": {nil, record.Fields{"qty": record.Int(2), "quantity": record.Int(-4)}, nil},
	} {
		letter.Edit = c.kept
		list, err := reader.Flaws(context.Background(), auth.System(b.tenant, "test"), b.service, letter.System, letter.Object, letter.Corrected(c.typed))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range list {
			got = append(got, f.Field+" "+f.Rule)
		}
		expect(t, name, got, c.want)
	}
	if _, err := reader.Flaws(context.Background(), auth.Principal{Tenant: b.tenant}, b.service, letter.System, letter.Object, nil); err == nil {
		t.Error("somebody who may not see records is answered")
	}
	if _, err := reader.Flaws(context.Background(), auth.System(b.tenant, "test"), service.ID(uuid.New()), letter.System, letter.Object, nil); err == nil {
		t.Error("a service that is not there is answered")
	}
}
