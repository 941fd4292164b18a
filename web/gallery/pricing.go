// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/ui"
)

// pricingPage is the calculator as it answers, not a sample: it needs nothing but its address.
func pricingPage(p ui.Page) templ.Component {
	view := web.Pricing(httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/pricing?model=platform&plan=starter&addOn=real-time-sync&addOn=custom-transformations&syncs=600000&contacts=60000&standard=4&premium=1", nil))
	view.Prefs = p.Prefs
	return web.PricingPage(view)
}
