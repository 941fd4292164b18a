// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/tenant"
)

func TestRequestsThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	post := func(body string) call { return p.as("POST", "/v1/connections", body).once() }
	tests := []struct {
		name    string
		call    call
		status  int
		code    string
		pointer string // of the first error; or the parameter
	}{
		{"no such address", p.as("GET", "/v1/nothing", ""), 404, "request.address_unknown", ""},
		{"no such method", p.as("DELETE", "/v1/tenant", ""), 405, "request.method_not_allowed", ""},
		{"an unknown parameter", p.as("GET", "/v1/members?limt=3", ""), 400, "request.parameter_unknown", "limt"},
		{"a limit of nothing", p.as("GET", "/v1/members?limit=0", ""), 400, "request.parameter_invalid", "limit"},
		{"a limit too high", p.as("GET", "/v1/members?limit=101", ""), 400, "request.parameter_invalid", "limit"},
		{"a limit that is no number", p.as("GET", "/v1/members?limit=ten", ""), 400, "request.parameter_invalid", "limit"},
		{"a limit twice", p.as("GET", "/v1/members?limit=1&limit=2", ""), 400, "request.parameter_invalid", "limit"},
		{"a cursor made up", p.as("GET", "/v1/members?cursor=AAAA", ""), 400, "request.cursor_invalid", ""},
		{"a flag that is neither", p.as("GET", "/v1/services/x/records?filter[deleted]=perhaps", ""), 400, "request.parameter_invalid", "filter[deleted]"},
		{"a word that there is not", p.as("GET", "/v1/conflicts?filter[state]=maybe", ""), 400, "request.parameter_invalid", "filter[state]"},
		{"a revision that is no number", p.as("GET", "/v1/services/x/revisions/last", ""), 400, "request.parameter_invalid", "revision"},
		{"no body", p.as("POST", "/v1/connections", "").once(), 400, "request.body_missing", ""},
		{"half a body", post(`{"name":`), 400, "request.malformed", ""},
		{"two bodies", post(`{"name":"a","connector":"left-a"} {}`), 400, "request.malformed", ""},
		{"a field twice", post(`{"name":"a","name":"b","connector":"left-a"}`), 400, "request.malformed", ""},
		{"a deep body", post(`{"settings":` + strings.Repeat(`[`, 100_000)), 400, "request.malformed", ""},
		{"a missing field", post(`{"name":"a"}`), 422, "request.invalid", "/connector"},
		{"an unknown field", post(`{"name":"a","connector":"left-a","sttings":{}}`), 422, "request.invalid", "/sttings"},
		{"a field in other letters", post(`{"Name":"a","connector":"left-a"}`), 422, "request.invalid", "/Name"},
		{"a field of the server's", post(`{"name":"a","connector":"left-a","id":"con_1","state":"healthy"}`), 422, "request.invalid", "/id"},
		{"a value of the wrong type", post(`{"name":7,"connector":"left-a"}`), 422, "request.invalid", "/name"},
		{"a wrong value inside", post(`{"name":"a","connector":"left-a","settings":{"a/b~c":7}}`), 422, "request.invalid", "/settings/a~1b~0c"},
		{"too long a text", post(`{"name":"` + strings.Repeat("a", 101) + `","connector":"left-a"}`), 422, "request.invalid", "/name"},
		{"an empty text", post(`{"name":"","connector":"left-a"}`), 422, "request.invalid", "/name"},
		{"a text with U+0000", post(`{"name":"a","connector":"left-a","settings":{"token":"a\u0000b"}}`), 422, "request.invalid", "/settings/token"},
		{"a parameter with U+0000", p.as("GET", "/v1/services?search=%00", ""), 400, "request.parameter_invalid", "search"},
		{"a parameter that is no UTF-8", p.as("GET", "/v1/services/%ff", ""), 400, "request.parameter_invalid", "service"},
		{"nothing to change", p.as("PATCH", "/v1/tenant", `{}`, "If-Match", "*"), 422, "request.invalid", ""},
		{"another media type", p.as("POST", "/v1/connections", `name: a`, "Content-Type", "application/yaml").once(), 415, "request.media_type", ""},
		{"no media type", p.as("POST", "/v1/connections", `{}`, "Content-Type", "").once(), 415, "request.media_type", ""},
		{"too large a body", post(`{"name":"` + strings.Repeat("a", 1<<20) + `"}`), 413, "request.too_large", ""},
		{"too large a document", p.as("POST", "/v1/services:validate", strings.Repeat("a", 1<<20+1), "Content-Type", "application/yaml"), 413, "request.too_large", ""},
		{"an id of another kind", p.as("GET", "/v1/runs/"+p.members[auth.Owner].String(), ""), 404, "id.malformed", ""},
	}
	for _, test := range tests {
		a := w.refused(test.status, test.code, test.call)
		v := a.json(t)
		if v["type"] != "https://sync.example.com/docs/errors/"+test.code || v["title"] == "" || v["requestId"] != a.header.Get("X-Request-Id") || v["status"] != float64(test.status) {
			t.Errorf("%s: the problem is %s", test.name, a.body)
		}
		if test.pointer == "" {
			continue
		}
		errs, _ := v["errors"].([]any)
		if len(errs) == 0 {
			t.Errorf("%s: no place is named: %s", test.name, a.body)
			continue
		}
		e := errs[0].(map[string]any)
		if e["pointer"] != test.pointer && e["parameter"] != test.pointer {
			t.Errorf("%s: the place is %v, want %s", test.name, e, test.pointer)
		}
	}
	if a := w.do(p.as("DELETE", "/v1/tenant", "")); a.header.Get("Allow") != "GET, PATCH" {
		t.Errorf("allowed are %q", a.header.Get("Allow"))
	}
	if a := w.do(call{method: "GET", path: "/v1/tenant"}); a.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

// Every list can be walked item by item, and that shows what one page shows, in its order.
func TestEveryListIsWalked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	_, _, operator := w.newOperator()
	_, err := w.deps.Auth.GrantOperator(t.Context(), "owner@a.example.com", "test") // the installation's log has a second entry
	w.must(err)
	for _, o := range w.contract.Operations {
		if !takes(o, "cursor") {
			continue
		}
		key := p.key
		if o.Permission == string(auth.Operate) {
			key = operator
		}
		ask := func(q url.Values) map[string]any {
			return w.want(200, request(t, w.contract, o, p.ids).by(key, "").with(q)).json(t)
		}
		whole := ask(url.Values{"limit": {"100"}})
		if whole["hasMore"] != false || whole["nextCursor"] != nil {
			t.Errorf("%s: more than a page", o.ID)
		}
		var walked []any
		q := url.Values{"limit": {"1"}}
		for range 100 {
			part := ask(q)
			walked = append(walked, part["data"].([]any)...)
			next, more := part["nextCursor"].(string)
			if part["hasMore"] != more {
				t.Errorf("%s: hasMore is %v with the cursor %q", o.ID, part["hasMore"], next)
			}
			if !more {
				break
			}
			q.Set("cursor", next)
		}
		if !reflect.DeepEqual(without(walked), without(whole["data"].([]any))) || len(walked) < 2 {
			t.Errorf("%s: walked %d items, a page has %d", o.ID, len(walked), len(whole["data"].([]any)))
		}
		// With another filter the cursor is refused.
		q = url.Values{"limit": {"1"}}
		cursor, _ := ask(q)["nextCursor"].(string)
		for _, other := range o.Parameters {
			if other.In == "query" && queryNames[other.Name] != "" {
				w.refused(400, "request.cursor_invalid", request(t, w.contract, o, p.ids).by(p.key, "").with(url.Values{"cursor": {cursor}, other.Name: {firstOf(p.ids[queryNames[other.Name]], "x")}}))
				break
			}
		}
	}
}

func firstOf(texts ...string) string {
	return texts[slices.IndexFunc(texts, func(s string) bool { return s != "" })]
}

// without takes out what changes with each look.
func without(items []any) string {
	for _, item := range items {
		delete(item.(map[string]any), "computedAt")
		delete(item.(map[string]any), "lastUsedAt")
	}
	b, err := json.Marshal(items)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// hostile are values that no parameter or field is made for.
var hostile = []string{"", " ", "\x00", "'; DROP TABLE tenants; --", "../../etc/passwd", "%", "%25%00", "\u202e\uFEFF", strings.Repeat("A", 3000), "-1", "99999999999999999999", "1e400",
	"true", "null", "[]", "{}", "\"", "svc_", "svc_zzzzzzzzzzzzzzzzzzzzzzzzzz", "00000000-0000-0000-0000-000000000000", "${HOME}", "<script>", "*", "é\xff"}

// Whatever is put into path, query and body: no answer that is not documented, and none that says the fault is ours.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	// Reading goes by what there is, so that the values get as far as they can; writing must not wear it out.
	idsFor := func(o api.Operation) map[string]string {
		if o.Method == http.MethodGet {
			return maps.Clone(p.ids)
		}
		return nowhere()
	}
	fine := func(o api.Operation, what string, c call) {
		t.Helper()
		if a := w.do(c.by(p.key, "")); a.status >= 500 {
			t.Errorf("%s with %s: %d %s", o.ID, what, a.status, a.body)
		}
	}
	for _, o := range w.contract.Operations {
		if o.Public || o.Stream {
			continue
		}
		for i, value := range hostile {
			for _, param := range o.Parameters {
				what := fmt.Sprintf("%q as %s", value, param.Name)
				switch param.In {
				case "path":
					ids := idsFor(o)
					if ids[param.Name] = value; value == "" || value == "../../etc/passwd" {
						continue // another address
					}
					fine(o, what, request(t, w.contract, o, ids))
				case "query":
					fine(o, what, request(t, w.contract, o, idsFor(o)).with(url.Values{param.Name: {value}}))
				case "header":
					if strings.ContainsAny(value, "\x00\u202e") || !utf8.ValidString(value) {
						continue // no client can send it
					}
					c := request(t, w.contract, o, nowhere())
					c.header = append(c.header, param.Name, value)
					fine(o, what, c)
				}
			}
			for _, media := range o.Bodies {
				c := request(t, w.contract, o, nowhere())
				c.body, c.header = value, append(c.header, "Content-Type", media)
				fine(o, fmt.Sprintf("the body %q", value), c)
				var body map[string]any
				if json.Unmarshal(w.contract.Example(&o, media), &body) != nil {
					continue
				}
				for field := range body {
					changed := map[string]any{}
					for k, v := range body {
						changed[k] = v
					}
					forms := []any{value}
					if i == 0 { // once is enough for what does not depend on the text
						forms = append(forms, nil, []any{value}, map[string]any{"\x00": value}, -1, 1e300)
					}
					for _, v := range forms {
						changed[field] = v
						b, err := json.Marshal(changed)
						w.must(err)
						c.body = string(b)
						c.header = append(slices.Clone(c.header), "Idempotency-Key", newKey())
						fine(o, fmt.Sprintf("%v as %s", v, field), c)
					}
				}
			}
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	w.deps.RateLimit = api.RateLimit{Requests: 5, Window: time.Hour}
	w.serve()
	for left := 4; left >= 0; left-- {
		a := w.want(200, p.as("GET", "/v1/tenant", ""))
		if a.header.Get("RateLimit-Policy") != `"burst";q=5;w=3600` || !strings.HasPrefix(a.header.Get("RateLimit"), fmt.Sprintf(`"burst";r=%d;t=`, left)) {
			t.Errorf("with %d left: %s and %s", left, a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit"))
		}
	}
	a := w.refused(429, "request.rate_exceeded", p.as("GET", "/v1/tenant", ""))
	if a.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	w.want(200, call{method: "GET", path: "/v1/tenant", key: p.keys[auth.ScopeRead]}) // somebody else
	// Guessing keys is slowed down by address, and who has a good one is not shut out.
	guess := call{method: "GET", path: "/v1/tenant", key: "sl_live_guess", header: []string{"X-Test-Client", "198.51.100.9"}}
	var refused atomic.Bool
	for range 10 { // tries come back while the test goes on, but fewer than are made at once, however slow the machine is
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if w.do(guess).status == http.StatusTooManyRequests {
					refused.Store(true)
				}
			})
		}
		if all.Wait(); refused.Load() {
			break
		}
	}
	if !refused.Load() {
		t.Error("keys can be guessed at any speed")
	}
	guess.key = p.keys[auth.ScopeWrite]
	w.want(200, guess)
}

func TestTokensComeBack(t *testing.T) {
	now := time.Now()
	l := api.NewLimiterAt(func() time.Time { return now })
	limit := api.RateLimit{Requests: 10, Window: 10 * time.Second}
	for range 10 {
		if !l("ada", limit) {
			t.Fatal("refused too early")
		}
	}
	if l("ada", limit) || !l("bob", limit) {
		t.Error("one's limit is another's")
	}
	now = now.Add(1100 * time.Millisecond)
	if !l("ada", limit) || l("ada", limit) {
		t.Error("after a second there is one more")
	}
	now = now.Add(time.Hour)
	for range 10 {
		if !l("ada", limit) {
			t.Fatal("refused too early")
		}
	}
	if l("ada", limit) {
		t.Error("more were saved up than the bucket holds")
	}
}

// A panic is answered, logged, and takes nothing with it.
func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newParty("a")
	w.deps.Records = nil
	w.deps.InTx = func(context.Context, tenant.ID, func(api.Tx) error) error { panic("oh no: password=" + secret) }
	w.deps.Hub = live.NewHub(nil, "", w.deps.Log)
	handler := api.New(w.deps)
	req := httptest.NewRequest(http.MethodGet, "/v1/metrics", nil)
	req.Header.Set("Authorization", "Bearer "+p.key)
	out := httptest.NewRecorder()
	handler.ServeHTTP(out, req)
	if out.Code != http.StatusInternalServerError || !strings.Contains(out.Body.String(), `"code":"request.failed"`) || strings.Contains(out.Body.String(), "nil pointer") {
		t.Errorf("answered %d %s", out.Code, out.Body)
	}
	if log := w.log.String(); !strings.Contains(log, "nil pointer") || !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, "getMetrics") {
		t.Errorf("logged: %s", log)
	}
	w.want(200, p.as("GET", "/v1/tenant", ""))
}

// One event per request tells who did what with what outcome, and holds no key, cookie or body.
func TestTheLogOfARequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	a := w.want(201, p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a","settings":{"token":"`+secret+`"}}`).once())
	var found map[string]any
	n := 0
	for line := range strings.Lines(w.log.String()) {
		var v map[string]any
		if json.Unmarshal([]byte(line), &v) == nil && v["request"] == a.header.Get("X-Request-Id") {
			found, n = v, n+1
		}
	}
	if n != 1 || found["operation"] != "createConnection" || found["status"] != 201.0 || found["tenant"] != p.tenant.String() || found["actor"] == nil || found["ms"] == nil {
		t.Errorf("%d events, the last %v", n, found)
	}
	w.do(call{method: "GET", path: "/v1/tenant", session: p.sessions[auth.Owner]})
	w.do(call{method: "GET", path: "/v1/tenant?key=" + p.key, key: "sl_live_" + secret})
	for _, s := range []string{secret, p.key, p.sessions[auth.Owner]} {
		if strings.Contains(w.log.String(), s) {
			t.Errorf("%q is in the log", s)
		}
	}
}
