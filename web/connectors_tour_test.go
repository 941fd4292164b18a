// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/web/webtest"
)

// rest is a system that nobody knows: articles over HTTP, with a bearer token, offset paging and a filter on time.
type rest struct {
	mu       sync.Mutex
	next     int
	articles map[int]map[string]any
	clock    time.Time
}

func (r *rest) set(id int, fields map[string]any) map[string]any {
	if id == 0 {
		r.next++
		id = r.next
		r.articles[id] = map[string]any{"id": id, "sku": "", "name": "", "quantity": nil}
	}
	a := r.articles[id]
	if a == nil {
		return nil
	}
	for k, v := range fields {
		a[k] = v
	}
	if now := time.Now().UTC(); now.After(r.clock) {
		r.clock = now
	} else {
		r.clock = r.clock.Add(time.Millisecond)
	}
	a["updated_at"] = r.clock.Format(time.RFC3339Nano)
	return a
}

// edit is what somebody there does.
func (r *rest) edit(sku string, fields map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, a := range r.articles {
		if a["sku"] == sku {
			r.set(id, fields)
			return
		}
	}
	fields["sku"] = sku
	r.set(0, fields)
}

func (r *rest) value(sku, field string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.articles {
		if a["sku"] == sku {
			return a[field]
		}
	}
	return nil
}

func (r *rest) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	if q.Header.Get("Authorization") != "Bearer good-token" {
		say(401, map[string]any{"error": map[string]any{"message": "who are you?"}})
		return
	}
	var fields map[string]any
	_ = json.NewDecoder(q.Body).Decode(&fields)
	id, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(q.URL.Path, "/api/articles"), "/"))
	switch {
	case q.Method == http.MethodGet && id == 0:
		since, _ := time.Parse(time.RFC3339, q.URL.Query().Get("updated_since"))
		var list []map[string]any
		for _, a := range r.articles {
			if at, _ := time.Parse(time.RFC3339Nano, a["updated_at"].(string)); !at.Before(since) {
				list = append(list, a)
			}
		}
		slices.SortFunc(list, func(a, b map[string]any) int {
			return strings.Compare(a["updated_at"].(string), b["updated_at"].(string))
		})
		offset, _ := strconv.Atoi(q.URL.Query().Get("offset"))
		limit, _ := strconv.Atoi(q.URL.Query().Get("limit"))
		list = list[min(offset, len(list)):]
		say(200, map[string]any{"articles": list[:min(limit, len(list))]})
	case q.Method == http.MethodPost && id == 0:
		say(201, r.set(0, fields))
	case r.articles[id] == nil:
		say(404, map[string]any{"error": map[string]any{"message": "no such article"}})
	case q.Method == http.MethodGet:
		say(200, r.articles[id])
	case q.Method == http.MethodPatch:
		say(200, r.set(id, fields))
	case q.Method == http.MethodDelete:
		delete(r.articles, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

const restManifest = `manifest: 1
type: bazaar
title: Bazaar
summary: Articles of a bazaar.
settings:
  - {name: url, title: Address, doc: "Where its API is.", required: true}
  - {name: token, title: API token, doc: "Made in the bazaar.", required: true, secret: true}
baseUrl: "{settings.url}/api"
auth:
  - {kind: bearer, token: "{settings.token}"}
errors:
  message: [error.message]
pace: {min: 200ms, max: 500ms}
objects:
  articles:
    key: [id]
    version: updated_at
    identity: [sku]
    fields:
      - {name: id, type: integer, readOnly: true}
      - {name: sku, required: true}
      - {name: name}
      - {name: quantity, type: integer}
      - {name: updated_at, type: timestamp, readOnly: true}
    list:
      request: {path: /articles, query: {limit: "{limit}", offset: "{offset}"}}
      records: articles
      paging: {style: offset, size: 100}
    changes:
      style: since
      request: {path: /articles, query: {updated_since: "{since}", limit: "{limit}", offset: "{offset}"}}
      records: articles
      paging: {style: offset, size: 100}
      time: rfc3339
      overlap: 2s
    deletes: {mode: never}
    get: {request: {path: "/articles/{key}"}}
    create: {request: {method: POST, path: /articles, body: "{fields}"}, key: id, record: .}
    update: {request: {method: PATCH, path: "/articles/{key}", body: "{fields}"}, record: .}
    delete: {request: {method: DELETE, path: "/articles/{key}"}}
`

// A system that is described by an uploaded manifest alone is tried in the browser, connected, and syncs both ways with PostgreSQL.
func TestOwnConnectorFromManifestToSync(t *testing.T) {
	bazaar := &rest{articles: map[int]map[string]any{}}
	bazaar.edit("SKU-1", map[string]any{"name": "Ridge Vest", "quantity": 10})
	bazaar.edit("SKU-2", map[string]any{"name": "Trail Cap", "quantity": 20})
	there := httptest.NewServer(bazaar)
	t.Cleanup(there.Close)
	h := newHouse(t)
	warehouse, settings := h.table("stock_levels")

	p := h.open(ownerEmail, "/connectors", webtest.Options{Expect: []string{"422"}})
	p.WaitText("main", "Describe a system")
	p.Axe()
	p.Shot("connectors")
	p.Goto(h.url + "/connectors/new")
	const editor = `document.querySelector("yaml-editor#document")`
	p.Wait(editor + `.view`)
	write := func(text string) {
		p.Eval(editor + `.value = ` + quoted(text))
	}
	// A mistake is marked with its line and a remedy.
	write(strings.Replace(restManifest, "deletes:", "deleets:", 1))
	p.WaitText("#problems", "Did you mean deletes?")
	p.Axe()
	write(restManifest)
	p.WaitText("#problems", "No problems")
	// The form of the trial is made from what the manifest declares.
	p.Wait(`document.querySelector('#try-settings [name="settings.url"]') !== null`)
	p.Fill(`#try-settings [name="settings.url"]`, there.URL)
	p.Fill(`#try-settings [name="settings.token"]`, "wrong-token")
	p.Click(`[hx-post="/connectors:try"]`)
	p.WaitText("#trial", "does not accept the credentials")
	p.Fill(`#try-settings [name="settings.token"]`, "good-token")
	p.Click(`[hx-post="/connectors:try"]`)
	p.WaitText("#trial", "Ridge Vest")
	p.WaitText("#trial", "PATCH "+there.URL+"/api/articles/1")
	if got := p.Text("#trial"); strings.Contains(got, "good-token") {
		t.Errorf("the trial shows the token: %s", got)
	}
	if n := len(bazaar.articles); n != 2 {
		t.Errorf("after the trial there are %d articles", n)
	}
	p.Axe()
	p.Shot("connector-trial")
	p.See(1280, 900, "dark")
	p.Axe()
	p.Shot("connector-trial")
	p.See(1280, 900, "light")
	p.Click(`#editor-form .btn-primary`)
	p.WaitPath("/connectors/bazaar")
	p.WaitText("main", "changes since a time")
	p.Axe()
	p.Shot("connector")

	// Connected by the form that its declaration makes, and used in a document.
	p.Goto(h.url + "/connections/new?connector=bazaar")
	p.Fill(`[name="name"]`, "bazaar-live")
	p.Fill(`[name="settings.url"]`, there.URL)
	p.Fill(`[name="settings.token"]`, "good-token")
	p.Click(`form .btn-primary`)
	p.WaitPath("/connections/bazaar-live")
	p.WaitText("#objects", "articles")
	_, err := h.deps.Connections.Create(t.Context(), h.owner, connection.New{Name: "warehouse", Connector: "postgresql", Settings: settings})
	h.must(err)
	h.apply(`service: stalls
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, objects: [stock_levels], primary: true}
  - {id: bazaar, type: bazaar, connection: bazaar-live, objects: [articles]}
direction: bi-directional
syncConfig:
  frequency: realtime
  matchFields: [sku]
fieldMapping: {sku: sku, name: name, quantity: quantity}
`)
	h.eventually("the bazaar's articles in the warehouse", func() bool {
		return h.text(warehouse, "SELECT coalesce(string_agg(sku || '=' || name, ',' ORDER BY sku), '') FROM stock_levels") == "SKU-1=Ridge Vest,SKU-2=Trail Cap"
	})
	h.exec(warehouse, "INSERT INTO stock_levels VALUES ('SKU-3', 'Rain Shell', 30)")
	h.exec(warehouse, "UPDATE stock_levels SET name = 'Ridge Vest II' WHERE sku = 'SKU-1'")
	h.eventually("the warehouse's edits in the bazaar", func() bool {
		return bazaar.value("SKU-3", "name") == "Rain Shell" && bazaar.value("SKU-1", "name") == "Ridge Vest II"
	})
	bazaar.edit("SKU-2", map[string]any{"quantity": 21})
	h.eventually("the bazaar's edit in the warehouse", func() bool {
		return h.text(warehouse, "SELECT quantity::text FROM stock_levels WHERE sku = 'SKU-2'") == "21"
	})
	p.Goto(h.url + "/connectors/bazaar")
	p.WaitText("main", "bazaar-live uses it")
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Somebody who knows no YAML describes a REST API by filling in a form: its fields are learnt from an example, it is tried, saved, and connected to.
func TestOwnConnectorByForm(t *testing.T) {
	bazaar := &rest{articles: map[int]map[string]any{}}
	bazaar.edit("SKU-1", map[string]any{"name": "Ridge Vest", "quantity": 10})
	there := httptest.NewServer(bazaar)
	t.Cleanup(there.Close)
	h := newHouse(t)
	p := h.open(ownerEmail, "/connectors", webtest.Options{Expect: []string{"422"}})
	p.WaitText("main", "Describe by form")
	p.Goto(h.url + "/connectors/form")
	p.Axe()
	p.Click(`#sketch-form .btn-primary`) // nothing is filled in
	p.WaitText("main", "It was not saved")
	p.Axe()
	fill := func(name, value string) { p.Fill(`#sketch-form [name="`+name+`"]`, value) }
	fill("title", "By Form")
	fill("baseUrl", there.URL+"/api")
	fill("o0.name", "articles")
	fill("o0.example", `{"articles": [{"id": 1, "sku": "SKU-1", "name": "Ridge Vest", "quantity": 10, "updated_at": "2026-11-23T09:00:00Z"}]}`)
	fill("o0.list", "/articles")
	fill("o0.records", "articles")
	fill("o0.version", "updated_at")
	fill("o0.since", "updated_since")
	fill("o0.get", "/articles/{id}")
	fill("o0.create", "/articles")
	fill("o0.update", "/articles/{id}")
	fill("o0.delete", "/articles/{id}")
	p.Eval(`(() => { const s = document.querySelector('[name="o0.paging"]'); s.value = "offset"; s.dispatchEvent(new Event("change", {bubbles: true})) })()`)
	p.Wait(`document.querySelector('[name="o0.place"]') !== null`)
	fill("o0.limit", "limit")
	fill("o0.place", "offset")
	p.Click(`button[hx-post="/connectors/form:show"]:not([hx-vals])`)
	p.Wait(`document.querySelector('#sketch-form [name="settings.token"]') !== null`)
	fill("settings.token", "good-token")
	p.Click(`[hx-post="/connectors/form:try"]`)
	p.WaitText("#trial", "Ridge Vest")
	p.WaitText("#trial", "PATCH "+there.URL+"/api/articles/1")
	p.Axe()
	p.Shot("connector-form")
	p.See(1280, 900, "dark")
	p.Axe()
	p.Shot("connector-form")
	p.See(1280, 900, "light")
	p.Click(`#sketch-form .btn-primary`)
	p.WaitPath("/connectors/by-form")
	p.WaitText("main", "changes since a time")
}
