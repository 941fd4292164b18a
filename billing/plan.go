// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Model is how a plan charges, in the words of the price list.
type Model string

// The models. What a plan of any model charges for features is its add-ons.
const (
	PerSyncModel        Model = "per-sync"
	PerRecordModel      Model = "per-record"
	PerIntegrationModel Model = "per-integration"
	PlatformModel       Model = "platform"
	CustomModel         Model = "custom" // made by an operator for one tenant
)

// Feature is something a plan may allow.
type Feature string

// The features. Each but BiDirectional is an add-on of the price list.
const (
	RealtimeSync          Feature = "real-time-sync"
	AdvancedConflicts     Feature = "advanced-conflict-resolution"
	DataEnrichment        Feature = "data-enrichment"
	CustomTransformations Feature = "custom-transformations"
	DedicatedSupport      Feature = "dedicated-support"
	HighAvailability      Feature = "sla-99-99"
	Compliance            Feature = "hipaa-soc2-compliance"
	WhiteLabel            Feature = "white-label"
)

// Features lists all features in the order of the price list.
var Features = []Feature{RealtimeSync, AdvancedConflicts, DataEnrichment, CustomTransformations, DedicatedSupport, HighAvailability, Compliance, WhiteLabel}

// featureNames are other ways to write a feature, among them those of the published price list.
var featureNames = map[string]Feature{
	"realtime": RealtimeSync, "realtime-sync": RealtimeSync, "real-time": RealtimeSync,
	"advanced-conflicts": AdvancedConflicts, "conflict-resolution": AdvancedConflicts,
	"enrichment":            DataEnrichment,
	"custom-transformation": CustomTransformations, "complex-transformations": CustomTransformations,
	"support": DedicatedSupport,
	"sla":     HighAvailability, "99-99-sla": HighAvailability, "sla-9999": HighAvailability, "99-99": HighAvailability,
	"compliance": Compliance, "hipaa-soc2": Compliance, "hipaa": Compliance, "soc2": Compliance,
	"whitelabel": WhiteLabel,
}

// ParseFeature finds a feature by its name, however it is spelt: "Real-time Sync", "99.99% SLA", "HIPAA/SOC2 Compliance".
func ParseFeature(s string) (Feature, bool) {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if f := Feature(name); slices.Contains(Features, f) {
		return f, true
	}
	f, ok := featureNames[name]
	return f, ok
}

// AddOn is a feature that may be added to a plan, with what it costs.
type AddOn struct {
	Feature Feature `json:"feature"`
	Title   string  `json:"title"`
	Text    string  `json:"text,omitempty"`
	Prices  []Price `json:"prices"`
}

// Entitlements are what a plan allows. Zero limits are none.
type Entitlements struct {
	Integrations int64     `json:"integrations,omitempty"` // the most systems that may be connected; 0 for any number
	Records      int64     `json:"records,omitempty"`      // under management; more are looked at by a person, not refused
	Features     []Feature `json:"features"`               // that the plan has in itself, without an add-on
	AllFeatures  bool      `json:"allFeatures,omitempty"`  // everything may be used
	Pool         string    `json:"pool,omitempty"`         // class of worker pool: "" for the shared one, "dedicated"
}

// Plan is a rate card with what it allows and what can be added. Name and version are the card's. A published version never changes:
// other prices or rights are a new version, and a subscription names the version it agreed to.
type Plan struct {
	Model  Model        `json:"model"`
	Tier   string       `json:"tier,omitempty"` // "starter", "professional", ...; "" where the model has one plan
	Text   string       `json:"text"`           // for whom it is, in a sentence
	Card   RateCard     `json:"card"`
	Allows Entitlements `json:"allows"`
	AddOns []AddOn      `json:"addOns"`
	From   time.Time    `json:"from,omitzero"` // from when on it can be chosen
}

// Name is the plan's, the same over its versions.
func (p Plan) Name() string { return p.Card.Name }

// Check says what is wrong with the plan.
func (p Plan) Check() error {
	if err := p.Card.Check(); err != nil {
		return err
	}
	if p.Model == "" {
		return fmt.Errorf("plan %q: a model is needed", p.Name())
	}
	if p.Allows.Integrations < 0 || p.Allows.Records < 0 {
		return fmt.Errorf("plan %q: a limit is negative", p.Name())
	}
	seen := map[Feature]bool{}
	for _, a := range p.AddOns {
		if !slices.Contains(Features, a.Feature) || seen[a.Feature] {
			return fmt.Errorf("plan %q: the add-on %q is unknown or there twice", p.Name(), a.Feature)
		}
		seen[a.Feature] = true
		with := p.Card
		with.Prices = Prices(p.Card.Prices, a.Prices)
		if err := with.Check(); err != nil {
			return fmt.Errorf("plan %q: add-on %q: %w", p.Name(), a.Feature, err)
		}
	}
	for _, f := range p.Allows.Features {
		if !slices.Contains(Features, f) {
			return fmt.Errorf("plan %q: unknown feature %q", p.Name(), f)
		}
	}
	return nil
}

// AddOn finds the add-on for a feature.
func (p Plan) AddOn(f Feature) (AddOn, bool) {
	for _, a := range p.AddOns {
		if a.Feature == f {
			return a, true
		}
	}
	return AddOn{}, false
}

// Has says whether the feature may be used under the plan with these add-ons.
func (p Plan) Has(f Feature, addOns []Feature) bool {
	return p.Allows.AllFeatures || slices.Contains(p.Allows.Features, f) || slices.Contains(addOns, f)
}

// Prices are those of a card with those of an add-on; an add-on's price takes the place of the card's with the same id.
func Prices(card, addOn []Price) []Price {
	out := slices.Clone(card)
	for _, p := range addOn {
		p.AddOn = true
		if i := slices.IndexFunc(out, func(q Price) bool { return q.ID == p.ID }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}

// PriceList is what can be chosen at a time: of each plan of the program and of those that were published, the latest version in force.
// Plans of the program come first, in their order, then the others by name.
func PriceList(published []Plan, at time.Time) []Plan {
	out := Catalog()
	own := len(out)
	for _, p := range published {
		if p.From.After(at) {
			continue
		}
		switch i := slices.IndexFunc(out, func(q Plan) bool { return q.Name() == p.Name() }); {
		case i < 0:
			out = append(out, p)
		case p.Card.Version > out[i].Card.Version:
			out[i] = p
		}
	}
	slices.SortStableFunc(out[own:], func(a, b Plan) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// Coupon takes something off an invoice. It has either a percentage or an amount.
type Coupon struct {
	ID      string          `json:"id"`
	Title   string          `json:"title"`
	Percent decimal.Decimal `json:"percent,omitzero"` // 20 takes off a fifth
	Amount  decimal.Decimal `json:"amount,omitzero"`  // taken off, at most what is left
	Prices  []string        `json:"prices,omitempty"` // ids of the prices it is for; none for all
	From    time.Time       `json:"from,omitzero"`    // it is for months that begin from then on; zero for any
	To      time.Time       `json:"to,omitzero"`      // and before then; zero: for ever
	Reason  string          `json:"reason,omitempty"` // why it was given, for reviewers
}

// Holds says whether the coupon is for the month that begins then.
func (c Coupon) Holds(month time.Time) bool {
	return !month.Before(c.From) && (c.To.IsZero() || month.Before(c.To))
}

// Check says what is wrong with the coupon.
func (c Coupon) Check() error {
	hundred := decimal.NewFromInt(100)
	switch {
	case c.ID == "" || strings.Contains(c.ID, PartMark):
		return fmt.Errorf("a coupon has an id")
	case c.Percent.IsPositive() == c.Amount.IsPositive():
		return fmt.Errorf("coupon %q: either a percentage or an amount", c.ID)
	case c.Percent.IsNegative() || c.Amount.IsNegative() || c.Percent.GreaterThan(hundred):
		return fmt.Errorf("coupon %q: a percentage is up to 100, an amount not negative", c.ID)
	case !c.To.IsZero() && !c.From.Before(c.To):
		return fmt.Errorf("coupon %q: it ends before it begins", c.ID)
	}
	return nil
}
