// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/store"
)

func TestUsageSummary(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	crm, gone := b.newService(b.tenant, "crm contacts"), uuid.New()
	realtime := b.operations("2026-11-01T12:00:00Z", "shop", 20)
	realtime.Realtime = true
	complexOnes := b.operations("2026-11-23T08:00:00Z", "warehouse", 7)
	complexOnes.Complex = true
	other := b.operations("2026-11-23T08:00:00Z", "shop", 100)
	other.Service, other.DataClass = crm, "contacts"
	lost := b.operations("2026-11-20T08:00:00Z", "legacy", 1)
	lost.Service = gone
	b.add(
		realtime, complexOnes, other, lost,
		b.operations("2026-10-31T22:59:59Z", "shop", 1000), // October in Vienna
		b.operations("2026-10-31T23:00:00Z", "shop", 3),    // the first instant of 1 November there
		b.operations("2026-11-01T22:59:59.999999Z", "shop", 4),
		b.operations("2026-11-01T23:00:00Z", "shop", 5),    // 2 November
		b.operations("2026-11-30T23:00:00Z", "shop", 2000), // December
		billing.IntegrationUsed(at("2026-11-23T08:00:00Z"), crm, "sap", true),
		billing.IntegrationUsed(at("2026-10-23T08:00:00Z"), crm, "october only", false),
		billing.RecordsCreated("c1", at("2026-10-01T00:00:00Z"), b.service, "products", "products", 50),
		billing.RecordsCreated("c2", at("2026-11-02T00:00:00Z"), crm, "contacts", "contacts", 9),
	)
	usage, err := b.invoicer.Usage(b.ctx, b.tenant, billing.Month{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range usage.Meters {
		got = append(got, fmt.Sprintf("%s %d, realtime %d, complex %d", m.Meter, m.Quantity, m.Realtime, m.Complex))
	}
	for _, s := range usage.Systems {
		name := s.ServiceName
		if s.Service == gone {
			name = "(gone" + name + ")"
		}
		got = append(got, fmt.Sprintf("%s/%s %d, realtime %d, complex %d, premium %v", name, s.System, s.Operations, s.Realtime, s.Complex, s.Premium))
	}
	for _, r := range usage.Records {
		got = append(got, fmt.Sprintf("%s/%s %d records", r.ServiceName, r.DataClass, r.Records))
	}
	for _, d := range usage.Days {
		if d.Operations > 0 {
			got = append(got, fmt.Sprintf("%s %d, realtime %d, complex %d", d.Date, d.Operations, d.Realtime, d.Complex))
		}
	}
	want := []string{
		"sync_operations 140, realtime 20, complex 7",
		"records 59, realtime 0, complex 0",
		"integrations 5, realtime 0, complex 0",
		"enrichments 0, realtime 0, complex 0",
		"(gone)/legacy 1, realtime 0, complex 0, premium false",
		"crm contacts/sap 0, realtime 0, complex 0, premium true",
		"crm contacts/shop 100, realtime 0, complex 0, premium false",
		"stock/shop 32, realtime 20, complex 0, premium false",
		"stock/warehouse 7, realtime 0, complex 7, premium false",
		"crm contacts/contacts 9 records",
		"stock/products 50 records",
		"2026-11-01 27, realtime 20, complex 0",
		"2026-11-02 5, realtime 0, complex 0",
		"2026-11-20 1, realtime 0, complex 0",
		"2026-11-23 107, realtime 0, complex 7",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(usage.Days) != 30 || usage.Days[0].Date != "2026-11-01" || usage.Days[29].Date != "2026-11-30" {
		t.Errorf("the series has %d days", len(usage.Days))
	}
	// Usage and draft are two readings of one ledger.
	draft := b.draft(november)
	if !draft.Total.Equal(usage.Total) || shown(billing.Invoice{Period: draft.Period, Lines: usage.Lines}) != shown(billing.Invoice{Period: draft.Period, Lines: draft.Lines}) {
		t.Errorf("usage comes to %s, the draft to %s", usage.Total, draft.Total)
	}
}

// A month with a clock change: the 25-hour day gets exactly its own operations.
func TestUsageOnTheDayClocksChange(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	b.setNow("2026-11-01T12:00:00Z")
	for _, when := range []string{
		"2026-10-24T21:59:59Z",                         // 24 October 23:59:59
		"2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", // 25 October 00:00 to 23:59:59, an hour apart from what 24 hours would say
		"2026-10-25T23:00:00Z", // 26 October
	} {
		b.add(b.operations(when, "shop", 1))
	}
	usage, err := b.invoicer.Usage(b.ctx, b.tenant, november.Previous())
	if err != nil {
		t.Fatal(err)
	}
	for date, want := range map[int]int64{24: 1, 25: 2, 26: 1} {
		if got := usage.Days[date-1]; got.Operations != want {
			t.Errorf("%s has %d operations, want %d", got.Date, got.Operations, want)
		}
	}
}

func TestUsageOfOneTenantIsItsOwn(t *testing.T) {
	b := setup(t, "UTC")
	e := b.operations("2026-11-05T10:00:00Z", "shop", 10)
	b.add(e)
	mine := b.draft(november)
	other := b.newTenant("UTC")
	if err := b.db.InTenant(b.ctx, other, func(tx *store.Tx) error {
		return tx.AddUsage(b.ctx, []billing.UsageEvent{e}) // the same key is another tenant's own fact
	}); err != nil {
		t.Fatal(err)
	}
	usage, err := b.invoicer.Usage(b.ctx, other, november)
	if err != nil || usage.Meters[0].Quantity != 10 {
		t.Errorf("the other tenant has %+v (%v)", usage.Meters, err)
	}
	if list, _, err := b.invoicer.Invoices(b.ctx, other, invoicing.Page{}); err != nil || len(list) != 0 {
		t.Errorf("the other tenant sees %d invoices (%v)", len(list), err)
	}
	if again := b.draft(november); again.Lines[0].Quantity != 10 || again.ID != mine.ID {
		t.Errorf("the first tenant now has %d operations", again.Lines[0].Quantity)
	}
}
