// SPDX-License-Identifier: Apache-2.0

package hubspot_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// accountInfo is described apart from the CRM: developers.hubspot.com, Account Information API v3, GET /details without parameters.
const accountInfo = "/account-info/"

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewJudge(t, "hubspot", []string{"crm-contacts-v3.json", "crm-properties-v3.json", "oauth-v1.json"}, accountInfo)
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

// HubSpot signs version 3 over method, address, body and time in milliseconds; older than five minutes is refused, and a body tells which
// contact to read, nothing more. The signature was made by another program: printf '%s' "POST$url$body$time" | openssl dgst -sha256 -hmac app-secret -binary | base64
func TestMessages(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "hubspot", card.Webhook)
	c := hubspot.New(transport.NewPool()).WithWebhooks()
	const (
		body      = `[{"eventId":100,"subscriptionId":2,"portalId":62515,"occurredAt":1763888400000,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":123,"propertyName":"phone","propertyValue":"+14155550100"}]`
		url       = "https://sync.example.com/hooks/ten_1/con_1"
		stamp     = "1795424400000"
		signature = "LxgLD11+Tgqv6ZMGGWv430YuWTDXxIzzltDiz7xhHHA="
	)
	for _, test := range []struct {
		name, method, url, stamp, signature, body, secret string
		later                                             time.Duration
		ok                                                bool
	}{
		{"as it should be", "POST", url, stamp, signature, body, "app-secret", 0, true},
		{"almost five minutes later", "POST", url, stamp, signature, body, "app-secret", 299 * time.Second, true},
		{"more than five minutes later", "POST", url, stamp, signature, body, "app-secret", 301 * time.Second, false},
		{"another secret", "POST", url, stamp, signature, body, "other-secret", 0, false},
		{"no secret here", "POST", url, stamp, signature, body, "", 0, false},
		{"another method", "PUT", url, stamp, signature, body, "app-secret", 0, false},
		{"another address", "POST", url + "?x=1", stamp, signature, body, "app-secret", 0, false},
		{"a changed body", "POST", url, stamp, signature, strings.Replace(body, "123", "124", 1), "app-secret", 0, false},
		{"another time", "POST", url, "1795424400001", signature, body, "app-secret", 0, false},
		{"no time", "POST", url, "", signature, body, "app-secret", 0, false},
		{"no signature", "POST", url, stamp, "", body, "app-secret", 0, false},
	} {
		v, err := c.Inbound(t.Context(), connector.Settings{"clientSecret": test.secret}, connector.Env{}, connector.Inbound{Method: test.method, URL: test.url, Body: []byte(test.body), Now: began.Add(test.later),
			Header: http.Header{"X-Hubspot-Signature-V3": {test.signature}, "X-Hubspot-Request-Timestamp": {test.stamp}}})
		switch {
		case test.ok && (err != nil || len(v.Hints) != 1 || v.Hints[0].Object != "contacts" || v.Hints[0].Key != "123" || v.IDs[0] != "100"):
			t.Errorf("%s: %+v, %v", test.name, v, err)
		case !test.ok && !fault.IsCode(err, "webhook.unverified"):
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Companies and deals, whose time of change has another name than that of contacts, and which are found by search.
func TestMoreObjects(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewJudge(t, "hubspot", []string{"crm-companies-v3.json", "crm-deals-v3.json", "crm-properties-v3.json", "oauth-v1.json"}, accountInfo)
	for object, kind := range map[record.Object]struct {
		fields                 func(n int) record.Fields
		field, other, identity string
	}{
		"companies": {func(n int) record.Fields {
			return record.Fields{"name": fmt.Sprintf("Firm %d", n), "domain": fmt.Sprintf("firm%d.example.com", n), "city": "Oslo", "numberofemployees": record.Int(int64(n))}
		}, "name", "city", "domain"},
		"deals": {func(n int) record.Fields {
			return record.Fields{"dealname": fmt.Sprintf("Deal %d", n), "amount": record.Number("12.5"), "description": "d", "dealstage": "closedwon"}
		}, "description", "amount", "dealname"},
	} {
		t.Run(string(object), func(t *testing.T) {
			t.Parallel()
			connectortest.RunObject(t, connectortest.Records{
				Settings: connector.Settings{"accessToken": "sandbox_token"},
				Object:   object,
				Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
					clock := sandbox.NewClock(began, 100*time.Millisecond)
					a := sandboxtest.New(&hubspot.Simulator{}, clock, string(object), nil)
					a.Judge = judge.See
					return hubspot.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: a}, a
				},
				New: kind.fields, Field: kind.field, Other: kind.other, Identity: kind.identity,
			})
		})
	}
}

// Which account it is, HubSpot says itself (Account Information API v3): an app's messages come from all accounts that have it, and those of others
// are left out. Where the token may not ask, nothing is left out, and the connection works all the same.
func TestPortal(t *testing.T) {
	t.Parallel()
	clock := sandbox.NewClock(began, 100*time.Millisecond)
	for _, test := range []struct {
		name, written string
		mute          bool
		own, other    int
	}{
		{"learnt", "", false, 1, 0},
		{"written", "62515", false, 1, 0},
		{"another one written", "7", false, 0, 0},
		{"not to be learnt", "", true, 1, 1},
	} {
		a := sandboxtest.New(&hubspot.Simulator{}, clock, "contacts", nil)
		var asked atomic.Int32
		through := manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, accountInfo) {
				if asked.Add(1); test.mute {
					return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"category":"MISSING_SCOPES"}`)), Request: r}, nil
				}
			}
			return a.RoundTrip(r)
		})
		c := hubspot.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait})
		env := connector.Env{Sandbox: through}
		settings, err := c.Spec().Check(connector.Settings{"accessToken": "sandbox_token", "clientSecret": "app-secret", "portalId": test.written})
		if err != nil {
			t.Fatal(err)
		}
		sys, err := c.Open(t.Context(), settings, env)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if err := sys.Check(t.Context()); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for portal, want := range map[int]int{62515: test.own, 99: test.other} {
			body := fmt.Sprintf(`[{"eventId":1,"portalId":%d,"subscriptionType":"contact.creation","objectId":123}]`, portal)
			stamp := strconv.FormatInt(clock.Now().UnixMilli(), 10)
			const at = "https://sync.example.com/hooks/ten_1/con_1"
			mac := hmac.New(sha256.New, []byte("app-secret"))
			_, _ = mac.Write([]byte("POST" + at + body + stamp))
			v, err := c.Inbound(t.Context(), settings, env, connector.Inbound{Method: "POST", URL: at, Body: []byte(body), Now: clock.Now(),
				Header: http.Header{"X-Hubspot-Signature-V3": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "X-Hubspot-Request-Timestamp": {stamp}}})
			if err != nil || len(v.Hints) != want {
				t.Errorf("%s: a message of account %d: %+v, %v", test.name, portal, v.Hints, err)
			}
		}
		if n := asked.Load(); test.written != "" && n != 0 || test.written == "" && !test.mute && n != 1 {
			t.Errorf("%s: it was asked %d times", test.name, n)
		}
	}
}
