// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"

	"github.com/shopspring/decimal"
)

// Scheme is how a price follows from a quantity.
type Scheme string

// The schemes.
const (
	Graduated Scheme = "graduated" // each unit costs the rate of the tier it falls in
	Volume    Scheme = "volume"    // all units cost the rate of the tier that the whole quantity reaches
	PerUnit   Scheme = "per_unit"  // each unit costs the same
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
		(m.DataClass == "" || m.DataClass == q.DataClass)
}

// Price is one entry of a rate card and becomes one invoice line.
type Price struct {
	ID     string          `json:"id"` // stable within the card and over its versions
	Title  string          `json:"title"`
	Meter  Meter           `json:"meter"`
	Match  Match           `json:"match,omitzero"`
	Scheme Scheme          `json:"scheme"`
	Tiers  []Tier          `json:"tiers,omitempty"` // for Graduated and Volume
	Rate   decimal.Decimal `json:"rate,omitzero"`   // for PerUnit
}

// RateCard is a list of prices. A published version never changes; other prices are a new version.
type RateCard struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`
	Title    string   `json:"title"`
	Currency Currency `json:"currency"`
	Prices   []Price  `json:"prices"` // in the order of the invoice lines
}

// Check says what is wrong with the card: it is made by programs, never by customers, so the error is not a fault.
func (c RateCard) Check() error {
	if c.Name == "" || c.Version < 1 || c.Currency == "" || len(c.Prices) == 0 {
		return fmt.Errorf("rate card %q version %d: name, version, currency and prices are needed", c.Name, c.Version)
	}
	seen := map[string]bool{}
	for _, p := range c.Prices {
		if p.ID == "" || seen[p.ID] {
			return fmt.Errorf("rate card %q: the price id %q is empty or used twice", c.Name, p.ID)
		}
		seen[p.ID] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("rate card %q: price %q: %w", c.Name, p.ID, err)
		}
	}
	return nil
}

func (p Price) check() error {
	tiered := p.Scheme == Graduated || p.Scheme == Volume
	switch {
	case !tiered && p.Scheme != PerUnit && p.Scheme != Included:
		return fmt.Errorf("unknown scheme %q", p.Scheme)
	case tiered != (len(p.Tiers) > 0):
		return fmt.Errorf("tiers belong to graduated and volume prices, and only to them")
	case p.Rate.IsNegative():
		return fmt.Errorf("the rate %s is negative", p.Rate)
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

// DefaultCard is the rate card of a tenant who has not chosen another: PerSync.
func DefaultCard() RateCard { return PerSync() }

// PerSync is the price per sync operation of DESIGN.md section 7, graduated: 100,000 operations are $500, 1,000,000 are
// $3,200, 10,000,000 are $12,200. Records and integrations are shown, not charged.
func PerSync() RateCard {
	yes := true
	rate := decimal.RequireFromString
	return RateCard{
		Name: "per-sync", Version: 1, Title: "Per sync", Currency: USD,
		Prices: []Price{
			{ID: "sync-operations", Title: "Sync operations", Meter: SyncOperations, Scheme: Graduated, Tiers: []Tier{
				{UpTo: 100_000, Rate: rate("0.005")},
				{UpTo: 1_000_000, Rate: rate("0.003")},
				{UpTo: 10_000_000, Rate: rate("0.001")},
				{Rate: rate("0.0005")},
			}},
			{ID: "realtime", Title: "Realtime surcharge", Meter: SyncOperations, Match: Match{Realtime: &yes}, Scheme: PerUnit, Rate: rate("0.002")},
			{ID: "complex", Title: "Complex transformation surcharge", Meter: SyncOperations, Match: Match{Complex: &yes}, Scheme: PerUnit, Rate: rate("0.001")},
			{ID: "records", Title: "Records under management", Meter: Records, Scheme: Included},
			{ID: "integrations", Title: "Integrations", Meter: Integrations, Scheme: Included},
		},
	}
}
