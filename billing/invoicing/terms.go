// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
)

// terms are the agreements that hold in a period, the last one's plan standing for it on the invoice's head.
func terms(ctx context.Context, tx Tx, p billing.Period) ([]billing.Agreement, billing.RateCard, error) {
	list, err := tx.Subscriptions(ctx)
	if err != nil {
		return nil, billing.RateCard{}, err
	}
	agreements := billing.Agreements(list, p.Start(), p.End())
	return agreements, agreements[len(agreements)-1].Plan.Card, nil
}

// rateTerms prices the usage of a period, each part of it by what was agreed for it.
func rateTerms(ctx context.Context, tx Tx, p billing.Period, agreements []billing.Agreement) (rating.Result, error) {
	usage := make([][]billing.Quantity, len(agreements))
	for i, a := range agreements {
		var err error
		if usage[i], err = tx.QuantitiesIn(ctx, a.Start, a.End); err != nil {
			return rating.Result{}, err
		}
	}
	return rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, usage, decimal.Zero))
}
