// SPDX-License-Identifier: Apache-2.0

package quality

import (
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// The document's words for checks of whole records.
const (
	ValidateAmounts = "validateAmounts"
	RequireReceipts = "requireReceipts"
	CheckDuplicates = "checkDuplicates"
)

// Fields that hold money, and those that hold what proves a payment, by their names without case and separators. Systems name
// them as they like; these are the words that are in use.
var (
	amountWords = []string{"amount", "total", "subtotal", "totalamount", "amounttotal", "amountdue", "amountpaid", "amountremaining", "amountrefunded", "balance", "price",
		"unitprice", "unitamount", "tax", "taxamount", "totaltax", "discount", "discountamount", "fee", "fees", "net", "netamount", "gross", "grossamount", "cost"}
	currencyWords = []string{"currency", "currencycode", "isocurrencycode"}
	lineWords     = []string{"lines", "lineitems", "items", "line"}
	totalWords    = []string{"total", "totalamount", "amounttotal", "grossamount", "gross"}
	subtotalWords = []string{"subtotal", "netamount", "net"}
	taxWords      = []string{"tax", "taxamount", "totaltax"}
	receiptWords  = []string{"receipt", "receipts", "receipturl", "receiptid", "receiptnumber", "receiptref", "attachment", "attachments", "attachmentid", "attachmenturl", "attachableref",
		"document", "documents", "documenturl", "voucher", "vouchernumber", "invoicepdf", "proofofpayment"}
)

// digits are how many digits after the point the amounts of a currency have, where that is not two (ISO 4217).
var digits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

var currencyForm = regexp.MustCompile(`^[A-Za-z]{3}$`)

// usualDigits are those of most currencies, and of a record that names none.
const usualDigits = 2

// fold is a name without case and separators, so that totalAmount, total_amount and Total-Amount are one word.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// among are the record's fields whose names are among the words, sorted.
func among(fields record.Fields, words []string) (out []string) {
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(words, fold(f)) {
			out = append(out, f)
		}
	}
	return out
}

// HoldsReceipt says whether a field of that name can hold a receipt.
func HoldsReceipt(field string) bool { return slices.Contains(receiptWords, fold(field)) }

// Amounts says how the record's amounts are wrong: one that is no number, or has more digits after the point than its currency;
// a currency that is none; lines, or subtotal and tax, that do not add up to the total. A record without amounts breaks nothing.
func Amounts(fields record.Fields) *Failure {
	places, currency := usualDigits, ""
	for _, f := range among(fields, currencyWords) {
		if fields[f] == nil || fields[f] == "" {
			continue
		}
		code, ok := fields[f].(string)
		if !ok || !currencyForm.MatchString(code) {
			return &Failure{Field: f, Rule: ValidateAmounts, Reason: fmt.Sprintf("%q is not a currency's three letters", shorten(record.Text(fields[f])))}
		}
		currency = strings.ToUpper(code)
		if n, known := digits[currency]; known {
			places = n
		}
	}
	for _, f := range among(fields, amountWords) {
		if reason := amountWrong(fields[f], places, currency); reason != "" {
			return &Failure{Field: f, Rule: ValidateAmounts, Reason: reason}
		}
	}
	return sums(fields)
}

// amountWrong says what is wrong with one amount, "" when nothing is.
func amountWrong(v record.Value, places int, currency string) string {
	switch v.(type) {
	case nil, []any, map[string]any:
		return "" // not there, or an amount in parts, whose parts have names of their own
	}
	if v == "" {
		return ""
	}
	n, ok := number(v)
	if !ok {
		return fmt.Sprintf("%q is not an amount", shorten(record.Text(v)))
	}
	if _, frac, _ := strings.Cut(string(n), "."); len(frac) > places {
		if currency == "" {
			return fmt.Sprintf("%s has %d digits after the point, an amount has at most %d", n, len(frac), places)
		}
		return fmt.Sprintf("%s has %d digits after the point, an amount in %s has at most %d", n, len(frac), currency, places)
	}
	return ""
}

// sums checks that what belongs together adds up, where the record says all of it.
func sums(fields record.Fields) *Failure {
	total, totalField := first(fields, totalWords)
	subtotal, subtotalField := first(fields, subtotalWords)
	tax, _ := first(fields, taxWords)
	discount, _ := first(fields, []string{"discount", "discountamount"})
	if total != nil && subtotal != nil && tax != nil {
		want := new(big.Rat).Add(subtotal, tax)
		if discount != nil {
			want.Sub(want, new(big.Rat).Abs(discount))
		}
		// Prices with the tax in them have a subtotal that is the total.
		if total.Cmp(want) != 0 && total.Cmp(subtotal) != 0 {
			return &Failure{Field: totalField, Rule: ValidateAmounts, Reason: fmt.Sprintf("%s and the tax come to %s, the total says %s", subtotalField, decimal(want), decimal(total))}
		}
	}
	for _, f := range among(fields, lineWords) {
		lines, ok := fields[f].([]any)
		if !ok || len(lines) == 0 {
			continue
		}
		sum := new(big.Rat)
		for _, line := range lines {
			one, ok := line.(map[string]any)
			if !ok {
				return nil
			}
			amount, _ := first(one, []string{"amount", "lineamount", "total", "totalamount"})
			if amount == nil {
				return nil // lines that do not say what they cost cannot be added
			}
			sum.Add(sum, amount)
		}
		want, field := subtotal, subtotalField
		if want == nil {
			want, field = total, totalField
		}
		if want == nil || tax != nil && subtotal == nil {
			return nil
		}
		if sum.Cmp(want) != 0 && (total == nil || sum.Cmp(total) != 0) {
			return &Failure{Field: field, Rule: ValidateAmounts, Reason: fmt.Sprintf("the %s add up to %s, %s says %s", f, decimal(sum), field, decimal(want))}
		}
	}
	return nil
}

// first is the first number among the fields with these names, in the order of the words.
func first(fields map[string]any, words []string) (*big.Rat, string) {
	for _, w := range words {
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			if fold(f) != w {
				continue
			}
			if n, ok := number(fields[f]); ok {
				return rat(n), f
			}
		}
	}
	return nil, ""
}

func decimal(r *big.Rat) string {
	n, err := record.ParseNumber(r.FloatString(12))
	if err != nil {
		return r.FloatString(2)
	}
	return string(n)
}

// Receipt says that a record with an amount lacks its receipt. known are the fields that the record's system has: one that has
// no field for receipts cannot break this, nor can a record of nothing.
func Receipt(fields record.Fields, known []string) *Failure {
	var places []string
	for _, f := range slices.Sorted(slices.Values(known)) {
		if HoldsReceipt(f) {
			places = append(places, f)
		}
	}
	if len(places) == 0 {
		return nil
	}
	for _, f := range places {
		switch v := fields[f].(type) {
		case nil:
		case string:
			if strings.TrimSpace(v) != "" {
				return nil
			}
		case []any:
			if len(v) > 0 {
				return nil
			}
		case map[string]any:
			if len(v) > 0 {
				return nil
			}
		case bool:
			if v {
				return nil
			}
		default:
			return nil
		}
	}
	amount, _ := first(fields, amountWords)
	if amount == nil || amount.Sign() == 0 {
		return nil
	}
	return &Failure{Field: places[0], Rule: RequireReceipts, Reason: "there is no receipt for the amount of " + decimal(amount)}
}
