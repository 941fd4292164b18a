// SPDX-License-Identifier: Apache-2.0

package salesforce_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func TestSuite(t *testing.T) {
	t.Parallel()
	// The collection is of 2021 and has an object in the addresses of these two; the documentation has none.
	judge := sandboxtest.NewCollection(t, "salesforce", "postman-requests.json", "PATCH /services/data/v{{version}}/composite/sobjects", "DELETE /services/data/v{{version}}/composite/sobjects")
	connectortest.RunRecords(t, connectortest.Records{
		Judge:    "its simulator",
		Settings: connector.Settings{"instanceUrl": "https://acme.my.salesforce.com", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"},
		Bad:      []connector.Settings{{"instanceUrl": "https://acme.my.salesforce.com"}, {"instanceUrl": "https://acme.my.salesforce.com", "accessToken": "wrong-token", "environment": "sandbox"}, {"instanceUrl": "not a url", "accessToken": "sandbox_x"}},
		Object:   "Contact",
		Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
			clock := sandbox.NewClock(began, 100*time.Millisecond)
			a := sandboxtest.New(&salesforce.Simulator{TokenLife: time.Hour}, clock, "Contact", nil)
			a.Judge = judge.See
			return salesforce.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: a}, a
		},
		New: func(n int) record.Fields {
			return record.Fields{"Email": fmt.Sprintf("person%d@example.com", n), "FirstName": fmt.Sprintf("First %d", n), "LastName": `O'Neil \ "x" ä`, "Phone": fmt.Sprintf("+1415555%04d", n)}
		},
		Field: "FirstName", Other: "Phone", Identity: "Email",
		Refused: map[string]record.Fields{"a word in a number": {"Score__c": "many"}, "a field that is not there": {"Colour__c": "red"}, "a text too long": {"FirstName": strings.Repeat("x", 41)},
			"null where it is not allowed": {"LastName": nil}, "an address that is none": {"Email": "nobody"}},
		Deletes: true, Takes: true, Expires: true,
	})
}
