// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// Scheme is how a price follows from a quantity.
type Scheme string

// The schemes.
const (
	Graduated Scheme = "graduated" // each unit costs the rate of the tier it falls in
	Volume    Scheme = "volume"    // all units cost the rate of the tier that the whole quantity reaches
	PerUnit   Scheme = "per_unit"  // each unit costs the same
	Package   Scheme = "package"   // units are bought by the package; one that was begun costs like a full one
	Flat      Scheme = "flat"      // a fee by the month, whatever was used
	PercentOf Scheme = "percent"   // a share of the base price: of the lines whose price has Base set
	Included  Scheme = "included"  // counted and shown, not charged
)

// Tier is a span of units with a rate. A tier starts after the last unit of the tier before it.
type Tier struct {
	UpTo int64           `json:"upTo,omitempty"` // the last unit of this tier; 0 in the last tier, which has no end
	Rate decimal.Decimal `json:"rate"`           // per unit
}

// Match chooses the usage a price applies to. An unset member matches everything.
type Match struct {
	Realtime  *bool  `json:"realtime,omitempty"`
	Complex   *bool  `json:"complex,omitempty"`
	Premium   *bool  `json:"premium,omitempty"`
	DataClass string `json:"dataClass,omitempty"`
}

// Covers says whether the price applies to the cell.
func (m Match) Covers(q Quantity) bool {
	return (m.Realtime == nil || *m.Realtime == q.Realtime) &&
		(m.Complex == nil || *m.Complex == q.Complex) &&
		(m.Premium == nil || *m.Premium == q.Premium) &&
		(m.DataClass == "" || m.DataClass == q.DataClass || q.Meter == Records && m.DataClass == RecordClass(q.DataClass))
}

// Price is one entry of a rate card and becomes one invoice line. The scheme makes an amount of the quantity; the other members
// change quantity or amount on the way, always in the order in which they stand here.
type Price struct {
	ID       string          `json:"id"` // stable within the card and over its versions
	Title    string          `json:"title"`
	Meter    Meter           `json:"meter"` // Months for Flat and PercentOf
	Match    Match           `json:"match,omitzero"`
	Scheme   Scheme          `json:"scheme"`
	Tiers    []Tier          `json:"tiers,omitempty"`    // for Graduated and Volume
	Rate     decimal.Decimal `json:"rate,omitzero"`      // for PerUnit; of Package for a package; of Flat the fee
	Size     int64           `json:"size,omitempty"`     // of Package: units in a package
	Share    decimal.Decimal `json:"percent,omitzero"`   // for PercentOf: 50 is half of the base price
	Base     bool            `json:"base,omitempty"`     // part of the base price, which PercentOf takes its share of
	AddOn    bool            `json:"addOn,omitempty"`    // belongs to an add-on
	Optional bool            `json:"optional,omitempty"` // gives no line when there was no usage

	Included       int64           `json:"included,omitempty"`       // units that are free; the scheme sees the rest
	PerIntegration bool            `json:"perIntegration,omitempty"` // each integration has Included units of its own
	Multiply       decimal.Decimal `json:"multiply,omitzero"`        // the amount times this
	MultiplyWhy    string          `json:"multiplyWhy,omitempty"`    // why, for the explanation: "bi-directional"
	Minimum        decimal.Decimal `json:"minimum,omitzero"`         // the least it costs in a month, if there was any usage
	Maximum        decimal.Decimal `json:"maximum,omitzero"`         // the most it costs in a month
	ReviewAbove    int64           `json:"reviewAbove,omitempty"`    // for Included: units above this are for a person to look at
}

// Recurring says whether the price is by the month, so that a part of a month costs a part of it.
func (p Price) Recurring() bool {
	return p.Scheme == Flat || p.Scheme != PercentOf && p.Meter.Recurring()
}

// RateCard is a list of prices. A published version never changes; other prices are a new version.
type RateCard struct {
	Name     string          `json:"name"`
	Version  int             `json:"version"`
	Title    string          `json:"title"`
	Currency Currency        `json:"currency"`
	Prices   []Price         `json:"prices"`           // in the order of the invoice lines
	Minimum  decimal.Decimal `json:"minimum,omitzero"` // the least a month costs, before coupons
	Maximum  decimal.Decimal `json:"maximum,omitzero"` // the most a month costs
}

// Check says what is wrong with the card.
func (c RateCard) Check() error {
	if c.Name == "" || c.Version < 1 || c.Currency == "" || len(c.Prices) == 0 {
		return fmt.Errorf("rate card %q version %d: name, version, currency and prices are needed", c.Name, c.Version)
	}
	if c.Minimum.IsNegative() || c.Maximum.IsNegative() || c.Maximum.IsPositive() && c.Minimum.GreaterThan(c.Maximum) {
		return fmt.Errorf("rate card %q: minimum and maximum are not negative, and the minimum is not above the maximum", c.Name)
	}
	seen := map[string]bool{}
	for _, p := range c.Prices {
		if p.ID == "" || seen[p.ID] || strings.Contains(p.ID, PartMark) {
			return fmt.Errorf("rate card %q: the price id %q is empty or used twice, or has a %q", c.Name, p.ID, PartMark)
		}
		seen[p.ID] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("rate card %q: price %q: %w", c.Name, p.ID, err)
		}
	}
	return nil
}

// PartMark comes between the id of a price and the number of the part of a period, in lines of a period that has several.
const PartMark = "@"

func (p Price) check() error {
	tiered := p.Scheme == Graduated || p.Scheme == Volume
	counted := tiered || p.Scheme == PerUnit || p.Scheme == Package
	fee := p.Scheme == Flat || p.Scheme == PercentOf
	switch {
	case !counted && !fee && p.Scheme != Included:
		return fmt.Errorf("unknown scheme %q", p.Scheme)
	case tiered != (len(p.Tiers) > 0):
		return fmt.Errorf("tiers belong to graduated and volume prices, and only to them")
	case (p.Scheme == Package) != (p.Size > 0):
		return fmt.Errorf("a package has a size of 1 or more, and only a package has one")
	case (p.Scheme == PercentOf) != p.Share.IsPositive():
		return fmt.Errorf("a percent price has a percentage above 0, and only such a price has one")
	case fee != (p.Meter == Months) && p.Meter != "":
		return fmt.Errorf("fees are counted in months, and only they")
	case p.Scheme == PercentOf && p.Base:
		return fmt.Errorf("a share of the base price is not part of it")
	case p.Rate.IsNegative() || p.Minimum.IsNegative() || p.Maximum.IsNegative() || p.Multiply.IsNegative() || p.Share.IsNegative():
		return fmt.Errorf("a rate, minimum, maximum or factor is negative")
	case p.Included < 0 || p.Included > 0 && !counted:
		return fmt.Errorf("included units belong to prices that count, and are 0 or more")
	case p.PerIntegration && p.Meter != SyncOperations:
		return fmt.Errorf("only sync operations are known by integration")
	case p.Maximum.IsPositive() && p.Minimum.GreaterThan(p.Maximum):
		return fmt.Errorf("the minimum %s is above the maximum %s", p.Minimum, p.Maximum)
	case p.ReviewAbove < 0 || p.ReviewAbove > 0 && p.Scheme != Included:
		return fmt.Errorf("what is above a quantity is reviewed only where the price is included")
	}
	var from int64
	for i, t := range p.Tiers {
		if t.Rate.IsNegative() {
			return fmt.Errorf("the rate %s is negative", t.Rate)
		}
		if last := i == len(p.Tiers)-1; last {
			if t.UpTo != 0 {
				return fmt.Errorf("the last tier must be without end")
			}
		} else if t.UpTo <= from {
			return fmt.Errorf("tier %d ends at %d, not above %d", i+1, t.UpTo, from)
		}
		from = t.UpTo
	}
	return nil
}
