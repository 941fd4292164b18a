// SPDX-License-Identifier: Apache-2.0

package billing

import "fmt"

// Words says what the price is, in a sentence for people: "$199.00 each, with 100,000 included for each integration".
func (p Price) Words(c Currency) string {
	money := Money{Amount: p.Rate, Currency: c}
	text := ""
	switch p.Scheme {
	case Included:
		text = "included"
		if p.ReviewAbove > 0 {
			text = Count(p.ReviewAbove) + " included; more are looked at by a person"
		}
		return text
	case Flat:
		text = money.String() + " a month"
	case PercentOf:
		text = p.Share.String() + "% of the base price"
	case Package:
		text = fmt.Sprintf("%s for each %s", money.String(), Count(p.Size))
	case PerUnit:
		text = money.String() + " each"
	case Graduated, Volume:
		text = fmt.Sprintf("%s to %s each", Money{Amount: p.Tiers[0].Rate, Currency: c}.String(), Money{Amount: p.Tiers[len(p.Tiers)-1].Rate, Currency: c}.String())
		if p.Scheme == Volume {
			text += ", all at the rate of the tier that is reached"
		} else {
			text += ", by tier"
		}
	}
	if p.Recurring() && p.Scheme != Flat {
		text += " a month"
	}
	switch {
	case p.Included > 0 && p.PerIntegration:
		text += fmt.Sprintf(", above %s of each integration", Count(p.Included))
	case p.Included > 0:
		text += fmt.Sprintf(", above %s", Count(p.Included))
	}
	if p.Multiply.IsPositive() {
		text += fmt.Sprintf(", times %s (%s)", p.Multiply, p.MultiplyWhy)
	}
	if p.Minimum.IsPositive() {
		text += ", at least " + Money{Amount: p.Minimum, Currency: c}.String() + " a month"
	}
	if p.Maximum.IsPositive() {
		text += ", at most " + Money{Amount: p.Maximum, Currency: c}.String() + " a month"
	}
	return text
}
