// SPDX-License-Identifier: Apache-2.0

package paper_test

import (
	"bytes"
	"compress/zlib"
	"encoding/csv"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/paper"
)

func usd(s string) billing.Money {
	return billing.Money{Amount: decimal.RequireFromString(s), Currency: billing.USD}
}

func document() paper.Document {
	month := billing.Month{Year: 2026, Month: time.October}
	zone, err := billing.Zone("Europe/Vienna")
	if err != nil {
		panic(err)
	}
	return paper.Document{
		Issuer: "Syncline GmbH\nGraben 1, 1010 Wien", Customer: "Žofie & Сын, Łódź \U0001F600",
		Invoice: billing.Invoice{
			ID: uuid.New(), Period: month.In(zone), State: billing.Open, Number: 42, Currency: billing.USD, Total: usd("475.00"), Credited: usd("10"),
			FinalizedAt: time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC),
			Lines: []billing.Line{
				{Position: 1, Price: "sync-operations", Title: "Sync operations", Kind: billing.UsageLine, Meter: billing.SyncOperations, Quantity: 100_000, Amount: usd("500"), Charged: true,
					Explanation: []billing.Step{{Name: billing.StepTier, Text: "Tier 1: 100,000 operations at $0.005 each = $500.00"}}},
				{Position: 2, Price: "x", Title: "=HYPERLINK(\"evil\")", Kind: billing.AdjustmentLine, Quantity: 1, Amount: usd("-25"), Charged: true},
			},
		},
		Credits: []billing.CreditNote{{Number: 7, Amount: usd("10")}},
	}
}

func TestCSV(t *testing.T) {
	out, err := paper.CSV(document())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"invoice", "period", "position", "kind", "title", "meter", "quantity", "amount", "currency"},
		{"INV-000042", "2026-10", "1", "usage", "Sync operations", "sync_operations", "100000", "500.00", "usd"},
		{"INV-000042", "2026-10", "2", "adjustment", "'=HYPERLINK(\"evil\")", "", "1", "-25.00", "usd"},
	}
	for n := range want {
		if n >= len(rows) || strings.Join(rows[n], "|") != strings.Join(want[n], "|") {
			t.Fatalf("the rows are\n%v\nwant\n%v", rows, want)
		}
	}
}

func TestPDF(t *testing.T) {
	one, err := paper.PDF(document())
	if err != nil {
		t.Fatal(err)
	}
	d := document()
	d.Invoice.ID = uuid.New()
	two, err := paper.PDF(d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the same invoice is written in two ways")
	}
	if !bytes.HasPrefix(one, []byte("%PDF-")) || !bytes.Contains(one, []byte("%%EOF")) {
		t.Fatalf("not a PDF: %.40q", one)
	}
	// Texts are in UTF-16 in the page's stream.
	var page strings.Builder
	for _, m := range regexp.MustCompile(`(?s)stream\r?\n(.*?)\r?\nendstream`).FindAllSubmatch(one, -1) {
		if r, err := zlib.NewReader(bytes.NewReader(m[1])); err == nil {
			b, err := io.ReadAll(r)
			if err == nil && bytes.Contains(b, []byte(" Tf")) {
				page.Write(b)
			}
		}
	}
	for _, want := range []string{"INV-000042", "Žofie", "Сын", "$475.00", "CN-000007", "$465.00", "Tier"} {
		var wide strings.Builder
		for _, r := range want {
			wide.WriteByte(byte(r >> 8))
			wide.WriteByte(byte(r))
		}
		if !strings.Contains(page.String(), wide.String()) {
			t.Errorf("the page does not show %q", want)
		}
	}
	d.Invoice.State = billing.Void
	three, err := paper.PDF(d)
	if err != nil || bytes.Equal(one, three) {
		t.Errorf("a void invoice looks like an open one (%v)", err)
	}
}

// An invoice with many lines goes on over pages and is still one document.
func TestPDFOfManyLines(t *testing.T) {
	d := document()
	for n := range 300 {
		l := d.Invoice.Lines[0]
		l.Position = n + 3
		d.Invoice.Lines = append(d.Invoice.Lines, l)
	}
	out, err := paper.PDF(d)
	if err != nil {
		t.Fatal(err)
	}
	if pages := bytes.Count(out, []byte("/Type /Page\n")); pages < 8 {
		t.Errorf("%d pages for 302 lines", pages)
	}
}
