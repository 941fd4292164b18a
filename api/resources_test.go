// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

func newKey() string { return uuid.NewString() }

// once adds a fresh Idempotency-Key.
func (c call) once() call {
	c.header = append(slices.Clone(c.header), "Idempotency-Key", newKey())
	return c
}

func TestTenantAndConditionalRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	a := w.want(200, p.as("GET", "/v1/tenant", ""))
	tag := a.header.Get("ETag")
	if a.json(t)["name"] != p.canary || tag != `"1"` {
		t.Errorf("the tenant is %s with %s", a.body, tag)
	}
	if a := w.want(304, p.as("GET", "/v1/tenant", "", "If-None-Match", `"9", W/`+tag)); len(a.body) != 0 || a.header.Get("ETag") != tag {
		t.Errorf("304 with %q and %s", a.body, a.header.Get("ETag"))
	}
	w.want(200, p.as("GET", "/v1/tenant", "", "If-None-Match", `"9"`))

	owner := func(body string, header ...string) call {
		return call{method: "PATCH", path: "/v1/tenant", body: body, session: p.sessions[auth.Owner], header: header}
	}
	w.refused(428, "request.if_match_missing", owner(`{"name":"New"}`))
	w.refused(400, "request.if_match_malformed", owner(`{"name":"New"}`, "If-Match", "1"))
	w.refused(400, "request.if_match_malformed", owner(`{"name":"New"}`, "If-Match", `W/"1"`))
	w.refused(412, "auth.version_stale", owner(`{"name":"New"}`, "If-Match", `"7"`))
	w.refused(415, "request.media_type", owner(`{"name":"New"}`, "If-Match", tag, "Content-Type", "application/json"))
	w.refused(422, "auth.input_invalid", owner(`{"timeZone":"Mars/Olympus"}`, "If-Match", tag))
	changed := w.want(200, owner(`{"name":"New","timeZone":"Europe/Vienna"}`, "If-Match", tag))
	if v := changed.json(t); v["name"] != "New" || v["timeZone"] != "Europe/Vienna" || changed.header.Get("ETag") != `"2"` {
		t.Errorf("changed to %s", changed.body)
	}
	w.refused(412, "auth.version_stale", owner(`{"name":"Lost update"}`, "If-Match", tag))
	w.want(200, owner(`{"timeZone":"UTC"}`, "If-Match", "*"))
	if v := w.want(200, p.as("GET", "/v1/tenant", "")).json(t); v["name"] != "New" || v["timeZone"] != "UTC" {
		t.Errorf("a merge patch touched what it does not mention: %v", v)
	}
	// With a session, changes from other origins are refused.
	w.refused(403, "auth.cross_origin", owner(`{"name":"Forged"}`, "If-Match", "*", "Sec-Fetch-Site", "cross-site"))
	w.refused(403, "auth.cross_origin", owner(`{"name":"Forged"}`, "If-Match", "*", "Origin", "https://evil.example.com"))
	w.want(200, owner(`{"name":"Own page"}`, "If-Match", "*", "Sec-Fetch-Site", "same-origin"))
}

func TestMembersAndInvitations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	list := w.want(200, p.as("GET", "/v1/members", "")).json(t)["data"].([]any)
	if len(list) != 5 {
		t.Fatalf("%d members", len(list))
	}
	viewer := "/v1/members/" + p.members[auth.Viewer].String()
	m := w.want(200, p.as("GET", viewer, ""))
	up := w.want(200, p.as("PATCH", viewer, `{"role":"editor"}`, "If-Match", m.header.Get("ETag")))
	if up.json(t)["role"] != "editor" {
		t.Errorf("changed to %s", up.body)
	}
	w.refused(412, "auth.version_stale", p.as("PATCH", viewer, `{"role":"viewer"}`, "If-Match", m.header.Get("ETag")))
	w.refused(403, "auth.owners_only", p.as("PATCH", viewer, `{"role":"owner"}`, "If-Match", "*"))
	w.refused(422, "request.invalid", p.as("PATCH", viewer, `{"role":"emperor"}`, "If-Match", "*"))
	w.refused(403, "auth.owners_only", p.as("DELETE", "/v1/members/"+p.members[auth.Owner].String(), "", "If-Match", "*"))
	w.refused(428, "request.if_match_missing", p.as("DELETE", viewer, ""))
	// Somebody without the right to may still leave.
	finance := "/v1/members/" + p.members[auth.Finance].String()
	w.refused(403, "auth.forbidden", call{method: "DELETE", path: viewer, session: p.sessions[auth.Finance], header: []string{"If-Match", "*"}})
	w.want(204, call{method: "DELETE", path: finance, session: p.sessions[auth.Finance], header: []string{"If-Match", "*"}})
	w.refused(401, "auth.session_ended", call{method: "GET", path: "/v1/tenant", session: p.sessions[auth.Finance]})

	made := w.want(201, p.as("POST", "/v1/invitations", `{"email":"new@example.com","role":"viewer"}`).once())
	v := made.json(t)
	if v["url"] != "https://sync.example.com/invitations/"+v["token"].(string) || made.header.Get("Location") != "/v1/invitations/"+v["id"].(string) {
		t.Errorf("the invitation is %s at %s", made.body, made.header.Get("Location"))
	}
	one := w.want(200, p.as("GET", made.header.Get("Location"), ""))
	if strings.Contains(string(one.body), v["token"].(string)) {
		t.Error("the link is shown again")
	}
	if _, _, err := w.deps.Auth.Accept(context.Background(), auth.Token(v["token"].(string)), "New", password, auth.Caller{}); err != nil {
		t.Errorf("the link does not work: %v", err)
	}
	w.refused(409, "auth.invitation_accepted", p.as("DELETE", made.header.Get("Location"), ""))
	again := w.want(201, p.as("POST", "/v1/invitations", `{"email":"other@example.com","role":"viewer"}`).once())
	w.want(204, p.as("DELETE", again.header.Get("Location"), ""))
	w.refused(404, "auth.invitation_not_found", p.as("GET", again.header.Get("Location"), ""))
	w.refused(409, "auth.already_member", p.as("POST", "/v1/invitations", `{"email":"new@example.com","role":"viewer"}`).once())
	w.refused(422, "auth.input_invalid", p.as("POST", "/v1/invitations", `{"email":"nobody","role":"viewer"}`).once())
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made := w.want(201, p.as("POST", "/v1/api-keys", `{"name":"Robot","scopes":["write","read"],"expiresAt":"`+soon.Format(time.RFC3339)+`"}`).once())
	v := made.json(t)
	key := v["key"].(string)
	if !strings.HasPrefix(key, "sl_live_") || v["lastFour"] != key[len(key)-4:] || v["expiresAt"] != soon.Format(time.RFC3339) {
		t.Errorf("made %s", made.body)
	}
	w.want(200, call{method: "GET", path: "/v1/services", key: key})
	w.refused(403, "auth.forbidden", call{method: "GET", path: "/v1/api-keys", key: key})
	one := w.want(200, p.as("GET", made.header.Get("Location"), ""))
	if strings.Contains(string(one.body), key) || one.json(t)["lastUsedAt"] == nil {
		t.Errorf("read again: %s", one.body)
	}
	w.refused(412, "auth.version_stale", p.as("DELETE", made.header.Get("Location"), "", "If-Match", `"7"`))
	w.want(204, p.as("DELETE", made.header.Get("Location"), "", "If-Match", made.header.Get("ETag")))
	w.refused(401, "auth.key_revoked", call{method: "GET", path: "/v1/services", key: key})
	w.refused(409, "auth.key_already_revoked", p.as("DELETE", made.header.Get("Location"), "", "If-Match", "*"))
	w.refused(422, "request.invalid", p.as("POST", "/v1/api-keys", `{"name":"Robot","scopes":[]}`).once())
	w.refused(422, "request.invalid", p.as("POST", "/v1/api-keys", `{"name":"Robot","scopes":["root"]}`).once())
	w.want(201, p.as("POST", "/v1/api-keys", `{"name":"Robot","scopes":["read"],"expiresAt":null}`).once())
	w.refused(422, "auth.input_invalid", p.as("POST", "/v1/api-keys", `{"name":"Robot","scopes":["read"],"expiresAt":"2001-01-01T00:00:00Z"}`).once())
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	body := `{"value":"` + secret + `"}`
	w.refused(428, "request.if_match_missing", p.as("PUT", "/v1/secrets/CRM_TOKEN", body))
	made := w.want(201, p.as("PUT", "/v1/secrets/CRM_TOKEN", body, "If-None-Match", "*"))
	if made.header.Get("Location") != "/v1/secrets/CRM_TOKEN" || strings.Contains(string(made.body), secret) {
		t.Errorf("made %s at %s", made.body, made.header.Get("Location"))
	}
	w.refused(412, "vault.secret_exists", p.as("PUT", "/v1/secrets/CRM_TOKEN", body, "If-None-Match", "*"))
	w.want(200, p.as("PUT", "/v1/secrets/CRM_TOKEN", body, "If-Match", made.header.Get("ETag")))
	w.refused(412, "vault.version_stale", p.as("PUT", "/v1/secrets/CRM_TOKEN", body, "If-Match", made.header.Get("ETag")))
	w.want(200, p.as("PUT", "/v1/secrets/CRM_TOKEN", body, "If-Match", "*"))
	w.refused(422, "vault.secret_name_malformed", p.as("PUT", "/v1/secrets/crm-token", body, "If-None-Match", "*"))
	one := w.want(200, p.as("GET", "/v1/secrets/CRM_TOKEN", ""))
	w.want(304, p.as("GET", "/v1/secrets/CRM_TOKEN", "", "If-None-Match", one.header.Get("ETag")))
	if one.json(t)["version"] != 3.0 || strings.Contains(string(one.body), secret) {
		t.Errorf("read %s", one.body)
	}
	w.refused(428, "request.if_match_missing", p.as("DELETE", "/v1/secrets/CRM_TOKEN", ""))
	w.want(204, p.as("DELETE", "/v1/secrets/CRM_TOKEN", "", "If-Match", one.header.Get("ETag")))
	w.refused(404, "vault.secret_not_found", p.as("GET", "/v1/secrets/CRM_TOKEN", ""))
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestConnectorsAndConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	if list := w.want(200, p.as("GET", "/v1/connectors", "")).json(t)["data"].([]any); len(list) != 2 {
		t.Errorf("%d connectors", len(list))
	}
	if v := w.want(200, p.as("GET", "/v1/connectors/left-a", "")).json(t); v["guarantee"] == "" || len(v["settings"].([]any)) != 1 {
		t.Errorf("the connector is %v", v)
	}
	w.refused(404, "connector.unknown", p.as("GET", "/v1/connectors/fax", ""))

	made := w.want(201, p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a","settings":{"token":"`+secret+`"}}`).once())
	v := made.json(t)
	at := made.header.Get("Location")
	if v["state"] != "unchecked" || !reflect.DeepEqual(v["secretSettings"], []any{"token"}) || strings.Contains(string(made.body), secret) {
		t.Errorf("made %s", made.body)
	}
	w.refused(409, "connection.name_taken", p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a"}`).once())
	w.refused(422, "connector.unknown", p.as("POST", "/v1/connections", `{"name":"fax","connector":"fax"}`).once())
	wrong := w.refused(422, "connection.settings_invalid", p.as("POST", "/v1/connections", `{"name":"x","connector":"left-a","settings":{"tocken":"x"}}`).once())
	if e := wrong.json(t)["errors"].([]any)[0].(map[string]any); e["pointer"] != "/settings/tocken" || e["remedy"] == nil {
		t.Errorf("the error is %v", e)
	}

	w.systems["left-a"].SetToken("another")
	tested := w.want(200, p.as("POST", at+":test", ""))
	if v := tested.json(t); v["state"] != "expired" || !strings.Contains(v["reason"].(string), "token") {
		t.Errorf("tested: %s", tested.body)
	}
	if tested.header.Get("ETag") == made.header.Get("ETag") {
		t.Error("the health changed and the ETag did not")
	}
	// The version is still the one that was read, so a change goes through.
	patched := w.want(200, p.as("PATCH", at, `{"settings":{"token":"another"}}`, "If-Match", made.header.Get("ETag")))
	if v := w.want(200, p.as("POST", at+":test", "")).json(t); v["state"] != "healthy" {
		t.Errorf("tested again: %v", v)
	}
	w.refused(412, "connection.version_stale", p.as("PATCH", at, `{"name":"store"}`, "If-Match", made.header.Get("ETag")))
	w.want(200, p.as("PATCH", at, `{"name":"store"}`, "If-Match", patched.header.Get("ETag")))
	if v := w.want(200, p.as("GET", "/v1/connections/store", "")).json(t); !reflect.DeepEqual(v["secretSettings"], []any{"token"}) || !reflect.DeepEqual(v["usedBy"], []any{}) {
		t.Errorf("renamed: %v", v)
	}
	plain := w.want(200, p.as("GET", "/v1/connections/store", ""))
	if v, there := plain.json(t)["subscription"]; v != nil || !there {
		t.Errorf("without a subscription: %s", plain.body)
	}
	w.exec(`INSERT INTO connection_subscriptions (tenant_id, connection_id, callback, since, ends_at, renew_at, reason) SELECT tenant_id, id, 'https://a.example/hooks', '2026-11-23T09:00:00Z', '2026-11-26T09:00:00Z', '2026-11-25T09:00:00Z', 'It refuses.' FROM connections WHERE name = 'store'`)
	subscribed := w.want(200, p.as("GET", "/v1/connections/store", ""))
	if v := subscribed.json(t)["subscription"]; !reflect.DeepEqual(v, map[string]any{"state": "failing", "callback": "https://a.example/hooks", "since": "2026-11-23T09:00:00Z", "until": "2026-11-26T09:00:00Z", "renewAt": "2026-11-25T09:00:00Z", "reason": "It refuses.", "pausedAt": nil}) {
		t.Errorf("the subscription is %v", v)
	}
	if subscribed.header.Get("ETag") == plain.header.Get("ETag") {
		t.Error("the subscription is new and the ETag is not")
	}
	objects := w.want(200, p.as("GET", "/v1/connections/store/objects", "")).json(t)["data"].([]any)
	if o := objects[0].(map[string]any); len(objects) != 1 || o["name"] != "products" || !reflect.DeepEqual(o["key"], []any{"sku"}) {
		t.Errorf("the objects are %v", objects)
	}
	// null removes a setting, a secret one too.
	gone := w.want(200, p.as("PATCH", at, `{"settings":{"token":null}}`, "If-Match", "*")).json(t)
	if !reflect.DeepEqual(gone["secretSettings"], []any{}) {
		t.Errorf("after null: %v", gone)
	}
	w.refused(422, "request.invalid", p.as("PATCH", at, `{"connector":"right-a"}`, "If-Match", "*"))

	if list := w.want(200, p.as("GET", "/v1/connections?filter[state]=healthy,expired", "")).json(t)["data"].([]any); len(list) != 0 {
		t.Errorf("filtered: %v", list)
	}
	if list := w.want(200, p.as("GET", "/v1/connections?filter[state]=unchecked&filter[connector]=left-a", "")).json(t)["data"].([]any); len(list) != 1 {
		t.Errorf("filtered: %v", list)
	}
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/connections?filter[state]=sick", ""))
	w.want(204, p.as("DELETE", at, "", "If-Match", "*"))
	w.refused(404, "connection.not_found", p.as("GET", at, ""))
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	for _, side := range []string{"left", "right"} {
		w.want(201, p.as("POST", "/v1/connections", fmt.Sprintf(`{"name":"%[1]s-db-a","connector":"%[1]s-a"}`, side)).once())
	}
	yaml := []string{"Content-Type", "application/yaml"}
	put := func(path, body string, header ...string) call {
		return p.as("PUT", path, body, append(yaml, header...)...)
	}
	doc := p.document("stock")

	// Validate: the answer is 200 whatever the document is like, with places in the text as it was sent.
	if v := w.want(200, p.as("POST", "/v1/services:validate", doc, yaml...)).json(t); v["valid"] != true {
		t.Errorf("validated: %v", v)
	}
	found := w.want(200, p.as("POST", "/v1/services:validate", "\n\n"+strings.Replace(doc, "lastWriteWins", "coinToss", 1), yaml...)).json(t)
	if e := found["errors"].([]any)[0].(map[string]any); found["valid"] != false || e["line"] != 12.0 || e["remedy"] == "" {
		t.Errorf("validated: %v", found)
	}
	// JSON too, also when it is broken: with line and column.
	found = w.want(200, p.as("POST", "/v1/services:validate", "\n{\n  \"service\": stock\n}")).json(t)
	if e := found["errors"].([]any)[0].(map[string]any); e["code"] != "service.document_syntax" || e["line"] != 3.0 {
		t.Errorf("validated: %v", found)
	}
	w.refused(415, "request.media_type", p.as("POST", "/v1/services:validate", doc, "Content-Type", "text/csv"))
	w.refused(400, "request.body_missing", p.as("POST", "/v1/services:validate", " ", yaml...))

	// Dry run, then for real.
	dry := w.want(200, put("/v1/services/stock?validateOnly=true", doc)).json(t)
	if dry["validateOnly"] != true || dry["created"] != true || dry["revision"] != 1.0 || dry["service"] != nil || len(dry["differences"].([]any)) == 0 {
		t.Errorf("the dry run says %v", dry)
	}
	w.refused(404, "service.not_found", p.as("GET", "/v1/services/stock", ""))
	w.refused(428, "request.if_match_missing", put("/v1/services/stock", doc))
	w.refused(412, "service.version_stale", put("/v1/services/stock", doc, "If-Match", `"3"`))
	w.refused(422, "service.name_mismatch", put("/v1/services/other", doc, "If-None-Match", "*"))
	w.refused(422, "service.name_mismatch", put("/v1/services/other?validateOnly=true", doc))
	made := w.want(201, put("/v1/services/stock?note=first", doc, "If-None-Match", "*"))
	v := made.json(t)
	if v["created"] != true || v["run"].(map[string]any)["kind"] != "first" || made.header.Get("Location") != "/v1/services/stock" {
		t.Errorf("made %s", made.body)
	}
	id := v["service"].(map[string]any)["id"].(string)
	w.refused(412, "service.exists", put("/v1/services/stock", doc, "If-None-Match", "*"))
	w.refused(412, "service.exists", put("/v1/services/stock?validateOnly=true", doc, "If-None-Match", "*"))

	// By name and by id; the ETag of a dry run is the one to apply with.
	same := w.want(200, put("/v1/services/"+id, doc, "If-Match", "*")).json(t)
	if same["revised"] != false || same["revision"] != 1.0 {
		t.Errorf("the same document again: %v", same)
	}
	second := strings.Replace(doc, "lastWriteWins", "sourceWins", 1)
	diff := w.want(200, p.as("POST", "/v1/services/stock:diff", second, yaml...)).json(t)
	if d := diff["differences"].([]any); len(d) != 1 || d[0].(map[string]any)["after"] != "sourceWins" {
		t.Errorf("the difference is %v", diff)
	}
	plan := w.want(200, put("/v1/services/stock?validateOnly=true", second))
	if plan.json(t)["revision"] != 2.0 || plan.json(t)["revised"] != true {
		t.Errorf("the plan is %s", plan.body)
	}
	w.want(200, put("/v1/services/stock?note=Because", second, "If-Match", plan.header.Get("ETag")))
	w.refused(412, "service.version_stale", put("/v1/services/stock", doc, "If-Match", plan.header.Get("ETag")))
	w.refused(412, "service.version_stale", put("/v1/services/stock?validateOnly=true", doc, "If-Match", plan.header.Get("ETag")))
	if p.number(`SELECT revision FROM services WHERE name = 'stock'`) != 2 {
		t.Error("a dry run or a refused request changed something")
	}
	bad := w.refused(422, "service.document_invalid", put("/v1/services/stock", strings.Replace(doc, "lastWriteWins", "coinToss", 1), "If-Match", "*"))
	if e := bad.json(t)["errors"].([]any)[0].(map[string]any); e["line"] != 10.0 || e["column"] == nil {
		t.Errorf("the refusal says %s", bad.body)
	}
	w.refused(422, "service.document_invalid", put("/v1/services/stock?validateOnly=true", strings.Replace(doc, "lastWriteWins", "coinToss", 1)))

	// The document as it was written, with its comments; converted; of a revision.
	text := w.want(200, p.as("GET", "/v1/services/stock/document?format=yaml", ""))
	if string(text.body) != second || text.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("the document is\n%s", text.body)
	}
	if old := w.want(200, p.as("GET", "/v1/services/stock/document?format=yaml&revision=1", "")); string(old.body) != doc {
		t.Errorf("revision 1 is\n%s", old.body)
	}
	asJSON := w.want(200, p.as("GET", "/v1/services/stock/document", ""))
	if asJSON.json(t)["service"] != "stock" {
		t.Errorf("as JSON: %s", asJSON.body)
	}
	w.want(304, p.as("GET", "/v1/services/stock/document", "", "If-None-Match", asJSON.header.Get("ETag")))
	w.want(200, p.as("GET", "/v1/services/stock/document?format=yaml", "", "If-None-Match", asJSON.header.Get("ETag")))
	w.refused(404, "service.revision_not_found", p.as("GET", "/v1/services/stock/document?revision=99", ""))
	// What comes out goes in, and says the same.
	if v := w.want(200, p.as("PUT", "/v1/services/stock", string(asJSON.body), "If-Match", "*")).json(t); v["revised"] != false {
		t.Errorf("the exported document counts as different: %v", v["differences"])
	}
	w.want(201, p.as("PUT", "/v1/services/from-json", strings.Replace(string(asJSON.body), `"stock"`, `"from-json"`, 1), "If-None-Match", "*"))
	converted := w.want(200, p.as("GET", "/v1/services/from-json/document?format=yaml", ""))
	if v := w.want(200, put("/v1/services/from-json", string(converted.body), "If-Match", "*")).json(t); v["revised"] != false {
		t.Errorf("converted to YAML it counts as different: %v", v["differences"])
	}

	// Revisions and back.
	list := w.want(200, p.as("GET", "/v1/services/stock/revisions", "")).json(t)["data"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["note"] != "Because" {
		t.Errorf("the revisions are %v", list)
	}
	one := w.want(200, p.as("GET", "/v1/services/stock/revisions/2", "")).json(t)
	if one["source"] != second || len(one["differences"].([]any)) != 1 {
		t.Errorf("revision 2 is %v", one)
	}
	back := w.want(200, p.as("POST", "/v1/services/stock:rollback", `{"revision":1,"note":"Oh no"}`)).json(t)
	if back["revision"] != 3.0 || back["differences"].([]any)[0].(map[string]any)["after"] != "lastWriteWins" {
		t.Errorf("rolled back: %v", back)
	}
	w.refused(404, "service.revision_not_found", p.as("POST", "/v1/services/stock:rollback", `{"revision":99}`))

	// States.
	got := w.want(200, p.as("GET", "/v1/services/stock", ""))
	w.want(304, p.as("GET", "/v1/services/stock", "", "If-None-Match", got.header.Get("ETag")))
	if got.json(t)["document"].(map[string]any)["service"] != "stock" {
		t.Errorf("the service is %s", got.body)
	}
	paused := w.want(200, p.as("POST", "/v1/services/stock:pause", "", "If-Match", got.header.Get("ETag")))
	if paused.json(t)["state"] != "paused" {
		t.Errorf("paused: %s", paused.body)
	}
	w.want(200, p.as("POST", "/v1/services/stock:pause", "")) // as it is already
	w.refused(412, "service.version_stale", p.as("POST", "/v1/services/stock:resume", "", "If-Match", got.header.Get("ETag")))
	w.refused(409, "service.not_active", p.as("POST", "/v1/services/stock/runs", "").once())
	if v := w.want(200, p.as("POST", "/v1/services/stock:resume", "")).json(t); v["state"] != "active" {
		t.Errorf("resumed: %v", v)
	}
	if list := w.want(200, p.as("GET", "/v1/services?search=sto&filter[state]=active,paused", "")).json(t)["data"].([]any); len(list) != 1 {
		t.Errorf("searched: %v", list)
	}
	w.refused(409, "connection.in_use", p.as("DELETE", "/v1/connections/left-db-a", "", "If-Match", "*"))
	if v := w.want(200, p.as("POST", "/v1/services/stock:archive", "")).json(t); v["state"] != "archived" {
		t.Errorf("archived: %v", v)
	}
	// A draft that waits for a connector.
	later := strings.NewReplacer("stock", "later", "type: right-a", "type: salesforce", "connection: right-db-a", "connection: {instance: x}").Replace(doc)
	w.refused(422, "service.connector_unavailable", put("/v1/services/later", later, "If-None-Match", "*"))
	w.want(200, put("/v1/services/later?draft=true&validateOnly=true", later))
	if v := w.want(201, put("/v1/services/later?draft=true", later, "If-None-Match", "*")).json(t); v["service"].(map[string]any)["state"] != "draft" {
		t.Errorf("the draft is %v", v)
	}
	w.want(200, p.as("GET", "/v1/services/later/status", ""))
}

// A service's status tells of its lookup services, also before anything was asked.
func TestStatusOfSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	if list := w.want(200, p.as("GET", "/v1/services/catalog-a/status", "")).json(t)["sources"].([]any); len(list) != 0 {
		t.Errorf("a service without sources has %v", list)
	}
	p.apply(strings.Replace(p.document("lookups-a"), "businessRules:", "  enrichment:\n    sources: [{id: register, type: right-a, connection: right-db-a, limit: 20, per: day}]\nbusinessRules:", 1))
	list := w.want(200, p.as("GET", "/v1/services/lookups-a/status", "")).json(t)["sources"].([]any)
	if len(list) != 1 {
		t.Fatalf("the sources are %v", list)
	}
	if s := list[0].(map[string]any); s["source"] != "register" || s["connector"] != "right-a" || s["asked"] != 0.0 || s["left"] != 20.0 || s["error"] != nil || s["until"] == nil {
		t.Errorf("the source is %v", s)
	}
}

func TestRunsRecordsConflictsAndDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	at := "/v1/services/catalog-a"

	// Status and metrics.
	status := w.want(200, p.as("GET", at+"/status", "")).json(t)
	systems := status["systems"].([]any)
	if len(systems) != 2 || status["openConflicts"] != 2.0 || status["openDeadLetters"] != 2.0 {
		t.Errorf("the status is %v", status)
	}
	if right := systems[1].(map[string]any); right["phase"] != "stream" || right["connector"] != "right-a" || right["lag"].(map[string]any)["count"].(float64) < 4 {
		t.Errorf("the right system is %v", right)
	}
	metrics := w.want(200, p.as("GET", "/v1/metrics?timeRange=last-24h&systems=left,right", "")).json(t)
	for name, want := range map[string]float64{"totalSyncs": 6, "successful": 4, "failed": 2, "conflicts": 2} {
		if metrics[name] != want {
			t.Errorf("%s is %v, want %v", name, metrics[name], want)
		}
	}
	if len(metrics) != 6 || metrics["averageLatency"].(float64) <= 0 || metrics["dataVolume"].(float64) <= 0 {
		t.Errorf("the metrics are %v", metrics)
	}
	if v := w.want(200, p.as("GET", "/v1/metrics?interval=1h&systems=all", "")).json(t); !reflect.DeepEqual(v["totalSyncs"], metrics["totalSyncs"]) {
		t.Errorf("over an hour: %v", v)
	}
	if v := w.want(200, p.as("GET", "/v1/metrics?systems=nowhere&filter[service]=catalog-a", "")).json(t); v["totalSyncs"] != 0.0 {
		t.Errorf("of no system: %v", v)
	}
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/metrics?timeRange=yesterday", ""))
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/metrics?timeRange=last-91d", ""))
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/metrics?timeRange=last-1d&interval=1d", ""))

	// Records: by id, by any system's key, searched.
	list := w.want(200, p.as("GET", at+"/records", "")).json(t)["data"].([]any)
	if len(list) != 6 {
		t.Fatalf("%d records", len(list))
	}
	byKey := w.want(200, p.as("GET", at+"/records/SKU-2", "")).json(t)
	byID := w.want(200, p.as("GET", at+"/records/"+byKey["id"].(string), "")).json(t)
	if !reflect.DeepEqual(byKey, byID) || byKey["fields"].(map[string]any)["quantity"] != 2.0 {
		t.Errorf("by key %v, by id %v", byKey, byID)
	}
	w.refused(404, "record.not_found", p.as("GET", at+"/records/SKU-99", ""))
	w.refused(404, "record.not_found", p.as("GET", at+"/records/"+url.PathEscape("a/b:c?d%"), ""))
	for query, want := range map[string]int{
		"?search=SKU-3": 1, "?search=%25": 0, "?filter[state]=rejected": 2, "?filter[state]=frozen": 0, "?filter[collection]=nothing": 0, "?filter[deleted]=true": 6,
	} {
		if list := w.want(200, p.as("GET", at+"/records"+query, "")).json(t)["data"].([]any); len(list) != want {
			t.Errorf("%s finds %d records, want %d", query, len(list), want)
		}
	}
	// Exactly as the founding text shows it.
	stands := w.want(200, p.as("GET", at+"/records/SKU-2/status?systems=left,right", "")).json(t)
	left := stands["left"].(map[string]any)
	if len(stands) != 2 || len(left) != 2 || left["status"] != "synced" || stands["right"].(map[string]any)["status"] != "rejected" {
		t.Errorf("the record stands %v", stands)
	}
	if at, err := time.Parse(time.RFC3339, left["lastSync"].(string)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("last synced %v, %v", left["lastSync"], err)
	}
	if v := w.want(200, p.as("GET", at+"/records/SKU-0/status", "")).json(t); v["left"].(map[string]any)["status"] != "conflict" {
		t.Errorf("the disputed record stands %v", v)
	}
	w.refused(400, "request.system_unknown", p.as("GET", at+"/records/SKU-2/status?systems=left,middle", ""))
	history := w.want(200, p.as("GET", at+"/records/SKU-2/history", "")).json(t)["data"].([]any)
	if h := history[len(history)-1].(map[string]any); h["kind"] != "change" || h["op"] != "create" || h["before"] != nil {
		t.Errorf("the history begins with %v", h)
	}

	// Conflicts.
	open := w.want(200, p.as("GET", "/v1/conflicts?filter[state]=open&filter[service]=catalog-a&filter[field]=name", "")).json(t)["data"].([]any)
	if len(open) != 2 {
		t.Fatalf("%d open conflicts", len(open))
	}
	first, second := open[0].(map[string]any), open[1].(map[string]any)
	if list := w.want(200, p.as("GET", "/v1/conflicts?filter[record]="+first["record"].(string), "")).json(t)["data"].([]any); len(list) != 1 {
		t.Errorf("of one record: %v", list)
	}
	c := w.want(200, p.as("GET", "/v1/conflicts/"+first["id"].(string), ""))
	w.want(304, p.as("GET", "/v1/conflicts/"+first["id"].(string), "", "If-None-Match", c.header.Get("ETag")))
	resolve := func(id any, body string, header ...string) call {
		return p.as("POST", "/v1/conflicts/"+id.(string)+":resolve", body, header...)
	}
	w.refused(422, "conflict.decision_invalid", resolve(first["id"], `{}`))
	w.refused(422, "conflict.decision_invalid", resolve(first["id"], `{"side":"left","value":"x"}`))
	w.refused(422, "conflict.decision_invalid", resolve(first["id"], `{"side":"middle"}`))
	w.refused(412, "conflict.version_stale", resolve(first["id"], `{"side":"left"}`, "If-Match", `"77"`))
	w.refused(422, "request.invalid", resolve(first["id"], `{"winner":"left"}`))
	done := w.want(200, resolve(first["id"], `{"side":"left","reason":"Because"}`, "If-Match", c.header.Get("ETag"))).json(t)
	if done["state"] != "resolved" || done["winner"] != "left" || done["result"] != "left "+p.canary || done["reason"] != "Because" {
		t.Errorf("resolved: %v", done)
	}
	w.refused(409, "conflict.not_open", resolve(first["id"], `{"side":"right"}`))
	// A value of one's own, also null.
	own := w.want(200, resolve(second["id"], `{"value":null}`)).json(t)
	if own["state"] != "resolved" || own["result"] != nil || own["winner"] != nil {
		t.Errorf("resolved with null: %v", own)
	}
	w.refused(404, "conflict.not_found", resolve("cfl_06f3k8t2v0h7x1m9q4r5s6t7w8", `{"side":"left"}`))

	// Schema changes.
	change := w.want(200, p.as("GET", "/v1/services/catalog-a/schema-changes?filter[state]=open", "")).json(t)["data"].([]any)[0].(map[string]any)
	if change["field"] != p.canary || change["was"] != "integer" || change["is"] != "text" || change["quarantined"] != true {
		t.Errorf("the schema change is %v", change)
	}
	shape := "/v1/schema-changes/" + change["id"].(string)
	if v := w.want(200, p.as("POST", shape+":dismiss", "")).json(t); v["state"] != "dismissed" || v["decidedBy"] == "" {
		t.Errorf("dismissed: %v", v)
	}
	w.refused(409, "schema_change.not_open", p.as("POST", shape+":dismiss", ""))
	if v := w.want(200, p.as("POST", shape+":accept", "")).json(t); v["state"] != "accepted" || v["settled"] != false {
		t.Errorf("accepted: %v", v)
	}
	w.refused(404, "schema_change.not_found", p.as("POST", "/v1/schema-changes/sch_06f3k8t2v0h7x1m9q4r5s6t7w8:accept", ""))

	// Business rules.
	acts := w.want(200, p.as("GET", "/v1/rule-actions?filter[state]=open&filter[service]=catalog-a", "")).json(t)["data"].([]any)
	if len(acts) < 2 || acts[0].(map[string]any)["rule"] != "watch" || acts[0].(map[string]any)["options"].(map[string]any)["note"] != p.canary {
		t.Fatalf("the actions are %v", acts)
	}
	act := "/v1/rule-actions/" + acts[0].(map[string]any)["id"].(string)
	if v := w.want(200, p.as("POST", act+":reject", `{"reason":"No"}`)).json(t); v["state"] != "rejected" || v["reason"] != "No" {
		t.Errorf("rejected: %v", v)
	}
	w.refused(409, "rule_action.not_open", p.as("POST", act+":reject", `{}`))
	if v := w.want(200, p.as("POST", act+":approve", `{}`)).json(t); v["state"] != "approved" {
		t.Errorf("approved: %v", v)
	}
	w.refused(409, "rule_action.not_open", p.as("POST", act+":approve", `{}`))
	w.refused(404, "rule_action.not_found", p.as("POST", "/v1/rule-actions/act_06f3k8t2v0h7x1m9q4r5s6t7w8:approve", `{}`))

	// What a rule wants done.
	w.must(store.InTx(p.db, func(tx *store.Tx) engine.Tx { return tx })(t.Context(), p.tenant, func(tx engine.Tx) error {
		done := w.want(200, p.as("GET", act[:len("/v1/rule-actions")]+"?filter[service]=catalog-a", "")).json(t)["data"].([]any)[0].(map[string]any)
		sid, err := service.ParseID(done["service"].(string))
		if err != nil {
			return err
		}
		entity, err := ident.Parse(ident.Entity, done["record"].(string))
		if err != nil {
			return err
		}
		return tx.SaveActs(t.Context(), sid, engine.Outcome{Acts: []engine.Act{{ID: uuid.Must(uuid.NewV7()), Entity: record.EntityID(entity), Collection: "products", Title: "O-1", Rule: "bill-it",
			Action: engine.ActInvoice, System: "left", Targets: []string{"right"}, State: engine.ActWanted, Fields: record.Fields{"total": record.Int(3)}, At: tx.Now()}}})
	}))
	wanted := w.want(200, p.as("GET", "/v1/rule-actions?filter[state]=wanted&filter[action]=generate_invoice", "")).json(t)["data"].([]any)
	if len(wanted) != 1 || wanted[0].(map[string]any)["targets"].([]any)[0] != "right" || wanted[0].(map[string]any)["lapsedAt"] != nil {
		t.Fatalf("wanted are %v", wanted)
	}
	bill := "/v1/rule-actions/" + wanted[0].(map[string]any)["id"].(string)
	w.refused(409, "rule_action.not_open", p.as("POST", bill+":approve", `{}`))
	w.refused(409, "rule_action.not_taken", p.as("POST", bill+":release", `{}`))
	if v := w.want(200, p.as("POST", bill+":take", "")).json(t); v["state"] != "taken" || v["takenBy"] == "" || v["takenAt"] == nil {
		t.Errorf("taken: %v", v)
	}
	w.refused(409, "rule_action.taken", p.as("POST", bill+":take", ""))
	if v := w.want(200, p.as("POST", bill+":release", `{"reason":"Later"}`)).json(t); v["state"] != "wanted" || v["takenBy"] != "" {
		t.Errorf("given back: %v", v)
	}
	if v := w.want(200, p.as("POST", bill+":complete", `{"reference":"INV-7"}`)).json(t); v["state"] != "done" || v["reference"] != "INV-7" || v["decidedBy"] == "" {
		t.Errorf("done: %v", v)
	}
	w.refused(409, "rule_action.not_wanted", p.as("POST", bill+":complete", `{}`))
	w.refused(404, "rule_action.not_found", p.as("POST", "/v1/rule-actions/act_06f3k8t2v0h7x1m9q4r5s6t7w8:take", ""))

	// Statistics and what-if.
	stats := w.want(200, p.as("GET", "/v1/conflict-statistics?filter[service]=catalog-a", "")).json(t)
	if stats["opened"] != 2.0 || stats["byPerson"] != 2.0 || stats["open"] != 0.0 || len(stats["fields"].([]any)) != 1 || len(stats["pairs"].([]any)) != 1 {
		t.Errorf("the statistics are %v", stats)
	}
	w.refused(422, "conflict.span_invalid", p.as("GET", "/v1/conflict-statistics?filter[since]=2026-01-01T00:00:00Z&filter[until]=2024-01-01T00:00:00Z", ""))
	replayed := w.want(200, p.as("POST", "/v1/services/catalog-a/conflicts:replay", `{"strategy":"left-wins","field":"name"}`)).json(t)
	if replayed["conflicts"] != 2.0 || replayed["decided"] != 2.0 {
		t.Errorf("the replay is %v", replayed)
	}
	w.refused(422, "conflict.strategy_invalid", p.as("POST", "/v1/services/catalog-a/conflicts:replay", `{"strategy":"luck"}`))
	w.refused(404, "service.not_found", p.as("POST", "/v1/services/nowhere/conflicts:replay", `{"strategy":"sourceWins"}`))

	// Dead letters.
	groups := w.want(200, p.as("GET", "/v1/dead-letter-groups?filter[service]=catalog-a", "")).json(t)["data"].([]any)
	if g := groups[0].(map[string]any); len(groups) != 1 || g["count"] != 2.0 || g["system"] != "right" {
		t.Errorf("the groups are %v", groups)
	}
	letters := w.want(200, p.as("GET", "/v1/dead-letters?filter[state]=open&filter[system]=right", "")).json(t)["data"].([]any)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters", len(letters))
	}
	letter := "/v1/dead-letters/" + letters[0].(map[string]any)["id"].(string)
	if v := w.want(200, p.as("GET", letter, "")).json(t); v["payload"].(map[string]any)["name"] == nil || v["direction"] != "out" {
		t.Errorf("the dead letter is %v", v)
	}
	w.refused(409, "dead_letter.not_editable", p.as("PATCH", letter, `{"fields":{"name":"short"}}`, "Content-Type", "application/merge-patch+json"))
	w.refused(422, "request.invalid", p.as("PATCH", letter, `{"fields":{}}`, "Content-Type", "application/merge-patch+json"))
	w.refused(404, "dead_letter.not_found", p.as("PATCH", "/v1/dead-letters/dlq_06f3k8t2v0h7x1m9q4r5s6t7w8", `{"fields":{"name":"short"}}`, "Content-Type", "application/merge-patch+json"))
	if v := w.want(200, p.as("POST", letter+":check", `{"fields":{"name":"short"}}`)).json(t); len(v["data"].([]any)) != 0 {
		t.Errorf("without validation there are flaws: %v", v)
	}
	code := letters[0].(map[string]any)["code"].(string)
	w.refused(422, "dead_letter.selection_empty", p.as("POST", "/v1/dead-letters:redrive", `{"dryRun":true}`))
	w.refused(422, "dead_letter.selection_empty", p.as("POST", "/v1/dead-letters:discard", `{"reason":"All of it"}`))
	w.refused(422, "request.invalid", p.as("POST", "/v1/dead-letters:discard", `{"code":"`+code+`"}`))
	if v := w.want(200, p.as("POST", "/v1/dead-letters:redrive", `{"code":"no.such"}`)).json(t); v["selected"] != 0.0 || v["done"] != 0.0 {
		t.Errorf("of no cause: %v", v)
	}
	if v := w.want(200, p.as("POST", "/v1/dead-letters:discard", `{"code":"`+code+`","direction":"out","reason":"A look","dryRun":true}`)).json(t); v["selected"] != float64(len(letters)) || v["done"] != 0.0 || v["remaining"] != v["selected"] {
		t.Errorf("a dry run: %v", v)
	}
	w.refused(422, "request.invalid", p.as("POST", letter+":discard", `{"reason":""}`))
	if v := w.want(200, p.as("POST", letter+":discard", `{"reason":"A test"}`)).json(t); v["state"] != "discarded" || v["reason"] != "A test" {
		t.Errorf("discarded: %v", v)
	}
	w.refused(409, "dead_letter.not_open", p.as("POST", letter+":discard", `{"reason":"Twice"}`))
	if v := w.want(202, p.as("POST", letter+":redrive", "")).json(t); v["state"] != "redriven" {
		t.Errorf("redriven: %v", v)
	}
	if v := w.want(200, p.as("POST", "/v1/dead-letters:redrive", `{"code":"no.such","dryRun":false}`)).json(t); v["done"] != 0.0 {
		t.Errorf("of another cause: %v", v)
	}
	if v := w.want(202, p.as("POST", "/v1/dead-letters/"+letters[1].(map[string]any)["id"].(string)+":redriveAlike", "")).json(t); v["redriven"] != 1.0 {
		t.Errorf("redriven alike: %v", v)
	}
	if list := w.want(200, p.as("GET", "/v1/dead-letters?filter[state]=redriven", "")).json(t)["data"].([]any); len(list) != 2 {
		t.Errorf("redriven are %v", list)
	}

	// Runs.
	made := w.want(202, p.as("POST", at+"/runs", "").once())
	run := made.header.Get("Location")
	if v := w.want(200, p.as("GET", run, "")).json(t); v["state"] != "queued" || v["actor"] != "all "+p.canary {
		t.Errorf("the run is %v", v)
	}
	if v := w.want(202, p.as("POST", at+"/runs", "").once()).json(t); run != "/v1/runs/"+v["id"].(string) {
		t.Errorf("a second run while one is queued: %v", v)
	}
	if v := w.want(200, p.as("GET", at+"/status", "")).json(t); v["run"].(map[string]any)["state"] != "queued" {
		t.Errorf("the status does not show the run: %v", v["run"])
	}
	for range 2 { // again changes nothing
		if v := w.want(200, p.as("POST", run+":cancel", "")).json(t); v["state"] != "queued" && v["state"] != "cancelled" {
			t.Errorf("cancelled: %v", v)
		}
	}
	if list := w.want(200, p.as("GET", "/v1/runs?filter[state]=succeeded,partial&filter[service]=catalog-a", "")).json(t)["data"].([]any); len(list) < 2 {
		t.Errorf("finished runs: %v", list)
	}
	// 1.1 and 1.10, and numbers that no float holds, leave as they are.
	p.exec(`UPDATE entities SET fields = fields || '{"exact": 12345678901234567890.123}' WHERE tenant_id = $1`, uuid.UUID(p.tenant))
	if a := w.want(200, p.as("GET", at+"/records/SKU-3", "")); !strings.Contains(string(a.body), `"exact":12345678901234567890.123`) {
		t.Errorf("a number lost digits: %s", a.body)
	}
}

func TestUsageAndInvoices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	usage := w.want(200, p.as("GET", "/v1/usage", "")).json(t)
	meters := usage["meters"].([]any)
	if m := meters[0].(map[string]any); m["meter"] != "sync_operations" || m["quantity"] != 4.0 {
		t.Errorf("the usage is %v", meters)
	}
	// 4 operations at $0.005, and $0.002 for each that the engine calls realtime; each line rounded to cents.
	total, want := usage["total"].(map[string]any), "0.02"
	if meters[0].(map[string]any)["realtime"].(float64) >= 3 {
		want = "0.03"
	}
	if total["amount"] != want || total["currency"] != "usd" {
		t.Errorf("the total is %v", total)
	}
	// Counts are for all, money is not.
	seen := w.want(200, call{method: "GET", path: "/v1/usage", session: p.sessions[auth.Viewer]}).json(t)
	if seen["total"] != nil || seen["lines"] != nil || !reflect.DeepEqual(seen["meters"], usage["meters"]) {
		t.Errorf("a viewer sees %v", seen)
	}
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/usage?period=2026", ""))
	w.refused(422, "billing.period_malformed", p.as("GET", "/v1/usage?period=2026-13", ""))
	w.refused(422, "invoicing.period_future", p.as("GET", "/v1/usage?period=2999-01", ""))

	list := w.want(200, p.as("GET", "/v1/invoices", "")).json(t)["data"].([]any)
	if len(list) != 2 {
		t.Fatalf("%d invoices", len(list))
	}
	draft := list[0].(map[string]any)
	a := w.want(200, p.as("GET", "/v1/invoices/"+draft["id"].(string), ""))
	w.want(304, p.as("GET", "/v1/invoices/"+draft["id"].(string), "", "If-None-Match", a.header.Get("ETag")))
	line := a.json(t)["lines"].([]any)[0].(map[string]any)
	if line["quantity"] != 4.0 || line["amount"].(map[string]any)["amount"] != "0.02" || len(line["explanation"].([]any)) == 0 {
		t.Errorf("the line is %v", line)
	}
	ops := w.want(200, p.as("GET", "/v1/invoices/"+draft["id"].(string)+"/lines/"+line["id"].(string)+"/operations", "")).json(t)["data"].([]any)
	if o := ops[0].(map[string]any); len(ops) != 4 || o["op"] != "create" || strings.Contains(fmt.Sprint(ops), p.canary) {
		t.Errorf("the operations are %v", ops)
	}
	records := a.json(t)["lines"].([]any)[3].(map[string]any)
	w.refused(422, "invoicing.line_without_operations", p.as("GET", "/v1/invoices/"+draft["id"].(string)+"/lines/"+records["id"].(string)+"/operations", ""))
	w.refused(404, "invoicing.line_not_found", p.as("GET", "/v1/invoices/"+draft["id"].(string)+"/lines/lin_06f3k8t2v0h7x1m9q4r5s6t7w8/operations", ""))

	// More is synced: the draft follows at the next look, and says so by its ETag.
	p.systems["left-a"].User("products").Put("SKU-9", record.Fields{"name": "Nine"})
	service := w.want(200, p.as("GET", "/v1/services/catalog-a", "")).json(t)
	id, err := parseService(service["id"].(string))
	w.must(err)
	p.carry(id, func() {
		p.eventually("the ninth arrives", func() bool { return p.systems["right-a"].User("products").Get("SKU-9") != nil && p.quiet(id) })
	})
	after := w.want(200, p.as("GET", "/v1/invoices/"+draft["id"].(string), "", "If-None-Match", a.header.Get("ETag"))).json(t)
	if q := after["lines"].([]any)[0].(map[string]any)["quantity"]; q != 5.0 {
		t.Errorf("the draft still counts %v", q)
	}
}

func TestAuditTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	before := w.want(200, p.as("POST", "/v1/services/catalog-a:pause", ""))
	list := w.want(200, p.as("GET", "/v1/audit-trail?limit=1", "")).json(t)["data"].([]any)
	e := list[0].(map[string]any)
	if e["action"] != "service.paused" || e["actor"].(map[string]any)["kind"] != "key" || e["requestId"] != before.header.Get("X-Request-Id") || e["subject"] != p.ids["service"] {
		t.Errorf("the last entry is %v", e)
	}
	for query, some := range map[string]bool{
		"filter[action]=service.": true, "filter[action]=nothing": false, "filter[subject]=" + p.ids["service"]: true, "filter[actor]=usr_nobody": false,
		"filter[since]=2001-01-01T00:00:00Z": true, "filter[until]=2001-01-01T00:00:00Z": false,
	} {
		if list := w.want(200, p.as("GET", "/v1/audit-trail?"+query, "")).json(t)["data"].([]any); (len(list) > 0) != some {
			t.Errorf("%s finds %d entries", query, len(list))
		}
	}
	w.refused(400, "request.parameter_invalid", p.as("GET", "/v1/audit-trail?filter[since]=yesterday", ""))
	whole := w.want(200, p.as("POST", "/v1/audit-trail:verify", "")).json(t)
	if whole["whole"] != true || whole["brokenAt"] != nil {
		t.Errorf("verified: %v", whole)
	}
	p.exec(`UPDATE audit_log SET action = 'nothing.happened' WHERE tenant_id = $1 AND seq = 3`, uuid.UUID(p.tenant))
	if broken := w.want(200, p.as("POST", "/v1/audit-trail:verify", "")).json(t); broken["whole"] != false || broken["brokenAt"] != 3.0 {
		t.Errorf("after a change: %v", broken)
	}
}

func TestMeta(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	get := func(path string) call { return call{method: "GET", path: path} }
	if a := w.want(200, get("/livez")); string(a.body) != "ok\n" {
		t.Errorf("livez: %s", a.body)
	}
	if a := w.want(200, get("/readyz")); string(a.body) != "ok\n" {
		t.Errorf("readyz: %s", a.body)
	}
	if a := w.want(200, get("/readyz?verbose")); string(a.body) != "[+] database ok\nok\n" {
		t.Errorf("readyz, verbose: %s", a.body)
	}
	if v := w.want(200, get("/version")).json(t); v["version"] != "test" {
		t.Errorf("version: %v", v)
	}
	if v := w.want(200, get("/v1/openapi.json")).json(t); v["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", v["openapi"])
	}
	schema := w.want(200, get("/v1/schemas/service.json"))
	if !json.Valid(schema.body) || !strings.Contains(string(schema.body), "2020-12") {
		t.Errorf("the schema is %.200s", schema.body)
	}
	w.deps.Ready = append(w.deps.Ready, checkThatFails)
	w.serve()
	a := w.want(http.StatusServiceUnavailable, get("/readyz?verbose"))
	if string(a.body) != "[+] database ok\n[-] queue failed\nnot ready\n" || strings.Contains(string(a.body), "s3cr3t") {
		t.Errorf("not ready: %s", a.body)
	}
}
