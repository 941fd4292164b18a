// SPDX-License-Identifier: Apache-2.0

package zendesk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
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
