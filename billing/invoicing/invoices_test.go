// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// deliver writes what settling an attempt writes: journal entries and the events that count them, one for each part.
func (b *bundle) deliver(when string, system record.System, parts ...billing.UsageEvent) (entries []uuid.UUID) {
	b.Helper()
	attempt := uuid.Must(uuid.NewV7())
	journal := func(kind, op string, cause uuid.UUID, part int) uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		b.exec(`INSERT INTO journal (tenant_id, id, service_id, entity_id, at, kind, op, system, cause, part, before, after)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '{"price": 1, "name": "a"}', CASE WHEN $7 = 'delete' THEN NULL ELSE '{"quantity": 4}'::jsonb END)`,
			uuid.UUID(b.tenant), id, b.service, uuid.Must(uuid.NewV7()), at(when), kind, op, string(system), cause, part)
		return id
	}
	ops := []string{"create", "update", "delete"}
	for part, e := range parts {
		for n := range e.Quantity {
			entries = append(entries, journal("delivery", ops[n%3], attempt, part))
		}
		o := billing.Operations(attempt, part, at(when), b.service, system, e.Object, e.DataClass, e.Quantity)
		o.Realtime, o.Complex = e.Realtime, e.Complex
		b.add(o)
		journal("delivery", "link", attempt, part)           // binding two records is no operation
		journal("change", "update", attempt, part)           // nor is a change that came in
		journal("delivery", "update", uuid.New(), part)      // nor a delivery of another attempt without an event
		journal("delivery", "update", attempt, len(parts)+1) // nor an entry that no event counts
	}
	return entries
}

// walk reads a line's operations page by page.
func (b *bundle) walk(invoice billing.Invoice, price string, limit int) (all []invoicing.Operation) {
	b.Helper()
	page := invoicing.Page{Limit: limit}
	for {
		list, next, err := b.invoicer.LineOperations(b.ctx, b.tenant, invoice.ID, billing.LineID(invoice.ID, price), page)
		if err != nil {
			b.Fatal(err)
		}
		if len(list) > limit || (len(list) == 0 && page.After != "") {
			b.Fatalf("a page of %d has %d operations", limit, len(list))
		}
		all = append(all, list...)
		if next == "" || len(all) > 1000 {
			return all
		}
		page.After = next
	}
}

func TestLinesOpenIntoTheirOperations(t *testing.T) {
	b := setup(t, "UTC")
	plain := billing.UsageEvent{Object: "stock_levels", DataClass: "products", Quantity: 5}
	fast := billing.UsageEvent{Object: "orders", DataClass: "orders", Quantity: 4, Realtime: true, Complex: true}
	want := map[string][]uuid.UUID{}
	for _, when := range []string{"2026-11-01T00:00:00Z", "2026-11-10T10:00:00Z", "2026-11-10T10:00:00Z", "2026-11-22T10:00:00Z"} {
		entries := b.deliver(when, "shop", plain, fast)
		want["sync-operations"] = append(want["sync-operations"], entries...)
		want["realtime"] = append(want["realtime"], entries[5:]...)
		want["complex"] = append(want["complex"], entries[5:]...)
	}
	b.deliver("2026-10-31T23:59:59Z", "shop", plain)
	b.deliver("2026-12-01T00:00:00Z", "shop", fast)

	invoice := b.draft(november)
	for price, entries := range want {
		for _, limit := range []int{1, 7, 100} {
			all := b.walk(invoice, price, limit)
			var ids []uuid.UUID
			for n, o := range all {
				ids = append(ids, o.ID)
				if n > 0 && all[n-1].At.Before(o.At) {
					t.Errorf("%s: %s comes after %s", price, o.At, all[n-1].At)
				}
			}
			if !sameSet(ids, entries) {
				t.Errorf("%s in pages of %d: %d operations, want %d", price, limit, len(ids), len(entries))
			}
		}
	}
	for _, l := range invoice.Lines[:3] {
		if int(l.Quantity) != len(want[l.Price]) {
			t.Errorf("line %s has quantity %d and opens into %d", l.Price, l.Quantity, len(want[l.Price]))
		}
	}

	newest := b.walk(invoice, "realtime", 100)[0]
	if newest.Object != "orders" || newest.DataClass != "orders" || newest.System != "shop" || newest.Service != b.service ||
		!newest.Realtime || !newest.Complex || !newest.At.Equal(at("2026-11-22T10:00:00Z")) || newest.Entity.IsZero() {
		t.Errorf("the newest realtime operation is %+v", newest)
	}
	for _, o := range b.walk(invoice, "sync-operations", 100) {
		fields := []string{"quantity"}
		if o.Op == "delete" {
			fields = []string{"name", "price"} // what was there
		}
		if !slices.Equal(o.Fields, fields) {
			t.Errorf("%s of %s names the fields %v", o.Op, o.ID, o.Fields)
		}
	}
}

func sameSet(a, b []uuid.UUID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	compare := func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }
	slices.SortFunc(a, compare)
	slices.SortFunc(b, compare)
	return slices.Equal(a, b)
}

func TestWhatDoesNotOpen(t *testing.T) {
	b := setup(t, "UTC")
	invoice := b.draft(november)
	other := b.newTenant("UTC")
	operations := billing.LineID(invoice.ID, "sync-operations")
	tests := []struct {
		name          string
		tenant        [16]byte
		invoice, line uuid.UUID
		after, code   string
	}{
		{"no such invoice", b.tenant, uuid.New(), operations, "", "invoicing.invoice_not_found"},
		{"another tenant's invoice", other, invoice.ID, operations, "", "invoicing.invoice_not_found"},
		{"no such line", b.tenant, invoice.ID, uuid.New(), "", "invoicing.line_not_found"},
		{"a line of records", b.tenant, invoice.ID, billing.LineID(invoice.ID, "records"), "", "invoicing.line_without_operations"},
		{"a broken cursor", b.tenant, invoice.ID, operations, "%%%", "invoicing.cursor_malformed"},
		{"a cursor that is no position", b.tenant, invoice.ID, operations, "bm8", "invoicing.cursor_malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := b.invoicer.LineOperations(b.ctx, tt.tenant, tt.invoice, tt.line, invoicing.Page{After: tt.after})
			if !fault.IsCode(err, tt.code) {
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
	if _, err := b.invoicer.Invoice(b.ctx, other, invoice.ID); !fault.IsCode(err, "invoicing.invoice_not_found") {
		t.Errorf("another tenant reads the invoice: %v", err)
	}
}

func TestInvoicesAreListedByPeriod(t *testing.T) {
	b := setup(t, "UTC")
	month := november
	var want []string
	for range 5 {
		b.draft(month)
		want = append(want, month.String())
		month = month.Previous()
	}
	for _, limit := range []int{1, 2, 5, 50} {
		var got []string
		page := invoicing.Page{Limit: limit}
		for {
			list, next, err := b.invoicer.Invoices(b.ctx, b.tenant, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) > limit || len(list) == 0 {
				t.Errorf("a page of %d has %d invoices", limit, len(list))
			}
			for _, i := range list {
				got = append(got, i.Period.String())
			}
			if page.After = next; next == "" || len(got) > len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}
