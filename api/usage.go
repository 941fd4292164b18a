// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showMoney(m billing.Money) spec.Money {
	return spec.Money{Amount: m.Fixed(), Currency: string(m.Currency)}
}

func showPeriod(p billing.Period) spec.Period {
	return spec.Period{Month: p.Month.String(), Start: p.Start().UTC(), End: p.End().UTC(), TimeZone: p.Zone.String()}
}

func (s *server) GetUsage(ctx context.Context, req spec.GetUsageRequestObject) (spec.GetUsageResponseObject, error) {
	if err := who(ctx).May(auth.ViewUsage); err != nil {
		return nil, err
	}
	var month billing.Month
	if req.Params.Period != nil {
		var err error
		if month, err = billing.ParseMonth(*req.Params.Period); err != nil {
			return nil, err
		}
	}
	u, err := s.Invoicer.Usage(ctx, who(ctx).Tenant, month)
	if err != nil {
		return nil, err
	}
	out := spec.GetUsage200JSONResponse{
		Period:   showPeriod(u.Period),
		RateCard: spec.RateCard{Name: u.RateCard.Name, Version: u.RateCard.Version, Title: optional(u.RateCard.Title)},
		Meters: shown(u.Meters, func(m invoicing.MeterUsage) spec.MeterUsage {
			return spec.MeterUsage{Meter: spec.Meter(m.Meter), Quantity: m.Quantity, Realtime: m.Realtime, Complex: m.Complex}
		}),
		Systems: shown(u.Systems, func(v invoicing.SystemUsage) spec.SystemUsage {
			return spec.SystemUsage{
				Service: public(ident.Service, v.Service), ServiceName: v.ServiceName, System: string(v.System),
				Operations: v.Operations, Realtime: v.Realtime, Complex: v.Complex, Premium: v.Premium,
			}
		}),
		Records: shown(u.Records, func(v invoicing.RecordUsage) spec.RecordUsage {
			return spec.RecordUsage{Service: public(ident.Service, v.Service), ServiceName: v.ServiceName, DataClass: v.DataClass, Records: v.Records}
		}),
		Days: shown(u.Days, func(d invoicing.DayUsage) spec.DayUsage {
			return spec.DayUsage{Date: d.Date, Start: d.Start.UTC(), End: d.End.UTC(), Operations: d.Operations, Realtime: d.Realtime, Complex: d.Complex}
		}),
	}
	if who(ctx).Can(auth.ViewInvoices) {
		lines, total := shown(u.Lines, showLine), showMoney(u.Total)
		out.Lines, out.Total = &lines, &total
	}
	return out, nil
}
