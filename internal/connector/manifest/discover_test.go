// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

func types(t *testing.T, sys connector.System, object record.Object) string {
	t.Helper()
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range infos[0].Fields {
		word := f.Name + " " + string(f.Type)
		if f.ReadOnly {
			word += " ro"
		}
		if !f.Nullable {
			word += " must"
		}
		out = append(out, word)
	}
	return strings.Join(out, ", ")
}

const metadata = `<?xml version="1.0"?><edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" Version="1.0"><edmx:DataServices>
<Schema Namespace="A" xmlns="http://schemas.microsoft.com/ado/2008/09/edm" xmlns:sap="http://www.sap.com/Protocols/SAPData">
<EntityType Name="Other"><Property Name="Nothing" Type="Edm.String"/></EntityType>
<EntityType Name="Customer"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.String" Nullable="false" MaxLength="10" sap:updatable="false"/><Property Name="Name" Type="Edm.String"/><Property Name="Since" Type="Edm.DateTime"/><Property Name="Photo" Type="Edm.Stream"/></EntityType></Schema>
<Schema Namespace="B"><EntityContainer Name="C"/></Schema></edmx:DataServices></edmx:Edmx>`

// The fields of an OData service are those of its $metadata, whichever schema has the type.
func TestMetadata(t *testing.T) {
	sys := small(t, `manifest: 1
type: odata
title: OData
summary: OData.
baseUrl: BASE
objects:
  customers:
    native: Customer
    key: [ID]
    describe:
      request: {path: "/$metadata", answer: xml, lists: [Schema, EntityType, Property]}
      list: "Edmx.DataServices.Schema.*.EntityType.[@Name={native}].Property"
      name: "@Name"
      type: "@Type"
      types: {Edm.String: text, Edm.DateTime: timestamp, Edm.Stream: skip}
      codecs: {Edm.DateTime: msDate}
      readOnly: "@updatable=false"
      required: "@Nullable=false"
      maxLength: "@MaxLength"
    list: {request: {path: /Customers}, records: d.results, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/Customers('{key}')"}, record: d}
`, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/$metadata":
			_, _ = io.WriteString(w, metadata)
		default:
			_, _ = io.WriteString(w, `{"d":{"results":[{"ID":"C1","Name":"Ada","Since":"/Date(1398902400000)/"}]}}`)
		}
	})
	if got := types(t, sys, "customers"); got != "ID text ro must, Name text, Since timestamp" {
		t.Errorf("the fields are %s", got)
	}
	if rows, _ := pages(t, sys, "customers", nil, 10); len(rows) != 1 || rows[0].Fields["Since"] != "2014-05-01T00:00:00Z" {
		t.Errorf("got %v", rows)
	}
}

// Objects that a system says it has, page by page, with the fields in the same answer; each is read and named like the template.
func TestDiscoverObjects(t *testing.T) {
	sys := small(t, `manifest: 1
type: base
title: Base
summary: Base.
baseUrl: BASE
discover: {request: {path: /tables, query: {offset: "{token}"}}, list: tables, paging: {style: cursor, next: offset}, name: name, native: id, skip: hidden, like: table}
objects:
  table:
    template: true
    key: [id]
    fields: [{name: id, outside: true, readOnly: true, required: true}]
    fieldsAt: fields
    describe: {list: columns, name: name, type: type, types: {text: text, count: integer, "*": text}}
    list: {request: {path: "/rows/{native}"}, records: rows, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/rows/{native}/{key}"}}
  fixed: {key: [id], fields: [{name: id}], list: {request: {path: /fixed}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/fixed/{key}"}}}
`, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/tables" && r.URL.Query().Get("offset") == "":
			_, _ = io.WriteString(w, `{"offset":"2","tables":[{"id":"t1","name":"People","columns":[{"name":"Name","type":"text"},{"name":"Age","type":"count"}]},{"id":"t2","name":"Secret","hidden":true}]}`)
		case r.URL.Path == "/tables":
			_, _ = io.WriteString(w, `{"tables":[{"id":"t3","name":"Places","columns":[{"name":"City","type":"line"}]}]}`)
		case r.URL.Path == "/rows/t1":
			_, _ = io.WriteString(w, `{"rows":[{"id":"r1","fields":{"Name":"Ada","Age":36}}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	names, err := sys.(connector.Discoverer).Objects(t.Context())
	if err != nil || fmt.Sprint(names) != "[People Places fixed]" {
		t.Errorf("there are %v, %v", names, err)
	}
	if got := types(t, sys, "People") + "; " + types(t, sys, "Places"); got != "id text ro must, Name text, Age integer; id text ro must, City text" {
		t.Errorf("the fields are %s", got)
	}
	if rows, _ := pages(t, sys, "People", nil, 10); len(rows) != 1 || record.Text(rows[0].Fields["Age"]) != "36" {
		t.Errorf("got %v", rows)
	}
	for _, name := range []record.Object{"table", "Secret"} {
		if _, err := sys.(connector.Discoverer).Describe(t.Context(), name); connector.Classify(err).Code != "http.no_such_object" || !strings.Contains(err.Error(), "People, Places, fixed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where nothing says which fields there are, records do.
func TestDescribeBySample(t *testing.T) {
	sys := small(t, `manifest: 1
type: loose
title: Loose
summary: Loose.
baseUrl: BASE
objects:
  things:
    key: [id]
    fields: [{name: id, required: true}]
    keyed: id
    describe: {sample: 3}
    list: {request: {path: /things, query: {after: "{token}", limit: "{limit}"}}, records: things, paging: {style: lastId, size: 2}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("after") {
		case "":
			_, _ = io.WriteString(w, `{"things":{"a":{"n":1,"when":"2026-01-01T00:00:00Z"},"b":{"n":1.5,"ok":true,"none":null}}}`)
		case "b":
			_, _ = io.WriteString(w, `{"things":{"c":{"n":2,"ok":"perhaps","tags":["x"]}}}`)
		}
	})
	if got := types(t, sys, "things"); got != "id text must, n number, ok json, tags array, when timestamp" {
		t.Errorf("the fields are %s", got)
	}
	if rows, _ := pages(t, sys, "things", nil, 10); fmt.Sprint(said(rows)) != "[+a +b +c]" {
		t.Errorf("got %v", rows)
	}
}

// Fields are asked for in parts when one request may not have all: in pages, by key and in searches.
func TestFieldsInPortions(t *testing.T) {
	longest, most, drift := 0, 0, 0
	names := []string{}
	fields := ""
	for i := range 40 {
		names = append(names, fmt.Sprintf("property_%02d", i))
		fields += fmt.Sprintf(", {name: %s}", names[i])
	}
	row := func(r *http.Request, id string, version int) string {
		out := []string{fmt.Sprintf(`"id":%q`, id), fmt.Sprintf(`"v":"%d"`, version)}
		for _, f := range strings.Split(r.URL.Query().Get("fields"), ",") {
			if strings.HasPrefix(f, "property") {
				out = append(out, fmt.Sprintf("%q:%q", f, f+id))
			}
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	sys := small(t, `manifest: 1
type: wide
title: Wide
summary: Wide.
baseUrl: BASE
objects:
  things:
    key: [id]
    version: v
    fields: [{name: id, required: true}, {name: v}`+fields+`]
    askFor: {fields: 12, url: 150}
    identity: [property_00]
    list: {request: {path: /things, query: {fields: "{fields|join}", after: "{token}"}}, records: rows, paging: {style: cursor, next: next}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}", query: {fields: "{fields|join}"}}, record: row}
    find: {one: true, request: {path: /search, query: {q: "{value}", fields: "{fields|join}"}}, records: rows}
`, func(w http.ResponseWriter, r *http.Request) {
		longest = max(longest, len("http://"+r.Host+r.URL.String()))
		most = max(most, len(strings.Split(r.URL.Query().Get("fields"), ",")))
		version := 1
		if drift > 0 { // somebody writes between the portions
			drift--
			version += drift
		}
		switch {
		case r.URL.Path == "/things" && r.URL.Query().Get("after") == "":
			fmt.Fprintf(w, `{"rows":[%s,%s],"next":"p2"}`, row(r, "a", version), row(r, "b", 1))
		case r.URL.Path == "/things":
			fmt.Fprintf(w, `{"rows":[%s]}`, row(r, "c", 1))
		case r.URL.Path == "/search":
			fmt.Fprintf(w, `{"rows":[%s]}`, row(r, "a", 1))
		default:
			fmt.Fprintf(w, `{"row":%s}`, row(r, strings.TrimPrefix(r.URL.Path, "/things/"), 1))
		}
	})
	whole := func(c record.Change) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return c.Fields[n] != n+string(c.Key) })
	}
	drift = 3
	rows, _ := pages(t, sys, "things", nil, 10)
	if len(rows) != 3 || !whole(rows[0]) || !whole(rows[1]) || !whole(rows[2]) {
		t.Errorf("got %v", rows)
	}
	if longest > 150 || most > 12 || most < 3 {
		t.Errorf("the longest address had %d characters, the most fields were %d", longest, most)
	}
	one, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "things", nil, []record.Key{"z"})
	if err != nil || !whole(one[0]) {
		t.Errorf("by key %v, %v", one, err)
	}
	found, err := sys.(connector.Finder).Find(t.Context(), "things", nil, []record.Fields{{"property_00": "property_00a"}})
	if err != nil || len(found[0]) != 1 || !whole(found[0][0]) {
		t.Errorf("found %v, %v", found, err)
	}
	drift = 1000
	if _, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Limit: 10}); connector.Classify(err).Code != "http.list_changed" {
		t.Errorf("what never holds still came as %v", err)
	}
}

// A setting that a person need not know is asked for once, and what people type around a value is taken off.
func TestLearnSettings(t *testing.T) {
	asked := 0
	paths := []string{}
	handler := func(r *http.Request) (int, string, http.Header) {
		paths = append(paths, r.URL.Host+r.URL.Path)
		if r.URL.Path == "/resources" {
			asked++
			return 200, `[{"id":"c-1","url":"https://other.example"},{"id":"c-2","url":"https://acme.example"}]`, nil
		}
		return 200, `{}`, nil
	}
	source := `manifest: 1
type: cloud
title: Cloud
summary: Cloud.
settings: [{name: token, secret: true}, {name: site, prefix: "https://", suffix: .example, pattern: "[a-z]+"}, {name: cloudId, title: Cloud id}]
baseUrl: "https://api.example/ex/{settings.cloudId}"
auth: [{kind: bearer, token: "{settings.token}"}]
learn: [{request: {path: "https://api.example/resources"}, list: ., where: {path: url, equals: "https://{settings.site}.example"}, settings: {cloudId: id}}]
check: {path: /me}
objects: {things: {key: [id], fields: [{name: id}], list: {request: {path: /things}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/things/{key}"}}}}
`
	o := dialled(t, source, transport.NewPool(), connector.Settings{"token": "sandbox_1", "site": "https://acme.example/"}, connector.Env{})
	for range 2 {
		sys, err := o.c.Open(t.Context(), o.settings, connector.Env{Sandbox: trips(handler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 || paths[len(paths)-1] != "api.example/ex/c-2/me" {
		t.Errorf("asked %d times, then %v", asked, paths)
	}
	o.settings["site"] = "nobody"
	if _, err := o.c.Open(t.Context(), o.settings, connector.Env{Sandbox: trips(handler)}); connector.Classify(err).Code != "http.setting_not_learnt" || !strings.Contains(err.Error(), "Cloud id") {
		t.Errorf("got %v", err)
	}
	o.settings["cloudId"] = "given"
	if _, err := o.c.Open(t.Context(), o.settings, connector.Env{Sandbox: trips(handler)}); err != nil {
		t.Error(err)
	}
}

func trips(handler func(r *http.Request) (int, string, http.Header)) http.RoundTripper {
	var turn sync.Mutex // calls come side by side, and handlers keep what they saw
	return manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		turn.Lock()
		status, body, header := handler(r)
		turn.Unlock()
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
}
