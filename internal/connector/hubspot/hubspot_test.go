// SPDX-License-Identifier: Apache-2.0

package hubspot_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewJudge(t, "hubspot", []string{"crm-contacts-v3.json", "crm-properties-v3.json", "oauth-v1.json"})
	connectortest.RunRecords(t, connectortest.Records{
		Judge:    "its simulator",
		Settings: connector.Settings{"clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"},
		Bad:      []connector.Settings{{}, {"accessToken": "wrong-token", "environment": "sandbox"}, {"clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Object:   "contacts",
		Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
			clock := sandbox.NewClock(began, 100*time.Millisecond)
			a := sandboxtest.New(&hubspot.Simulator{TokenLife: time.Hour}, clock, "contacts", nil)
			a.Judge = judge.See
			return hubspot.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: a}, a
		},
		New: func(n int) record.Fields {
			return record.Fields{"email": fmt.Sprintf("person%d@example.com", n), "firstname": fmt.Sprintf("First %d", n), "lastname": "O'Neil \"x\" ä", "phone": fmt.Sprintf("+1415555%04d", n)}
		},
		Field: "firstname", Other: "phone", Identity: "email",
		Refused: map[string]record.Fields{"a word in a number": {"score": "many"}, "a field that is not there": {"colour": "red"}, "an option that is not there": {"lifecyclestage": "prime minister"}, "an address that is none": {"email": "nobody"}},
		Deletes: true, Expires: true,
	})
}
