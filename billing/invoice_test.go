// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Every pair of states, so that a move added by mistake fails too. The table is Stripe's invoice lifecycle.
func TestInvoiceMoves(t *testing.T) {
	legal := map[[2]billing.InvoiceState]bool{
		{billing.Draft, billing.Open}:         true,
		{billing.Open, billing.Paid}:          true,
		{billing.Open, billing.Void}:          true,
		{billing.Open, billing.Uncollectible}: true,
		{billing.Uncollectible, billing.Paid}: true,
		{billing.Uncollectible, billing.Void}: true,
	}
	for _, from := range billing.InvoiceStates {
		if !from.Valid() {
			t.Errorf("%s is not valid", from)
		}
		for _, to := range billing.InvoiceStates {
			moved, err := billing.Invoice{State: from}.Become(to)
			if legal[[2]billing.InvoiceState{from, to}] {
				if err != nil || moved.State != to {
					t.Errorf("%s to %s: state %s, %v", from, to, moved.State, err)
				}
				continue
			}
			if !fault.IsCode(err, "billing.invoice_state") || moved.State != from {
				t.Errorf("%s to %s: state %s, %v", from, to, moved.State, err)
			}
		}
	}
	if billing.InvoiceState("deleted").Valid() {
		t.Error("deleted is a valid state")
	}
}

func TestLineIDsFollowFromInvoiceAndPrice(t *testing.T) {
	a, b := uuid.New(), uuid.New()
	if first, again := billing.LineID(a, "realtime"), billing.LineID(a, "realtime"); first != again {
		t.Error("the same line has two ids")
	}
	if billing.LineID(a, "realtime") == billing.LineID(b, "realtime") || billing.LineID(a, "realtime") == billing.LineID(a, "complex") {
		t.Error("two lines share an id")
	}
}
