// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"math/big"
	"strings"

	"github.com/shopspring/decimal"
)

// Currency is an ISO 4217 code in lower case, as Stripe writes it.
type Currency string

// USD is the currency of the built-in rate cards.
const USD Currency = "usd"

// centDigits is the number of decimals of an amount that can be paid.
const centDigits = 2

// Money is an exact amount in whole currency units (dollars, not cents). It may have more decimals than can be paid until
// it went through RoundLine.
type Money struct {
	Amount   decimal.Decimal `json:"amount"`
	Currency Currency        `json:"currency"`
}

// Zero is no money in the given currency.
func Zero(c Currency) Money { return Money{Currency: c} }

// Add returns the sum. Both must be of one currency; mixing them is a mistake in the program, so it panics.
func (m Money) Add(n Money) Money {
	if m.Currency != n.Currency {
		panic("billing: cannot add " + string(n.Currency) + " to " + string(m.Currency))
	}
	return Money{Amount: m.Amount.Add(n.Amount), Currency: m.Currency}
}

// Equal says whether both are the same amount of the same currency.
func (m Money) Equal(n Money) bool { return m.Currency == n.Currency && m.Amount.Equal(n.Amount) }

// RoundLine brings a complete line to whole cents, half to even. It is the only place where an amount is rounded: totals
// are sums of rounded lines, so they need no rounding and always agree with what the invoice shows.
func RoundLine(m Money) Money { return RoundExact(m.Amount.Rat(), m.Currency) }

// RoundExact is RoundLine for an amount that no decimal holds: a share of a month is a fraction.
func RoundExact(r *big.Rat, c Currency) Money {
	return Money{Amount: Nearest(r, centDigits), Currency: c}
}

// Nearest is the decimal with so many digits after the point that is nearest to the fraction, the even one of two.
func Nearest(r *big.Rat, digits int32) decimal.Decimal {
	scaled := new(big.Int).Mul(r.Num(), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
	q, rest := new(big.Int).QuoRem(scaled, r.Denom(), new(big.Int)) // towards zero
	switch rest.Abs(rest).Lsh(rest, 1).Cmp(r.Denom()) {
	case 1:
		q.Add(q, big.NewInt(int64(r.Sign())))
	case 0:
		if q.Bit(0) == 1 {
			q.Add(q, big.NewInt(int64(r.Sign())))
		}
	}
	return decimal.NewFromBigInt(q, -digits)
}

// Fixed writes the amount with its cents and nothing else ("3200.00"), the form of the API. It does not round: an amount
// with more decimals shows all of them.
func (m Money) Fixed() string { return fixed(m.Amount) }

// String writes the amount for people: "$3,200.00", "$0.0005", "-$1.50", "12.00 EUR".
func (m Money) String() string {
	digits := group(fixed(m.Amount.Abs()))
	sign := ""
	if m.Amount.IsNegative() {
		sign = "-"
	}
	if m.Currency == USD {
		return sign + "$" + digits
	}
	return sign + digits + " " + strings.ToUpper(string(m.Currency))
}

// fixed shows at least the cents and never loses a digit.
func fixed(d decimal.Decimal) string {
	if d.Equal(d.Truncate(centDigits)) {
		return d.StringFixed(centDigits)
	}
	return d.String()
}

// Count writes a quantity for people: "1,000,000".
func Count(n int64) string { return group(decimal.NewFromInt(n).String()) }

// group puts a comma between each three digits before the point.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, rest := s, ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		whole, rest = s[:i], s[i:]
	}
	var b strings.Builder
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return sign + b.String() + rest
}
