// SPDX-License-Identifier: Apache-2.0

package googlesheets_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/googlesheets"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/sheet/sheettest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewDiscovery(t, "google-sheets", "sheets-api.json", "/token")
	good := connector.Settings{"spreadsheet": "https://docs.google.com/spreadsheets/d/book/edit#gid=0", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh", "key": "id; natural*=sku"}
	sheettest.Run(t, sheettest.Place{
		Settings: good,
		Bad: []connector.Settings{{"spreadsheet": "book"}, {"spreadsheet": "book", "accessToken": "wrong-token", "environment": "sandbox"}, {"spreadsheet": "no-such-book", "accessToken": "sandbox_token"},
			{"spreadsheet": "book", "serviceAccount": "sandbox_{}"}, {"spreadsheet": "book", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Judge: "simulator; Google's API description", Positions: true,
		New: func(*testing.T) (connector.Connector, *sandbox.Server, *sandbox.Clock) {
			clock := sandbox.NewClock(sheettest.Began, 100*time.Millisecond)
			server := sandbox.NewServer(&googlesheets.Simulator{Rate: 100_000}, sandbox.NewWorld(clock.Now, 1), false)
			server.Judge = judge.See
			return googlesheets.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), server, clock
		},
		Writes: func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path != "/token" },
	})
}
