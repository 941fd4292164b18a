// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

// AddUsage adds events to the ledger, in one statement. An event whose key is there already is left as it is
// (invariant 6). Keys are locked in their order, so transactions that add the same ones wait for each other instead of
// deadlocking; call it once per transaction.
func (t *Tx) AddUsage(ctx context.Context, events []billing.UsageEvent) error {
	if len(events) == 0 {
		return nil
	}
	events = slices.SortedFunc(slices.Values(events), func(a, b billing.UsageEvent) int { return cmp.Compare(a.Key, b.Key) })
	events = slices.CompactFunc(events, func(a, b billing.UsageEvent) bool { return a.Key == b.Key })
	n := len(events)
	p := db.AddUsageParams{
		Keys: make([]string, n), Kepts: make([]time.Time, n), Meters: make([]string, n), Ats: make([]time.Time, n), Services: make([]uuid.UUID, n),
		Systems: make([]string, n), Objects: make([]string, n), DataClasses: make([]string, n), Quantities: make([]int64, n),
		Realtimes: make([]bool, n), Complexes: make([]bool, n), Premiums: make([]bool, n),
		Refs: make([]uuid.UUID, n), Parts: make([]int16, n), Sinces: make([]time.Time, n),
	}
	for i, e := range events {
		p.Kepts[i] = billing.KeyTime(e.Key)
		p.Keys[i], p.Meters[i], p.Ats[i], p.Services[i] = e.Key, string(e.Meter), e.At, e.Service
		p.Systems[i], p.Objects[i], p.DataClasses[i], p.Quantities[i] = string(e.System), string(e.Object), e.DataClass, e.Quantity
		p.Realtimes[i], p.Complexes[i], p.Premiums[i] = e.Realtime, e.Complex, e.Premium
		p.Refs[i], p.Parts[i], p.Sinces[i] = e.Ref, int16(e.Part), e.Since
	}
	_, err := t.q.AddUsage(ctx, p)
	return unavailable(err)
}

// Operations are the journal entries behind the usage events of sync operations that match, newest first.
func (t *Tx) Operations(ctx context.Context, from, to time.Time, m billing.Match, after *invoicing.OperationPosition, limit int) ([]invoicing.Operation, error) {
	q := db.BilledOperationsParams{
		PeriodStart: from, PeriodEnd: to,
		Realtime: m.Realtime, Complex: m.Complex, Premium: m.Premium, DataClass: m.DataClass, Page: int32(limit),
	}
	if after != nil {
		q.AfterAt, q.AfterKey, q.AfterID = &after.At, after.Event, after.ID
	}
	rows, err := t.q.BilledOperations(ctx, q)
	if err != nil {
		return nil, unavailable(err)
	}
	operations := make([]invoicing.Operation, len(rows))
	for i, r := range rows {
		operations[i] = invoicing.Operation{
			ID: r.ID, At: r.At.UTC(), Service: r.ServiceID, System: record.System(r.System), Object: record.Object(r.Object),
			DataClass: r.DataClass, Entity: record.EntityID(r.EntityID), Op: r.Op, Fields: r.Fields,
			Realtime: r.Realtime, Complex: r.Complex, Event: r.Key,
		}
	}
	return operations, nil
}
