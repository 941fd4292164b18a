// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Budget is what a month should cost at most.
type Budget struct {
	ID        uuid.UUID
	Name      string
	Amount    decimal.Decimal
	Pause     bool // at the whole amount the active services are paused
	CreatedAt time.Time
	CreatedBy string
	Version   int64
	Reached   int // percent that was told in the present month; 0 for none
}

// BudgetSteps are the parts of a budget, in percent, at which people are told.
var BudgetSteps = []int{50, 75, 100}

// Check says what is wrong with the budget.
func (b Budget) Check() error {
	switch {
	case strings.TrimSpace(b.Name) == "" || len(b.Name) > 100:
		return fault.New(fault.Invalid, "budget.malformed", "A budget has a name of up to 100 characters.").At(fault.Field{Pointer: "/name", Code: "budget.malformed", Message: "Write a name of up to 100 characters."})
	case !b.Amount.IsPositive() || !b.Amount.Equal(b.Amount.Truncate(centDigits)) || b.Amount.GreaterThan(decimal.New(1, 15)):
		return fault.New(fault.Invalid, "budget.malformed", "The amount of a budget is above 0, in whole cents.").At(fault.Field{Pointer: "/amount", Code: "budget.malformed", Message: "Write an amount above 0 with at most two decimals."})
	}
	return nil
}

// ReachedBy are the steps that an amount has reached and that were not told yet.
func (b Budget) ReachedBy(spent decimal.Decimal) (steps []int) {
	for _, s := range BudgetSteps {
		if s > b.Reached && spent.Mul(decimal.NewFromInt(100)).GreaterThanOrEqual(b.Amount.Mul(decimal.NewFromInt(int64(s)))) {
			steps = append(steps, s)
		}
	}
	return steps
}
