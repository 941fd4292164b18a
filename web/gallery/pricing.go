// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

// pricingPage is the calculator as it answers by the program's own price list, not a sample.
func pricingPage(p ui.Page) templ.Component {
	view, err := web.Calculator(billing.Catalog(), httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/pricing?model=platform&plan=starter&addOn=real-time-sync&addOn=custom-transformations&syncs=600000&contacts=60000&standard=4&premium=1", nil), "https://sync.example.com")
	if err != nil {
		panic(err) // only a fault in the price list
	}
	view.Prefs = p.Prefs
	return web.PricingPage(view)
}
