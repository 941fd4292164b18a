// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// DefaultCard is the rate card of a tenant who has not chosen another: PerSync.
func DefaultCard() RateCard { return PerSync() }

// DefaultPlan is the plan of a tenant without a subscription: pay per sync, everything may be used.
func DefaultPlan() Plan { return Catalog()[0] }

// catalogFrom is since when the built-in plans can be chosen.
var catalogFrom = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// PerSync is the price per sync operation of DESIGN.md section 7, graduated: 100,000 operations are $500, 1,000,000 are
// $3,200, 10,000,000 are $12,200. Records and integrations are shown, not charged.
func PerSync() RateCard {
	return RateCard{
		Name: "per-sync", Version: 1, Title: "Per sync", Currency: USD,
		Prices: []Price{
			{ID: "sync-operations", Title: "Sync operations", Meter: SyncOperations, Scheme: Graduated, Base: true, Tiers: []Tier{
				{UpTo: 100_000, Rate: dec("0.005")},
				{UpTo: 1_000_000, Rate: dec("0.003")},
				{UpTo: 10_000_000, Rate: dec("0.001")},
				{Rate: dec("0.0005")},
			}},
			{ID: "realtime", Title: "Realtime surcharge", Meter: SyncOperations, Match: Match{Realtime: yes()}, Scheme: PerUnit, Rate: dec("0.002")},
			{ID: "complex", Title: "Complex transformation surcharge", Meter: SyncOperations, Match: Match{Complex: yes()}, Scheme: PerUnit, Rate: dec("0.001")},
			{ID: "records", Title: "Records under management", Meter: Records, Scheme: Included},
			{ID: "integrations", Title: "Integrations", Meter: Integrations, Scheme: Included},
			enrichments(),
		},
	}
}

// Catalog is the published price list: each plan in its present version. They are the seed of the stored plans; a price here is
// never changed without a new version.
func Catalog() []Plan {
	return []Plan{
		{
			Model: PerSyncModel, Text: "Pay for each change that a system takes, with no fee by the month.", From: catalogFrom,
			Card: PerSync(), Allows: Entitlements{AllFeatures: true, Features: []Feature{}}, AddOns: addOns(),
		},
		{
			Model: PerRecordModel, Text: "Pay for the records you keep in step, however often they change.", From: catalogFrom,
			Card: RateCard{Name: "per-record", Version: 1, Title: "Per record", Currency: USD, Prices: []Price{
				{ID: "contacts", Title: "Contacts", Meter: Records, Match: Match{DataClass: "contacts"}, Scheme: Volume, Base: true, Tiers: []Tier{
					{UpTo: 10_000, Rate: dec("0.10")}, {UpTo: 100_000, Rate: dec("0.05")}, {UpTo: 1_000_000, Rate: dec("0.01")}, {Rate: dec("0.005")}}},
				{ID: "products", Title: "Products and inventory", Meter: Records, Match: Match{DataClass: "products"}, Scheme: Volume, Base: true, Tiers: []Tier{
					{UpTo: 1_000, Rate: dec("1.00")}, {UpTo: 10_000, Rate: dec("0.50")}, {Rate: dec("0.25")}}},
				{ID: "transactions", Title: "Transactions", Meter: Records, Match: Match{DataClass: "transactions"}, Scheme: PerUnit, Base: true, Rate: dec("0.01"), Minimum: dec("100")},
				{ID: "sync-operations", Title: "Sync operations", Meter: SyncOperations, Scheme: Included},
				{ID: "integrations", Title: "Integrations", Meter: Integrations, Scheme: Included},
				enrichments(),
			}},
			Allows: Entitlements{Features: []Feature{}}, AddOns: addOns(),
		},
		perIntegration("per-integration", "standard", "Per integration", "Pay for each connected system, with a quota of syncs for each.", nil),
		perIntegration("per-integration-bidirectional", "bi-directional", "Per integration, bi-directional", "Changes flow both ways, with advanced conflict resolution.", []Feature{AdvancedConflicts}),
		platform("platform-starter", "starter", "Platform Starter", "A first few systems.", "500", 3, "100", 500_000, "0.003", 50_000, ""),
		platform("platform-professional", "professional", "Platform Professional", "A company's systems.", "2000", 10, "50", 5_000_000, "0.001", 500_000, ""),
		platform("platform-enterprise", "enterprise", "Platform Enterprise", "Any number of systems, with an SLA and support of your own.", "10000", 0, "", 50_000_000, "0.0005", 5_000_000, "dedicated"),
	}
}

// perIntegration is the plan that charges for connected systems. With advanced conflict resolution, standard integrations cost twice.
func perIntegration(name, tier, title, text string, has []Feature) Plan {
	standard := Price{ID: "standard", Title: "Standard integrations", Meter: Integrations, Match: Match{Premium: no()}, Scheme: PerUnit, Base: true, Rate: dec("199")}
	if len(has) > 0 {
		standard.Multiply, standard.MultiplyWhy = dec("2"), "bi-directional"
	}
	return Plan{
		Model: PerIntegrationModel, Tier: tier, Text: text, From: catalogFrom,
		Card: RateCard{Name: name, Version: 1, Title: title, Currency: USD, Prices: []Price{
			standard,
			{ID: "premium", Title: "Premium integrations", Meter: Integrations, Match: Match{Premium: yes()}, Scheme: PerUnit, Base: true, Rate: dec("999")},
			{ID: "standard-syncs", Title: "Sync operations of standard integrations", Meter: SyncOperations, Match: Match{Premium: no()}, Scheme: PerUnit, Rate: dec("0.002"), Included: 100_000, PerIntegration: true},
			{ID: "premium-syncs", Title: "Sync operations of premium integrations", Meter: SyncOperations, Match: Match{Premium: yes()}, Scheme: PerUnit, Rate: dec("0.001"), Included: 500_000, PerIntegration: true},
			{ID: "records", Title: "Records under management", Meter: Records, Scheme: Included},
			enrichments(),
		}},
		Allows: Entitlements{Features: slices.Concat([]Feature{}, has)}, AddOns: addOns(),
	}
}

func platform(name, tier, title, text, base string, integrations int64, more string, syncs int64, over string, records int64, pool string) Plan {
	systems := Price{ID: "integrations", Title: "Integrations", Meter: Integrations, Scheme: Included}
	if integrations > 0 {
		systems.Scheme, systems.Included, systems.Rate = PerUnit, integrations, dec(more)
	}
	return Plan{
		Model: PlatformModel, Tier: tier, Text: text, From: catalogFrom,
		Card: RateCard{Name: name, Version: 1, Title: title, Currency: USD, Prices: []Price{
			{ID: "base", Title: title, Meter: Months, Scheme: Flat, Base: true, Rate: dec(base)},
			systems,
			{ID: "sync-operations", Title: "Sync operations", Meter: SyncOperations, Scheme: PerUnit, Rate: dec(over), Included: syncs},
			{ID: "records", Title: "Records under management", Meter: Records, Scheme: Included, ReviewAbove: records},
			enrichments(),
		}},
		Allows: Entitlements{Records: records, Features: []Feature{}, Pool: pool}, AddOns: addOns(),
	}
}

// enrichments is charged in every plan, as far as there were any.
func enrichments() Price {
	return Price{ID: "enrichments", Title: "Data enrichment", Meter: Enrichments, Scheme: PerUnit, Rate: dec("0.01"), Optional: true}
}

// addOns are the features of the price list.
func addOns() []AddOn {
	monthly := func(f Feature, title, text, fee string) AddOn {
		return AddOn{Feature: f, Title: title, Text: text, Prices: []Price{{ID: string(f), Title: title, Meter: Months, Scheme: Flat, Rate: dec(fee), AddOn: true}}}
	}
	enrich := enrichments()
	enrich.Optional, enrich.AddOn = false, true
	return []AddOn{
		{Feature: RealtimeSync, Title: "Real-time sync", Text: "Changes within seconds instead of by schedule.", Prices: []Price{
			{ID: string(RealtimeSync), Title: "Real-time sync", Meter: Months, Scheme: PercentOf, Share: dec("50"), AddOn: true}}},
		monthly(AdvancedConflicts, "Advanced conflict resolution", "Rules by field, weights, merging and expressions.", "500"),
		{Feature: DataEnrichment, Title: "Data enrichment", Text: "Missing fields from outside sources.", Prices: []Price{enrich}},
		monthly(CustomTransformations, "Custom transformations", "Fields computed by expressions of your own.", "1000"),
		monthly(DedicatedSupport, "Dedicated support", "A person who knows your set-up.", "2000"),
		monthly(HighAvailability, "99.99% SLA", "Guaranteed availability.", "1500"),
		monthly(Compliance, "HIPAA/SOC2 compliance", "Agreements and controls for regulated data.", "3000"),
		monthly(WhiteLabel, "White-label", "Under your name.", "5000"),
	}
}

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func yes() *bool { b := true; return &b }

func no() *bool { return new(bool) }
