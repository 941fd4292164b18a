// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Need is a feature of the price list that a document uses, with the place that uses it.
type Need struct {
	Feature billing.Feature
	Place   string // canonical pointer
	Why     string // "runs in real time"
}

// Needs says which features the document uses.
func (d *Document) Needs() []Need {
	var needs []Need
	if d.Schedule().Kind == Realtime {
		needs = append(needs, Need{billing.RealtimeSync, "/syncConfig/frequency", "runs in real time"})
	}
	if place, strategy := d.advancedStrategy(); place != "" {
		needs = append(needs, Need{billing.AdvancedConflicts, place, "resolves conflicts by " + strategy})
	}
	if e := d.SyncConfig.Enrichment; e != nil && (e.Enabled == nil || *e.Enabled) {
		needs = append(needs, Need{billing.DataEnrichment, "/syncConfig/enrichment", "is enriched from outside sources"})
	}
	if d.Complex() {
		needs = append(needs, Need{billing.CustomTransformations, "/businessRules", "computes fields by expressions"})
	}
	return needs
}

// Complex says whether a transformation of the customer's own runs: a business rule that computes a field.
func (d *Document) Complex() bool {
	for _, r := range d.BusinessRules {
		if r.Rule != "" && (r.Enabled == nil || *r.Enabled) {
			return true
		}
	}
	return false
}

// advancedStrategy is the first place whose strategy is more than one side winning or a person deciding.
func (d *Document) advancedStrategy() (place, strategy string) {
	c := d.SyncConfig.ConflictResolution
	if c == nil {
		return "", ""
	}
	advanced := func(field string) (string, bool) {
		switch kind := d.StrategyFor(field).Kind; kind {
		case Weighted, FieldPriority, Merge, Custom, Average:
			return string(kind), true
		}
		return "", false
	}
	if s, ok := advanced(""); ok {
		return "/syncConfig/conflictResolution", s
	}
	for _, field := range sortedKeys(c.Fields) {
		if s, ok := advanced(field); ok {
			return pointer("syncConfig", "conflictResolution", "fields", field), s
		}
	}
	return "", ""
}

// entitled refuses a document that the tenant's plan does not allow, with the way up.
func (m *Manager) entitled(ctx context.Context, tx Tx, s Service, d *Document) error {
	sub, err := tx.SubscriptionNow(ctx)
	if err != nil {
		return err
	}
	plan := sub.Plan
	var missing []fault.Field
	var names []string
	for _, n := range d.Needs() {
		if sub.Has(n.Feature) {
			continue
		}
		way := "Choose a plan that has it under Settings, Plan."
		title := string(n.Feature)
		if a, ok := plan.AddOn(n.Feature); ok {
			title = a.Title
			way = fmt.Sprintf("Add %s to the plan for %s under Settings, Plan, or change this place.", a.Title, a.Prices[0].Words(plan.Card.Currency))
		}
		names = append(names, title)
		missing = append(missing, d.place(n.Place, "plans.feature_missing", "The service "+n.Why+", which the plan "+plan.Card.Title+" does not include.", way))
	}
	if len(missing) > 0 {
		return fault.New(fault.Forbidden, "plans.feature_missing", "The plan %s does not include %s, which this document uses. Add it under Settings, Plan.", plan.Card.Title, strings.Join(names, ", ")).At(missing...)
	}
	if d.SyncConfig.Pool == billing.DedicatedPool && plan.Allows.Pool != billing.DedicatedPool {
		return fault.New(fault.Forbidden, "plans.pool_missing", "The plan %s has no dedicated workers, which this document asks for. Choose a plan that has them under Settings, Plan, such as Platform Enterprise, or leave syncConfig.pool out.", plan.Card.Title).
			At(d.place("/syncConfig/pool", "plans.pool_missing", "The plan "+plan.Card.Title+" has no dedicated workers.", "Choose a plan that has them under Settings, Plan, or write `pool: shared`."))
	}
	if limit := plan.Allows.Integrations; limit > 0 {
		others, err := tx.IntegrationsBeside(ctx, s.ID)
		if err != nil {
			return err
		}
		if all := others + int64(len(d.Systems)); all > limit {
			return fault.New(fault.Forbidden, "plans.integrations_exceeded", "The plan %s allows %d connected systems; with this document there would be %d. Archive a service, or choose a larger plan under Settings, Plan.", plan.Card.Title, limit, all).
				At(d.place("/systems", "plans.integrations_exceeded", fmt.Sprintf("%d systems here, %d in other services, %d allowed.", len(d.Systems), others, limit), "Choose a larger plan."))
		}
	}
	return nil
}
