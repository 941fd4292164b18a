// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"slices"
	"time"

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
	keys, meters, kepts, ats := make([]string, n), make([]string, n), make([]time.Time, n), make([]time.Time, n)
	systems, objects, classes, quantities := make([]string, n), make([]string, n), make([]string, n), make([]int64, n)
	realtimes, complexes, premiums := make([]bool, n), make([]bool, n), make([]bool, n)
	// As arrays of bytes ids are encoded ten times as fast as by their own type.
	services, refs := make([][16]byte, n), make([][16]byte, n)
	parts, sinces := make([]int16, n), make([]time.Time, n)
	for i, e := range events {
		keys[i], meters[i], kepts[i], ats[i] = e.Key, string(e.Meter), billing.KeyTime(e.Key), e.At
		systems[i], objects[i], classes[i], quantities[i] = string(e.System), string(e.Object), e.DataClass, e.Quantity
		realtimes[i], complexes[i], premiums[i] = e.Realtime, e.Complex, e.Premium
		services[i], refs[i], parts[i], sinces[i] = e.Service, e.Ref, int16(e.Part), e.Since
	}
	_, err := t.tx.Exec(ctx, addUsage, keys, kepts, meters, ats, services, systems, objects, classes, quantities, realtimes, complexes, premiums, refs, parts, sinces, t.now)
	return unavailable(err)
}

// One statement for any number of events. An event whose key is there already is the same event (invariant 6): kept is a function of
// the key. The ledger's trigger adds them to the sums.
const addUsage = `
INSERT INTO usage_events (tenant_id, key, kept, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since, added_at)
SELECT (SELECT current_tenant()), key, kept, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium,
       nullif(ref, '00000000-0000-0000-0000-000000000000'), part, nullif(since, '0001-01-01 00:00:00+00'), $16
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[],
            $10::boolean[], $11::boolean[], $12::boolean[], $13::uuid[], $14::smallint[], $15::timestamptz[])
  AS u (key, kept, meter, at, service_id, system, object, data_class, quantity, realtime, complex, premium, ref, part, since)
ON CONFLICT (tenant_id, key, kept) DO NOTHING`

// Operations are the journal entries behind the usage events of sync operations that match, newest first.
func (t *Tx) Operations(ctx context.Context, from, to time.Time, m billing.Match, added *time.Time, after *invoicing.OperationPosition, limit int) ([]invoicing.Operation, error) {
	q := db.BilledOperationsParams{
		PeriodStart: from, PeriodEnd: to, AddedAfter: added,
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
