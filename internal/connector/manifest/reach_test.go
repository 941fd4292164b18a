// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// small serves handler over HTTP and opens the manifest, whose base is BASE.
func small(t *testing.T, source string, handler http.HandlerFunc) connector.System {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	m, err := manifest.Parse([]byte(strings.ReplaceAll(source, "BASE", server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := manifest.New(m, manifest.Hooks{}, transport.NewPool())
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), nil, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys
}

func pages(t *testing.T, sys connector.System, object record.Object, cursor record.Cursor, limit int) (changes []record.Change, next record.Cursor) {
	t.Helper()
	for range 100 {
		page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, page.Changes...)
		if cursor = page.Cursor; !page.More {
			return changes, cursor
		}
	}
	t.Fatal("it does not end")
	return nil, nil
}

func said(changes []record.Change) (out []string) {
	for _, c := range changes {
		op := "+"
		if c.Op == record.Delete {
			op = "-"
		}
		out = append(out, op+string(c.Key))
	}
	slices.Sort(out)
	return out
}

// A feed that only names records: they are read, many at once, and those that cannot be read are deleted.
func TestIdsThenHydrate(t *testing.T) {
	t.Parallel()
	var asked []string
	since := ""
	feed := `{"employees":{}}`
	sys := small(t, `manifest: 1
type: people
title: People
summary: People.
baseUrl: BASE
objects:
  employees:
    key: [id]
    fields: [{name: id}, {name: name}, {name: at, type: timestamp}]
    version: at
    list: {request: {path: /employees}, paging: {style: none}}
    changes:
      style: since
      time: rfc3339
      request: {path: /changed, query: {since: "{since}"}}
      records: employees
      paging: {style: none}
      ids: {key: id, at: lastChanged, deleted: {path: action, equals: Deleted}}
    deletes: {mode: never}
    get: {request: {path: "/employees/{key}"}}
    getMany: {size: 2, request: {path: /many, query: {ids: "{keys|join}"}}}
`, func(w http.ResponseWriter, r *http.Request) {
		row := func(id string) string { return `{"id":"` + id + `","name":"n` + id + `","at":"2026-11-01T00:00:00Z"}` }
		switch r.URL.Path {
		case "/employees":
			fmt.Fprintf(w, "[%s]", row("1"))
		case "/changed":
			since = r.URL.Query().Get("since")
			_, _ = io.WriteString(w, feed)
		case "/many":
			asked = append(asked, r.URL.Query().Get("ids"))
			var rows []string
			for _, id := range strings.Split(r.URL.Query().Get("ids"), ",") {
				if id != "9" {
					rows = append(rows, row(id))
				}
			}
			fmt.Fprintf(w, "[%s]", strings.Join(rows, ","))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	first, cursor := pages(t, sys, "employees", nil, 100)
	_, cursor = pages(t, sys, "employees", cursor, 100)
	feed = `{"employees":{"2":{"id":"2","action":"Updated","lastChanged":"2036-11-01T10:00:00+00:00"},"3":{"id":"3","action":"Inserted","lastChanged":"2036-11-01T11:00:00+00:00"},
"4":{"id":"4","action":"Deleted","lastChanged":"2036-11-01T12:00:00+00:00"},"9":{"id":"9","action":"Updated","lastChanged":"2036-11-01T09:00:00+00:00"}}}`
	changes, cursor := pages(t, sys, "employees", cursor, 100)
	if got := fmt.Sprint(said(first), said(changes), asked); got != "[+1] [+2 +3 -4 -9] [2,3 9]" {
		t.Errorf("got %s", got)
	}
	feed = `{"employees":[{"id":"4","action":"Deleted","lastChanged":"2036-11-01T12:00:00Z"}]}` // what is at the edge comes again
	if again, _ := pages(t, sys, "employees", cursor, 100); len(again) != 0 || since != "2036-11-01T12:00:00Z" {
		t.Errorf("again %v, since %s", again, since)
	}
}

// Tasks exist project by project, in pages of both; a project that goes meanwhile takes its tasks along.
func TestParentAndChild(t *testing.T) {
	t.Parallel()
	var tasks sync.Map // by project: how many
	for p, n := range map[string]int{"a": 0, "b": 3, "c": 5, "d": 1, "e": 2} {
		tasks.Store(p, n)
	}
	sys := small(t, `manifest: 1
type: work
title: Work
summary: Work.
baseUrl: BASE
objects:
  projects:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /projects, query: {limit: "{limit}", offset: "{offset}"}}, paging: {style: offset, size: 2}}
    deletes: {mode: never}
    get: {request: {path: "/projects/{key}"}}
  tasks:
    key: [project, id]
    fields: [{name: project, createOnly: true}, {name: id}, {name: title}]
    parent: {object: projects, field: project}
    list: {request: {path: "/projects/{parent}/tasks", query: {limit: "{limit}", page: "{page}"}}, paging: {style: page, firstPage: 1, size: 2}}
    changes: {style: full}
    deletes: {mode: diff}
    get: {request: {path: "/projects/{part.project}/tasks/{part.id}"}}
`, func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		number := func(name string) (n int) {
			_, _ = fmt.Sscan(r.URL.Query().Get(name), &n)
			return n
		}
		out := []map[string]any{}
		switch {
		case len(parts) == 1:
			for i, p := range []string{"a", "b", "c", "d", "e"} {
				if i >= number("offset") && len(out) < number("limit") {
					out = append(out, map[string]any{"id": p})
				}
			}
		case len(parts) == 4:
			_ = json.NewEncoder(w).Encode(map[string]any{"id": parts[3], "title": "t"})
			return
		default:
			n, there := tasks.Load(parts[1])
			if !there {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			for i := (number("page") - 1) * 2; i < n.(int) && len(out) < 2; i++ {
				out = append(out, map[string]any{"id": fmt.Sprint(i), "title": "t"})
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	changes, cursor := pages(t, sys, "tasks", nil, 10)
	if len(changes) != 11 {
		t.Fatalf("got %v", said(changes))
	}
	key := record.MakeKey("c", "4")
	if !slices.ContainsFunc(changes, func(c record.Change) bool { return c.Key == key && record.Text(c.Fields["project"]) == "c" }) {
		t.Errorf("the last task of c is missing: %v", said(changes))
	}
	tasks.Delete("d")
	tasks.Store("a", 1)
	changes, _ = pages(t, sys, "tasks", cursor, 10)
	if got := said(changes); len(got) != 2 || got[0] != "+"+string(record.MakeKey("a", "0")) || got[1] != "-"+string(record.MakeKey("d", "0")) {
		t.Errorf("then %v", got)
	}
	one, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "tasks", nil, []record.Key{key})
	if err != nil || len(one) != 1 || one[0].Op != record.Upsert || record.Text(one[0].Fields["project"]) != "c" {
		t.Errorf("by key %v, %v", one, err)
	}
}

// Answers in XML and CSV, bodies in XML, CSV and parts, and a token that writes must carry, with its cookie, which ends now and then.
func TestCodecsAndGuard(t *testing.T) {
	t.Parallel()
	var got []string
	token, fetched := 1, 0
	sys := small(t, `manifest: 1
type: odd
title: Odd
summary: Odd.
baseUrl: BASE
guarded: {request: {path: /token, headers: {X-CSRF-Token: Fetch}}, from: X-CSRF-Token, header: X-CSRF-Token}
objects:
  blobs:
    key: [name]
    fields: [{name: name, path: Name}, {name: size, path: Size, type: integer}, {name: kind, path: "@kind"}]
    list: {request: {path: /blobs, answer: xml, lists: [Blob], query: {marker: "{token}"}}, records: Result.Blobs.Blob, paging: {style: cursor, next: Result.NextMarker}}
    deletes: {mode: never}
    get: {request: {path: "/blobs/{key}", answer: xml}, record: Blob}
    update: {semantics: partial, request: {method: POST, path: "/blobs/{key}", encoding: xml, body: {Blob: {"@kind": x, $merge: "{fields}"}}}}
  rows:
    key: [id]
    fields: [{name: id}, {name: name}]
    list: {request: {path: /rows, answer: csv}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/rows/{key}"}}
    update: {semantics: partial, request: {method: POST, path: "/rows/{key}", encoding: csv, body: "{fields}"}}
    delete: {request: {method: POST, path: "/drop/{key}", encoding: multipart, body: {why: gone, file: {filename: a.txt, type: text/plain, content: "it was {key}"}}}}
`, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" && r.Header.Get("X-CSRF-Token") == "Fetch" {
			fetched++
			w.Header().Set("X-CSRF-Token", fmt.Sprint("t", token))
			http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint("s", token)})
			return
		}
		if r.Method == http.MethodPost {
			if r.Header.Get("X-CSRF-Token") != fmt.Sprint("t", token) || r.Header.Get("Cookie") != fmt.Sprint("session=s", token) {
				w.Header().Set("X-CSRF-Token", "Required")
				w.WriteHeader(http.StatusForbidden)
				return
			}
			typ, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err != nil {
				t.Error(err)
			}
			if typ == "multipart/form-data" {
				form, err := multipart.NewReader(r.Body, params["boundary"]).ReadForm(1 << 20)
				if err != nil {
					t.Error(err)
					return
				}
				f, err := form.File["file"][0].Open()
				if err != nil {
					t.Error(err)
					return
				}
				content, _ := io.ReadAll(f)
				got = append(got, fmt.Sprint(form.Value["why"], form.File["file"][0].Filename, string(content)))
			} else {
				b, _ := io.ReadAll(r.Body)
				got = append(got, typ+" "+string(b))
			}
			return
		}
		switch {
		case r.URL.Path == "/rows":
			_, _ = io.WriteString(w, "\xef\xbb\xbfid,name\n1,\"a, b\"\n2,\n")
		case r.URL.Path == "/blobs" && r.URL.Query().Get("marker") == "":
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Result xmlns="urn:x"><Blobs><Blob kind="a"><Name>one &amp; only</Name><Size>7</Size></Blob></Blobs><NextMarker>m</NextMarker></Result>`)
		case r.URL.Path == "/blobs":
			_, _ = io.WriteString(w, `<Result><Blobs/><NextMarker/></Result>`)
		case strings.HasPrefix(r.URL.Path, "/blobs/"):
			_, _ = io.WriteString(w, `<Blob kind="a"><Name>one &amp; only</Name><Size>7</Size></Blob>`)
		case strings.HasPrefix(r.URL.Path, "/rows/"):
			_, _ = io.WriteString(w, `{"id":"1","name":"a"}`)
		}
	})
	blobs, _ := pages(t, sys, "blobs", nil, 10)
	if len(blobs) != 1 || blobs[0].Key != "one & only" || record.Text(blobs[0].Fields["size"]) != "7" || blobs[0].Fields["kind"] != "a" {
		t.Errorf("got %+v", blobs)
	}
	rows, _ := pages(t, sys, "rows", nil, 10)
	if len(rows) != 2 || rows[0].Fields["name"] != "a, b" || rows[1].Fields["name"] != nil {
		t.Errorf("got %+v", rows)
	}
	write := func(object record.Object, w connector.Write) {
		t.Helper()
		w.ID = record.NewEntityID()
		receipts, err := sys.(connector.Writer).Write(t.Context(), object, []connector.Write{w})
		if err != nil || receipts[0].Outcome != connector.Applied {
			t.Errorf("%s: %+v, %v", object, receipts, err)
		}
	}
	write("blobs", connector.Write{Op: record.Upsert, Key: "one & only", Fields: record.Fields{"size": record.Int(8)}})
	token = 2 // the session ended over there
	write("rows", connector.Write{Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "x, \"y\""}})
	write("rows", connector.Write{Op: record.Delete, Key: "1"})
	want := []string{"application/xml <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Blob kind=\"x\"><Size>8</Size></Blob>", "text/csv name\n\"x, \"\"y\"\"\"\n", "[gone]a.txtit was 1"}
	if !slices.Equal(got, want) {
		t.Errorf("sent\n%q, want\n%q", got, want)
	}
	if fetched != 2 {
		t.Errorf("%d tokens were fetched", fetched)
	}
}
