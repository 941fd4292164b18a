// SPDX-License-Identifier: Apache-2.0

package salesforce_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
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

// An outbound message names what to read, once whoever sends it knows the secret in the address, and gets the receipt without which it is
// sent again. Of deletions there is none.
func TestOutboundMessages(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "salesforce", card.Webhook)
	c := salesforce.New(transport.NewPool()).WithWebhooks()
	v := &salesforce.Simulator{}
	w := sandbox.NewWorld(func() time.Time { return began }, 1)
	hook := sandbox.Hook{URL: "https://sync.example/hooks/ten_1/con_1", Secret: "a long text & more"}
	settings := connector.Settings{"webhookSecret": "old\na long text & more"}
	message := func(op string) (connector.Inbound, bool) {
		r := v.Message(w, hook, sandbox.Event{Table: "Contact", Op: op, ID: "003000000000007AAA", Number: 7})
		if r == nil {
			return connector.Inbound{}, false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return connector.Inbound{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body, Now: began}, true
	}
	for _, op := range []string{"created", "updated"} {
		in, _ := message(op)
		got, err := c.Inbound(t.Context(), settings, connector.Env{}, in)
		if err != nil || len(got.Hints) != 1 || got.Hints[0].Object != "Contact" || got.Hints[0].Key != "003000000000007AAA" || got.IDs[0] != "04l000000000007AAA" {
			t.Errorf("%s is read as %+v, %v", op, got, err)
		}
		if got.Status != 200 || !strings.HasPrefix(got.Header["Content-Type"], "text/xml") || !strings.Contains(got.Body, "<Ack>true</Ack>") {
			t.Errorf("%s is answered with %+v", op, got)
		}
		for _, secrets := range []connector.Settings{{}, {"webhookSecret": "another"}} {
			if _, err := c.Inbound(t.Context(), secrets, connector.Env{}, in); !fault.IsCode(err, "webhook.unverified") {
				t.Errorf("with %v: %v", secrets, err)
			}
		}
	}
	if _, told := message("deleted"); told {
		t.Error("a deletion is told of")
	}
	// Several in one message, as Salesforce sends what waited.
	in, _ := message("updated")
	one := string(in.Body[strings.Index(string(in.Body), "<Notification>"):strings.Index(string(in.Body), "</notifications>")])
	in.Body = []byte(strings.Replace(string(in.Body), one, one+strings.ReplaceAll(one, "0007AAA", "0008AAA"), 1))
	if got, err := c.Inbound(t.Context(), settings, connector.Env{}, in); err != nil || len(got.Hints) != 2 || got.Hints[1].Key != "003000000000008AAA" {
		t.Errorf("two are read as %+v, %v", got, err)
	}
}

// Accounts, leads and an object of the org's own, which nothing but the org says that it is there.
func TestMoreObjects(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewCollection(t, "salesforce", "postman-requests.json", "PATCH /services/data/v{{version}}/composite/sobjects", "DELETE /services/data/v{{version}}/composite/sobjects")
	for object, kind := range map[record.Object]struct {
		fields       func(n int) record.Fields
		field, other string
		identity     string
	}{
		"Account": {func(n int) record.Fields {
			return record.Fields{"Name": fmt.Sprintf("Firm %d", n), "Website": fmt.Sprintf("https://firm%d.example.com", n), "Phone": "+14155550100", "NumberOfEmployees": record.Int(int64(10 * n))}
		}, "Name", "Phone", "Website"},
		"Lead": {func(n int) record.Fields {
			return record.Fields{"LastName": fmt.Sprintf("Lead %d", n), "Company": "Firm", "Email": fmt.Sprintf("lead%d@example.com", n), "Phone": "+14155550100"}
		}, "LastName", "Phone", "Email"},
		"Project__c": {func(n int) record.Fields {
			return record.Fields{"Name": fmt.Sprintf("Project's %d", n), "Budget__c": record.Number(fmt.Sprintf("%d.5", n)), "Begins__c": "2026-11-23"}
		}, "Name", "Begins__c", "Budget__c"}, // a number and not a text is asked for
	} {
		t.Run(string(object), func(t *testing.T) {
			t.Parallel()
			connectortest.RunObject(t, connectortest.Records{
				Settings: connector.Settings{"instanceUrl": "https://acme.my.salesforce.com", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"},
				Object:   object,
				Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
					clock := sandbox.NewClock(began, 100*time.Millisecond)
					a := sandboxtest.New(&salesforce.Simulator{TokenLife: time.Hour}, clock, string(object), nil)
					a.Judge = judge.See
					return salesforce.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: a}, a
				},
				New: kind.fields, Field: kind.field, Other: kind.other, Identity: kind.identity,
			})
		})
	}
}
