// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Cell is the usage of a period at one place: a meter, a system of a service, a day, with flags.
type Cell struct {
	billing.Quantity
	Service     uuid.UUID
	ServiceName string        // "" when the service is gone
	System      record.System // "" for records
	Day         int           // index into the days of the period; only for sync operations
}

// Usage is what a tenant used in a period, so far if the period is not over, and what it comes to.
type Usage struct {
	Period   billing.Period
	Meters   []MeterUsage  // one for each meter, in the order of billing.Meters
	Systems  []SystemUsage // by name of service and system; systems without operations too, if they were in use
	Records  []RecordUsage // by name of service and data class
	Days     []DayUsage    // every day of the period, also those to come
	Lines    []billing.Line
	Total    billing.Money // of the lines; what a draft computed now would say
	RateCard billing.RateCard
}

// MeterUsage is the quantity of one meter. Realtime and Complex are the operations among it that carry a surcharge.
type MeterUsage struct {
	Meter    billing.Meter
	Quantity int64
	Realtime int64
	Complex  int64
}

// SystemUsage is what one system of a service took.
type SystemUsage struct {
	Service     uuid.UUID
	ServiceName string
	System      record.System
	Operations  int64
	Realtime    int64
	Complex     int64
	Premium     bool // counted as a premium integration
}

// RecordUsage is how many distinct records of one kind a service had under management.
type RecordUsage struct {
	Service     uuid.UUID
	ServiceName string
	DataClass   string
	Records     int64
}

// DayUsage is the operations of one day in the tenant's time zone.
type DayUsage struct {
	billing.Day
	Operations int64
	Realtime   int64
	Complex    int64
}

// Usage sums up a month from the ledger; the zero month is the present one. What was used comes from
// one statement, so its parts agree with each other; the lines may be ahead of it by what was counted in between.
func (i *Invoicer) Usage(ctx context.Context, id tenant.ID, month billing.Month) (Usage, error) {
	var usage Usage
	err := i.inTx(ctx, id, func(tx Tx) error {
		p, err := period(ctx, tx, month)
		if err != nil {
			return err
		}
		days := p.Days()
		cells, err := tx.UsageCells(ctx, p, days)
		if err != nil {
			return err
		}
		agreements, card, err := terms(ctx, tx, p)
		if err != nil {
			return err
		}
		usage = summarize(card, p, days, cells)
		rated, err := rateTerms(ctx, tx, p, agreements)
		usage.Lines, usage.Total = rated.Lines, rated.Total
		return err
	})
	return usage, err
}

func summarize(card billing.RateCard, p billing.Period, days []billing.Day, cells []Cell) Usage {
	u := Usage{Period: p, RateCard: card, Days: make([]DayUsage, len(days))}
	for n, d := range days {
		u.Days[n].Day = d
	}
	meters := map[billing.Meter]*MeterUsage{}
	for _, m := range billing.Meters {
		meters[m] = &MeterUsage{Meter: m}
	}
	type place struct {
		service uuid.UUID
		name    string // the system, or the data class
	}
	systems := map[place]*SystemUsage{}
	records := map[place]*RecordUsage{}

	for _, c := range cells {
		m := meters[c.Meter]
		if m == nil {
			continue // a meter of a later version: rated if the card knows it, not shown here
		}
		m.Quantity += c.Units
		switch c.Meter {
		case billing.Enrichments:
			continue // of the tenant as a whole
		case billing.Records:
			at := place{c.Service, c.DataClass}
			if records[at] == nil {
				records[at] = &RecordUsage{Service: c.Service, ServiceName: c.ServiceName, DataClass: c.DataClass}
			}
			records[at].Records += c.Units
			continue
		}
		at := place{c.Service, string(c.System)}
		s := systems[at]
		if s == nil {
			s = &SystemUsage{Service: c.Service, ServiceName: c.ServiceName, System: c.System}
			systems[at] = s
		}
		if c.Meter == billing.Integrations {
			s.Premium = s.Premium || c.Premium
			continue
		}
		day := &u.Days[c.Day]
		s.Operations += c.Units
		day.Operations += c.Units
		if c.Realtime {
			m.Realtime += c.Units
			s.Realtime += c.Units
			day.Realtime += c.Units
		}
		if c.Complex {
			m.Complex += c.Units
			s.Complex += c.Units
			day.Complex += c.Units
		}
	}
	for _, m := range billing.Meters {
		u.Meters = append(u.Meters, *meters[m])
	}
	for _, s := range systems {
		u.Systems = append(u.Systems, *s)
	}
	slices.SortFunc(u.Systems, func(a, b SystemUsage) int {
		return cmp.Or(cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.Service.String(), b.Service.String()), cmp.Compare(a.System, b.System))
	})
	for _, r := range records {
		u.Records = append(u.Records, *r)
	}
	slices.SortFunc(u.Records, func(a, b RecordUsage) int {
		return cmp.Or(cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.Service.String(), b.Service.String()), cmp.Compare(a.DataClass, b.DataClass))
	})
	return u
}
