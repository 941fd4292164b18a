// SPDX-License-Identifier: Apache-2.0

package excel_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/excel"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sheet/sheettest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	good := connector.Settings{"workbook": "Shared/contacts.xlsx", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh", "key": "id; natural*=sku"}
	sheettest.Run(t, sheettest.Place{
		Settings: good,
		Bad: []connector.Settings{{"workbook": "x.xlsx"}, {"workbook": "x.xlsx", "accessToken": "wrong-token", "environment": "sandbox"}, {"workbook": "no-such.xlsx", "accessToken": "sandbox_token"},
			{"workbook": "x.xlsx", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Judge: "its simulator", Positions: true,
		New: func(*testing.T) (connector.Connector, *sandbox.Server, *sandbox.Clock) {
			clock := sandbox.NewClock(sheettest.Began, 100*time.Millisecond)
			server := sandbox.NewServer(&excel.Simulator{Rate: 100_000}, sandbox.NewWorld(clock.Now, 1), false)
			return excel.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), server, clock
		},
		Writes: func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Host == "graph.microsoft.com" },
	})
}
