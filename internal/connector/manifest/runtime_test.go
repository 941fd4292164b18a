// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// shop is a small API of somebody's own, in as many manners as APIs have.
type shop struct {
	mu      sync.Mutex
	rows    map[int]map[string]any
	style   string
	quirk   func(r *http.Request) (int, any)
	bought  atomic.Int64 // tokens
	good    string       // the token that is accepted; "": any
	headers []http.Header
	bodies  []string
}

func newShop(n int) *shop {
	s := &shop{rows: map[int]map[string]any{}}
	for i := 1; i <= n; i++ {
		s.rows[i] = map[string]any{"id": i, "name": fmt.Sprintf("widget %d", i), "colour": "red", "stock": 1}
	}
	return s
}

func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var raw []byte
	if r.Body != nil {
		raw, _ = io.ReadAll(r.Body)
	}
	s.headers, s.bodies = append(s.headers, r.Header), append(s.bodies, string(raw))
	h := http.Header{}
	answer := func(status int, body any) (*http.Response, error) {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, nil
	}
	if r.URL.Path == "/token" {
		s.good = fmt.Sprintf("token-%d", s.bought.Add(1))
		return answer(200, map[string]any{"access_token": s.good, "expires_in": 3600, "refresh_token": fmt.Sprintf("refresh-%d", s.bought.Load())})
	}
	if s.good != "" && r.Header.Get("Authorization") != "Bearer "+s.good {
		return answer(401, map[string]any{"message": "who are you?"})
	}
	if s.quirk != nil {
		if status, body := s.quirk(r); status != 0 {
			return answer(status, body)
		}
	}
	if id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/api/widgets/")); err == nil {
		row := s.rows[id]
		if row == nil {
			return answer(404, map[string]any{"message": "no such widget"})
		}
		switch r.Method {
		case http.MethodPut: // replaces
			next := map[string]any{}
			_ = json.Unmarshal(raw, &next)
			next["id"] = id
			s.rows[id], row = next, next
		case http.MethodDelete:
			delete(s.rows, id)
		}
		return answer(200, row)
	}
	if r.Method == http.MethodPost {
		next := map[string]any{}
		_ = json.Unmarshal(raw, &next)
		id := len(s.rows) + 1
		next["id"] = id
		s.rows[id] = next
		return answer(201, next)
	}
	var ids []int
	for id := range s.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	q := r.URL.Query()
	number := func(name string) int { n, _ := strconv.Atoi(q.Get(name)); return n }
	limit, from := number("limit"), number("from")
	switch s.style {
	case "page":
		from = (number("page") - 1) * limit
	case "offset":
		from = number("offset")
	case "lastId":
		for from < len(ids) && ids[from] <= number("after") {
			from++
		}
	}
	end := min(from+limit, len(ids))
	list := []any{}
	for _, id := range ids[min(from, len(ids)):end] {
		list = append(list, s.rows[id])
	}
	out := map[string]any{"widgets": list}
	if end < len(ids) {
		out["next"] = strconv.Itoa(end)
		out["url"] = fmt.Sprintf("https://widgets.example/api/widgets?limit=%d&from=%d", limit, end)
		out["path"] = fmt.Sprintf("/api/widgets?limit=%d&from=%d", limit, end)
		h.Set("Link", fmt.Sprintf(`<https://widgets.example/api/widgets?limit=%d&from=0>; rel="first", <https://widgets.example/api/widgets?limit=%d&from=%d>; rel="next"`, limit, limit, end))
	}
	return answer(200, out)
}

// shopManifest is what a customer would write for it.
func shopManifest(paging, query string) string {
	return `manifest: 1
type: widgets
title: Widgets
summary: The widget shop.
settings:
  - {name: token, secret: true}
  - {name: clientId}
  - {name: clientSecret, secret: true}
  - {name: refreshToken, secret: true}
  - {name: hookSecret, secret: true}
baseUrl: https://widgets.example/api
rootUrl: https://widgets.example
auth:
  - {kind: bearer, token: "{settings.token}"}
  - {kind: oauth2, tokenUrl: "https://widgets.example/token", clientId: "{settings.clientId}", clientSecret: "{settings.clientSecret}", refreshToken: "{settings.refreshToken}"}
errors:
  message: [message]
  rules:
    - {status: [200], when: {path: ok, equals: "false"}, class: refused}
objects:
  widgets:
    key: [id]
    fields:
      - {name: id, type: integer, readOnly: true, generated: true, required: true}
      - {name: name, maxLength: 20, required: true}
      - {name: colour}
      - {name: stock, type: integer}
    list:
      request: {path: /widgets, query: {` + query + `}}
      records: widgets
      paging: {` + paging + `, size: 5}
    changes: {style: full}
    deletes: {mode: diff}
    get: {request: {path: "/widgets/{key}"}}
    create: {request: {method: POST, path: /widgets, body: "{fields}"}, key: id, record: "."}
    update: {semantics: replace, request: {method: PUT, path: "/widgets/{key}", body: "{record}"}, record: "."}
    delete: {request: {method: DELETE, path: "/widgets/{key}"}}
webhook:
  handshake: {kind: echoQuery, name: challenge}
  verify:
    - {kind: hmac, header: Signature, secret: "{settings.hookSecret}", encoding: hex, field: v1, message: "{timestamp}.{body}", tolerance: 5m}
  type: type
  key: data.id
  id: id
  objects: {widget.: widgets}
`
}

func openShop(t *testing.T, source string, s http.RoundTripper, settings connector.Settings) (*manifest.Connector, connector.System) {
	t.Helper()
	m, err := manifest.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	c, err := manifest.New(m, manifest.Hooks{}, &transport.Pool{Now: clock.Now, Wait: clock.Wait})
	if err != nil {
		t.Fatal(err)
	}
	if settings == nil {
		settings = connector.Settings{"token": "sandbox_widgets"}
	}
	sys, err := c.Open(t.Context(), settings, connector.Env{Sandbox: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return c, sys
}

const byPage, pageQuery = "style: page, firstPage: 1", `limit: "{limit}", page: "{page}"`

// readAll reads until there is no more.
func readAll(t *testing.T, sys connector.System, cursor record.Cursor) (changes []record.Change, next record.Cursor) {
	t.Helper()
	for {
		page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "widgets", Cursor: cursor, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, page.Changes...)
		if cursor = page.Cursor; !page.More {
			return changes, cursor
		}
	}
}

// Every style of pages gives every record once, also where the last page is exactly full.
func TestPagingStyles(t *testing.T) {
	styles := map[string][2]string{
		"cursor":   {"style: cursor, next: next", `limit: "{limit}", from: "{token}"`},
		"nextUrl":  {"style: nextUrl, next: url", `limit: "{limit}"`},
		"nextPath": {"style: nextPath, next: path", `limit: "{limit}"`},
		"link":     {"style: link", `limit: "{limit}"`},
		"lastId":   {"style: lastId", `limit: "{limit}", after: "{token}"`},
		"offset":   {"style: offset", `limit: "{limit}", offset: "{offset}"`},
		"page":     {byPage, pageQuery},
	}
	for style, how := range styles {
		for _, n := range []int{0, 1, 4, 5, 6, 10, 23} {
			s := newShop(n)
			s.style = style
			_, sys := openShop(t, shopManifest(how[0], how[1]), s, nil)
			changes, _ := readAll(t, sys, nil)
			seen := map[record.Key]bool{}
			for _, c := range changes {
				seen[c.Key] = true
			}
			if len(changes) != n || len(seen) != n {
				t.Errorf("%s: of %d records %d came, %d different", style, n, len(changes), len(seen))
			}
		}
	}
}

// Where the system cannot say what changed, everything is read and compared: what is equal is not told again.
func TestFullComparison(t *testing.T) {
	s := newShop(12)
	_, sys := openShop(t, shopManifest(byPage, pageQuery), s, nil)
	s.style = "page"
	_, cursor := readAll(t, sys, nil)
	if changes, _ := readAll(t, sys, cursor); len(changes) != 0 {
		t.Errorf("nothing changed, and %v came", changes)
	}
	s.rows[3]["stock"] = 7
	delete(s.rows, 5)
	s.rows[99] = map[string]any{"id": 99, "name": "new"}
	changes, cursor := readAll(t, sys, cursor)
	got := map[record.Key]record.Op{}
	for _, c := range changes {
		got[c.Key] = c.Op
	}
	if len(changes) != 3 || got["3"] != record.Upsert || got["5"] != record.Delete || got["99"] != record.Upsert {
		t.Errorf("got %v", changes)
	}
	if changes, _ := readAll(t, sys, cursor); len(changes) != 0 {
		t.Errorf("again %v", changes)
	}
}

// A system that replaces the whole record is sent the whole record: what was not to change is not lost.
func TestReplaceMerges(t *testing.T) {
	s := newShop(2)
	_, sys := openShop(t, shopManifest(byPage, pageQuery), s, nil)
	got, err := sys.(connector.Writer).Write(t.Context(), "widgets", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"stock": record.Int(9)}}})
	if err != nil || got[0].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	if row := s.rows[1]; row["name"] != "widget 1" || row["colour"] != "red" || fmt.Sprint(row["stock"]) != "9" {
		t.Errorf("the record is %v", row)
	}
}

// An answer of status 200 that says no is a refusal.
func TestFailureInsideSuccess(t *testing.T) {
	s := newShop(1)
	_, sys := openShop(t, shopManifest(byPage, pageQuery), s, nil)
	s.quirk = func(r *http.Request) (int, any) {
		if r.Method == http.MethodPut {
			return 200, map[string]any{"ok": false, "message": "the widget is locked"}
		}
		return 0, nil
	}
	got, err := sys.(connector.Writer).Write(t.Context(), "widgets", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"stock": record.Int(9)}}})
	if err != nil || got[0].Outcome != connector.Refused || !strings.Contains(got[0].Err.Error(), "the widget is locked") {
		t.Errorf("%+v, %v", got, err)
	}
}

// Credentials do not follow a next page to another address.
func TestNextPageElsewhere(t *testing.T) {
	s := newShop(20)
	_, sys := openShop(t, shopManifest("style: nextUrl, next: url", `limit: "{limit}"`), s, nil)
	s.quirk = func(*http.Request) (int, any) {
		return 200, map[string]any{"widgets": []any{}, "url": "https://evil.example/api/widgets"}
	}
	r := sys.(connector.Reader)
	page, err := r.Read(t.Context(), connector.ReadRequest{Object: "widgets", Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	calls := len(s.headers)
	if _, err := r.Read(t.Context(), connector.ReadRequest{Object: "widgets", Limit: 5, Cursor: page.Cursor}); err == nil || len(s.headers) != calls {
		t.Errorf("it was followed: %v", err)
	}
}

// Fifty workers find out at once that the token has ended: one of them asks for a new one.
func TestOneRefresh(t *testing.T) {
	s := newShop(3)
	s.good = "nobody has this yet"
	settings := connector.Settings{"clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"}
	c, _ := openShop(t, shopManifest(byPage, pageQuery), s, settings)
	for round := range 3 {
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				sys, err := c.Open(t.Context(), settings, connector.Env{Sandbox: s})
				if err != nil {
					t.Error(err)
					return
				}
				defer sys.Close()
				if changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "widgets", nil, []record.Key{"1"}); err != nil || len(changes) != 1 {
					t.Errorf("%v, %v", changes, err)
				}
			})
		}
		wait.Wait()
		if n := s.bought.Load(); n != int64(round+1) {
			t.Fatalf("after %d ends %d tokens were bought", round+1, n)
		}
		s.mu.Lock()
		s.good = "the token was taken back" // all that were given out end
		s.mu.Unlock()
	}
	// The refresh token that came with a new access token is the one that is used next.
	last := ""
	for _, b := range s.bodies {
		if strings.Contains(b, "grant_type=refresh_token") {
			last = b
		}
	}
	if !strings.Contains(last, "refresh_token=refresh-2") {
		t.Errorf("the last refresh sent %s", last)
	}
}

// A message counts when one of its signatures is made with one of the secrets over the raw bytes, and not long ago.
func TestWebhookSignatures(t *testing.T) {
	c, _ := openShop(t, shopManifest(byPage, pageQuery), newShop(0), nil)
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	body := `{"id":"evt_1","type":"widget.changed","data":{"id": 7}}`
	sign := func(secret, stamp, body string) string {
		m := hmac.New(sha256.New, []byte(secret))
		_, _ = io.WriteString(m, stamp+"."+body)
		return hex.EncodeToString(m.Sum(nil))
	}
	at := strconv.FormatInt(now.Unix(), 10)
	old := strconv.FormatInt(now.Add(-6*time.Minute).Unix(), 10)
	settings := connector.Settings{"hookSecret": "new secret\nold secret"}
	tests := []struct {
		name, header, body string
		settings           connector.Settings
		ok                 bool
	}{
		{"as it should be", "t=" + at + ",v1=" + sign("new secret", at, body), body, settings, true},
		{"with the secret that goes", "t=" + at + ",v1=" + sign("old secret", at, body), body, settings, true},
		{"one of two signatures", "t=" + at + ",v1=" + sign("another", at, body) + ",v1=" + sign("new secret", at, body), body, settings, true},
		{"another secret", "t=" + at + ",v1=" + sign("another", at, body), body, settings, false},
		{"a changed body", "t=" + at + ",v1=" + sign("new secret", at, body), body + " ", settings, false},
		{"too old", "t=" + old + ",v1=" + sign("new secret", old, body), body, settings, false},
		{"another time", "t=" + at + ",v1=" + sign("new secret", old, body), body, settings, false},
		{"no time", "v1=" + sign("new secret", "", body), body, settings, false},
		{"no signature", "", body, settings, false},
		{"no secret here", "t=" + at + ",v1=" + sign("", at, body), body, connector.Settings{}, false},
		{"not hexadecimal", "t=" + at + ",v1=zz", body, settings, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, err := c.Inbound(t.Context(), test.settings, connector.Env{}, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{"Signature": {test.header}}, Body: []byte(test.body), Now: now})
			if test.ok != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if !test.ok {
				if !fault.IsCode(err, "webhook.unverified") {
					t.Errorf("got %v", err)
				}
				return
			}
			if len(v.Hints) != 1 || v.Hints[0].Object != "widgets" || v.Hints[0].Key != "7" || v.IDs[0] != "evt_1" || v.Status != 200 {
				t.Errorf("got %+v", v)
			}
		})
	}
	v, err := c.Inbound(t.Context(), settings, connector.Env{}, manifest.Inbound{Method: "GET", URL: "https://sync.example/hooks/1?challenge=abc", Now: now})
	if err != nil || v.Body != "abc" || !strings.HasPrefix(v.Header["Content-Type"], "text/plain") {
		t.Errorf("the handshake is answered with %+v, %v", v, err)
	}
}
