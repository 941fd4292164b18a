// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/service"
)

// CaseCount is how many open conflicts there are about one field of a service.
type CaseCount struct {
	Service     service.ID
	ServiceName string
	Field       string // record.WholeRecord: deleted by one side, changed by the other
	Count       int64
	LastHour    int64 // of these, opened less than an hour ago
	LastDay     int64 // less than a day ago, those of the last hour included
	Oldest      time.Time
}

// CaseCounts counts the open conflicts by service and field, the most first.
func (r *Reader) CaseCounts(ctx context.Context, who auth.Principal) (list []CaseCount, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	err = r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.CaseCounts(ctx)
		return err
	})
	return list, err
}
