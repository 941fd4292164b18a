// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

// Revenue is what the invoices of one month, currency and state come to, over all tenants.
type Revenue struct {
	Month    billing.Month
	State    billing.InvoiceState
	Invoices int64
	Tenants  int64
	Total    billing.Money
	Credited billing.Money
}

// Revenue sums up all tenants' invoices from a month on, the latest first. It names no tenant and is for those who run the
// installation.
func (o *Operator) Revenue(ctx context.Context, since billing.Month) ([]Revenue, error) {
	rows, err := db.New(o.d.operator).Revenue(ctx, since.String())
	if err != nil {
		return nil, unavailable(err)
	}
	list := make([]Revenue, len(rows))
	for i, r := range rows {
		month, err := billing.ParseMonth(r.Period)
		if err != nil {
			return nil, err
		}
		list[i] = Revenue{Month: month, State: billing.InvoiceState(r.State), Invoices: r.Invoices, Tenants: r.Tenants, Total: money(r.Total, r.Currency), Credited: money(r.Credited, r.Currency)}
	}
	return list, nil
}
