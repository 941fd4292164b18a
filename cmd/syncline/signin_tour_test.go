// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// A person signs in to a Google system and to Airtable, in a real browser: from the connection's page to the vendor's, where they say no
// and then yes, and back; what is there can be read at once.
func TestSignInTour(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	ada := town.visit("ada@example.com")
	for typ, form := range map[string]url.Values{
		"google-sheets": {"settings.spreadsheet": {"https://docs.google.com/spreadsheets/d/abc/edit"}},
		"airtable":      {"settings.base": {"app00000000000001"}},
	} {
		form.Set("connector", typ)
		form.Set("name", typ)
		form.Set("settings.environment", "sandbox")
		ada.post("/connections", form)
	}
	p := webtest.Open(t, town.url+"/sign-in", webtest.Options{})
	p.Fill(`input[name="email"]`, "ada@example.com")
	p.Fill(`input[name="password"]`, "correct horse battery")
	p.Click(`main button[type="submit"]`)
	p.Wait(`location.pathname !== "/sign-in" && document.readyState === "complete"`)
	for typ, vendor := range map[string]string{"google-sheets": "Google", "airtable": "Airtable"} {
		for _, decision := range []string{"deny", "allow"} {
			p.Goto(town.url + "/connections/" + typ + "/authorize")
			p.WaitText("main", "/connections/authorized")
			p.Click(`main form.stack button[type="submit"]`)
			p.WaitText("h1", "Give Syncline access to your "+vendor+" account?")
			p.Axe()
			p.Click(`button[value="` + decision + `"]`)
			p.WaitPath("/connections/" + typ)
			if decision == "deny" {
				p.WaitText("main", "access_denied")
				continue
			}
			p.WaitText("main", "Connect again")
			if !p.Has(`[data-state="healthy"]`) {
				t.Errorf("%s: after a yes the page says %s", typ, p.Text("main"))
			}
		}
		if page := ada.get("/connections/" + typ + "/parts/objects"); !strings.Contains(page, "Contacts") {
			t.Errorf("%s: what it has is %.300s", typ, page)
		}
	}
}
