// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// shown is everything an invoice shows, as text.
func shown(i billing.Invoice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s v%d\n", i.Period, i.State, i.RateCard, i.Total, i.CardVersion)
	for _, l := range i.Lines {
		fmt.Fprintf(&b, "%d %s: %d for %s\n", l.Position, l.Title, l.Quantity, l.Amount)
		for _, s := range l.Explanation {
			fmt.Fprintf(&b, "  %s\n", s.Text)
		}
	}
	return b.String()
}

func TestDraftFollowsFromTheLedger(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	realtime := b.operations("2026-11-05T10:00:00Z", "shop", 900_000)
	realtime.Realtime = true
	complexOnes := b.operations("2026-11-06T10:00:00Z", "shop", 50_000)
	complexOnes.Complex = true
	b.add(
		b.operations("2026-10-31T22:59:59.999999Z", "shop", 7), // the last microsecond of October in Vienna
		b.operations("2026-10-31T23:00:00Z", "shop", 49_990),   // the first of November there
		b.operations("2026-11-30T22:59:59Z", "warehouse", 10),
		b.operations("2026-11-30T23:00:00Z", "shop", 5), // December
		realtime, complexOnes,
		billing.IntegrationUsed(at("2026-11-02T00:00:00Z"), b.service, "warehouse", false),
		billing.IntegrationUsed(at("2026-11-02T00:00:00Z"), b.service, "sap", true),
		billing.RecordsCreated("c1", at("2026-09-02T00:00:00Z"), b.service, "products", "products", 3_000),
		billing.RecordsDeleted("c2", at("2026-11-03T00:00:00Z"), b.service, "products", "products", 1_000),
	)
	want := `2026-11 draft per-sync $5,050.00 v1
1 Sync operations: 1000000 for $3,200.00
  Tier 1, 1 to 100,000: 100,000 operations at $0.005 each = $500.00
  Tier 2, 100,001 to 1,000,000: 900,000 operations at $0.003 each = $2,700.00
2 Realtime surcharge: 900000 for $1,800.00
  All: 900,000 operations at $0.002 each = $1,800.00
3 Complex transformation surcharge: 50000 for $50.00
  All: 50,000 operations at $0.001 each = $50.00
4 Records under management: 3000 for $0.00
  products: 3,000 records
  3,000 records in all, included in the plan at no charge
5 Integrations: 3 for $0.00
  premium: 1 integration
  standard: 2 integrations
  3 integrations in all, included in the plan at no charge
`
	computed := b.draft(billing.Month{})
	if got := shown(computed); got != want {
		t.Errorf("computed:\n%s\nwant:\n%s", got, want)
	}
	stored, err := b.invoicer.Invoice(b.ctx, b.tenant, computed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(stored); got != want {
		t.Errorf("stored:\n%s\nwant:\n%s", got, want)
	}
	for n := range stored.Lines {
		if stored.Lines[n].ID != computed.Lines[n].ID {
			t.Errorf("line %d was %s and is %s", n+1, computed.Lines[n].ID, stored.Lines[n].ID)
		}
	}
	if !stored.ComputedAt.Equal(at("2026-11-23T12:00:00Z")) || stored.Version != 1 {
		t.Errorf("computed at %s, version %d", stored.ComputedAt, stored.Version)
	}
	if got := b.draft(november.Previous()); got.Lines[0].Quantity != 7 || got.ID == computed.ID {
		t.Errorf("October has %d operations, want 7", got.Lines[0].Quantity)
	}
}

// Whatever the order in which events arrive, and however often, the invoice is the same to the cent and to the word.
func TestDraftIsTheSameForAnyOrderAndDuplication(t *testing.T) {
	var first string
	for seed := range uint64(3) {
		b := setup(t, "America/New_York")
		random := rand.New(rand.NewPCG(1, 1)) // the same events for each order
		entity := record.EntityID(uuid.NewSHA1(uuid.Nil, []byte("revived")))
		events := []billing.UsageEvent{
			billing.RecordsCreated("c1", at("2026-09-02T00:00:00Z"), uuid.Nil, "products", "products", 40),
			billing.RecordsDeleted("c2", at("2026-11-03T00:00:00Z"), uuid.Nil, "products", "products", 1),
			billing.RecordRevived("c3", at("2026-11-04T00:00:00Z"), uuid.Nil, "products", "products", entity, at("2026-11-03T00:00:00Z")),
		}
		for n := range 400 {
			when := at("2026-10-28T00:00:00Z").Add(time.Duration(random.Int64N(int64(36 * 24 * time.Hour)))).Truncate(time.Microsecond)
			e := billing.Operations(uuid.NewSHA1(uuid.Nil, []byte{byte(n), byte(n >> 8)}), 0, when, uuid.Nil, "shop", "stock", "products", random.Int64N(900)+1)
			e.Realtime, e.Complex = random.IntN(2) == 0, random.IntN(3) == 0
			events = append(events, e)
		}
		order := rand.New(rand.NewPCG(seed, 7))
		for range 300 {
			events = append(events, events[order.IntN(len(events))])
		}
		order.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		b.draft(november) // computing in between must leave no trace
		for len(events) > 0 {
			n := min(len(events), order.IntN(120)+1)
			b.add(events[:n]...)
			events = events[n:]
			if order.IntN(3) == 0 {
				b.draft(november)
			}
		}
		got := shown(b.draft(november))
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("order %d:\n%s\nwant\n%s", seed, got, first)
		}
	}
	if !strings.Contains(first, "Records under management: 40 ") || strings.Contains(first, "Sync operations: 0 ") {
		t.Errorf("the invoice compared is not a telling one:\n%s", first)
	}
}

func TestDraftVersionMovesOnlyWithItsContent(t *testing.T) {
	b := setup(t, "UTC")
	first := b.draft(november)
	b.setNow("2026-11-24T12:00:00Z")
	same := b.draft(november)
	if same.ID != first.ID || same.Version != first.Version || !same.ComputedAt.After(first.ComputedAt) || !same.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("computed again: %s version %d at %s, was %s version %d", same.ID, same.Version, same.ComputedAt, first.ID, first.Version)
	}
	b.add(b.operations("2026-11-24T11:00:00Z", "shop", 100_000))
	changed := b.draft(november)
	if changed.ID != first.ID || changed.Version != first.Version+1 || changed.Total.Fixed() != "500.00" {
		t.Errorf("after usage: %s version %d total %s", changed.ID, changed.Version, changed.Total)
	}
}

func TestOnlyDraftsAreTouched(t *testing.T) {
	for _, state := range []billing.InvoiceState{billing.Open, billing.Paid, billing.Uncollectible} {
		t.Run(string(state), func(t *testing.T) {
			b := setup(t, "UTC")
			b.add(b.operations("2026-11-05T10:00:00Z", "shop", 100_000))
			issued := b.draft(november)
			b.exec(`UPDATE invoices SET state = $1 WHERE id = $2`, state, issued.ID)
			b.add(b.operations("2026-11-06T10:00:00Z", "shop", 900_000))
			again := b.draft(november)
			issued.State = state
			if again.ID != issued.ID || shown(again) != shown(issued) || !again.ComputedAt.Equal(issued.ComputedAt) || again.Version != issued.Version {
				t.Errorf("a late operation changed the invoice to\n%s\nfrom\n%s", shown(again), shown(issued))
			}
			if err := b.save(issued); !fault.IsCode(err, "billing.invoice_state") {
				t.Errorf("saving lines over an invoice that is %s: %v", state, err)
			}
			stored, err := b.invoicer.Invoice(b.ctx, b.tenant, issued.ID)
			if err != nil || shown(stored) != shown(issued) {
				t.Errorf("stored now is\n%s (%v)", shown(stored), err)
			}
		})
	}
	t.Run("a void one is replaced", func(t *testing.T) {
		b := setup(t, "UTC")
		void := b.draft(november)
		b.exec(`UPDATE invoices SET state = 'void' WHERE id = $1`, void.ID)
		if again := b.draft(november); again.ID == void.ID || again.State != billing.Draft {
			t.Errorf("the void invoice %s was answered with %s, %s", void.ID, again.ID, again.State)
		}
	})
}

// Any number of computations at once make one draft.
func TestOneDraftPerPeriod(t *testing.T) {
	b := setup(t, "UTC")
	b.add(b.operations("2026-11-05T10:00:00Z", "shop", 100_000))
	ids := make([]uuid.UUID, 8)
	var wg sync.WaitGroup
	for n := range ids {
		wg.Go(func() {
			invoice, err := b.invoicer.Draft(b.ctx, b.tenant, november)
			if err != nil {
				t.Error(err)
			}
			ids[n] = invoice.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("there are the drafts %s and %s", ids[0], id)
		}
	}
	list, _, err := b.invoicer.Invoices(b.ctx, b.tenant, invoicing.Page{})
	if err != nil || len(list) != 1 || list[0].Version != 1 {
		t.Errorf("%d invoices, %v", len(list), err)
	}
}

// The month identifies the period. When the tenant moves to another zone, the draft moves with it and stays one.
func TestDraftFollowsTheTenantsZone(t *testing.T) {
	b := setup(t, "UTC")
	b.add(b.operations("2026-10-31T23:30:00Z", "shop", 5))
	before := b.draft(november)
	b.exec(`UPDATE tenants SET time_zone = 'Europe/Vienna' WHERE id = $1`, uuid.UUID(b.tenant))
	after := b.draft(november)
	if before.Lines[0].Quantity != 0 || after.Lines[0].Quantity != 5 || after.ID != before.ID || after.Version != 2 {
		t.Errorf("%d operations in UTC, %d in Vienna; version %d", before.Lines[0].Quantity, after.Lines[0].Quantity, after.Version)
	}
	if got := after.Period.Start(); !got.Equal(at("2026-10-31T23:00:00Z")) {
		t.Errorf("the period starts at %s", got)
	}
}

func TestMonthsAheadAreRefused(t *testing.T) {
	b := setup(t, "Pacific/Auckland")
	b.setNow("2026-11-30T12:00:00Z") // 1 December in Auckland
	if got := b.draft(billing.Month{}); got.Period.Month != november.Next() {
		t.Errorf("the present period is %s", got.Period)
	}
	if _, err := b.invoicer.Draft(b.ctx, b.tenant, november.Next().Next()); !fault.IsCode(err, "invoicing.period_future") {
		t.Errorf("a draft for a month ahead: %v", err)
	}
	if _, err := b.invoicer.Usage(b.ctx, b.tenant, november.Next().Next()); !fault.IsCode(err, "invoicing.period_future") {
		t.Errorf("usage of a month ahead: %v", err)
	}
}
