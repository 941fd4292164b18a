// SPDX-License-Identifier: Apache-2.0

package zendesk_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func wire(f record.Fields) map[string]any {
	out := map[string]any{}
	for k, v := range f {
		switch k {
		case "name":
			m, _ := v.(map[string]any)
			out["name"] = strings.TrimSpace(fmt.Sprint(m["first"], " ", m["last"]))
		case "company":
			out["user_fields.company"] = v
		default:
			out[k] = v
		}
	}
	return out
}

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewJudge(t, "zendesk", []string{"users.yml", "job-statuses.yml", "incremental.yml"}, "/oauth/")
	connectortest.RunRecords(t, connectortest.Records{
		Judge:    "its simulator",
		Settings: connector.Settings{"subdomain": "acme", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"},
		Bad:      []connector.Settings{{"subdomain": "acme"}, {"subdomain": "acme", "apiToken": "wrong-token", "environment": "sandbox"}, {"subdomain": "acme.evil.example/", "apiToken": "sandbox_x"}},
		Object:   "users",
		Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
			clock := sandbox.NewClock(began, 100*time.Millisecond)
			a := sandboxtest.New(&zendesk.Simulator{}, clock, "users", wire)
			a.Judge = judge.See
			return zendesk.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: a}, a
		},
		New: func(n int) record.Fields {
			return record.Fields{"email": fmt.Sprintf("person%d@example.com", n), "name": map[string]any{"first": fmt.Sprintf("First%d", n), "last": "O'Neil \"x\" ä"}, "phone": fmt.Sprintf("+1415555%04d", n), "company": fmt.Sprintf("Firm %d", n)}
		},
		Field: "company", Other: "phone", Identity: "email",
		Refused: map[string]record.Fields{"a word in a yes or no": {"suspended": "many"}, "a field that is not there": {"colour": "red"}, "a role that is not there": {"role": "king"}, "an address that is none": {"email": "nobody"}},
		Deletes: true, Expires: true,
	})
}

// Zendesk signs time and body, one behind the other, with the webhook's signing secret as it stands; the vectors were made by another
// program: printf '%s' "$time$body" | openssl dgst -sha256 -hmac "$secret" -binary | base64
func TestMessages(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "zendesk", card.Webhook)
	c := zendesk.New(transport.NewPool()).WithWebhooks()
	const (
		secret    = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==" // the one that Zendesk's documentation tests with
		body      = `{"account_id":12514403,"detail":{"created_at":"2026-11-23T08:00:00Z","email":"ada@example.com","external_id":"","id":"6596848315901","role":"end-user","updated_at":"2026-11-23T08:59:58Z"},"event":{"current":"Ada","previous":"Adah"},"id":"01GEJS1D8SJ6GN0H2KF3ZV6M7T","subject":"zen:user:6596848315901","time":"2026-11-23T08:59:58Z","type":"zen:event-type:user.name_changed","zendesk_event_version":"2022-06-20"}`
		stamp     = "2026-11-23T09:00:00Z"
		signature = "G31aZIsq304j58nt/8cGT4F+m4K9WtG/j07fv/PS5mY="
	)
	for _, test := range []struct {
		name, stamp, signature, body, secret string
		later                                time.Duration
		ok                                   bool
	}{
		{"as it should be", stamp, signature, body, secret, 0, true},
		{"with the secret that goes", stamp, signature, body, "newer\n" + secret, 0, true},
		{"too late", stamp, signature, body, secret, 6 * time.Minute, false},
		{"another secret", stamp, signature, body, "another", 0, false},
		{"no secret here", stamp, signature, body, "", 0, false},
		{"a changed body", stamp, signature, strings.Replace(body, "Ada", "Eve", 1), secret, 0, false},
		{"the signature of no body", stamp, "sSq3aJzWs5MYpVzg4oXqoqWTOjVQMl2DgVyH4qbimEc=", body, secret, 0, false},
		{"another time", "2026-11-23T09:00:01Z", signature, body, secret, 0, false},
		{"no signature", stamp, "", body, secret, 0, false},
	} {
		v, err := c.Inbound(t.Context(), connector.Settings{"subdomain": "acme", "webhookSecret": test.secret}, connector.Env{}, connector.Inbound{Method: "POST", URL: "https://sync.example.com/hooks/ten_1/con_1", Body: []byte(test.body), Now: began.Add(test.later),
			Header: http.Header{"X-Zendesk-Webhook-Signature": {test.signature}, "X-Zendesk-Webhook-Signature-Timestamp": {test.stamp}}})
		switch {
		case test.ok && (err != nil || len(v.Hints) != 1 || v.Hints[0].Object != "users" || v.Hints[0].Key != "6596848315901" || v.IDs[0] != "01GEJS1D8SJ6GN0H2KF3ZV6M7T"):
			t.Errorf("%s: %+v, %v", test.name, v, err)
		case !test.ok && !fault.IsCode(err, "webhook.unverified"):
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
