// SPDX-License-Identifier: Apache-2.0

package plans_test

import (
	"encoding/csv"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/store"
)

// A rule is what FOCUS 1.2 says of a column.
type rule struct {
	level  string // M mandatory, C conditional, R recommended
	null   bool   // may be empty
	format string // "decimal", "time", "currency", "text"
	values []string
}

// focusRules are the columns of FOCUS 1.2 (specification/columns of the tag v1.2) with feature level, nulls, type and allowed values.
var focusRules = map[string]rule{
	"AvailabilityZone":                   {"R", true, "text", nil},
	"BilledCost":                         {"M", false, "decimal", nil},
	"BillingAccountId":                   {"M", false, "text", nil},
	"BillingAccountName":                 {"M", true, "text", nil},
	"BillingAccountType":                 {"C", false, "text", nil},
	"BillingCurrency":                    {"M", false, "currency", nil},
	"BillingPeriodEnd":                   {"M", false, "time", nil},
	"BillingPeriodStart":                 {"M", false, "time", nil},
	"CapacityReservationId":              {"C", true, "text", nil},
	"CapacityReservationStatus":          {"C", true, "text", []string{"Used", "Unused"}},
	"ChargeCategory":                     {"M", false, "text", []string{"Usage", "Purchase", "Tax", "Credit", "Adjustment"}},
	"ChargeClass":                        {"M", true, "text", []string{"Correction"}},
	"ChargeDescription":                  {"M", true, "text", nil},
	"ChargeFrequency":                    {"R", false, "text", []string{"One-Time", "Recurring", "Usage-Based"}},
	"ChargePeriodEnd":                    {"M", false, "time", nil},
	"ChargePeriodStart":                  {"M", false, "time", nil},
	"CommitmentDiscountCategory":         {"C", true, "text", []string{"Spend", "Usage"}},
	"CommitmentDiscountId":               {"C", true, "text", nil},
	"CommitmentDiscountName":             {"C", true, "text", nil},
	"CommitmentDiscountQuantity":         {"C", true, "decimal", nil},
	"CommitmentDiscountStatus":           {"C", true, "text", []string{"Used", "Unused"}},
	"CommitmentDiscountType":             {"C", true, "text", nil},
	"CommitmentDiscountUnit":             {"C", true, "text", nil},
	"ConsumedQuantity":                   {"C", true, "decimal", nil},
	"ConsumedUnit":                       {"C", true, "text", nil},
	"ContractedCost":                     {"M", false, "decimal", nil},
	"ContractedUnitPrice":                {"C", true, "decimal", nil},
	"EffectiveCost":                      {"M", false, "decimal", nil},
	"InvoiceId":                          {"R", true, "text", nil},
	"InvoiceIssuerName":                  {"M", false, "text", nil},
	"ListCost":                           {"M", false, "decimal", nil},
	"ListUnitPrice":                      {"C", true, "decimal", nil},
	"PricingCategory":                    {"C", true, "text", []string{"Standard", "Dynamic", "Committed", "Other"}},
	"PricingCurrency":                    {"C", true, "currency", nil},
	"PricingCurrencyContractedUnitPrice": {"C", true, "decimal", nil},
	"PricingCurrencyEffectiveCost":       {"C", true, "decimal", nil},
	"PricingCurrencyListUnitPrice":       {"C", true, "decimal", nil},
	"PricingQuantity":                    {"M", true, "decimal", nil},
	"PricingUnit":                        {"M", true, "text", nil},
	"ProviderName":                       {"M", false, "text", nil},
	"PublisherName":                      {"M", false, "text", nil},
	"RegionId":                           {"C", true, "text", nil},
	"RegionName":                         {"C", true, "text", nil},
	"ResourceId":                         {"C", true, "text", nil},
	"ResourceName":                       {"C", true, "text", nil},
	"ResourceType":                       {"C", true, "text", nil},
	"ServiceCategory": {"M", false, "text", []string{"AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools", "Multicloud", "Identity", "Integration",
		"Internet of Things", "Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other"}},
	"ServiceName":        {"M", false, "text", nil},
	"ServiceSubcategory": {"R", false, "text", []string{"API Management", "Messaging", "Workflow Orchestration", "Other (Integration)"}}, // of Integration
	"SkuId":              {"C", true, "text", nil},
	"SkuMeter":           {"C", true, "text", nil},
	"SkuPriceDetails":    {"C", true, "text", nil},
	"SkuPriceId":         {"C", true, "text", nil},
	"SubAccountId":       {"C", true, "text", nil},
	"SubAccountName":     {"C", true, "text", nil},
	"SubAccountType":     {"C", true, "text", nil},
	"Tags":               {"C", true, "text", nil},
}

// focusNeeded are the conditional columns whose condition holds here: usage is measured, there are unit prices and a price list.
var focusNeeded = []string{"ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "SkuId", "SkuMeter", "SkuPriceId"}

var (
	focusDecimal  = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	focusTime     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	focusCurrency = regexp.MustCompile(`^[A-Z]{3}$`)
)

// checkFocus holds an export against the specification and says what it comes to and which categories it has.
func checkFocus(t *testing.T, text string) (sum decimal.Decimal, rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head := all[0]
	for i, name := range head {
		if _, known := focusRules[name]; !known || slices.Index(head, name) != i {
			t.Errorf("the column %s is unknown, or there twice", name)
		}
	}
	for name, r := range focusRules {
		if (r.level == "M" || slices.Contains(focusNeeded, name)) && !slices.Contains(head, name) {
			t.Errorf("the column %s is missing", name)
		}
	}
	for n, cells := range all[1:] {
		row := map[string]string{}
		for i, v := range cells {
			row[head[i]] = v
		}
		rows = append(rows, row)
		bad := func(format string, args ...any) {
			t.Helper()
			t.Errorf("row %d (%s): "+format, append([]any{n + 1, row["ChargeDescription"]}, args...)...)
		}
		for name, v := range row {
			r := focusRules[name]
			switch {
			case v == "" && !r.null:
				bad("%s is empty", name)
			case v == "":
			case r.values != nil && !slices.Contains(r.values, v), r.format == "decimal" && !focusDecimal.MatchString(v), r.format == "time" && !focusTime.MatchString(v),
				r.format == "currency" && !focusCurrency.MatchString(v):
				bad("%s is %q", name, v)
			}
		}
		number := func(name string) decimal.Decimal {
			if row[name] == "" {
				return decimal.Zero
			}
			return decimal.RequireFromString(row[name])
		}
		category, correction := row["ChargeCategory"], row["ChargeClass"] == "Correction"
		priced := (category == "Usage" || category == "Purchase") && !correction
		for _, name := range []string{"PricingCategory", "PricingQuantity", "SkuId", "SkuPriceId", "ListUnitPrice", "ContractedUnitPrice"} {
			if priced && row[name] == "" {
				bad("%s is empty in a row of %s", name, category)
			}
		}
		if category != "Usage" && row["ConsumedQuantity"] != "" || category == "Usage" && !correction && row["ConsumedQuantity"] == "" {
			bad("ConsumedQuantity is %q in a row of %s", row["ConsumedQuantity"], category)
		}
		if category == "Purchase" && row["ChargeFrequency"] == "Usage-Based" {
			bad("a purchase is Usage-Based")
		}
		for _, pair := range [][2]string{{"PricingQuantity", "PricingUnit"}, {"ConsumedQuantity", "ConsumedUnit"}} {
			if (row[pair[0]] == "") != (row[pair[1]] == "") {
				bad("%s is %q and %s is %q", pair[0], row[pair[0]], pair[1], row[pair[1]])
			}
		}
		if row["SkuId"] == "" && row["SkuMeter"] != "" {
			bad("SkuMeter without SkuId")
		}
		for _, pair := range [][2]string{{"ListUnitPrice", "ListCost"}, {"ContractedUnitPrice", "ContractedCost"}} {
			switch price := number(pair[0]); {
			case price.IsNegative():
				bad("%s is negative", pair[0])
			case row[pair[0]] != "" && row["PricingQuantity"] != "" && !correction && !price.Mul(number("PricingQuantity")).Equal(number(pair[1])):
				bad("%s x PricingQuantity is not %s", pair[0], pair[1])
			case row[pair[0]] == "" && !number(pair[1]).Equal(number("BilledCost")):
				bad("%s is not BilledCost", pair[1])
			}
		}
		if !(row["BillingPeriodStart"] < row["BillingPeriodEnd"]) || !(row["ChargePeriodStart"] < row["ChargePeriodEnd"]) {
			bad("a period ends before it begins")
		}
		sum = sum.Add(number("BilledCost"))
	}
	return sum, rows
}

// Every row of the export is as FOCUS 1.2 says, under plans of every kind, and they add up to the month.
func TestFocusRows(t *testing.T) {
	b := setup(t, "Europe/Stockholm")
	b.setNow("2026-11-01T00:30:00+01:00")
	for _, w := range []plans.Wish{{Plan: "platform-starter", AddOns: []string{"white-label", "real-time-sync"}}, {Plan: "per-record"}, {Plan: "per-integration"}, {Plan: "per-sync"}} {
		b.subscribe(w)
		now := *b.clock.Load()
		b.must(b.db.InTenant(b.ctx, b.who.Tenant, func(tx *store.Tx) error {
			ops := billing.Operations(uuid.Must(uuid.NewV7()), 0, now, b.service, "shop", "stock", "products", 612_347)
			ops.Realtime, ops.Complex = true, true
			return tx.AddUsage(b.ctx, []billing.UsageEvent{
				ops, billing.IntegrationUsed(now, b.service, "shop", false), billing.IntegrationUsed(now, b.service, "sap", true),
				billing.RecordsCreated(uuid.NewString(), now, b.service, "contacts", "contacts", 10_001), billing.RecordsCreated(uuid.NewString(), now, b.service, "stock", "products", 77),
				billing.Enriched(uuid.NewString(), now, b.service, "clearbit", "contacts", "contacts", 333),
			})
		}))
		next := now.Add(5 * 24 * time.Hour)
		b.clock.Store(&next)
	}
	var out strings.Builder
	b.must(b.manager.Export(b.ctx, b.who, billing.Month{}, plans.FOCUS, &out))
	sum, rows := checkFocus(t, out.String())
	c, err := b.manager.Cost(b.ctx, b.who)
	b.must(err)
	if !sum.Equal(c.Total.Amount) || len(rows) < 10 {
		t.Errorf("%d rows add up to %s, the month comes to %s", len(rows), sum, c.Total)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r["ChargeCategory"]] = true
		if r["InvoiceId"] != "" {
			t.Errorf("a draft has the number %q", r["InvoiceId"])
		}
	}
	if !seen["Usage"] || !seen["Purchase"] {
		t.Errorf("categories: %v", seen)
	}
}

// What is exported of a month that is issued is what was billed, adjustments and credit notes among it.
func TestFocusOfAnInvoice(t *testing.T) {
	b := setup(t, "UTC")
	b.exec(`UPDATE tenants SET created_at = '2026-09-05T00:00:00Z'`)
	b.used("2026-10-10T08:00:00Z", 600_001)
	b.setNow("2026-11-03T00:00:00Z")
	_, err := b.invoicer.Close(b.ctx, b.who.Tenant)
	b.must(err)
	list, _, err := b.invoicer.Find(b.ctx, b.who.Tenant, invoicing.Filter{Review: true}, invoicing.Page{})
	b.must(err)
	var v billing.Invoice
	for _, i := range list {
		if i.Period.Month.String() == "2026-10" {
			v = i
		}
	}
	person := func(id string) auth.Principal {
		return auth.Principal{Kind: auth.KindMember, ID: id, Name: id, Role: auth.Owner, Tenant: b.who.Tenant}
	}
	v, _, err = b.invoicer.Adjust(b.ctx, person("usr_ada"), v.ID, 0, "Goodwill", "agreed on the telephone", decimal.RequireFromString("-25.00"))
	b.must(err)
	v, err = b.invoicer.Approve(b.ctx, person("usr_grace"), v.ID, 0)
	b.must(err)
	v, err = b.invoicer.Finalize(b.ctx, person("usr_grace"), v.ID, 0)
	b.must(err)
	note, err := b.invoicer.Credit(b.ctx, person("usr_ada"), v.ID, decimal.RequireFromString("12.50"), "An outage")
	b.must(err)
	note, err = b.invoicer.IssueCredit(b.ctx, person("usr_grace"), note.ID, 0)
	b.must(err)
	var out strings.Builder
	b.must(b.manager.Export(b.ctx, b.who, v.Period.Month, plans.FOCUS, &out))
	_, rows := checkFocus(t, out.String())
	sums := map[string]decimal.Decimal{}
	for _, r := range rows {
		sums[r["InvoiceId"]] = sums[r["InvoiceId"]].Add(decimal.RequireFromString(r["BilledCost"]))
	}
	if len(sums) != 2 || !sums[v.Name()].Equal(v.Total.Amount) || !sums[note.Name()].Equal(decimal.RequireFromString("-12.50")) {
		t.Errorf("by document %v; the invoice %s comes to %s", sums, v.Name(), v.Total)
	}
	last := rows[len(rows)-1]
	if last["ChargeCategory"] != "Credit" || last["ChargeClass"] != "Correction" {
		t.Errorf("the credit note is %v", last)
	}
}
