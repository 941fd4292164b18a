// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/webtest"
)

// client is a browser without a page.
func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (h *house) signedIn(email string) *http.Client {
	h.Helper()
	c := client(h.T)
	r, err := c.PostForm(h.url+"/sign-in", url.Values{"email": {email}, "password": {password}})
	h.must(err)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusSeeOther {
		h.Fatalf("signing in: %s", r.Status)
	}
	return c
}

func (h *house) do(c *http.Client, method, path string, header ...string) (*http.Response, string) {
	h.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, nil)
	h.must(err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := c.Do(req)
	h.must(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	h.must(err)
	return r, string(body)
}

// public are the pages that everybody may see.
var public = regexp.MustCompile(`^/(sign-in|sign-up|sign-out|pricing|docs.*|invitations/.*|static/.*|live)$`)

// TestEveryPageAsksWho walks the table of routes, so that a page added later is under test at once.
func TestEveryPageAsksWho(t *testing.T) {
	h := newHouse(t)
	c := client(t)
	routes, ok := web.New(h.deps).(chi.Routes)
	if !ok {
		t.Fatal("the handler does not tell its routes")
	}
	parameter := regexp.MustCompile(`\{[^}]+\}`)
	seen := 0
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		path := parameter.ReplaceAllString(route, "some")
		if public.MatchString(path) || strings.Contains(path, "*") {
			return nil
		}
		seen++
		r, body := h.do(c, method, path)
		if r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/sign-in") {
			t.Errorf("%s %s answers a stranger with %s: %.200s", method, path, r.Status, body)
		}
		return nil
	})
	h.must(err)
	if seen < 20 {
		t.Errorf("only %d routes were tried", seen)
	}
	if r, _ := h.do(c, "GET", "/live"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the stream answers a stranger with %s", r.Status)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	h := newHouse(t)
	c := h.signedIn(ownerEmail)
	for _, path := range []string{"/", "/services", "/nowhere", "/docs", "/sign-up", "/services/gone/edit"} {
		r, _ := h.do(c, "GET", path)
		for name, want := range map[string]string{
			"Content-Security-Policy": web.Policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "private, no-store", "Referrer-Policy": "same-origin",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if !strings.HasPrefix(r.Header.Get("X-Request-Id"), "req_") {
			t.Errorf("%s has the request id %q", path, r.Header.Get("X-Request-Id"))
		}
	}
}

func TestSessionCookie(t *testing.T) {
	h := newHouse(t)
	tests := []struct {
		name, public, cookie string
		secure               bool
	}{
		{"on a developer's machine", "", "syncline_session", false},
		{"behind https", "https://sync.example.com", "__Host-syncline_session", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := h.deps
			d.PublicURL = tt.public
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(url.Values{"email": {ownerEmail}, "password": {password}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			web.New(d).ServeHTTP(w, r)
			cookies := w.Result().Cookies()
			if len(cookies) != 1 {
				t.Fatalf("%d cookies, status %d", len(cookies), w.Code)
			}
			c := cookies[0]
			if c.Name != tt.cookie || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("the cookie is %s", c)
			}
		})
	}
}

func TestNextLeadsNowhereElse(t *testing.T) {
	h := newHouse(t)
	for next, want := range map[string]string{
		"/services?state=paused": "/services?state=paused", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "/a\r\nSet-Cookie: x": "/", "": "/",
	} {
		r, err := client(t).PostForm(h.url+"/sign-in", url.Values{"email": {ownerEmail}, "password": {password}, "next": {next}})
		h.must(err)
		_ = r.Body.Close()
		if got := r.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestOtherSitesMakeNothingHappen(t *testing.T) {
	h := newHouse(t)
	h.furnish(1)
	c := h.signedIn(ownerEmail)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		r, _ := h.do(c, "POST", "/services/"+stock+":pause", header...)
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%v was answered with %s", header, r.Status)
		}
	}
	if s := h.service(stock); s.State != "active" {
		t.Errorf("the service is %s", s.State)
	}
}

// TestTenantsSeeNothingOfEachOther asks for the pages of another tenant's things.
func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	h := newHouse(t)
	h.furnish(2)
	run := h.lastRun()
	_, _, err := h.deps.Auth.SignUp(context.Background(), auth.NewAccount{Email: "mallory@else.example", Name: "Mallory", Password: password, TenantName: "Elsewhere"}, auth.Caller{})
	h.must(err)
	c := h.signedIn("mallory@else.example")
	id := h.service(stock).ID.Public()
	for _, path := range []string{"/services/" + stock, "/services/" + id, "/services/" + id + "/parts/now", "/services/" + id + "/export", "/services/" + id + "/revisions/1", "/runs/" + run, "/try-it/record"} {
		if r, body := h.do(c, "GET", path); r.StatusCode != http.StatusNotFound || strings.Contains(body, "Trail Runner") {
			t.Errorf("%s is answered with %s", path, r.Status)
		}
	}
	for _, path := range []string{"/", "/services", "/search?q=" + stock, "/search?q=Trail", "/parts/overview-feed"} {
		if r, body := h.do(c, "GET", path); r.StatusCode != http.StatusOK || strings.Contains(body, stock) && !strings.Contains(path, stock) || strings.Contains(body, "Trail Runner") {
			t.Errorf("%s shows something of another tenant (%s)", path, r.Status)
		}
	}
	for _, path := range []string{"/services/" + id + ":pause", "/services/" + id + ":run", "/runs/" + run + ":cancel"} {
		if r, _ := h.do(c, "POST", path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s is answered with %s", path, r.Status)
		}
	}
}

// event is one server-sent event.
type event struct{ id, kind, data string }

// events reads a stream until a kind comes, or nothing more does.
func events(t *testing.T, r *http.Response, until string) (list []event) {
	t.Helper()
	found := make(chan struct{})
	go func() {
		defer close(found)
		var e event
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			case "":
				if e.kind != "" {
					list = append(list, e)
				}
				if e.kind == until {
					return
				}
				e = event{}
			}
		}
	}()
	select {
	case <-found:
	case <-time.After(webtest.Patience):
		t.Fatalf("no event %q", until)
	}
	return list
}

func (h *house) stream(c *http.Client, last string) *http.Response {
	h.Helper()
	ctx, stop := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+"/live", nil)
	h.must(err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	r, err := c.Do(req)
	h.must(err)
	h.Cleanup(func() { stop(); _ = r.Body.Close() })
	if kind := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || kind != "text/event-stream" {
		h.Fatalf("the stream is answered with %s, %s", r.Status, kind)
	}
	return r
}

// busy lets somebody change a product now and then, until stop is called: of changes that follow each other closely the
// engine tells only the first.
func (h *house) busy(name string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n, tick := int64(100), time.NewTicker(300*time.Millisecond); ; n++ {
			h.left.User("products").Put(sku(0), record.Fields{"name": name, "quantity": record.Int(n)})
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func TestLiveStream(t *testing.T) {
	h := newHouse(t)
	h.furnish(2)
	c := h.signedIn(ownerEmail)
	id := h.service(stock).ID.Public()
	r := h.stream(c, "")
	stop := h.busy("a secret name")
	var last string
	for _, e := range events(t, r, "journal") {
		last = e.id
		if strings.Contains(e.data, "secret") || e.kind != "hello" && e.kind != "summary" && e.data != fmt.Sprintf(`{"subject":%q}`, id) {
			t.Errorf("event %s carries %s", e.kind, e.data)
		}
	}
	stop()
	// What happened while nobody read is told to whoever comes back.
	_ = r.Body.Close()
	_, err := h.deps.Services.Pause(context.Background(), h.owner, stock, nil)
	h.must(err)
	events(t, h.stream(c, last), "state")

	// Another tenant hears nothing: the first thing it is told is its own.
	_, other, err := h.deps.Auth.SignUp(context.Background(), auth.NewAccount{Email: "eve@else.example", Name: "Eve", Password: password, TenantName: "Elsewhere"}, auth.Caller{})
	h.must(err)
	r = h.stream(h.signedIn("eve@else.example"), "")
	_, err = h.deps.Services.Resume(context.Background(), h.owner, stock, nil)
	h.must(err)
	h.left.User("products").Put(sku(1), record.Fields{"quantity": record.Int(4)})
	_, err = h.deps.Connections.Create(context.Background(), other.Principal(auth.Caller{}), connectionOf("left"))
	h.must(err)
	for _, e := range events(t, r, "connection") {
		if strings.Contains(e.data, id) {
			t.Errorf("another tenant is told %s %s", e.kind, e.data)
		}
	}
}

// TestDocumentationHoldsTogether follows every link of the documentation, and every code has its page.
func TestDocumentationHoldsTogether(t *testing.T) {
	h := newHouse(t)
	c := client(t)
	link := regexp.MustCompile(`href="(/docs[^"#]*)[^"]*"`)
	seen, todo := map[string]bool{}, []string{"/docs"}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		r, body := h.do(c, "GET", path)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s is answered with %s", path, r.Status)
		}
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			todo = append(todo, m[1])
		}
	}
	for _, code := range docs.Errors() {
		if code != "README" && !seen["/docs/errors/"+code] {
			t.Errorf("no link leads to the page of %s", code)
		}
	}
	if r, _ := h.do(c, "GET", "/docs/errors/service.imaginary"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a code that does not exist is answered with %s", r.Status)
	}
}

func TestExport(t *testing.T) {
	h := newHouse(t)
	h.furnish(1)
	r, body := h.do(h.signedIn(ownerEmail), "GET", "/services/"+stock+"/export")
	if body != document(stock) {
		t.Errorf("exported:\n%s", body)
	}
	if got := r.Header.Get("Content-Disposition"); got != `attachment; filename="`+stock+`.yaml"` {
		t.Errorf("disposition %q", got)
	}
}

// What is said after something was done is for the next page, and is not taken away by a part that a script asks for before.
func TestTheNoteIsForTheNextPage(t *testing.T) {
	h := newHouse(t)
	h.furnish(1)
	c := h.signedIn(ownerEmail)
	if r, _ := h.do(c, "POST", "/services/"+stock+":pause", "Sec-Fetch-Site", "same-origin"); r.StatusCode != http.StatusSeeOther {
		t.Fatal(r.Status)
	}
	if _, body := h.do(c, "GET", "/", "HX-Request", "true"); strings.Contains(body, "is paused") {
		t.Error("a part says it")
	}
	if _, body := h.do(c, "GET", "/services/"+stock); !strings.Contains(body, "is paused") {
		t.Error("the next page says nothing")
	}
	if _, body := h.do(c, "GET", "/services"); strings.Contains(body, stock+" is paused.") {
		t.Error("it is said twice")
	}
}
