// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"testing"

	"github.com/syncline-dev/syncline/web/webtest"
)

// The editor says what the document would cost, follows what is typed, and takes other quantities than it assumed.
func TestEditorEstimates(t *testing.T) {
	h := newHouse(t)
	p := h.open(ownerEmail, "/services/new", webtest.Options{})
	p.WaitText("#estimate", "A month from then on")
	p.WaitText("#estimate", "assumed, because nothing is known")
	before := p.Text("#estimate .estimate-head")
	p.Fill("#estimate-records", "123,456")
	p.WaitText("#estimate", "123,456 records in")
	p.WaitText("#estimate", "as you say")
	if after := p.Text("#estimate .estimate-head"); after == before {
		t.Errorf("with 123,456 records it still costs %q", after)
	}
	p.Axe()
	p.Fill("#estimate-records", "many")
	p.WaitText("#estimate", "is not a quantity")
}
