// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// bazaar is a REST API that nobody has written a connector for: bearer tokens by client credentials, pages by offset, changes since a
// time, marked deletions, and messages about them.
type bazaar struct{}

func (bazaar) Type() string                { return "bazaar" }
func (bazaar) Tables() []sandbox.TableInfo { return nil }
func (bazaar) Seed(*sandbox.World)         {}

const hookSecret = "signed-with-this"

func (bazaar) Message(_ *sandbox.World, hook sandbox.Hook, e sandbox.Event) *http.Request {
	body := fmt.Sprintf(`{"events": [{"id": "e%d", "type": "article.%s", "data": {"id": %s}}]}`, e.Number, e.Op, e.ID)
	sum := hmac.New(sha256.New, []byte(hook.Secret))
	sum.Write([]byte(body))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, hook.URL, strings.NewReader(body))
	if err != nil {
		return nil
	}
	r.Header.Set("X-Shop-Signature", "sha256="+hex.EncodeToString(sum.Sum(nil)))
	return r
}

var articleFields = map[string]string{"sku": "", "title": "", "note": "", "stock": "0"}

func (b bazaar) Serve(x *sandbox.Exchange) {
	say := func(status int, code, message string) {
		x.Say(status, map[string]any{"error": map[string]any{"code": code, "message": message}})
	}
	if x.Path == "/token" {
		if x.Form.Get("client_secret") != "sandbox_app" {
			x.Say(http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
			return
		}
		x.Issue(sandbox.Issuer{Life: time.Hour, Others: []string{"client_credentials"}})
		return
	}
	if !x.Allowed(x.Bearer()) {
		say(http.StatusUnauthorized, "token", "The token has ended.")
		return
	}
	if len(x.Steps) < 2 || x.Steps[1] != "articles" {
		say(http.StatusNotFound, "path", "There is no such address.")
		return
	}
	var set map[string]any
	if x.Method == http.MethodPost || x.Method == http.MethodPatch {
		set, _ = x.Body.(map[string]any)
		if problem := b.wrong(x.W, set, len(x.Steps) > 2, x.Steps[len(x.Steps)-1]); problem != "" {
			status := http.StatusUnprocessableEntity
			if strings.HasPrefix(problem, "There is article") {
				status = http.StatusConflict
			}
			say(status, "invalid", problem)
			return
		}
	}
	switch {
	case len(x.Steps) == 2 && x.Method == http.MethodPost:
		r := x.W.Insert("articles", "", set)
		x.Tell("articles", "created", r.ID)
		x.Say(http.StatusCreated, shown(r))
	case len(x.Steps) == 2:
		b.list(x)
	case x.W.Get("articles", x.Steps[2]) == nil:
		say(http.StatusNotFound, "gone", "There is no such article.")
	case x.Method == http.MethodPatch:
		x.Tell("articles", "updated", x.Steps[2])
		x.Say(http.StatusOK, shown(x.W.Update("articles", x.Steps[2], set)))
	case x.Method == http.MethodDelete:
		x.W.Delete("articles", x.Steps[2])
		x.Tell("articles", "deleted", x.Steps[2])
		x.Say(http.StatusNoContent, nil)
	default:
		x.Say(http.StatusOK, shown(x.W.Get("articles", x.Steps[2])))
	}
}

// wrong says what is wrong with the fields that are sent; "" when nothing is.
func (bazaar) wrong(w *sandbox.World, set map[string]any, there bool, id string) string {
	for name, v := range set {
		if _, known := articleFields[name]; !known {
			return "The field " + name + " is not known."
		}
		if _, text := v.(string); name == "stock" && text {
			return "The field stock takes a number."
		}
		if s, text := v.(string); name == "sku" && (v == nil || text && len(s) > 40) {
			return "The field sku takes 1 to 40 characters."
		}
	}
	if !there && sandbox.Text(set["sku"]) == "" {
		return "The field sku is missing."
	}
	if !there {
		id = ""
	}
	if sku := set["sku"]; sku != nil {
		if r := w.Find("articles", "sku", sku, id); r != nil {
			return "There is article " + r.ID + " with this sku."
		}
	}
	return ""
}

func shown(r *sandbox.Record) map[string]any {
	n, _ := strconv.ParseInt(r.ID, 10, 64)
	out := map[string]any{"id": n, "updated_at": r.Modified.Format(time.RFC3339Nano), "deleted": !r.Live()}
	for name := range articleFields {
		out[name] = r.Fields[name]
	}
	return out
}

func (bazaar) list(x *sandbox.Exchange) {
	since, _ := time.Parse(time.RFC3339Nano, x.Query.Get("updated_since"))
	offset, _ := strconv.Atoi(x.Query.Get("offset"))
	limit, err := strconv.Atoi(x.Query.Get("limit"))
	if err != nil {
		limit = 100
	}
	sku, ids := x.Query.Get("sku"), x.Query.Get("ids")
	var found []map[string]any
	for _, r := range x.W.Sorted("articles") {
		switch {
		case sku != "" && !sandbox.Same(r.Fields["sku"], sku), ids != "" && !strings.Contains(","+ids+",", ","+r.ID+","):
		case !r.Live() && x.Query.Get("updated_since") == "", r.Modified.Before(since):
		default:
			found = append(found, shown(r))
		}
	}
	if x.Query.Get("updated_since") != "" { // by time, then id
		sortStable(found)
	}
	page := found[min(offset, len(found)):min(offset+limit, len(found))]
	if page == nil {
		page = []map[string]any{}
	}
	x.Say(http.StatusOK, map[string]any{"articles": page})
}

func sortStable(list []map[string]any) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && list[j]["updated_at"].(string) < list[j-1]["updated_at"].(string); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

const bazaarManifest = `manifest: 1
type: custom
title: Custom REST and webhooks
summary: Articles of a bazaar.
guarantee: "Effectively once: an article is recognised by its sku before one is made, and compared before it is changed."
settings:
  - {name: url, title: Address, doc: "Where the bazaar is.", default: "http://bazaar.example.com"}
  - {name: clientId, title: Client id, doc: "Of the app.", required: true}
  - {name: clientSecret, title: Client secret, doc: "Of the app.", required: true, secret: true}
  - {name: hookSecret, title: Webhook secret, doc: "What it signs with.", secret: true}
baseUrl: "{settings.url}/api"
auth:
  - {kind: clientCredentials, tokenUrl: "{settings.url}/token", clientId: "{settings.clientId}", clientSecret: "{settings.clientSecret}"}
check: {path: /articles, query: {limit: "1"}}
errors:
  message: [error.message]
  code: [error.code]
  rules:
    - {status: [401], class: renew}
    - {status: [404], class: gone}
    - {status: [409], class: exists}
    - {status: [422], class: refused}
    - {status: [429], class: slow_down, after: 5s}
pace: {min: 1s, max: 10s}
objects:
  articles:
    key: [id]
    version: updated_at
    identity: [sku]
    fields:
      - {name: id, type: integer, readOnly: true, generated: true, required: true}
      - {name: sku, required: true, maxLength: 40}
      - {name: title}
      - {name: note}
      - {name: stock, type: integer}
      - {name: updated_at, type: timestamp, readOnly: true}
    list:
      request: {path: /articles, query: {limit: "{limit}", offset: "{offset}"}}
      records: articles
      paging: {style: offset, size: 100}
    changes:
      style: since
      time: rfc3339
      overlap: 5s
      request: {path: /articles, query: {updated_since: "{since}", limit: "{limit}", offset: "{offset}"}}
      records: articles
      paging: {style: offset, size: 100}
    deletes: {mode: tombstone, when: {path: deleted, equals: "true"}}
    get: {request: {path: "/articles/{key}"}}
    getMany: {size: 50, request: {path: /articles, query: {ids: "{keys|join}"}}, records: articles}
    find: {one: true, fields: [sku], request: {path: /articles, query: {sku: "{value}"}}, records: articles}
    create: {request: {method: POST, path: /articles, body: "{fields}"}, key: id, record: ., exists: 'There is article (\d+)'}
    update: {request: {method: PATCH, path: "/articles/{key}", body: "{fields}"}, record: .}
    delete: {request: {method: DELETE, path: "/articles/{key}"}}
webhook:
  verify:
    - {kind: hmac, header: X-Shop-Signature, secret: "{settings.hookSecret}", encoding: hex, prefix: "sha256="}
  events: events
  type: type
  key: data.id
  id: id
  objects: {"article.": articles}
`

func bazaarConnector(t *testing.T, pool *transport.Pool) *manifest.Connector {
	t.Helper()
	c, err := manifest.NewOwn([]byte(bazaarManifest), "a-tenant", pool)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A system that is described by a manifest of some ninety lines is held to what the connectors that come along are held to.
func TestSuite(t *testing.T) {
	t.Parallel()
	good := connector.Settings{"clientId": "app", "clientSecret": "sandbox_app"}
	connectortest.RunRecords(t, connectortest.Records{
		Judge: "a simulator of the test", Settings: good,
		Bad:    []connector.Settings{{"clientId": "app", "clientSecret": "sandbox_wrong"}},
		Object: "articles",
		Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
			clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 100*time.Millisecond)
			a := sandboxtest.New(bazaar{}, clock, "articles", nil)
			server := httptest.NewServer(a)
			t.Cleanup(server.Close)
			env := connector.Env{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
			}}
			return bazaarConnector(t, &transport.Pool{Now: clock.Now, Wait: clock.Wait}), env, &bazaarAccount{a}
		},
		New: func(n int) record.Fields {
			return record.Fields{"sku": fmt.Sprintf("SKU-%d", n), "title": fmt.Sprintf("Title %d \"x\" ä", n), "note": "n", "stock": record.Int(int64(n))}
		},
		Field: "title", Other: "note", Identity: "sku",
		Refused: map[string]record.Fields{"a word in a number": {"stock": "many"}, "a field that is not there": {"colour": "red"}, "a text too long": {"sku": strings.Repeat("x", 41)}},
		Deletes: true, Expires: true,
	})
}

// bazaarAccount loses the answers of the bazaar's own calls.
type bazaarAccount struct{ *sandboxtest.Account }

func (a *bazaarAccount) LoseWrite() {
	a.Plant(sandbox.Fault{Method: http.MethodPost, Path: "/articles$", Times: 1, Applied: true, Drop: true}, sandbox.Fault{Method: http.MethodPatch, Times: 1, Applied: true, Drop: true})
}

// Messages of the bazaar are taken when they are signed with the secret over the raw bytes, and tell which article to read; told twice is
// told once.
func TestMessages(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "custom", card.Webhook)
	c := bazaarConnector(t, transport.NewPool()).WithWebhooks()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	// The signature was made with: printf '%s' "$body" | openssl dgst -sha256 -hmac signed-with-this
	const body = `{"events": [{"id": "e1", "type": "article.updated", "data": {"id": 7}}]}`
	const signature = "sha256=dcf71da666b30c3ab046d5b203c333099d71d74f7d835dbbdcc1f8d9113d3406"
	for _, test := range []struct {
		name, signature, body, secret string
		ok                            bool
	}{
		{"as it should be", signature, body, hookSecret, true},
		{"the secret that goes", signature, body, "another\n" + hookSecret, true},
		{"another secret", signature, body, "another", false},
		{"a changed body", signature, strings.Replace(body, "7", "8", 1), hookSecret, false},
		{"none", "", body, hookSecret, false},
		{"no secret here", signature, body, "", false},
	} {
		v, err := c.Inbound(t.Context(), connector.Settings{"hookSecret": test.secret}, connector.Env{}, connector.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{"X-Shop-Signature": {test.signature}}, Body: []byte(test.body), Now: now})
		switch {
		case test.ok && (err != nil || len(v.Hints) != 1 || v.Hints[0].Object != "articles" || v.Hints[0].Key != "7" || v.IDs[0] != "e1"):
			t.Errorf("%s: %+v, %v", test.name, v, err)
		case !test.ok && !fault.IsCode(err, "webhook.unverified"):
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
