// SPDX-License-Identifier: Apache-2.0

package quality_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestAmounts(t *testing.T) {
	n := func(s string) record.Number { return record.Number(s) }
	line := func(amount string) any { return map[string]any{"description": "x", "amount": n(amount)} }
	for _, test := range []struct {
		name  string
		in    record.Fields
		field string // "" for nothing wrong
	}{
		{"nothing", record.Fields{"name": "x"}, ""},
		{"an amount", record.Fields{"amount": n("10.50")}, ""},
		{"written as text", record.Fields{"total_amount": "10.50"}, ""},
		{"not there", record.Fields{"amount": nil, "total": ""}, ""},
		{"a refund", record.Fields{"amount": n("-3")}, ""},
		{"a word", record.Fields{"amount": "ten"}, "amount"},
		{"too fine", record.Fields{"amount": n("10.505")}, "amount"},
		{"too fine for yen", record.Fields{"Amount": n("10.5"), "currency_code": "jpy"}, "Amount"},
		{"fine for dinars", record.Fields{"amount": n("10.505"), "currency": "KWD"}, ""},
		{"no currency", record.Fields{"amount": n("1"), "currency": "Euro"}, "currency"},
		{"a number as currency", record.Fields{"amount": n("1"), "currency": n("978")}, "currency"},
		{"an amount in parts", record.Fields{"amount": map[string]any{"value": n("1.005")}}, ""},
		{"it adds up", record.Fields{"subtotal": n("10"), "tax": n("1.90"), "total": n("11.90")}, ""},
		{"it does not", record.Fields{"subtotal": n("10"), "tax": n("1.90"), "total": n("12")}, "total"},
		{"with the tax in it", record.Fields{"subtotal": n("11.90"), "tax": n("1.90"), "total": n("11.90")}, ""},
		{"less a discount", record.Fields{"subtotal": n("10"), "tax": n("1"), "discount": n("2"), "total": n("9")}, ""},
		{"lines", record.Fields{"lines": []any{line("4"), line("6")}, "total": n("10")}, ""},
		{"lines that do not add up", record.Fields{"lineItems": []any{line("4"), line("5")}, "total": n("10")}, "total"},
		{"lines of the subtotal", record.Fields{"lines": []any{line("4"), line("6")}, "subtotal": n("10"), "tax": n("1"), "total": n("11")}, ""},
		{"lines without amounts", record.Fields{"lines": []any{map[string]any{"sku": "A"}}, "total": n("10")}, ""},
		{"exactly", record.Fields{"lines": []any{line("0.10"), line("0.20")}, "total": n("0.30")}, ""},
	} {
		f := quality.Amounts(test.in)
		switch {
		case f == nil && test.field != "":
			t.Errorf("%s: passes", test.name)
		case f != nil && (f.Field != test.field || f.Rule != quality.ValidateAmounts || f.Reason == ""):
			t.Errorf("%s: %+v, want %q", test.name, f, test.field)
		}
	}
}

func TestReceipt(t *testing.T) {
	amount := record.Number("5")
	for _, test := range []struct {
		name  string
		in    record.Fields
		known []string
		want  bool
	}{
		{"there", record.Fields{"amount": amount, "receiptUrl": "https://x"}, []string{"amount", "receiptUrl"}, true},
		{"one of several", record.Fields{"amount": amount, "receiptUrl": nil, "attachments": []any{"a"}}, []string{"receiptUrl", "attachments"}, true},
		{"missing", record.Fields{"amount": amount, "receipt_url": nil}, []string{"amount", "receipt_url"}, false},
		{"white space", record.Fields{"amount": amount, "receipt_url": "  "}, []string{"receipt_url"}, false},
		{"an empty list", record.Fields{"amount": amount, "attachments": []any{}}, []string{"attachments"}, false},
		{"of nothing", record.Fields{"amount": record.Number("0"), "receipt": nil}, []string{"receipt"}, true},
		{"no amount", record.Fields{"receipt": nil}, []string{"receipt"}, true},
		{"a system without receipts", record.Fields{"amount": amount}, []string{"amount"}, true},
	} {
		if f := quality.Receipt(test.in, test.known); (f == nil) != test.want || f != nil && f.Rule != quality.RequireReceipts {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
}
