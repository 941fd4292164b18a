// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// What was used is read from sums of the ledger by the quarter of an hour (usage_rollups, and usage_deltas that were not put
// into them yet), so that a month of millions of events is thousands of rows. Both are written with the events, and moved on by
// MoveUsage in one statement; every statement sees events and sums that agree to the unit. Where a span does not begin or
// end with a quarter, as when a plan changes at noon and a second, its edges come from the events themselves.

// usageSlot is what the ledger is summed up by; usage_slot in the schema.
const usageSlot = 15 * time.Minute

// cell is what sums are kept by, beside the tenant.
const cell = `meter, slot, service_id, system, object, data_class, realtime, complex, premium, since`

// summed is every sum of the tenant. The tenant is looked up once for the statement, not for each row.
const summed = `summed AS NOT MATERIALIZED (
  SELECT ` + cell + `, units FROM usage_rollups WHERE tenant_id = (SELECT current_tenant())
  UNION ALL SELECT ` + cell + `, units FROM usage_deltas WHERE tenant_id = (SELECT current_tenant())
)`

// usageIn is the beginning of a query about a span of time, and what it is to be given: counted, what happened in it (operations,
// lookups, and uses of systems) by the columns given, and lived, the records that were live at any time in it. Each source
// is summed up by itself, because the planner knows how many different values a table has, and nothing of a union.
func usageIn(from, to time.Time, columns string) (with string, args pgx.NamedArgs) {
	first, last := from.UTC().Truncate(usageSlot), to.UTC().Truncate(usageSlot)
	low := first
	if low.Before(from) {
		low = low.Add(usageSlot)
	}
	if low.After(to) {
		low = to
	}
	rest := last
	if rest.Before(low) {
		rest = low
	}
	args = pgx.NamedArgs{"from": from, "to": to, "first": first, "last": last, "low": low, "high": last, "rest": rest}
	group := " GROUP BY 1"
	for n := range strings.Count(columns, ", ") { // a function's arguments are written without a space
		group += ", " + strconv.Itoa(n+2)
	}
	counted := func(table, condition string) string {
		return "SELECT " + columns + ", sum(units)::bigint AS units FROM " + table + `
  WHERE tenant_id = (SELECT current_tenant()) AND meter IN ('sync_operations', 'integrations', 'enrichments') AND ` + condition + group
	}
	rows := []string{
		counted("(SELECT *, slot AS at FROM usage_rollups) r", "slot >= @low AND slot < @high"),
		counted("(SELECT *, slot AS at FROM usage_deltas) d", "slot >= @low AND slot < @high"),
	}
	lives := []string{lived("usage_rollups"), lived("usage_deltas")}
	if !first.Equal(from) || !last.Equal(to) {
		const events = "(SELECT *, quantity AS units FROM usage_events) e"
		rows = append(rows, counted(events, "at >= @from AND at < @low"), counted(events, "at >= @rest AND at < @to"))
		lives = append(lives, livedAtEdges)
	}
	const union = "\n  UNION ALL "
	return "WITH counted AS MATERIALIZED (\n  " + strings.Join(rows, union) + "\n), lived AS NOT MATERIALIZED (\n  " + strings.Join(lives, union) + "\n)", args
}

// lived are the records of a table of sums that were live at any time in a span, as billing.RecordsLive defines them: deaths up to its
// beginning, and births up to its end of what had not been counted in it already. @first and @last are the quarters that it
// begins and ends in.
func lived(table string) string {
	return "SELECT service_id, data_class, sum(units)::bigint AS units FROM " + table + `
  WHERE tenant_id = (SELECT current_tenant()) AND meter = 'records' AND (since = 'infinity' AND slot <= @first OR since <= @first AND slot < @last) GROUP BY 1, 2`
}

const livedAtEdges = `SELECT service_id, data_class, sum(quantity)::bigint FROM usage_events
  WHERE tenant_id = (SELECT current_tenant()) AND meter = 'records' AND at >= @first AND at < @to
    AND CASE WHEN quantity < 0 THEN at > @first AND at <= @from
             WHEN at >= @last THEN since IS NULL OR since <= @from
             ELSE since > @first AND since <= @from END GROUP BY 1, 2`

// integrations are the distinct (service, system) with any event of a span.
const integrations = `, integrations AS (
  SELECT service_id, system, bool_or(premium) AS premium FROM counted WHERE meter <> 'enrichments' GROUP BY service_id, system
)`

// Quantities sums the ledger of the period, of all meters.
func (t *Tx) Quantities(ctx context.Context, p billing.Period) ([]billing.Quantity, error) {
	return t.QuantitiesIn(ctx, p.Start(), p.End())
}

// QuantitiesIn says what was used in a span of time, of all meters.
func (t *Tx) QuantitiesIn(ctx context.Context, from, to time.Time) ([]billing.Quantity, error) {
	with, args := usageIn(from, to, "meter, service_id, system, data_class, realtime, complex, premium")
	rows, err := t.tx.Query(ctx, with+integrations+`, named AS (
  SELECT c.meter, c.system || ' of ' || coalesce(s.name, c.service_id::text) AS integration, c.data_class, c.realtime, c.complex, c.premium, c.units
  FROM counted c LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = c.service_id WHERE c.meter = 'sync_operations'
  UNION ALL SELECT 'integrations', i.system || ' of ' || coalesce(s.name, i.service_id::text), '', false, false, i.premium, 1
  FROM integrations i LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = i.service_id
  UNION ALL SELECT 'enrichments', '', data_class, false, false, false, units FROM counted WHERE meter = 'enrichments'
  UNION ALL SELECT 'records', '', data_class, false, false, false, units FROM lived
)
SELECT meter, integration, data_class, realtime, complex, premium, sum(units)::bigint FROM named GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(units) <> 0`, args)
	if err != nil {
		return nil, unavailable(err)
	}
	quantities, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q billing.Quantity, err error) {
		err = row.Scan(&q.Meter, &q.Integration, &q.DataClass, &q.Realtime, &q.Complex, &q.Premium, &q.Units)
		return q, err
	})
	return quantities, unavailable(err)
}

// LedgerQuantities is QuantitiesIn from every event of the span: slow, and what the sums are checked by.
func (t *Tx) LedgerQuantities(ctx context.Context, from, to time.Time) ([]billing.Quantity, error) {
	rows, err := t.q.LedgerQuantities(ctx, db.LedgerQuantitiesParams{PeriodStart: from, PeriodEnd: to})
	if err != nil {
		return nil, unavailable(err)
	}
	quantities := make([]billing.Quantity, len(rows))
	for i, r := range rows {
		quantities[i] = billing.Quantity{
			Meter: billing.Meter(r.Meter), Integration: r.Integration, DataClass: r.DataClass,
			Realtime: r.Realtime, Complex: r.Complex, Premium: r.Premium, Units: r.Units,
		}
	}
	return quantities, nil
}

// UsageCells says what was used in the period by service, system, day and flags.
func (t *Tx) UsageCells(ctx context.Context, p billing.Period, days []billing.Day) ([]invoicing.Cell, error) {
	with, args := usageIn(p.Start(), p.End(), "meter, service_id, system, data_class, realtime, complex, premium, width_bucket(at,@days::timestamptz[])-1 AS day")
	args["days"] = startsOf(days)
	rows, err := t.tx.Query(ctx, with+integrations+`, used AS (
  SELECT meter, service_id, system, data_class, realtime, complex, premium, day, units FROM counted WHERE meter IN ('sync_operations', 'enrichments')
  UNION ALL SELECT 'integrations', service_id, system, '', false, false, premium, 0, 1 FROM integrations
  UNION ALL SELECT 'records', service_id, '', data_class, false, false, false, 0, units FROM lived
)
SELECT u.meter, u.service_id, coalesce(s.name, ''), u.system, u.data_class, u.realtime, u.complex, u.premium, u.day, u.units
FROM (SELECT meter, service_id, system, data_class, realtime, complex, premium, day, sum(units)::bigint AS units FROM used GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) u
LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = u.service_id WHERE u.units <> 0`, args)
	if err != nil {
		return nil, unavailable(err)
	}
	cells, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c invoicing.Cell, err error) {
		err = row.Scan(&c.Meter, &c.Service, &c.ServiceName, &c.System, &c.DataClass, &c.Realtime, &c.Complex, &c.Premium, &c.Day, &c.Units)
		return c, err
	})
	return cells, unavailable(err)
}

// UsageByPlace sums operations and lookups of a span of time by where they went, the most first.
func (t *Tx) UsageByPlace(ctx context.Context, from, to time.Time) ([]plans.Place, error) {
	with, args := usageIn(from, to, "meter, service_id, system, object, data_class, realtime, complex")
	rows, err := t.tx.Query(ctx, with+`
SELECT c.meter, c.service_id, coalesce(s.name, ''), c.system, c.object, c.data_class, c.units, c.realtime, c.complex
FROM (SELECT meter, service_id, system, object, data_class, sum(units)::bigint AS units,
        coalesce(sum(units) FILTER (WHERE realtime), 0)::bigint AS realtime, coalesce(sum(units) FILTER (WHERE complex), 0)::bigint AS complex
      FROM counted WHERE meter IN ('sync_operations', 'enrichments') GROUP BY 1, 2, 3, 4, 5) c
LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = c.service_id
WHERE c.units <> 0 ORDER BY 7 DESC, 3, 4, 5, 6`, args)
	if err != nil {
		return nil, unavailable(err)
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p plans.Place, err error) {
		err = row.Scan(&p.Meter, &p.Service, &p.ServiceName, &p.System, &p.Object, &p.DataClass, &p.Units, &p.Realtime, &p.Complex)
		return p, err
	})
	return places, unavailable(err)
}

// IntegrationsIn are the systems of services that were in use in a span of time.
func (t *Tx) IntegrationsIn(ctx context.Context, from, to time.Time) ([]plans.Integration, error) {
	with, args := usageIn(from, to, "meter, service_id, system, premium")
	rows, err := t.tx.Query(ctx, with+integrations+`
SELECT i.service_id, coalesce(s.name, ''), i.system, i.premium FROM integrations i LEFT JOIN services s ON s.tenant_id = current_tenant() AND s.id = i.service_id
ORDER BY i.service_id, i.system`, args)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i plans.Integration, err error) {
		err = row.Scan(&i.Service, &i.ServiceName, &i.System, &i.Premium)
		return i, err
	})
	return list, unavailable(err)
}

// UsageByDay sums the operations of days that follow each other.
func (t *Tx) UsageByDay(ctx context.Context, days []billing.Day) ([]int64, error) {
	out := make([]int64, len(days))
	if len(days) == 0 {
		return out, nil
	}
	with, args := usageIn(days[0].Start, days[len(days)-1].End, "meter, width_bucket(at,@days::timestamptz[])-1 AS day")
	args["days"] = startsOf(days)
	rows, err := t.tx.Query(ctx, with+`
SELECT day, sum(units)::bigint FROM counted WHERE meter = 'sync_operations' GROUP BY 1`, args)
	if err != nil {
		return nil, unavailable(err)
	}
	var day int
	var units int64
	_, err = pgx.ForEachRow(rows, []any{&day, &units}, func() error {
		out[day] = units
		return nil
	})
	return out, unavailable(err)
}

func startsOf(days []billing.Day) []time.Time {
	starts := make([]time.Time, len(days))
	for i, d := range days {
		starts[i] = d.Start
	}
	return starts
}

// MoveUsage puts up to limit of what events added into the sums by the quarter of an hour, and says how much it was. Two at once
// take different ones. Nothing that meters waits for it, and no reader sees a difference.
func (t *Tx) MoveUsage(ctx context.Context, limit int) (int64, error) {
	var moved int64
	err := t.tx.QueryRow(ctx, `WITH taken AS (
  SELECT id FROM usage_deltas WHERE tenant_id = current_tenant() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), moved AS (
  DELETE FROM usage_deltas d USING taken WHERE d.tenant_id = current_tenant() AND d.id = taken.id RETURNING d.*
), added AS (
  INSERT INTO usage_rollups AS r (tenant_id, `+cell+`, units)
  SELECT current_tenant(), `+cell+`, sum(units) FROM moved GROUP BY `+cell+` ORDER BY `+cell+`
  ON CONFLICT (tenant_id, `+cell+`) DO UPDATE SET units = r.units + excluded.units
)
SELECT count(*) FROM moved`, limit).Scan(&moved)
	return moved, unavailable(err)
}

// UsageDifference is a sum that is not what the ledger says.
type UsageDifference struct {
	Meter       billing.Meter
	Slot        time.Time
	Service     uuid.UUID
	System      record.System
	Ledger, Sum int64
}

// usageDifferences compares every sum of the tenant with the ledger, in one snapshot.
const usageDifferences = `WITH ` + summed + `, ledger AS (
  SELECT meter, usage_slot(quantity, at) AS slot, service_id, system, object, data_class, realtime, complex, premium, usage_since(quantity, since) AS since, sum(quantity) AS units
  FROM usage_events WHERE tenant_id = (SELECT current_tenant()) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
), sums AS (
  SELECT ` + cell + `, sum(units) AS units FROM summed GROUP BY ` + cell + `
), differ AS (
  SELECT ` + cell + `, coalesce(l.units, 0) AS ledger, coalesce(s.units, 0) AS sum
  FROM ledger l FULL JOIN sums s USING (` + cell + `) WHERE coalesce(l.units, 0) <> coalesce(s.units, 0)
)`

// UsageDifferences are the sums that are not what the ledger says: none, unless somebody changed one of the two by hand.
func (t *Tx) UsageDifferences(ctx context.Context) ([]UsageDifference, error) {
	rows, err := t.tx.Query(ctx, usageDifferences+` SELECT meter, slot, service_id, system, ledger::bigint, sum::bigint FROM differ ORDER BY `+cell)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d UsageDifference, err error) {
		err = row.Scan(&d.Meter, &d.Slot, &d.Service, &d.System, &d.Ledger, &d.Sum)
		return d, err
	})
	return list, unavailable(err)
}

// MendUsage makes the sums what the ledger says, by adding what is missing, and says how many were not.
func (t *Tx) MendUsage(ctx context.Context) (int64, error) {
	tag, err := t.tx.Exec(ctx, usageDifferences+`
INSERT INTO usage_deltas (tenant_id, `+cell+`, units) SELECT current_tenant(), `+cell+`, ledger - sum FROM differ`)
	return tag.RowsAffected(), unavailable(err)
}

// TenantsToSum are those with something that MoveUsage has not moved yet. Named operator statement: sums are kept for all tenants.
func (o *Operator) TenantsToSum(ctx context.Context) ([]tenant.ID, error) {
	rows, err := o.d.operator.Query(ctx, `SELECT DISTINCT tenant_id FROM usage_deltas ORDER BY tenant_id`)
	if err != nil {
		return nil, unavailable(err)
	}
	return tenantIDs(rows)
}

// Tenants are all tenants after the given one, in the order of their ids. Named operator statement: checking the ledger is for
// whoever runs the installation.
func (o *Operator) Tenants(ctx context.Context, after tenant.ID, limit int) ([]tenant.ID, error) {
	rows, err := o.d.operator.Query(ctx, `SELECT id FROM tenants WHERE id > $1 ORDER BY id LIMIT $2`, uuid.UUID(after), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return tenantIDs(rows)
}

func tenantIDs(rows pgx.Rows) ([]tenant.ID, error) {
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tenant.ID, error) {
		var id uuid.UUID
		err := row.Scan(&id)
		return tenant.ID(id), err
	})
	return list, unavailable(err)
}
