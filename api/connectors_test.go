// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector/manifest"
)

// ownManifest is a manifest of a tenant's own, about a system that nobody reaches.
func ownManifest(typ, title string) string {
	return fmt.Sprintf(`manifest: 1
type: %s
title: %s
summary: Articles of a shop.
settings:
  - {name: token, required: true, secret: true}
baseUrl: http://127.0.0.1:1/api
auth:
  - {kind: bearer, token: "{settings.token}"}
objects:
  articles:
    key: [id]
    version: updatedAt
    fields:
      - {name: id, type: integer, readOnly: true}
      - {name: title}
      - {name: updatedAt, type: timestamp, readOnly: true}
    list: {request: {path: /articles}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/articles/{key}"}}
`, typ, title)
}

// A tenant's own connector is uploaded, revised, listed beside the program's, used and deleted.
func TestOwnConnectors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	yaml := func(method, path, body string, header ...string) call {
		return p.as(method, path, body, append([]string{"Content-Type", "application/yaml"}, header...)...)
	}
	first := ownManifest("our-shop", "Our shop")

	made := w.want(201, yaml("POST", "/v1/connectors?note=first", first).once())
	if v := made.json(t); v["version"] != 1.0 || v["source"] != first || made.header.Get("Location") != "/v1/connectors/our-shop" {
		t.Errorf("made is %v", v)
	}
	w.refused(409, "connector.type_taken", yaml("POST", "/v1/connectors", first).once())
	w.refused(422, "manifest.invalid", yaml("POST", "/v1/connectors", ownManifest("left-a", "Left")).once())
	wrong := w.refused(422, "manifest.invalid", yaml("POST", "/v1/connectors", strings.Replace(first, "deletes:", "deletions:", 1)).once()).json(t)["errors"].([]any)[1].(map[string]any)
	if wrong["line"] != 19.0 || wrong["column"] == nil || !strings.Contains(wrong["remedy"].(string), "deletes") {
		t.Errorf("the problem is %v", wrong)
	}
	asJSON := `{"manifest":1,"type":"json-shop","title":"J","summary":"J.","baseUrl":"https://j.example.com","objects":{"a":{"key":["id"],"fields":[{"name":"id"}],"list":{"request":{"path":"/a"},"paging":{"style":"none"}},"deletes":{"mode":"never"},"get":{"request":{"path":"/a/{key}"}}}}}`
	w.want(201, p.as("POST", "/v1/connectors", asJSON).once())

	// It is one of the connectors, with a form made from its declaration and without a sandbox.
	found := w.want(200, p.as("GET", "/v1/connectors/our-shop", "")).json(t)
	if settings := found["settings"].([]any); len(settings) != 1 || settings[0].(map[string]any)["secret"] != true {
		t.Errorf("its settings are %v", settings)
	}
	var own []string
	for _, c := range w.want(200, p.as("GET", "/v1/connectors", "")).json(t)["data"].([]any) {
		if c := c.(map[string]any); c["ownVersion"] != nil {
			own = append(own, c["type"].(string))
		}
	}
	if strings.Join(own, " ") != "json-shop our-shop" {
		t.Errorf("own are %v", own)
	}
	w.refused(422, "connection.settings_invalid", p.as("POST", "/v1/connections", `{"name":"shop","connector":"our-shop"}`).once())
	w.want(201, p.as("POST", "/v1/connections", `{"name":"shop","connector":"our-shop","settings":{"token":"secret-token"}}`).once())

	// A document names it, and validation knows its settings.
	w.want(201, p.as("PUT", "/v1/secrets/TOKEN", `{"value":"good"}`, "If-None-Match", "*"))
	document := "service: articles\nsystems:\n  - {id: shop, type: our-shop, connection: shop, objects: [articles]}\n  - {id: other, type: right-a, objects: [products], connection: {token: '${TOKEN}'}}\n"
	if v := w.want(200, yaml("POST", "/v1/services:validate", document)).json(t); v["valid"] != true {
		t.Errorf("the document is %v", v)
	}
	if v := w.want(200, yaml("POST", "/v1/services:validate", strings.Replace(document, "our-shop", "their-shop", 1))).json(t); v["valid"] != false {
		t.Errorf("an unknown type is %v", v)
	}

	// Versions.
	second := strings.Replace(first, "Articles of a shop.", "Everything of a shop.", 1)
	w.refused(412, "connector.version_stale", yaml("PUT", "/v1/connectors/our-shop", second, "If-Match", `"7"`))
	w.refused(422, "manifest.invalid", yaml("PUT", "/v1/connectors/our-shop", strings.Replace(second, "our-shop", "new-shop", 1)))
	w.refused(404, "connector.unknown", yaml("PUT", "/v1/connectors/new-shop", strings.Replace(second, "our-shop", "new-shop", 1)))
	if v := w.want(200, yaml("PUT", "/v1/connectors/our-shop?note=more", second, "If-Match", made.header.Get("ETag"))).json(t); v["version"] != 2.0 || len(v["versions"].([]any)) != 2 {
		t.Errorf("revised is %v", v)
	}
	w.want(200, yaml("PUT", "/v1/connectors/our-shop", second))
	v := w.want(200, p.as("GET", "/v1/connectors/our-shop/manifest", "")).json(t)
	if v["version"] != 2.0 || fmt.Sprint(v["usedBy"]) != "[shop]" || v["versions"].([]any)[0].(map[string]any)["note"] != "more" {
		t.Errorf("it is %v", v)
	}

	// Gone only when nothing uses it.
	w.refused(409, "connector.in_use", p.as("DELETE", "/v1/connectors/our-shop", ""))
	w.want(204, p.as("DELETE", "/v1/connections/shop", "", "If-Match", "*"))
	w.want(204, p.as("DELETE", "/v1/connectors/our-shop", "", "If-Match", `"2"`))
	w.refused(404, "connector.unknown", p.as("GET", "/v1/connectors/our-shop", ""))
	w.refused(404, "connector.unknown", p.as("DELETE", "/v1/connectors/left-a", ""))

	var acts []string
	for _, e := range w.want(200, p.as("GET", "/v1/audit-trail", "")).json(t)["data"].([]any) {
		if a := e.(map[string]any)["action"].(string); strings.HasPrefix(a, "connector.") {
			acts = append(acts, a)
		}
	}
	if strings.Join(acts, " ") != "connector.deleted connector.changed connector.created connector.created" {
		t.Errorf("the audit log has %v", acts)
	}
}

// A trial goes through the guard: an address of the own network is not reached.
func TestTryingAConnectorIsGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	v := w.want(200, p.as("POST", "/v1/connectors:test", fmt.Sprintf(`{"manifest":%q,"settings":{"token":"secret-token"}}`, ownManifest("our-shop", "Our shop")))).json(t)
	if v["ok"] != false || v["reached"] != false || v["problem"].(map[string]any)["code"] != "connection.address_refused" {
		t.Errorf("it found %v", v)
	}
	w.refused(422, "manifest.invalid", p.as("POST", "/v1/connectors:test", `{"manifest":"type: x"}`))
	w.refused(422, "connection.settings_invalid", p.as("POST", "/v1/connectors:test", fmt.Sprintf(`{"manifest":%q}`, ownManifest("our-shop", "Our shop"))))
}

// The dashboard's form is there for programs: what it makes can be tried and kept, and what is missing is named by its place.
func TestSketchingAConnector(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	const good = `{"title":"Our shop","baseUrl":"https://shop.example.com/api","objects":[{"name":"articles","example":"{\"data\":[{\"id\":1,\"title\":\"Tea\",\"changed\":\"2026-11-23T09:00:00Z\"}]}","records":"data","list":"/articles","paging":"page","limit":"per_page","place":"page","get":"/articles/{id}","create":"/articles","update":"/articles/{id}","replaces":true}]}`
	v := w.want(200, p.as("POST", "/v1/connectors:sketch", good)).json(t)
	source, _ := v["manifest"].(string)
	if v["type"] != "our-shop" || !strings.Contains(source, "type: our-shop") {
		t.Fatalf("it makes %v", v)
	}
	m, err := manifest.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	o := m.Objects["articles"]
	if m.Auth[0].Kind != "bearer" || strings.Join(o.Key, "") != "id" || o.List.Paging.Style != "page" || o.Update.Request.Method != http.MethodPut || len(o.Fields) != 3 {
		t.Errorf("it says %+v", o)
	}
	w.want(201, p.as("POST", "/v1/connectors", source, "Content-Type", "application/yaml", "Idempotency-Key", "sketched"))
	w.refused(422, "manifest.invalid", p.as("POST", "/v1/connectors:sketch", strings.Replace(good, "https://", "ftp://", 1)))
	bad := w.want(422, p.as("POST", "/v1/connectors:sketch", `{"title":"","baseUrl":"x","auth":"header","objects":[{"name":"articles"}]}`))
	for _, pointer := range []string{"/title", "/baseUrl", "/authName", "/objects/0/"} {
		if !strings.Contains(string(bad.body), pointer) {
			t.Errorf("%s is not named in %s", pointer, bad.body)
		}
	}
}
