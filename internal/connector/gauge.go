// SPDX-License-Identifier: Apache-2.0

package connector

import "time"

// Gauges are what a vendor's account shows of itself to this process.
type Gauges struct {
	Quota    *QuotaLeft // nil when the vendor never said
	Endpoint string     // the second address, while the first cannot be reached; "" for the first
}

// QuotaLeft is what the vendor last said is left of its calls.
type QuotaLeft struct {
	Left, Of float64
	ResetsAt time.Time // zero when it does not say
}

// Gauged is a system that knows them.
type Gauged interface {
	// Account is what budgets, breaker and pauses are kept by.
	Account() string
	Gauges() Gauges
}
