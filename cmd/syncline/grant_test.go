// SPDX-License-Identifier: Apache-2.0

package main

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/auth"
)

// toConsent connects as far as the vendor's page, and gives its path with the question.
func (v *visitor) toConsent(name string) string {
	v.Helper()
	stop := v.client.CheckRedirect
	defer func() { v.client.CheckRedirect = stop }()
	var at string
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		at = r.URL.RequestURI()
		return nil
	}
	page := v.post("/connections/"+url.PathEscape(name)+"/authorize", url.Values{})
	if !strings.HasPrefix(page, "200") || !strings.Contains(page, "Give Syncline access to your") || !strings.Contains(at, "/consent?") {
		v.Fatalf("%s: connecting leads to %s and\n%.400s", name, at, page)
	}
	return at
}

// decide answers the vendor's page, and gives the address that it sends the person to and the page there.
func (v *visitor) decide(question, decision string) (address, page string) {
	v.Helper()
	defer func(stop func(*http.Request, []*http.Request) error) { v.client.CheckRedirect = stop }(v.client.CheckRedirect)
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if address == "" {
			address = r.URL.RequestURI()
		}
		return nil
	}
	page = v.post(question, url.Values{"decision": {decision}})
	return address, page
}

// A person connects to each vendor in the browser: to the vendor's page, back, and what is kept works.
func TestConnectInTheBrowser(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	ada, eve := town.visit("ada@example.com"), town.visit("eve@example.org")
	elsewhere := town.visit("ada@example.com") // another browser of the same person
	vendors := map[string]url.Values{
		"hubspot": {}, "salesforce": {}, "zendesk": {"settings.subdomain": {"acme"}},
		"google-sheets": {"settings.spreadsheet": {"https://docs.google.com/spreadsheets/d/abc/edit"}}, "google-drive": {}, "dropbox": {},
		"excel": {"settings.workbook": {"contacts.xlsx"}}, "airtable": {"settings.base": {"app00000000000001"}},
	}
	for typ, settings := range vendors {
		form := url.Values{"connector": {typ}, "name": {typ}, "settings.environment": {"sandbox"}}
		for k, v := range settings {
			form[k] = v
		}
		ada.post("/connections", form)
		if page := ada.get("/connections/" + typ); !strings.Contains(page, "Nobody gave it access in the browser") {
			t.Fatalf("%s: %.300s", typ, page)
		}
		// No.
		_, page := ada.decide(ada.toConsent(typ), "deny")
		if !strings.Contains(page, "The last try brought no access") || !strings.Contains(page, "access_denied") || !strings.Contains(page, "Connect again and allow it") {
			t.Errorf("%s: after a no the page says %s", typ, page)
		}
		// Yes.
		question := ada.toConsent(typ)
		address, page := ada.decide(question, "allow")
		if !strings.HasPrefix(address, "/connections/authorized?code=") || !strings.Contains(page, "Connect again") || !strings.Contains(page, `data-state="healthy"`) || strings.Contains(page, "brought no access") {
			t.Errorf("%s: after a yes at %s the page says %.200s", typ, address, page)
		}
		// What came back is taken once.
		if page := ada.get(address); !strings.Contains(page, "was taken already") {
			t.Errorf("%s: a second time gets %.300s", typ, page)
		}
		if page := ada.get("/connections/" + typ + "/parts/objects"); !strings.Contains(page, "key ") {
			t.Errorf("%s: what it has is %.300s", typ, page)
		}
		// Another session, another tenant, another state: nothing.
		code := ada.toConsent(typ)
		var back string
		func() {
			stop := ada.client.CheckRedirect
			defer func() { ada.client.CheckRedirect = stop }()
			ada.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
				back = r.URL.RequestURI()
				return http.ErrUseLastResponse
			}
			ada.post(code, url.Values{"decision": {"allow"}})
		}()
		for who, v := range map[string]*visitor{"another browser": elsewhere, "another tenant": eve} {
			if page := v.get(back); !strings.Contains(page, "belongs to no question of yours") {
				t.Errorf("%s: %s gets %.300s", typ, who, page)
			}
		}
		if page := ada.get(back + "x"); !strings.Contains(page, "belongs to no question of yours") { // the last parameter is the state
			t.Errorf("%s: another state gets %.300s", typ, page)
		}
		if page := eve.get("/connections/" + typ + "/authorize"); !strings.HasPrefix(page, "404") {
			t.Errorf("%s: another tenant gets %.100s", typ, page)
		}
		// Too late.
		town.owner(t, `UPDATE connection_authorizations SET expires_at = now() - interval '1 second' WHERE used_at IS NULL`)
		if page := ada.get(back); !strings.Contains(page, "Connect again.") || !strings.Contains(page, "brought no access") {
			t.Errorf("%s: too late it says %.300s", typ, page)
		}
		// A vendor's error in its own words, with what to do.
		var state string
		if m := regexp.MustCompile(`state=([^&]+)`).FindStringSubmatch(ada.toConsent(typ)); m != nil {
			state = m[1]
		}
		page = html.UnescapeString(ada.get("/connections/authorized?error=invalid_scope&error_description=" + url.QueryEscape("no <such> scope") + "&state=" + state))
		if !strings.Contains(page, "invalid_scope: no <such> scope") || !strings.Contains(page, "Give your app there the scopes") {
			t.Errorf("%s: an error is shown as %s", typ, page)
		}
	}
	// Nothing of it can be read in the database.
	var sealed string
	town.owner(t, `SELECT string_agg(encode(sealed, 'escape'), ' ') FROM connection_tokens`, &sealed)
	if sealed == "" || strings.Contains(sealed, "refresh") || strings.Contains(sealed, "sandboxtoken") {
		t.Errorf("kept is %q", sealed)
	}
	if page := ada.get("/activity/audit"); strings.Contains(page, "sandboxtoken") {
		t.Error("a token is in the audit log")
	}
}

// until waits for what the service does in its own time.
func (v *visitor) until(what string, done func() bool) {
	v.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			v.Fatalf("%s: has not come", what)
		}
		select {
		case <-v.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// owner runs a statement as the owner of the database.
func (w *town) owner(t *testing.T, sql string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.app.config.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if len(into) == 0 {
		_, err = conn.Exec(t.Context(), sql)
	} else {
		err = conn.QueryRow(t.Context(), sql).Scan(into...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A service runs on while its connection is connected anew, by another person's access and with other credentials: every link stays as
// it was, and nothing is made twice.
func TestLinksSurviveAReconnect(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	ada := town.visit("ada@example.com")
	ada.post("/services:sandbox", url.Values{})
	holds := func(system, text string) func() bool {
		return func() bool { return strings.Contains(ada.get(playground(system)), text) }
	}
	ada.until("the first sync", func() bool {
		return holds("zendesk", "kenji.ito@example.com")() && holds("salesforce", "tom.baker@example.com")() && holds("hubspot", "jo.fischer@example.com")()
	})
	const links = `SELECT string_agg(system || ' ' || key || ' ' || entity_id::text, E'\n' ORDER BY system, key) FROM links`
	var before, after string
	const people = `SELECT count(DISTINCT entity_id) FROM links`
	var some, more int
	town.owner(t, people, &some)
	town.owner(t, links, &before)
	// Access in the browser in place of the token in the document.
	_, page := ada.decide(ada.toConsent("crm-contact-sync/hubspot"), "allow")
	if !strings.Contains(page, `data-state="healthy"`) {
		t.Fatalf("after connecting: %s", page)
	}
	ada.post(playground("salesforce"), url.Values{"table": {"Contact"}, "key": {""}, "field.Email": {"one@example.com"}, "field.FirstName": {"One"}, "field.LastName": {"More"}})
	ada.until("a contact made after it", holds("hubspot", "one@example.com"))
	// Another credential: the secret is exchanged, as people do who rotate.
	who := town.principal(t, "ada@example.com")
	if _, err := town.app.secrets.Set(t.Context(), who, "ZENDESK_TOKEN", "sandbox_another", 0); err != nil {
		t.Fatal(err)
	}
	ada.post("/connections/"+url.PathEscape("crm-contact-sync/zendesk")+":test", url.Values{})
	ada.post(playground("hubspot"), url.Values{"table": {"contacts"}, "key": {""}, "field.email": {"two@example.com"}, "field.firstname": {"Two"}, "field.lastname": {"More"}})
	ada.until("a contact made after that", holds("zendesk", "two@example.com"))
	town.owner(t, links, &after)
	for _, link := range strings.Split(before, "\n") {
		if !strings.Contains(after, link) {
			t.Errorf("the link %s is gone", link)
		}
	}
	if town.owner(t, people, &more); before == "" || more != some+2 {
		t.Errorf("%d people became %d:\n%s\n\n%s", some, more, before, after)
	}
}

func (w *town) principal(t *testing.T, email string) auth.Principal {
	t.Helper()
	_, session, err := w.app.auth.SignIn(t.Context(), email, "correct horse battery", auth.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	return session.Principal(auth.Caller{})
}
