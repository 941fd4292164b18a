// SPDX-License-Identifier: Apache-2.0

// Package plans keeps the price list and who agreed to what: plans, subscriptions, and what usage would cost under them.
package plans

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Question asks what a month would cost.
type Question struct {
	Model  billing.Model
	Plan   string // of the model: "starter", ...; "" where the model has one, and for the standard one of per-integration
	AddOns []string
	Usage  Assumed
}

// Assumed is the usage of a month that is not known in detail.
type Assumed struct {
	Syncs         int64
	RealtimeSyncs int64 // among Syncs
	ComplexSyncs  int64 // among Syncs
	Contacts      int64
	Products      int64
	Transactions  int64
	Standard      int64 // connected systems of the standard class
	Premium       int64
	Enrichments   int64
}

// Answer is what it would cost, and why.
type Answer struct {
	rating.Result
	Plan   billing.Plan
	AddOns []billing.Feature
	Usage  []billing.Quantity // as it was rated
	Notes  []string           // what was assumed
}

// most is the most that can be asked about; no customer has a thousandth of it.
const most = 1_000_000_000_000_000

// Calculate says what a month of usage costs under a plan of the price list.
func Calculate(list []billing.Plan, q Question) (Answer, error) {
	plan, err := choose(list, q.Model, q.Plan)
	if err != nil {
		return Answer{}, err
	}
	features, plan, err := addOns(plan, q.AddOns)
	if err != nil {
		return Answer{}, err
	}
	if err := q.Usage.check(); err != nil {
		return Answer{}, err
	}
	a := Answer{Plan: plan, AddOns: features}
	a.Usage, a.Notes = q.Usage.cells(plan)
	a.Result, err = Month(plan, features, a.Usage)
	return a, err
}

// Month rates the usage of a whole month under a plan with add-ons.
func Month(plan billing.Plan, addOns []billing.Feature, usage []billing.Quantity) (rating.Result, error) {
	from := plan.From.AddDate(1, 0, 0) // any month: nothing is shared out
	to := from.AddDate(0, 1, 0)
	return rating.RateMonth(rating.Month{From: from, To: to, Parts: []rating.Part{{Plan: plan, AddOns: addOns, From: from, To: to, Usage: usage}}})
}

// choose finds the plan of a model. The tier is also taken with the model before it, and the model alone by a plan's full name.
func choose(catalog []billing.Plan, model billing.Model, tier string) (billing.Plan, error) {
	tier = strings.ToLower(strings.TrimSpace(tier))
	var names []string
	var first *billing.Plan
	for i, p := range catalog {
		if p.Model != model {
			continue
		}
		if first == nil {
			first = &catalog[i]
		}
		names = append(names, strconv.Quote(or(p.Tier, p.Name())))
		if tier != "" && slices.Contains([]string{p.Tier, p.Name(), strings.TrimPrefix(p.Name(), string(model)+"-")}, tier) {
			return p, nil
		}
	}
	switch {
	case first == nil:
		return billing.Plan{}, fault.New(fault.Invalid, "plans.model_unknown",
			"There is no pricing model %q; the models are \"per-sync\", \"per-record\", \"per-integration\" and \"platform\".", model)
	case tier == "" && model != billing.PlatformModel:
		return *first, nil
	case tier == "":
		return billing.Plan{}, fault.New(fault.Invalid, "plans.plan_unknown", "Say which plan of the model %s: %s.", model, strings.Join(names, ", "))
	}
	return billing.Plan{}, fault.New(fault.Invalid, "plans.plan_unknown", "The model %s has no plan %q; it has %s.", model, tier, strings.Join(names, ", "))
}

// addOns finds features by their names, each once. Bi-directional is a plan of per-integration and is taken as an add-on of it, too.
func addOns(plan billing.Plan, names []string) ([]billing.Feature, billing.Plan, error) {
	var out []billing.Feature
	for _, name := range names {
		f, ok := billing.ParseFeature(name)
		if _, offered := plan.AddOn(f); !ok || !offered {
			if plan.Model == billing.PerIntegrationModel && strings.HasPrefix(strings.ReplaceAll(strings.ToLower(name), "-", ""), "bidirectional") {
				if p, err := choose(billing.Catalog(), billing.PerIntegrationModel, "bi-directional"); err == nil {
					plan = p
				}
				continue
			}
			var known []string
			for _, a := range plan.AddOns {
				known = append(known, strconv.Quote(string(a.Feature)))
			}
			return nil, plan, fault.New(fault.Invalid, "plans.addon_unknown", "The plan %s has no add-on %q; it has %s.", plan.Card.Title, name, strings.Join(known, ", "))
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b billing.Feature) int {
		return slices.Index(billing.Features, a) - slices.Index(billing.Features, b)
	})
	return out, plan, nil
}

func (u Assumed) check() error {
	for _, n := range []struct {
		pointer string
		value   int64
	}{
		{"/usage/syncs", u.Syncs}, {"/usage/realtimeSyncs", u.RealtimeSyncs}, {"/usage/complexSyncs", u.ComplexSyncs},
		{"/usage/records/contacts", u.Contacts}, {"/usage/records/products", u.Products}, {"/usage/records/transactions", u.Transactions},
		{"/usage/integrations/standard", u.Standard}, {"/usage/integrations/premium", u.Premium}, {"/usage/enrichments", u.Enrichments},
	} {
		if n.value < 0 || n.value > most {
			return faulty(n.pointer, fmt.Sprintf("%d is not a quantity; write a whole number from 0 to %d.", n.value, int64(most)))
		}
	}
	if u.RealtimeSyncs > u.Syncs {
		return faulty("/usage/realtimeSyncs", fmt.Sprintf("%d syncs in real time are more than all %d syncs; syncs counts those in real time, too.", u.RealtimeSyncs, u.Syncs))
	}
	if u.ComplexSyncs > u.Syncs {
		return faulty("/usage/complexSyncs", fmt.Sprintf("%d complex syncs are more than all %d syncs; syncs counts the complex ones, too.", u.ComplexSyncs, u.Syncs))
	}
	return nil
}

func faulty(pointer, text string) error {
	return fault.New(fault.Invalid, "plans.usage_malformed", "The usage cannot be priced: %s", text).
		At(fault.Field{Pointer: pointer, Code: "plans.usage_malformed", Message: text})
}

// cells spreads the usage over cells. How many syncs are both in real time and complex is not known and makes no difference.
func (u Assumed) cells(plan billing.Plan) (cells []billing.Quantity, notes []string) {
	add := func(q billing.Quantity) {
		if q.Units > 0 {
			cells = append(cells, q)
		}
	}
	premium := int64(0)
	if plan.Model == billing.PerIntegrationModel {
		premium, notes = u.premiumSyncs(plan)
	}
	both := max(0, u.RealtimeSyncs+u.ComplexSyncs-u.Syncs)
	for _, q := range []billing.Quantity{
		{Realtime: true, Complex: true, Units: both},
		{Realtime: true, Units: u.RealtimeSyncs - both},
		{Complex: true, Units: u.ComplexSyncs - both},
		{Units: u.Syncs - u.RealtimeSyncs - u.ComplexSyncs + both},
	} {
		q.Meter = billing.SyncOperations
		p := q
		p.Premium, p.Units = true, min(premium, q.Units)
		premium -= p.Units
		q.Units -= p.Units
		add(p)
		add(q)
	}
	add(billing.Quantity{Meter: billing.Records, DataClass: "contacts", Units: u.Contacts})
	add(billing.Quantity{Meter: billing.Records, DataClass: "products", Units: u.Products})
	add(billing.Quantity{Meter: billing.Records, DataClass: "transactions", Units: u.Transactions})
	add(billing.Quantity{Meter: billing.Integrations, Units: u.Standard})
	add(billing.Quantity{Meter: billing.Integrations, Premium: true, Units: u.Premium})
	add(billing.Quantity{Meter: billing.Enrichments, Units: u.Enrichments})
	return cells, notes
}

// premiumSyncs is how many syncs premium integrations take. Where only the sum is known, standard integrations use their quotas
// first, then premium ones theirs; what is left costs least as overage of a premium integration, if there is one.
func (u Assumed) premiumSyncs(plan billing.Plan) (int64, []string) {
	switch {
	case u.Premium == 0:
		return 0, nil
	case u.Standard == 0:
		return u.Syncs, nil
	}
	var quota int64
	for _, p := range plan.Card.Prices {
		if p.PerIntegration && p.Match.Premium != nil && !*p.Match.Premium {
			quota = p.Included
		}
	}
	standard := u.Syncs
	if u.Standard <= u.Syncs/quota { // no overflow on the way
		standard = u.Standard * quota
	}
	return u.Syncs - standard, []string{fmt.Sprintf(
		"How the syncs are spread over the systems is not known. Assumed is what costs least: %s fill the quotas of the standard integrations, the other %s go to premium ones. On an invoice each integration has its own count.",
		billing.Count(standard), billing.Count(u.Syncs-standard))}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// zero is no credit.
var zero decimal.Decimal
