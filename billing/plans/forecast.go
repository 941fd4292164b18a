// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"math"
	"time"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
)

// Forecast is what a month will come to if it goes on as it went.
type Forecast struct {
	Low, Likely, High billing.Money // eight of ten such months end between low and high
	Days              int           // full days that it is made from
	Operations        int64         // likely by the end of the month
}

// spread is how many standard deviations lie on either side of the middle eight tenths.
const spread = 1.2816

// forecast goes on from the month's usage so far. What happens once goes on at the mean of the full days that are known,
// the range following from how much the days differ; records and integrations stay as they are. The days' operations
// are those before now, the oldest first.
func forecast(p billing.Period, now time.Time, agreements []billing.Agreement, usage [][]billing.Quantity, days []int64) (Forecast, error) {
	rateWith := func(more float64) (billing.Money, error) {
		grown := make([][]billing.Quantity, len(usage))
		copy(grown, usage)
		last := len(usage) - 1
		grown[last] = grow(usage[last], more)
		r, err := rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, grown, zero))
		return r.Total, err
	}
	f := Forecast{Days: len(days)}
	for _, part := range usage {
		f.Operations += operations(part)
	}
	mean, deviation := moments(days)
	left := max(0, p.End().Sub(now).Hours()/24)
	likely := mean * left
	wide := spread * deviation * math.Sqrt(left)
	f.Operations += int64(math.Round(likely))
	var err error
	if f.Likely, err = rateWith(likely); err != nil {
		return f, err
	}
	if f.Low, err = rateWith(max(0, likely-wide)); err != nil {
		return f, err
	}
	f.High, err = rateWith(likely + wide)
	// More usage can cost less where a lower rate is reached for all units.
	if f.Low.Amount.GreaterThan(f.Likely.Amount) {
		f.Low = f.Likely
	}
	if f.High.Amount.LessThan(f.Likely.Amount) {
		f.High = f.Likely
	}
	return f, err
}

func operations(cells []billing.Quantity) (n int64) {
	for _, q := range cells {
		if q.Meter == billing.SyncOperations {
			n += q.Units
		}
	}
	return n
}

// grow adds operations in the proportion of those there are, and lookups in step with them. Where there are none yet they are
// plain ones.
func grow(cells []billing.Quantity, more float64) []billing.Quantity {
	have := operations(cells)
	if have == 0 {
		if n := int64(math.Round(more)); n > 0 {
			return append(append([]billing.Quantity{}, cells...), billing.Quantity{Meter: billing.SyncOperations, Units: n})
		}
		return cells
	}
	out := append([]billing.Quantity{}, cells...)
	for i, q := range out {
		if q.Meter == billing.SyncOperations || q.Meter == billing.Enrichments {
			out[i].Units += int64(math.Round(more * float64(q.Units) / float64(have)))
		}
	}
	return out
}

func moments(days []int64) (mean, deviation float64) {
	if len(days) == 0 {
		return 0, 0
	}
	for _, d := range days {
		mean += float64(d)
	}
	mean /= float64(len(days))
	if len(days) < 2 {
		return mean, mean / 2 // one day says little: as if half of it could be missing
	}
	for _, d := range days {
		deviation += (float64(d) - mean) * (float64(d) - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(days)-1))
}
