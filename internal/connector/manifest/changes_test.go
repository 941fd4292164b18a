// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// rows writes records of things.
func rows(of ...map[string]any) string {
	b, err := json.Marshal(of)
	if err != nil {
		panic(err)
	}
	if of == nil {
		return "[]"
	}
	return string(b)
}

// until reads on until there is no more, and says what came.
func until(t *testing.T, sys connector.System, object record.Object, cursor record.Cursor, limit int) ([]string, record.Cursor) {
	t.Helper()
	changes, next := pages(t, sys, object, cursor, limit)
	out := []string{}
	for _, c := range changes {
		op := "+"
		if c.Op == record.Delete {
			op = "-"
		}
		out = append(out, op+string(c.Key))
	}
	return out, next
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Partitions are named by the connection; each record knows whose it is.
func TestPartitions(t *testing.T) {
	var asked []string
	sys, _ := timed(t, strings.Replace(headed, "settings: [", "settings: [{name: markets, default: 'DE, FR'}, ", 1)+`limits: [{calls: 1000, per: 1s, by: "{parent}"}]
objects:
  offers:
    key: [market, sku]
    fields: [{name: market, createOnly: true}, {name: sku}, {name: at, type: timestamp}]
    version: at
    parent: {values: ["{settings.zone}", "DE, FR, DE"], field: market}
    list: {request: {path: "/{parent}/offers", query: {offset: "{offset}", limit: "{limit}"}}, paging: {style: offset, firstOffset: 1, size: 2, untilEmpty: true}}
    changes: {style: since, request: {path: "/{parent}/offers", query: {since: "{since}"}}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/{part.market}/offers/{part.sku}"}}
`, func(r *http.Request) (int, string, http.Header) {
		asked = append(asked, r.URL.RequestURI())
		if r.URL.Query().Get("since") == "" && r.URL.Query().Get("offset") != "1" && r.URL.Query().Get("offset") != "2" {
			return 200, "[]", nil
		}
		return 200, rows(map[string]any{"sku": "s" + r.URL.Query().Get("offset"), "at": "2026-11-23T08:00:00Z"}), nil
	})
	first, cursor := until(t, sys, "offers", nil, 10)
	slices.Sort(first)
	if len(first) != 9 || first[1] != "+"+string(record.MakeKey("DE", "s1")) { // two by the list and one by the first look at what changed, each

		t.Errorf("got %v", first)
	}
	if asked[0] != "/UTC/offers?limit=2&offset=1" || asked[1] != "/UTC/offers?limit=2&offset=2" || len(asked) != 12 {
		t.Errorf("asked %v", asked)
	}
	asked = nil
	if next, _ := until(t, sys, "offers", cursor, 10); len(next) != 3 || len(asked) != 3 {
		t.Errorf("then %v by %v", next, asked)
	}
}

// Bases have tables, and tables rows; when a row changes its table says so, and only that table is asked.
func TestParentsOfParents(t *testing.T) {
	var asked []string
	table := func(base, id, at string) map[string]any { return map[string]any{"base": base, "id": id, "at": at} }
	tables := map[string][]map[string]any{"b1": {table("b1", "t1", "2026-11-01T00:00:00Z"), table("b1", "t2", "2026-11-01T00:00:00Z")}, "b2": {table("b2", "t1", "2026-11-01T00:00:00Z")}}
	sys, clock := timed(t, headed+`objects:
  bases: {key: [id], fields: [{name: id}], list: {request: {path: /bases}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/bases/{key}"}}}
  tables:
    key: [base, id]
    version: at
    fields: [{name: base}, {name: id}, {name: at, type: timestamp}]
    parent: {object: bases, field: base}
    list: {request: {path: "/bases/{parent}/tables"}, paging: {style: none}}
    changes: {style: since, request: {path: "/bases/{parent}/tables", query: {since: "{since}"}}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/bases/{part.base}/tables/{part.id}"}}
  rows:
    key: [base, table, id]
    version: at
    fields: [{name: base}, {name: table}, {name: id}, {name: at, type: timestamp}]
    parent: {object: tables, fields: {base: base, table: id}, changed: true}
    list: {request: {path: "/bases/{part.base}/tables/{part.id}/rows"}, paging: {style: none}}
    changes: {style: since, request: {path: "/bases/{part.base}/tables/{part.id}/rows", query: {since: "{since}"}}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/bases/{part.base}/tables/{part.table}/rows/{part.id}"}}
`, func(r *http.Request) (int, string, http.Header) {
		asked = append(asked, r.URL.Path)
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		switch len(parts) {
		case 1:
			return 200, rows(map[string]any{"id": "b1"}, map[string]any{"id": "b2"}), nil
		case 3:
			var out []map[string]any
			for _, row := range tables[parts[1]] {
				if row["at"].(string) >= r.URL.Query().Get("since") {
					out = append(out, row)
				}
			}
			return 200, rows(out...), nil
		}
		return 200, rows(map[string]any{"id": "r1", "at": "2026-11-01T00:00:00Z"}), nil
	})
	first, cursor := until(t, sys, "rows", nil, 10)
	expect(t, "first", first, "+"+string(record.MakeKey("b1", "t1", "r1")), "+"+string(record.MakeKey("b1", "t2", "r1")), "+"+string(record.MakeKey("b2", "t1", "r1")))
	_ = clock.Wait(t.Context(), time.Hour)
	tables["b1"][1]["at"] = "2026-11-23T09:30:00Z"
	asked = nil
	_, _ = until(t, sys, "rows", cursor, 10)
	for _, path := range asked {
		if strings.HasSuffix(path, "/rows") && path != "/bases/b1/tables/t2/rows" {
			t.Errorf("%s was asked, though nothing changed there", path)
		}
	}
	if !slices.Contains(asked, "/bases/b1/tables/t2/rows") {
		t.Errorf("asked %v", asked)
	}
}

// What is newer than the lag is read, and read again until it is old enough; times are written by the clock of the user.
func TestLagAndForm(t *testing.T) {
	for _, style := range []string{"since", "keyset"} {
		var asked []string
		things := []map[string]any{{"id": "a", "at": "2026-11-23T08:00:00Z"}}
		sys, clock := timed(t, headed+`objects:
  things:
    key: [id]
    version: at
    fields: [{name: id}, {name: at, type: timestamp}]
    changes: {style: `+style+`, snapshot: true, lag: 2m, format: "yyyy/MM/dd HH:mm", zone: Europe/Berlin, request: {path: /things, query: {from: "{since}", to: "{until}"}}, paging: {style: none, size: 100}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
			asked = append(asked, r.URL.Query().Get("from")+" to "+r.URL.Query().Get("to"))
			l, err := time.LoadLocation("Europe/Berlin")
			if err != nil {
				t.Fatal(err)
			}
			from, err := time.ParseInLocation("2006/01/02 15:04", r.URL.Query().Get("from"), l)
			if err != nil {
				t.Error(err)
			}
			var out []map[string]any
			for _, row := range things {
				if row["at"].(string) >= record.Time(from.UTC()) {
					out = append(out, row)
				}
			}
			return 200, rows(out...), nil
		})
		first, cursor := until(t, sys, "things", nil, 100)
		expect(t, style+" first", first, "+a")
		things = append(things, map[string]any{"id": "b", "at": "2026-11-23T08:59:30Z"})
		now, cursor := until(t, sys, "things", cursor, 100)
		expect(t, style+" new", now, "+b")
		things = append(things, map[string]any{"id": "late", "at": "2026-11-23T08:59:00Z"}) // became visible late
		_ = clock.Wait(t.Context(), 10*time.Second)
		late, cursor := until(t, sys, "things", cursor, 100)
		expect(t, style+" late", late, "+late")
		_ = clock.Wait(t.Context(), time.Hour)
		none, _ := until(t, sys, "things", cursor, 100)
		expect(t, style+" nothing new", none)
		if last := asked[len(asked)-1]; last != "2026/11/23 09:58 to 2026/11/23 10:58" {
			t.Errorf("%s asked last for %s", style, last)
		}
	}
}

// When the clocks go back an hour, the hour that occurs twice is read from its first occurrence.
func TestClocksGoBack(t *testing.T) {
	from := ""
	sys, _ := timed(t, headed+`objects:
  things:
    key: [id]
    version: at
    fields: [{name: id}, {name: at, type: timestamp}]
    changes: {style: since, snapshot: true, format: "yyyy-MM-dd HH:mm", zone: Europe/Berlin, request: {path: /things, query: {from: "{since}"}}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		from = r.URL.Query().Get("from")
		return 200, rows(map[string]any{"id": "a", "at": "2026-10-25T01:30:00Z"}), nil // 02:30 for the second time
	})
	_, cursor := until(t, sys, "things", nil, 100)
	_, _ = until(t, sys, "things", cursor, 100)
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := time.ParseInLocation("2006-01-02 15:04", from, l); err != nil || got.After(time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)) || got.Before(time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("it asked from %s (%v)", from, got)
	}
}

// A list whose place the vendor forgot, or that changed meanwhile, is begun again, and nothing is missing.
func TestBegunAgain(t *testing.T) {
	for _, how := range []string{"too late", "told"} {
		things := []map[string]any{{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}}
		restarts, broken := 0, false
		var clock *sandbox.Clock
		var sys connector.System
		sys, clock = timed(t, headed+`errors: {rules: [{code: [mutated], class: restart}], code: [code]}
objects:
  things:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /things, query: {at: "{token}"}}, records: rows, paging: {style: cursor, next: next, lasts: 30s}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
			at, _ := strconv.Atoi(r.URL.Query().Get("at"))
			if at == 0 {
				restarts++
			}
			if at > 0 && broken && how == "told" {
				broken = false
				return 400, `{"code":"mutated"}`, nil
			}
			next := ""
			if at+2 < len(things) {
				next = strconv.Itoa(at + 2)
			}
			b, _ := json.Marshal(map[string]any{"rows": things[at:min(at+2, len(things))], "next": next})
			return 200, string(b), nil
		})
		reader := sys.(connector.Reader)
		page, err := reader.Read(t.Context(), connector.ReadRequest{Object: "things", Limit: 10})
		if err != nil || len(page.Changes) != 2 {
			t.Fatalf("%v, %v", page, err)
		}
		things, broken = slices.Insert(things, 0, map[string]any{"id": "new"}), true
		if how == "too late" {
			_ = clock.Wait(t.Context(), time.Minute)
		}
		rest, _ := until(t, sys, "things", page.Cursor, 10)
		slices.Sort(rest)
		if restarts < 2 || !slices.Contains(rest, "+new") || !slices.Contains(rest, "+d") || !slices.Contains(rest, "+c") {
			t.Errorf("%s: begun %d times, then %v", how, restarts, rest)
		}
	}
}

// A list that never holds still is left alone for a while.
func TestNeverHoldsStill(t *testing.T) {
	calls := 0
	sys, _ := timed(t, headed+`errors: {rules: [{status: [409], class: restart}]}
objects: {things: {key: [id], fields: [{name: id}], list: {request: {path: /things}, paging: {style: none}}, deletes: {mode: never}, get: {request: {path: "/things/{key}"}}}}
`, func(*http.Request) (int, string, http.Header) { calls++; return 409, `{}`, nil })
	_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Limit: 10})
	if e := connector.Classify(err); e.Code != "http.list_changed" || e.Class != connector.Retry || calls != 6 {
		t.Errorf("after %d calls %v", calls, err)
	}
}

// The pages of a feed count only together: what was read in vain and did not come again is looked at by key.
func TestAllPagesOrNothing(t *testing.T) {
	mutate := false
	first := []string{"t0"}
	sys, _ := timed(t, headed+`errors: {rules: [{code: [mutated], class: restart}], code: [code]}
objects:
  things:
    key: [id]
    fields: [{name: id}, {name: gone, type: boolean, hidden: true}]
    changes: {style: feed, snapshot: true, whole: true, request: {path: /sync}, next: {path: /sync, query: {cursor: "{token}"}}, records: rows, paging: {style: cursor, next: next, more: more}}
    deletes: {mode: tombstone, when: {path: gone, equals: "true"}}
    get: {request: {path: "/things/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		if r.URL.Path == "/things/phantom" {
			return 404, `{}`, nil
		}
		if strings.HasPrefix(r.URL.Path, "/things/") {
			return 200, `{"id":"moved"}`, nil
		}
		at := r.URL.Query().Get("cursor")
		first = append(first, at)
		switch {
		case at == "":
			return 200, `{"rows":[{"id":"a"}],"next":"c1","more":false}`, nil
		case at == "c1" && !mutate:
			return 200, `{"rows":[{"id":"b"},{"id":"phantom"},{"id":"moved"}],"next":"c1p2","more":true}`, nil
		case at == "c1p2":
			mutate = true
			return 400, `{"code":"mutated"}`, nil
		case at == "c1":
			return 200, `{"rows":[{"id":"b"},{"id":"c"}],"next":"c2p2","more":true}`, nil
		case at == "c2p2":
			return 200, `{"rows":[{"id":"d"}],"next":"c2","more":false}`, nil
		}
		return 200, `{"rows":[],"next":"` + at + `","more":false}`, nil
	})
	snapshot, cursor := until(t, sys, "things", nil, 10)
	expect(t, "snapshot", snapshot, "+a")
	then, cursor := until(t, sys, "things", cursor, 10)
	if !slices.Contains(then, "-phantom") || !slices.Contains(then, "+c") || !slices.Contains(then, "+d") || slices.Contains(then, "-moved") {
		t.Errorf("then %v", then)
	}
	if got := fmt.Sprint(first); got != "[t0  c1 c1p2 c1 c2p2 c2]" {
		t.Errorf("asked %s", got)
	}
	rest, _ := until(t, sys, "things", cursor, 10)
	expect(t, "nothing new", rest)
	if last := first[len(first)-1]; last != "c2" {
		t.Errorf("it goes on at %s", last)
	}
}

// A feed that goes on at an address, and says with its last page where the next look begins; too late is told.
func TestDeltaLinks(t *testing.T) {
	var asked []string
	sys, clock := timed(t, headed+`objects:
  files:
    key: [id]
    fields: [{name: id}]
    changes: {style: feed, snapshot: true, keeps: 24h, final: "@deltaLink", request: {path: /delta}, records: value, paging: {style: nextUrl, next: "@nextLink"}}
    deletes: {mode: tombstone, when: {path: deleted, exists: true}}
    get: {request: {path: "/files/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		asked = append(asked, r.URL.RequestURI())
		switch r.URL.RequestURI() {
		case "/delta":
			return 200, `{"value":[{"id":"a"}],"@nextLink":"https://shop.example/delta?skip=1"}`, nil
		case "/delta?skip=1":
			return 200, `{"value":[{"id":"b"}],"@deltaLink":"https://shop.example/delta?t=1"}`, nil
		case "/delta?t=1":
			return 200, `{"value":[{"id":"a","deleted":{}}],"@deltaLink":"https://shop.example/delta?t=2"}`, nil
		}
		return 200, `{"value":[],"@deltaLink":"https://shop.example/delta?t=2"}`, nil
	})
	first, cursor := until(t, sys, "files", nil, 10)
	expect(t, "first", first, "+a", "+b")
	then, cursor := until(t, sys, "files", cursor, 10)
	expect(t, "then", then, "-a")
	_ = clock.Wait(t.Context(), 23*time.Hour)
	none, cursor := until(t, sys, "files", cursor, 10)
	expect(t, "nothing new", none)
	_ = clock.Wait(t.Context(), 25*time.Hour)
	_, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "files", Cursor: cursor, Limit: 10})
	if connector.Classify(err).Class != connector.LostPlace {
		t.Errorf("too late gives %v", err)
	}
}

// A message is taken away when the cursor that has it comes back, not before; a reading that was cut off gets it again.
func TestDestructiveQueue(t *testing.T) {
	messages := []string{"m1", "m2", "m3"}
	body := map[string]string{"m1": `{"event":"hire","person":"a"}`, "m2": `{"event":"hire","person":"b"}`, "m3": `{"event":"terminate","person":"a"}`}
	sys, _ := timed(t, headed+`objects:
  people:
    key: [id]
    fields: [{name: id}, {name: name}]
    list: {request: {path: /people}, paging: {style: none}}
    changes:
      style: queue
      request: {path: /messages}
      records: .
      paging: {style: none}
      ids: {key: person, deleted: {path: event, equals: terminate}}
      ack: {from: "header:X-Message-Id", request: {method: DELETE, path: "/messages/{token}"}}
    deletes: {mode: never}
    get: {request: {path: "/people/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		switch {
		case r.URL.Path == "/people":
			return 200, `[]`, nil
		case strings.HasPrefix(r.URL.Path, "/people/"):
			return 200, `{"id":"` + strings.TrimPrefix(r.URL.Path, "/people/") + `","name":"x"}`, nil
		case r.Method == http.MethodDelete:
			id := strings.TrimPrefix(r.URL.Path, "/messages/")
			if !slices.Contains(messages, id) {
				return 404, `{}`, nil
			}
			messages = slices.DeleteFunc(messages, func(m string) bool { return m == id })
			return 200, ``, nil
		case len(messages) == 0:
			return 204, ``, nil
		}
		return 200, `[` + body[messages[0]] + `]`, http.Header{"X-Message-Id": {messages[0]}}
	})
	r := sys.(connector.Reader)
	_, cursor := pages(t, sys, "people", nil, 10)
	if len(messages) != 0 {
		t.Errorf("after all was read %v are left", messages)
	}
	messages = []string{"m1", "m2", "m3"}
	var got []string
	for range 2 { // the first page is lost with the process before its cursor is stored
		page, err := r.Read(t.Context(), connector.ReadRequest{Object: "people", Cursor: cursor, Limit: 10})
		if err != nil || len(messages) != 3 {
			t.Fatalf("%v, %v", messages, err)
		}
		got = append(got, said(page.Changes)...)
	}
	expect(t, "twice the same", got, "+a", "+a")
	page, err := r.Read(t.Context(), connector.ReadRequest{Object: "people", Cursor: cursor, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	rest, _ := until(t, sys, "people", page.Cursor, 10)
	expect(t, "the rest", rest, "+b", "-a")
	if len(messages) != 0 {
		t.Errorf("%v are left", messages)
	}
}

// Deletions that nobody tells of show by what the list has no more, beside changes by time; what a page missed is not deleted.
func TestDeletedByMissing(t *testing.T) {
	things := map[string]string{"a": "2026-11-23T08:00:00Z", "b": "2026-11-23T08:00:00Z", "c": "2026-11-23T08:00:00Z"}
	hide := ""
	sys, clock := timed(t, headed+`objects:
  things:
    key: [id]
    version: at
    fields: [{name: id}, {name: at, type: timestamp}]
    list: {request: {path: /things, query: {after: "{token}", limit: "{limit}"}}, paging: {style: lastId, size: 2}}
    changes: {style: since, request: {path: /changed, query: {since: "{since}"}}, paging: {style: none}}
    deletes: {mode: diff, every: 10m}
    get: {request: {path: "/things/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		var out []map[string]any
		ids := make([]string, 0)
		for id := range things {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			row := map[string]any{"id": id, "at": things[id]}
			switch {
			case r.URL.Path == "/things/"+id:
				b, _ := json.Marshal(row)
				return 200, string(b), nil
			case r.URL.Path == "/changed" && things[id] < r.URL.Query().Get("since"), r.URL.Path == "/things" && (id <= r.URL.Query().Get("after") || id == hide):
				continue
			}
			out = append(out, row)
		}
		if strings.HasPrefix(r.URL.Path, "/things/") {
			return 404, `{}`, nil
		}
		if n, _ := strconv.Atoi(r.URL.Query().Get("limit")); n > 0 {
			out = out[:min(n, len(out))]
		}
		return 200, rows(out...), nil
	})
	first, cursor := until(t, sys, "things", nil, 10)
	expect(t, "first", first, "+a", "+b", "+c")
	_, cursor = until(t, sys, "things", cursor, 10)
	things["d"] = "2026-11-23T09:00:00Z"
	delete(things, "b")
	now, cursor := until(t, sys, "things", cursor, 10)
	expect(t, "soon", now, "+d")
	_ = clock.Wait(t.Context(), 11*time.Minute)
	delete(things, "d")
	hide = "c" // the list moved under the page
	later, cursor := until(t, sys, "things", cursor, 10)
	expect(t, "later", later, "-b", "+c", "-d")
	hide = ""
	_ = clock.Wait(t.Context(), 11*time.Minute)
	last, _ := until(t, sys, "things", cursor, 10)
	expect(t, "last", last)
}

// An event log names records of many kinds, several in an event, and the newest first.
func TestEventLog(t *testing.T) {
	sys, _ := timed(t, headed+`objects:
  users:
    key: [id]
    version: at
    fields: [{name: id}, {name: at, type: timestamp}]
    list: {request: {path: /users}, paging: {style: none}}
    changes:
      style: since
      request: {path: /events, query: {since: "{since}"}}
      paging: {style: none}
      ids: {key: targets.*.id, at: at, only: {path: kind, in: [user.updated, user.deleted]}, deleted: {path: kind, equals: user.deleted}}
    deletes: {mode: never}
    get: {request: {path: "/users/{key}"}}
`, func(r *http.Request) (int, string, http.Header) {
		switch {
		case r.URL.Path == "/users":
			return 200, `[]`, nil
		case strings.HasPrefix(r.URL.Path, "/users/"):
			return 200, `{"id":"` + strings.TrimPrefix(r.URL.Path, "/users/") + `","at":"2026-11-23T08:30:00Z"}`, nil
		}
		return 200, `[{"kind":"user.deleted","at":"2026-11-23T08:59:59.5Z","targets":[{"id":"u1"}]},{"kind":"group.updated","at":"2026-11-23T08:59:59Z","targets":[{"id":"g1"}]},
{"kind":"user.updated","at":"2026-11-23T08:59:59Z","targets":[{"id":"u1"},{"id":"u2"}]}]`, nil
	})
	first, _ := until(t, sys, "users", nil, 10)
	slices.Sort(first)
	expect(t, "events", first, "+u2", "-u1")
}

// What is kept to compare with is bounded: up to 20,000 records are compared, and beyond that it is said before anything is taken for deleted.
func TestTooManyToCompare(t *testing.T) {
	for name, how := range map[string]string{
		"everything": "changes: {style: full}\n    deletes: {mode: diff}",
		"keys":       "version: at\n    changes: {style: since, request: {path: /changed, query: {since: \"{since}\"}}, paging: {style: none}}\n    deletes: {mode: diff, every: 10m}",
	} {
		count := 20_000
		sys, clock := timed(t, headed+`objects:
  things:
    key: [id]
    fields: [{name: id, type: integer}, {name: at, type: timestamp}]
    list: {request: {path: /things, query: {offset: "{offset}", limit: "{limit}"}}, paging: {style: offset, size: 5000}}
    get: {request: {path: "/things/{key}"}}
    `+how+"\n", func(r *http.Request) (int, string, http.Header) {
			if r.URL.Path == "/changed" {
				return 200, "[]", nil
			}
			from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
			out := []map[string]any{}
			for i := from; i < count && i < from+5000; i++ {
				out = append(out, map[string]any{"id": i, "at": "2026-11-23T08:00:00Z"})
			}
			return 200, rows(out...), nil
		})
		first, cursor := until(t, sys, "things", nil, 10_000)
		if len(first) != count {
			t.Fatalf("%s: read were %d", name, len(first))
		}
		_, cursor = until(t, sys, "things", cursor, 10_000)
		_ = clock.Wait(t.Context(), 11*time.Minute)
		none, cursor := until(t, sys, "things", cursor, 10_000)
		expect(t, name+", nothing new", none)
		count++
		_ = clock.Wait(t.Context(), 11*time.Minute)
		for range 10 {
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Cursor: cursor, Limit: 10_000})
			if err != nil {
				if e := connector.Classify(err); e.Code != "http.too_many_to_compare" || e.Class != connector.Reject {
					t.Errorf("%s: %v", name, err)
				}
				cursor = nil
				break
			}
			for _, c := range page.Changes {
				if c.Op == record.Delete {
					t.Errorf("%s: %s is deleted", name, c.Key)
				}
			}
			cursor = page.Cursor
		}
		if cursor != nil {
			t.Errorf("%s: more than 20,000 are compared", name)
		}
	}
}

// Each market has a feed of its own, and each project a list that goes on by time and key: every one has its place. One that comes later is
// read from its beginning, and the place of one that went is forgotten.
func TestPlacesOfParents(t *testing.T) {
	var asked []string
	feeds := map[string][]string{"DE": {"a", "b", "c"}, "FR": {"d"}}
	projects := []string{"1", "2"}
	type task struct{ id, at string }
	tasks := map[string][]task{"1": {{"x", "2026-11-23T08:00:00Z"}, {"y", "2026-11-23T08:00:00Z"}, {"z", "2026-11-23T08:00:01Z"}}, "2": {{"x", "2026-11-23T08:00:00Z"}}}
	sys, _ := timed(t, headed+`objects:
  offers:
    key: [market, sku]
    fields: [{name: market, createOnly: true}, {name: sku}]
    parent: {values: ["DE, FR"], field: market}
    changes: {style: feed, snapshot: true, request: {path: "/{parent}/feed"}, next: {path: "/{parent}/feed", query: {cursor: "{token}"}}, records: items, paging: {style: cursor, next: cursor, more: more}}
    deletes: {mode: tombstone, when: {path: gone, exists: true}}
    get: {request: {path: "/{part.market}/offers/{part.sku}"}}
  projects:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /projects}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/projects/{key}"}}
  tasks:
    key: [project, id]
    version: at
    fields: [{name: project, createOnly: true}, {name: id}, {name: at, type: timestamp}]
    parent: {object: projects, field: project}
    changes: {style: keyset, snapshot: true, time: rfc3339, firstKey: "0", request: {path: "/projects/{parent}/tasks", query: {since: "{since}", after: "{after}", limit: "{limit}"}}, paging: {style: none, size: 2}}
    deletes: {mode: never}
    get: {request: {path: "/projects/{part.project}/tasks/{part.id}"}}
`, func(r *http.Request) (int, string, http.Header) {
		asked = append(asked, r.URL.RequestURI())
		steps := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		switch {
		case steps[len(steps)-1] == "feed":
			all := feeds[steps[0]]
			from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
			to := min(from+2, len(all))
			var out []map[string]any
			for _, sku := range all[min(from, to):to] {
				row := map[string]any{"sku": strings.TrimPrefix(sku, "-")}
				if strings.HasPrefix(sku, "-") {
					row["gone"] = true
				}
				out = append(out, row)
			}
			return 200, fmt.Sprintf(`{"items": %s, "cursor": "%d", "more": %v}`, rows(out...), to, to < len(all)), nil
		case len(steps) == 1:
			var out []map[string]any
			for _, p := range projects {
				out = append(out, map[string]any{"id": p})
			}
			return 200, rows(out...), nil
		}
		list, there := tasks[steps[1]]
		if !there {
			return 404, `{}`, nil
		}
		var out []map[string]any
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		since, _ := time.Parse(time.RFC3339, q.Get("since"))
		for _, x := range list {
			at, _ := time.Parse(time.RFC3339, x.at)
			if (at.After(since) || at.Equal(since) && x.id > q.Get("after")) && len(out) < limit {
				out = append(out, map[string]any{"id": x.id, "at": x.at})
			}
		}
		return 200, rows(out...), nil
	})
	key := func(op, parent, id string) string { return op + string(record.MakeKey(parent, id)) }

	first, cursor := until(t, sys, "offers", nil, 10)
	expect(t, "offers", first, key("+", "DE", "a"), key("+", "DE", "b"), key("+", "DE", "c"), key("+", "FR", "d"))
	feeds["DE"], feeds["FR"] = append(feeds["DE"], "-a"), append(feeds["FR"], "e")
	asked = nil
	then, cursor := until(t, sys, "offers", cursor, 10)
	expect(t, "then", then, key("-", "DE", "a"), key("+", "FR", "e"))
	expect(t, "asked", asked, "/DE/feed?cursor=3", "/FR/feed?cursor=1")
	none, _ := until(t, sys, "offers", cursor, 10)
	expect(t, "nothing new", none)

	first, cursor = until(t, sys, "tasks", nil, 10)
	expect(t, "tasks", first, key("+", "1", "x"), key("+", "1", "y"), key("+", "1", "z"), key("+", "2", "x"))
	tasks["2"] = append(tasks["2"], task{"y", "2026-11-23T08:00:05Z"})
	tasks["3"] = []task{{"old", "2020-01-01T00:00:00Z"}}
	projects = []string{"2", "3"}
	then, cursor = until(t, sys, "tasks", cursor, 10)
	expect(t, "then", then, key("+", "2", "y"), key("+", "3", "old"))
	delete(tasks, "3") // while its project is still listed
	none, cursor = until(t, sys, "tasks", cursor, 10)
	expect(t, "nothing new", none)
	if strings.Contains(string(cursor), `"1":{`) || strings.Contains(string(cursor), `"3":{`) {
		t.Errorf("the places of those that went are kept: %s", cursor)
	}
}
