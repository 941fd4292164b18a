// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

func writeAll(t *testing.T, sys connector.System, object record.Object, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	for i := range writes {
		writes[i].ID = record.NewEntityID()
		if writes[i].Op == "" {
			writes[i].Op = record.Upsert
		}
	}
	got, err := sys.(connector.Writer).Write(t.Context(), object, writes)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func make1(name string) connector.Write {
	return connector.Write{Create: true, Fields: record.Fields{"name": name}}
}

const thing = `objects:
  things:
    key: [id]
    fields: [{name: id, readOnly: true}, {name: name}, {name: state}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`

// A vendor that answers a creation with nothing but an address, or with nothing at all.
func TestKeyOfACreation(t *testing.T) {
	tests := []struct {
		name, says, header, body, want string
	}{
		{"the last part of an address", `key: "header:Location"`, "https://shop.example/things/a%2Fb?x=1", "", "a/b"},
		{"by a pattern", `key: "header:Location", keyMatch: "things\\(([0-9]+)\\)$"`, "https://shop.example/odata/things(42)", "", "42"},
		{"a pattern on a place in the body", `key: link, keyMatch: "/([0-9]+)$"`, "", `{"link": "/things/7"}`, "7"},
		{"the record", `record: "."`, "", `{"id": "8", "name": "x"}`, "8"},
		{"looked for", ``, "", "", "found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			made := false
			says := test.says
			if says != "" {
				says = ", " + says
			}
			sys, _ := timed(t, headed+thing+`    identity: [name]
    find: {one: true, fields: [name], request: {path: /search, query: {name: "{value}"}}}
    create: {request: {method: POST, path: /things, body: "{fields}"}`+says+`}
`, func(r *http.Request) (int, string, http.Header) {
				switch {
				case r.Method == http.MethodPost:
					made = true
					h := http.Header{}
					if test.header != "" {
						h.Set("Location", test.header)
					}
					return 201, test.body, h
				case made:
					return 200, `[{"id": "found", "name": "x"}]`, nil
				}
				return 200, `[]`, nil
			})
			got := writeAll(t, sys, "things", make1("x"))
			if got[0].Outcome != connector.Applied || string(got[0].Key) != test.want {
				t.Errorf("got %+v", got[0])
			}
		})
	}
}

// What can be deleted only when it is switched off is switched off first, unless it is already.
func TestStepsBeforeADelete(t *testing.T) {
	state := map[string]string{"on": "ACTIVE", "off": "DEPROVISIONED"}
	var calls []string
	sys, _ := timed(t, headed+thing+`    delete:
      means: hard
      before: [{request: {method: POST, path: "/things/{key}/deactivate"}, unless: {path: state, equals: DEPROVISIONED}}]
      request: {method: DELETE, path: "/things/{key}"}
`, func(r *http.Request) (int, string, http.Header) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		id := parts[1]
		if r.Method != http.MethodGet {
			calls = append(calls, r.Method+" "+r.URL.Path)
		}
		switch {
		case state[id] == "":
			return 404, `{}`, nil
		case len(parts) == 3:
			state[id] = "DEPROVISIONED"
		case r.Method == http.MethodDelete && state[id] != "DEPROVISIONED":
			return 403, `{}`, nil
		case r.Method == http.MethodDelete:
			delete(state, id)
		default:
			return 200, fmt.Sprintf(`{"id": %q, "state": %q}`, id, state[id]), nil
		}
		return 204, "", nil
	})
	got := writeAll(t, sys, "things", connector.Write{Op: record.Delete, Key: "on"}, connector.Write{Op: record.Delete, Key: "off"}, connector.Write{Op: record.Delete, Key: "none"})
	slices.Sort(calls)
	if got[0].Outcome != connector.Applied || got[1].Outcome != connector.Applied || got[2].Outcome != connector.Already || fmt.Sprint(calls) != "[DELETE /things/off DELETE /things/on POST /things/on/deactivate]" {
		t.Errorf("%+v by %v", got, calls)
	}
}

// A vendor's upsert takes the place of making a record where the record has what it is known by; what is there is compared first.
func TestVendorUpsert(t *testing.T) {
	held := map[string]string{"taken": `{"id": "9", "name": "other", "ext": "taken"}`}
	var calls []string
	sys, _ := timed(t, headed+`objects:
  things:
    key: [id]
    fields: [{name: id, readOnly: true}, {name: name}, {name: ext}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
    find: {one: true, fields: [ext], request: {path: /search, query: {ext: "{value}"}}}
    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id}
    upsert: {by: [ext], request: {method: PATCH, path: "/things/ext/{by.ext}", body: "{rest}"}, key: id}
`, func(r *http.Request) (int, string, http.Header) {
		switch {
		case r.URL.Path == "/search":
			return 200, "[" + held[r.URL.Query().Get("ext")] + "]", nil
		case r.Method != http.MethodGet:
			calls = append(calls, r.Method+" "+r.URL.Path+" "+read(r))
			return 200, `{"id": "1"}`, nil
		}
		return 404, `{}`, nil
	})
	got := writeAll(t, sys, "things", connector.Write{Create: true, Fields: record.Fields{"name": "a", "ext": "x/1"}}, make1("b"), connector.Write{Create: true, Fields: record.Fields{"name": "c", "ext": "taken"}})
	slices.Sort(calls)
	want := []string{`PATCH /things/ext/x/1 {"name":"a"}`, `POST /things {"name":"b"}`}
	if got[0].Outcome != connector.Applied || got[0].Key != "1" || got[1].Outcome != connector.Applied || got[2].Outcome != connector.Moved || got[2].Key != "9" || !slices.Equal(calls, want) {
		t.Errorf("%+v by %q", got, calls)
	}
}

// The lock is read where the vendor has it, apart from the time of the last change, and sent where it wants it.
func TestLocks(t *testing.T) {
	for _, how := range []struct{ lock, body, sent string }{
		{`lock: {from: "header:ETag", header: If-Match, value: "{lock}"}`, `"{fields}"`, `"e7" {"name":"new"}`},
		{`lock: {from: token}`, `{token: "{lock}", sparse: true, $merge: "{fields}"}`, ` {"name":"new","sparse":true,"token":"3"}`},
	} {
		sent, status := "", 200
		sys, _ := timed(t, headed+thing+`    getMany: {size: 10, request: {path: /many}}
    update: {request: {method: POST, path: "/things/{key}", body: `+how.body+`}, `+how.lock+`}
`, func(r *http.Request) (int, string, http.Header) {
			if r.Method == http.MethodPost {
				sent = r.Header.Get("If-Match") + " " + read(r)
				return status, `{}`, nil
			}
			row := `{"id": "1", "name": "old", "token": 3}`
			if r.URL.Path == "/many" {
				return 200, `[` + row + `]`, nil
			}
			return 200, row, http.Header{"Etag": {`"e7"`}}
		})
		got := writeAll(t, sys, "things", connector.Write{Key: "1", Fields: record.Fields{"name": "new"}})
		if got[0].Outcome != connector.Applied || sent != how.sent {
			t.Errorf("%s sent %s: %+v", how.lock, sent, got[0])
		}
		status = 412
		if got := writeAll(t, sys, "things", connector.Write{Key: "1", Fields: record.Fields{"name": "new"}}); got[0].Outcome != connector.Moved {
			t.Errorf("%s: a lost lock gave %+v", how.lock, got[0])
		}
	}
}

// A state is changed by the vendor's verb for it: before a change of the rest, after a creation; another state is refused.
func TestVerbs(t *testing.T) {
	var calls []string
	sys, _ := timed(t, headed+thing+`    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id, also: [&verb {field: state, values: {Done: "31", Open: "11"}, request: {method: POST, path: "/things/{key}/transitions", body: {id: "{value}"}}}]}
    update: {request: {method: PATCH, path: "/things/{key}", body: "{fields}"}, also: [*verb]}
`, func(r *http.Request) (int, string, http.Header) {
		if r.Method != http.MethodGet {
			calls = append(calls, r.Method+" "+r.URL.Path+" "+read(r))
			return 200, `{"id": "5"}`, nil
		}
		return 200, `{"id": "1", "name": "x", "state": "Open"}`, nil
	})
	got := writeAll(t, sys, "things", connector.Write{Key: "1", Fields: record.Fields{"name": "y", "state": "Done"}})
	got = append(got, writeAll(t, sys, "things", connector.Write{Create: true, Fields: record.Fields{"name": "z", "state": "Done"}})...)
	got = append(got, writeAll(t, sys, "things", connector.Write{Key: "1", Fields: record.Fields{"state": "Lost"}})...)
	want := []string{`POST /things/1/transitions {"id":"31"}`, `PATCH /things/1 {"name":"y"}`, `POST /things {"name":"z"}`, `POST /things/5/transitions {"id":"31"}`}
	if !slices.Equal(calls, want) || got[0].Outcome != connector.Applied || got[1].Outcome != connector.Applied || got[1].Key != "5" {
		t.Errorf("%+v by %q", got, calls)
	}
	if got[2].Outcome != connector.Refused || !strings.Contains(got[2].Err.Error(), "it can become Done, Open") {
		t.Errorf("an unknown state is %+v", got[2])
	}
}

// A batch that trouble stops in the middle hands back what was done; the rest is owed, and not done twice.
func TestPartialReceipts(t *testing.T) {
	for _, trouble := range []int{429, 500, 0} {
		for _, batched := range []bool{false, true} {
			held := map[string]string{}
			posts, stopped := 0, false
			batch := ""
			if batched {
				batch = `, batch: {size: 2, request: {method: POST, path: /batch, body: [{$each: items, $merge: "{fields}"}]}, key: id}`
			}
			sys, _ := timed(t, headed+`errors: {rules: [{status: [429], class: slow_down, after: 1m}]}
`+thing+`    identity: [name]
    find: {one: true, fields: [name], request: {path: /search, query: {name: "{value}"}}}
    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id`+batch+`}
`, func(r *http.Request) (int, string, http.Header) {
				if r.URL.Path == "/search" {
					name := r.URL.Query().Get("name")
					if id, there := held[name]; there {
						return 200, fmt.Sprintf(`[{"id": %q, "name": %q}]`, id, name), nil
					}
					return 200, `[]`, nil
				}
				if stopped {
					return 429, `{}`, nil
				}
				var many []map[string]string
				text := read(r)
				if !strings.HasPrefix(text, "[") {
					text = "[" + text + "]"
				}
				if err := json.Unmarshal([]byte(text), &many); err != nil {
					t.Error(err)
				}
				posts++
				var out []string
				late := posts == 2
				if late {
					stopped = true
				}
				for _, one := range many {
					if late && trouble == 429 {
						continue // it refuses before it does anything
					}
					held[one["name"]] = "id-" + one["name"]
					out = append(out, fmt.Sprintf(`{"id": "id-%s"}`, one["name"]))
				}
				if late {
					return trouble, `{}`, nil // it did it, and the answer is lost
				}
				if !batched {
					return 200, out[0], nil
				}
				return 200, "[" + strings.Join(out, ",") + "]", nil
			})
			names := []string{"a", "b", "c", "d", "e", "f"}
			writes := make([]connector.Write, len(names))
			for i, n := range names {
				writes[i] = make1(n)
			}
			got := writeAll(t, sys, "things", writes...)
			applied, unsent := 0, 0
			for i, r := range got {
				switch r.Outcome {
				case connector.Applied:
					applied++
					if held[names[i]] == "" || string(r.Key) != held[names[i]] {
						t.Errorf("%d %v: %s is said to be made: %+v", trouble, batched, names[i], r)
					}
				case connector.Unsent:
					unsent++
					if held[names[i]] != "" || r.Err == nil {
						t.Errorf("%d %v: %s is said to be owed: %+v", trouble, batched, names[i], r)
					}
				default:
					t.Errorf("%d %v: %s is %+v", trouble, batched, names[i], r)
				}
			}
			if applied != len(held) || applied == 0 || unsent == 0 {
				t.Errorf("%d %v: %d applied of %d made, %d unsent", trouble, batched, applied, len(held), unsent)
			}
			stopped = false
			again := writeAll(t, sys, "things", writes...)
			for i, r := range again {
				if want := got[i].Outcome == connector.Applied; want != (r.Outcome == connector.Already) {
					t.Errorf("%d %v: %s again is %+v", trouble, batched, names[i], r)
				}
			}
			if len(held) != 6 {
				t.Errorf("%d records were made", len(held))
			}
		}
	}
}

// When nothing is known of any write the trouble is the outcome of the whole, as ever.
func TestNothingKnown(t *testing.T) {
	sys, _ := timed(t, headed+thing+`    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id}
`, func(*http.Request) (int, string, http.Header) { return 500, `{}`, nil })
	got, err := sys.(connector.Writer).Write(t.Context(), "things", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"name": "x"}}})
	if got != nil || connector.Classify(err).Class != connector.Retry {
		t.Errorf("got %+v, %v", got, err)
	}
}

// One record that is made by a job: the answer is an address to ask at, and the last answer has the record. Code beside the manifest
// makes the body and reads the answer where data cannot.
func TestJobOfOne(t *testing.T) {
	polls, sent, outcome := 0, "", "done"
	m, err := manifest.Parse([]byte(headed + thing + `    create:
      request: {method: POST, path: /things, body: {event: "{fields}"}, bodyHook: seal}
      key: thing.id
      job: {id: "header:Location", poll: {path: "{job|raw}", answerHook: open}, state: state, done: [done], failed: [failed]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.New(m, manifest.Hooks{}, transport.NewPool()); err == nil || !strings.Contains(err.Error(), "/objects/things/create") {
		t.Errorf("without the hooks: %v", err)
	}
	hooks := manifest.Hooks{
		Bodies:  map[string]func(any) (any, error){"seal": func(body any) (any, error) { return map[string]any{"sealed": body}, nil }},
		Answers: map[string]func(any) (any, error){"open": func(a any) (any, error) { return a.(map[string]any)["sealed"], nil }},
	}
	pool := transport.NewPool()
	pool.Wait = func(context.Context, time.Duration) error { return nil }
	c, err := manifest.New(m, hooks, pool)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), connector.Settings{"token": "sandbox_1"}, connector.Env{Sandbox: trips(func(r *http.Request) (int, string, http.Header) {
		switch {
		case r.Method == http.MethodPost:
			sent = read(r)
			return 202, ``, http.Header{"Location": {"https://shop.example/tasks/1"}}
		case r.URL.Path == "/tasks/1":
			if polls++; polls%2 == 1 {
				return 200, `{"sealed": {"state": "running"}}`, nil
			}
			return 200, `{"sealed": {"state": "` + outcome + `", "thing": {"id": "12"}}}`, nil
		}
		return 404, `{}`, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	got := writeAll(t, sys, "things", make1("x"))
	if got[0].Outcome != connector.Applied || got[0].Key != "12" || sent != `{"sealed":{"event":{"name":"x"}}}` || polls != 2 {
		t.Errorf("%+v, sent %s, asked %d times", got[0], sent, polls)
	}
	outcome = "failed"
	if got := writeAll(t, sys, "things", make1("y")); got[0].Outcome != connector.Refused {
		t.Errorf("a job that failed is %+v", got[0])
	}
	if _, err := manifest.NewOwn([]byte(strings.Replace(headed+thing, `{path: "/things/{key}"}`, `{path: "/things/{key}", answerHook: open}`, 1)), "t", transport.NewPool()); fault.As(err) == nil || fault.As(err).Fields[0].Code != "manifest.not_yours" {
		t.Errorf("code beside a tenant's manifest: %v", err)
	}
}

// What makes a repeated write harmless is the same when a write is tried again, whatever batch it is in, in a header, the address and the body; it is
// another for another record, and for the next change of one, also when that brings back what was there before.
func TestOnceForARepeatedWrite(t *testing.T) {
	var seen [][]string
	name := "a"
	sys, _ := timed(t, headed+thing+`    create: {request: {method: POST, path: /things, query: {requestid: "{once}"}, body: {directive: "{once}", data: "{fields}"}}, idempotencyHeader: Idempotency-Key, key: id}
    update: {request: {method: PATCH, path: "/things/{key}", query: {requestid: "{once}"}, body: {directive: "{once}", data: "{fields}"}}, idempotencyHeader: Idempotency-Key}
`, func(r *http.Request) (int, string, http.Header) {
		switch r.Method {
		case http.MethodPost, http.MethodPatch:
			var in struct {
				Directive string
				Data      map[string]string
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			seen = append(seen, []string{r.Header.Get("Idempotency-Key"), r.URL.Query().Get("requestid"), in.Directive})
			if r.Method == http.MethodPatch {
				name = in.Data["name"]
			}
			return 200, `{"id": "9"}`, nil
		case http.MethodGet:
			if r.URL.Path == "/things" {
				return 200, `[]`, nil
			}
			return 200, `{"id": "9", "name": "` + name + `"}`, nil
		}
		return 404, `{}`, nil
	})
	write := func(writes ...connector.Write) {
		t.Helper()
		got, err := sys.(connector.Writer).Write(t.Context(), "things", writes)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if r.Outcome != connector.Applied {
				t.Errorf("%s: %v", r.Outcome, r.Err)
			}
		}
	}
	one, two := record.NewEntityID(), record.NewEntityID()
	create := func(id record.EntityID) connector.Write {
		return connector.Write{ID: id, Op: record.Upsert, Create: true, Fields: record.Fields{"name": "x"}}
	}
	to := func(name string) connector.Write {
		return connector.Write{ID: one, Op: record.Upsert, Key: "9", Fields: record.Fields{"name": name}}
	}
	write(create(one)) // 0
	write(create(two)) // 1
	write(create(one)) // 2: tried again
	write(to("b"))     // 3
	write(to("a"))     // 4
	write(to("c"))     // 5
	write(to("a"))     // 6: the same fields as 4, after another state
	name = "b"         // 4 was not carried out
	write(to("a"))     // 7: 4, tried again
	if len(seen) != 8 {
		t.Fatalf("sent were %v", seen)
	}
	all := map[string]int{}
	for i, s := range seen {
		if s[0] == "" || s[0] != s[1] || s[0] != s[2] {
			t.Errorf("write %d has %v", i, s)
		}
		all[s[0]]++
	}
	if seen[0][0] != seen[2][0] || seen[4][0] != seen[7][0] || len(all) != 6 {
		t.Errorf("they are %v", seen)
	}
}
