// SPDX-License-Identifier: Apache-2.0

package rating_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
)

func plan(name string) billing.Plan {
	for _, p := range billing.Catalog() {
		if p.Name() == name {
			return p
		}
	}
	panic("no plan " + name)
}

func at(s string) time.Time {
	when, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return when
}

func period(t *testing.T, month, zone string) billing.Period {
	t.Helper()
	m, err := billing.ParseMonth(month)
	if err != nil {
		t.Fatal(err)
	}
	z, err := billing.Zone(zone)
	if err != nil {
		t.Fatal(err)
	}
	return m.In(z)
}

func mustRateMonth(t *testing.T, m rating.Month) rating.Result {
	t.Helper()
	r, err := rating.RateMonth(m)
	if err != nil {
		t.Fatal(err)
	}
	sum := billing.Zero(r.Total.Currency)
	ids := map[string]bool{}
	for _, l := range r.Lines {
		sum = sum.Add(l.Amount)
		if ids[l.Price] {
			t.Errorf("two lines are called %s", l.Price)
		}
		ids[l.Price] = true
	}
	if !sum.Equal(r.Total) {
		t.Errorf("the lines add up to %s, the total is %s", sum, r.Total)
	}
	return r
}

func amounts(r rating.Result) string {
	var out []string
	for _, l := range r.Lines {
		if !l.Amount.Amount.IsZero() {
			out = append(out, l.Price+" "+l.Amount.Fixed())
		}
	}
	return strings.Join(out, ", ")
}

// A fee is shared out by the time it was there, whatever the length of the month.
func TestProration(t *testing.T) {
	tests := []struct {
		name, month, zone, until string
		want                     string // of the base fee of $500, the rest of the month without anything
		says                     string
	}{
		{"half of a month of 30 days", "2026-11", "UTC", "2026-11-16T00:00:00Z", "250.00", "for 15 days of 30 days"},
		{"half of a month of 31 days", "2026-12", "UTC", "2026-12-16T12:00:00Z", "250.00", "for 15 days 12:00 h of 31 days"},
		{"a day", "2026-11", "UTC", "2026-11-02T00:00:00Z", "16.67", "for 1 day of 30 days"},
		{"a third", "2026-11", "UTC", "2026-11-11T00:00:00Z", "166.67", "about $166.666667"},
		{"a day of February", "2027-02", "UTC", "2027-02-02T00:00:00Z", "17.86", "of 28 days"},
		{"a day of a leap February", "2028-02", "UTC", "2028-02-02T00:00:00Z", "17.24", "of 29 days"},
		{"the leap day is missing", "2028-02", "UTC", "2028-02-29T00:00:00Z", "482.76", "for 28 days of 29 days"},
		// March of Vienna has 743 hours, the day of the change 23: 500 x 695/743 and not x 29/31.
		{"after clocks went forward", "2026-03", "Europe/Vienna", "2026-03-30T00:00:00+02:00", "467.70", "for 28 days 23:00 h of 30 days 23:00 h"},
		{"before clocks go forward", "2026-03", "Europe/Vienna", "2026-03-29T00:00:00+01:00", "452.22", "for 28 days of 30 days 23:00 h"},
		// October has 745 hours: 500 x 577/745.
		{"after clocks went back", "2026-10", "Europe/Vienna", "2026-10-26T00:00:00+01:00", "403.36", "for 25 days 1:00 h of 31 days 1:00 h"},
		{"the first of a month in which clocks go back on it", "2026-11", "America/New_York", "2026-11-02T00:00:00-05:00", "17.34", "for 1 day 1:00 h of 30 days 1:00 h"},
		{"a second", "2026-11", "UTC", "2026-11-01T00:00:01Z", "0.00", "for 0 days 0:00:01 h"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := period(t, tt.month, tt.zone)
			free := billing.Plan{Model: billing.CustomModel, Card: billing.RateCard{Name: "free", Version: 1, Title: "Free", Currency: billing.USD, Prices: []billing.Price{{ID: "records", Meter: billing.Records, Scheme: billing.Included}}}}
			r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{
				{Plan: plan("platform-starter"), From: p.Start(), To: at(tt.until)},
				{Plan: free, From: at(tt.until), To: p.End()},
			}})
			if r.Total.Fixed() != tt.want {
				t.Errorf("it costs %s, want %s", r.Total.Fixed(), tt.want)
			}
			var texts []string
			for _, s := range r.Lines[0].Explanation {
				texts = append(texts, s.Text)
			}
			if !strings.Contains(strings.Join(texts, "; "), tt.says) {
				t.Errorf("explained as %q, want %q in it", texts, tt.says)
			}
		})
	}
}

// The two parts of a month under the same plan come to the whole, but for the rounding of each line.
func TestUpgradeWithinAMonth(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	middle := at("2026-11-16T00:00:00Z")
	r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{
		{Plan: plan("platform-starter"), AddOns: []billing.Feature{billing.RealtimeSync}, From: p.Start(), To: middle, Usage: []billing.Quantity{
			operations(260_000), {Meter: billing.Integrations, Units: 4},
		}},
		{Plan: plan("platform-professional"), AddOns: []billing.Feature{billing.RealtimeSync}, From: middle, To: p.End(), Usage: []billing.Quantity{
			operations(2_600_000), {Meter: billing.Integrations, Units: 12},
		}},
	}})
	// Half the fees and half the quotas: 250 + 50 + 10,000 x 0.003 + half of 250; 1,000 + 50 + 100,000 x 0.001 + half of 1,000.
	want := "base 250.00, integrations 50.00, sync-operations 30.00, real-time-sync 125.00, base@2 1000.00, integrations@2 50.00, sync-operations@2 100.00, real-time-sync@2 500.00"
	if got := amounts(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, l := range r.Lines {
		if l.From.IsZero() || l.To.IsZero() || !strings.Contains(l.Title, "Platform") {
			t.Errorf("the line %q does not say which part it is about", l.Title)
		}
	}
}

// Who changes the plan keeps the place in the tiers: the second part goes on where the first stood.
func TestPlaceInTheTiersIsKept(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	middle := at("2026-11-10T07:00:00Z")
	whole := mustRate(t, billing.PerSync(), operations(150_000)).Total
	r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{
		{Plan: plan("per-sync"), From: p.Start(), To: middle, Usage: []billing.Quantity{operations(90_000)}},
		{Plan: plan("per-sync"), AddOns: []billing.Feature{billing.WhiteLabel}, From: middle, To: p.End(), Usage: []billing.Quantity{operations(60_000)}},
	}})
	var syncs billing.Money
	for _, l := range r.Lines {
		if strings.HasPrefix(l.Price, "sync-operations") {
			syncs = billing.Money{Amount: syncs.Amount.Add(l.Amount.Amount), Currency: billing.USD}
		}
	}
	if !syncs.Equal(whole) {
		t.Errorf("in two parts %s, in one %s", syncs, whole)
	}
	if got := amounts(r); !strings.Contains(got, "sync-operations@2 200.00") {
		t.Errorf("got %s", got)
	}
}

func TestTrial(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	usage := []billing.Quantity{operations(600_000), {Meter: billing.Integrations, Units: 5}}
	r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{
		{Plan: plan("platform-starter"), AddOns: []billing.Feature{billing.RealtimeSync, billing.WhiteLabel}, From: p.Start(), To: p.End(), Trial: true, Usage: usage},
	}})
	if !r.Total.Amount.IsZero() {
		t.Errorf("the trial costs %s", r.Total)
	}
	last := r.Lines[0].Explanation[len(r.Lines[0].Explanation)-1]
	if last.Name != billing.StepTrial || last.Text != "-$500.00: free in the trial" {
		t.Errorf("the fee ends with %q", last.Text)
	}
}

func TestCouponsAndCredit(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	month := func(coupons []billing.Coupon, credit string) rating.Month {
		return rating.Month{From: p.Start(), To: p.End(), Coupons: coupons, Credit: decimal.RequireFromString(credit), Parts: []rating.Part{
			{Plan: plan("platform-starter"), From: p.Start(), To: p.End(), Usage: []billing.Quantity{operations(600_000), {Meter: billing.Integrations, Units: 4}}}, // 500 + 100 + 300
		}}
	}
	pct := func(id, percent string, prices ...string) billing.Coupon {
		return billing.Coupon{ID: id, Title: id, Percent: rate(percent), Prices: prices}
	}
	off := func(id, amount string, prices ...string) billing.Coupon {
		return billing.Coupon{ID: id, Title: id, Amount: rate(amount), Prices: prices}
	}
	tests := []struct {
		name    string
		coupons []billing.Coupon
		credit  string
		want    string
		total   string
	}{
		{"a fifth", []billing.Coupon{pct("a", "20")}, "0", "coupon-a -180.00", "720.00"},
		{"each from what is left", []billing.Coupon{pct("a", "50"), pct("b", "50")}, "0", "coupon-a -450.00, coupon-b -225.00", "225.00"},
		{"of the fee only", []billing.Coupon{pct("a", "50", "base")}, "0", "coupon-a -250.00", "650.00"},
		{"of the fee only, twice", []billing.Coupon{pct("a", "50", "base"), pct("b", "50", "base")}, "0", "coupon-a -250.00, coupon-b -125.00", "525.00"},
		{"an amount", []billing.Coupon{off("a", "99.99")}, "0", "coupon-a -99.99", "800.01"},
		{"more than there is", []billing.Coupon{off("a", "5000")}, "0", "coupon-a -900.00", "0.00"},
		{"more than the line", []billing.Coupon{off("a", "5000", "base")}, "0", "coupon-a -500.00", "400.00"},
		{"nothing is left for the second", []billing.Coupon{pct("a", "100"), off("b", "10")}, "10", "coupon-a -900.00", "0.00"},
		{"a third, rounded", []billing.Coupon{pct("a", "33.335")}, "0", "coupon-a -300.02", "599.98"}, // 300.015, half to even
		{"credit", nil, "100.50", "credit -100.50", "799.50"},
		{"more credit than needed", nil, "1000", "credit -900.00", "0.00"},
		{"coupon before credit", []billing.Coupon{pct("a", "50")}, "100", "coupon-a -450.00, credit -100.00", "350.00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := mustRateMonth(t, month(tt.coupons, tt.credit))
			got := strings.TrimPrefix(amounts(r), "base 500.00, integrations 100.00, sync-operations 300.00, ")
			if got != tt.want || r.Total.Fixed() != tt.total {
				t.Errorf("got %s = %s, want %s = %s", got, r.Total.Fixed(), tt.want, tt.total)
			}
		})
	}
}

func TestMinimumAndMaximumOfAPlan(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	custom := plan("per-sync")
	custom.Card.Minimum, custom.Card.Maximum = rate("100"), rate("300")
	for units, want := range map[int64]string{0: "minimum 100.00", 1_000: "sync-operations 5.00, minimum 95.00", 20_000: "sync-operations 100.00", 60_000: "sync-operations 300.00", 70_000: "sync-operations 350.00, maximum -50.00"} {
		r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{{Plan: custom, From: p.Start(), To: p.End(), Usage: []billing.Quantity{operations(units)}}}})
		if got := amounts(r); got != want {
			t.Errorf("%d operations: %s, want %s", units, got, want)
		}
	}
	// Half a month has half of both.
	r := mustRateMonth(t, rating.Month{From: p.Start(), To: p.End(), Parts: []rating.Part{{Plan: custom, From: p.Start(), To: at("2026-11-16T00:00:00Z")}}})
	if got := amounts(r); got != "minimum 50.00" {
		t.Errorf("half a month: %s", got)
	}
}

// Each integration has a quota of its own: what one leaves over is no use to another.
func TestQuotaPerIntegration(t *testing.T) {
	r := mustRate(t, plan("per-integration").Card,
		billing.Quantity{Meter: billing.SyncOperations, Integration: "shop of stock", Units: 150_000},
		billing.Quantity{Meter: billing.SyncOperations, Integration: "shop of stock", Realtime: true, Units: 1_000},
		billing.Quantity{Meter: billing.SyncOperations, Integration: "crm of people", Units: 20_000},
		billing.Quantity{Meter: billing.SyncOperations, Integration: "erp of stock", Premium: true, Units: 500_001},
		billing.Quantity{Meter: billing.Integrations, Integration: "shop of stock", Units: 1},
		billing.Quantity{Meter: billing.Integrations, Integration: "crm of people", Units: 1},
		billing.Quantity{Meter: billing.Integrations, Integration: "erp of stock", Premium: true, Units: 1},
	)
	if got := amounts(r); got != "standard 398.00, premium 999.00, standard-syncs 102.00" {
		t.Errorf("got %s", got)
	}
	var texts []string
	for _, s := range r.Lines[2].Explanation {
		texts = append(texts, s.Text)
	}
	want := "crm of people: 20,000 operations of 100,000 included|shop of stock: 100,000 operations of 100,000 included, 51,000 above|Above the included: 51,000 operations at $0.002 each = $102.00"
	if got := strings.Join(texts, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPackagesMinimumsAndCaps(t *testing.T) {
	card := func(p billing.Price) billing.RateCard {
		p.ID, p.Title, p.Meter = "p", "P", billing.SyncOperations
		return billing.RateCard{Name: "c", Version: 1, Currency: billing.USD, Prices: []billing.Price{p}}
	}
	pack := billing.Price{Scheme: billing.Package, Size: 1_000, Rate: rate("3")}
	withQuota := pack
	withQuota.Included = 500
	bounded := billing.Price{Scheme: billing.PerUnit, Rate: rate("0.01"), Minimum: rate("5"), Maximum: rate("20")}
	tests := []struct {
		name  string
		price billing.Price
		units int64
		want  string
	}{
		{"no package", pack, 0, "0.00"}, {"one begun", pack, 1, "3.00"}, {"one full", pack, 1_000, "3.00"}, {"two begun", pack, 1_001, "6.00"},
		{"all included", withQuota, 500, "0.00"}, {"one above", withQuota, 501, "3.00"}, {"a package above", withQuota, 1_500, "3.00"}, {"and one", withQuota, 1_501, "6.00"},
		{"no usage, no minimum", bounded, 0, "0.00"}, {"the minimum", bounded, 1, "5.00"}, {"at the minimum", bounded, 500, "5.00"}, {"between", bounded, 501, "5.01"},
		{"at the maximum", bounded, 2_000, "20.00"}, {"above the maximum", bounded, 2_001, "20.00"}, {"10^12", bounded, 1_000_000_000_000, "20.00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustRate(t, card(tt.price), operations(tt.units)).Total.Fixed(); got != tt.want {
				t.Errorf("%d units cost %s, want %s", tt.units, got, tt.want)
			}
		})
	}
}

func TestImpossibleMonths(t *testing.T) {
	p := period(t, "2026-11", "UTC")
	middle := at("2026-11-16T00:00:00Z")
	ok := rating.Part{Plan: plan("per-sync"), From: p.Start(), To: p.End()}
	with := func(change func(*rating.Part)) rating.Part { q := ok; change(&q); return q }
	for name, m := range map[string]rating.Month{
		"no parts":          {From: p.Start(), To: p.End()},
		"no length":         {From: p.Start(), To: p.Start(), Parts: []rating.Part{ok}},
		"overlap":           {From: p.Start(), To: p.End(), Parts: []rating.Part{ok, with(func(q *rating.Part) { q.From = middle })}},
		"gap":               {From: p.Start(), To: p.End(), Parts: []rating.Part{with(func(q *rating.Part) { q.To = middle }), with(func(q *rating.Part) { q.From = middle.Add(time.Hour) })}},
		"outside":           {From: p.Start(), To: p.End(), Parts: []rating.Part{with(func(q *rating.Part) { q.To = p.End().Add(time.Hour) })}},
		"unknown add-on":    {From: p.Start(), To: p.End(), Parts: []rating.Part{with(func(q *rating.Part) { q.AddOns = []billing.Feature{"x"} })}},
		"negative credit":   {From: p.Start(), To: p.End(), Parts: []rating.Part{ok}, Credit: decimal.NewFromInt(-1)},
		"coupon of nothing": {From: p.Start(), To: p.End(), Parts: []rating.Part{ok}, Coupons: []billing.Coupon{{ID: "a"}}},
	} {
		if _, err := rating.RateMonth(m); err == nil {
			t.Errorf("%s: it was rated", name)
		}
	}
}
