// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Integration is a system of a service that was in use.
type Integration struct {
	Service     uuid.UUID
	ServiceName string // "" when the service is gone
	System      record.System
	Premium     bool
}

// Threshold is a quantity at which usage begins to mean something else.
type Threshold struct {
	Kind     ThresholdKind
	Price    string // "" for a limit
	Title    string
	Meter    billing.Meter
	At       int64 // units
	Quantity int64
}

// ThresholdKind says what begins there.
type ThresholdKind string

// The kinds.
const (
	Included ThresholdKind = "included" // what the plan includes is used up; more is charged
	NextTier ThresholdKind = "tier"     // another tier's rate holds
	Limit    ThresholdKind = "limit"    // the plan is made for no more
)

// Percent is the part of the threshold that was reached and is told: 75 or 100, 0 for none. A tier is told only when it is reached,
// because nothing has to be done before.
func (t Threshold) Percent() int {
	switch {
	case t.Quantity >= t.At:
		return 100
	case t.Kind != NextTier && t.Quantity >= t.At-t.At/4:
		return 75
	}
	return 0
}

// thresholds are those of the terms that hold at the end of a month, with what was used of them.
func thresholds(agreements []billing.Agreement, usage [][]billing.Quantity) (out []Threshold) {
	if len(agreements) == 0 {
		return nil
	}
	plan := agreements[len(agreements)-1].Plan
	used := func(meter billing.Meter, match billing.Match, recurring bool) (n int64) {
		for i, part := range usage {
			if recurring && i < len(usage)-1 {
				continue
			}
			for _, q := range part {
				if q.Meter == meter && match.Covers(q) {
					n += q.Units
				}
			}
		}
		return n
	}
	for _, p := range plan.Card.Prices {
		t := Threshold{Price: p.ID, Title: p.Title, Meter: p.Meter, Quantity: used(p.Meter, p.Match, p.Recurring())}
		if p.Included > 0 && !p.PerIntegration {
			t.Kind, t.At = Included, p.Included
			out = append(out, t)
		}
		for _, tier := range p.Tiers {
			if tier.UpTo > 0 {
				t.Kind, t.At = NextTier, tier.UpTo+1
				out = append(out, t)
			}
		}
	}
	for _, l := range []struct {
		meter billing.Meter
		title string
		at    int64
	}{{billing.Records, "Records of the plan", plan.Allows.Records}, {billing.Integrations, "Integrations of the plan", plan.Allows.Integrations}} {
		if l.at > 0 {
			out = append(out, Threshold{Kind: Limit, Title: l.title, Meter: l.meter, At: l.at, Quantity: used(l.meter, billing.Match{}, true)})
		}
	}
	return out
}

// WatchUsage tells people of integrations that began to be counted in the present month, and of thresholds of their plan that it
// has reached, each once a month. A tenant who used nothing since about then is passed over. Any number of processes may look; the
// notice's key, which is in the commit of the event, makes one of them tell. It says how much was told.
func (m *Manager) WatchUsage(ctx context.Context, id tenant.ID, since time.Time) (told int, err error) {
	err = m.inTx(ctx, id, func(tx Tx) error {
		told = 0
		if used, err := tx.UsedSince(ctx, since); err != nil || !used {
			return err
		}
		p, err := periodNow(ctx, tx)
		if err != nil {
			return err
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		began, err := startedIn(ctx, tx, p)
		if err != nil {
			return err
		}
		agreements := billing.Agreements(list, p.Start(), p.End())
		usage := make([][]billing.Quantity, len(agreements))
		for i, a := range agreements {
			if usage[i], err = tx.QuantitiesIn(ctx, a.Start, a.End); err != nil {
				return err
			}
		}
		told = began
		for _, t := range thresholds(agreements, usage) {
			percent := t.Percent()
			if percent == 0 {
				continue
			}
			// The plan is in the notice's name: another plan's thresholds are others.
			about := fmt.Sprintf("%s:%s:%s:%s:%d", t.Kind, agreements[len(agreements)-1].Plan.Name(), t.Price, t.Meter, t.At)
			added, err := tx.AddUsageNotice(ctx, p.Month, about, percent)
			if err != nil {
				return err
			}
			if !added {
				continue
			}
			told++
			detail := map[string]any{
				"kind": t.Kind, "meter": t.Meter, "price": t.Price, "title": t.Title, "percent": percent, "threshold": t.At, "quantity": t.Quantity, "period": p.Month.String(),
			}
			if err := tx.Emit(ctx, "usage.threshold_reached", uuid.Nil, detail); err != nil {
				return err
			}
			if err := tx.Audit(ctx, auth.System(id, "usage").Did("usage.threshold_reached", t.Title, detail)); err != nil {
				return err
			}
		}
		return nil
	})
	return told, err
}

// startedIn tells of the integrations of the present month that were not counted in the month before.
func startedIn(ctx context.Context, tx Tx, p billing.Period) (told int, err error) {
	used, err := tx.IntegrationsIn(ctx, p.Start(), p.End())
	if err != nil {
		return 0, err
	}
	for _, i := range used {
		about := fmt.Sprintf("integration:%s:%s", i.Service, i.System)
		added, err := tx.AddUsageNotice(ctx, p.Month, about, 100)
		if err != nil {
			return told, err
		}
		if !added {
			continue
		}
		if before, err := tx.UsageNoticed(ctx, p.Previous(), about); err != nil {
			return told, err
		} else if before {
			continue
		}
		told++
		if err := tx.Emit(ctx, "usage.integration_started", i.Service, map[string]any{
			"service": ident.Format(ident.Service, i.Service), "name": i.ServiceName, "system": i.System, "premium": i.Premium, "period": p.Month.String(),
		}); err != nil {
			return told, err
		}
	}
	return told, nil
}
