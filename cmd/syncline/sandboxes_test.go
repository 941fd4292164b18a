// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
)

// visitor is a person in a browser without scripts.
type visitor struct {
	*testing.T
	url    string
	client *http.Client
}

func (v *visitor) post(path string, form url.Values) string {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), http.MethodPost, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.answer(req)
}

func (v *visitor) get(path string) string {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), http.MethodGet, v.url+path, nil)
	if err != nil {
		v.Fatal(err)
	}
	return v.answer(req)
}

func (v *visitor) answer(req *http.Request) string {
	v.Helper()
	res, err := v.client.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.Fatal(err)
	}
	if res.StatusCode >= 500 {
		v.Fatalf("%s %s: %s", req.Method, req.URL.Path, res.Status)
	}
	return res.Status + "\n" + string(body)
}

func playground(system string) string {
	return "/connections/" + url.PathEscape("crm-contact-sync/"+system) + "/sandbox"
}

// Somebody without an account at any vendor starts the template with one click, makes a contact in the Salesforce playground, sees
// it in the other two, changes its phone in HubSpot's, and deletes it in Zendesk's. Nobody else sees any of it.
func TestTemplateInTheSandbox(t *testing.T) {
	t.Parallel()
	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL = storetest.URL(t)
	a, err := newApp(t.Context(), c, master, connection.GuardOptions{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	for _, email := range []string{"ada@example.com", "eve@example.org"} {
		if _, _, err := a.auth.SignUp(t.Context(), auth.NewAccount{Email: email, Name: "Somebody", Password: "correct horse battery", TenantName: email}, auth.Caller{}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := a.newWorker()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	a.background(ctx, group, w)
	server := httptest.NewServer(a.handler())
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := group.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	visit := func(email string) *visitor {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		v := &visitor{T: t, url: server.URL, client: &http.Client{Jar: jar}}
		v.post("/sign-in", url.Values{"email": {email}, "password": {"correct horse battery"}})
		return v
	}
	ada, eve := visit("ada@example.com"), visit("eve@example.org")
	if page := ada.get("/services/new?template=crm"); !strings.Contains(page, "/services:sandbox") || !strings.Contains(page, "service: crm-contact-sync") {
		t.Fatal("the template is not offered")
	}
	ada.post("/services:sandbox", url.Values{})
	until := func(what string, done func() bool) {
		t.Helper()
		deadline := time.Now().Add(2 * time.Minute)
		for !done() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: has not come\n%s", what, ada.get(playground("hubspot")))
			}
			select {
			case <-t.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	holds := func(system, text string) bool { return strings.Contains(ada.get(playground(system)), text) }
	until("the first sync", func() bool {
		return holds("zendesk", "kenji.ito@example.com") && holds("salesforce", "tom.baker@example.com") && holds("hubspot", "jo.fischer@example.com")
	})

	ada.post(playground("salesforce"), url.Values{"table": {"Contact"}, "key": {""}, "field.Email": {"jane@example.com"}, "field.FirstName": {"Jane"}, "field.LastName": {"Smith"}, "field.Phone": {"+14155551234"}, "field.Company__c": {"Acme"}})
	until("the new contact", func() bool { return holds("hubspot", "jane@example.com") && holds("zendesk", "jane@example.com") })

	key := regexp.MustCompile(`(?s)name="key" value="(\d+)"[^>]*>(?:(?:[^<]|<[^f/]|<f[^o]|</[^f])*?)value="jane@example.com"`).FindStringSubmatch(ada.get(playground("hubspot")))
	if key == nil {
		t.Fatal("the contact is not in HubSpot's playground")
	}
	ada.post(playground("hubspot"), url.Values{"table": {"contacts"}, "key": {key[1]}, "field.email": {"jane@example.com"}, "field.firstname": {"Jane"}, "field.lastname": {"Smith"}, "field.phone": {"+14155559999"}, "field.company": {"Acme"}, "field.lifecyclestage": {"lead"}})
	until("the new phone", func() bool { return holds("salesforce", "+14155559999") && holds("zendesk", "+14155559999") })

	// Trouble on demand: HubSpot carries out and does not answer, Zendesk has had enough. Nobody is lost, nobody is there twice.
	if page := ada.post(playground("hubspot")+"/faults", url.Values{"kind": {"lost-answer"}, "times": {"0.5"}}); !strings.Contains(page, "whole numbers") {
		t.Errorf("half a call gets %.200s", page)
	}
	if page := ada.post(playground("hubspot")+"/faults", url.Values{"kind": {"lost-answer"}, "share": {"120"}}); !strings.Contains(page, "1 to 100 per cent") {
		t.Errorf("120%% of calls gets %.200s", page)
	}
	if page := eve.post(playground("hubspot")+"/faults", url.Values{"kind": {"unavailable"}}); !strings.HasPrefix(page, "404") {
		t.Errorf("another tenant's trouble gets %.40s", page)
	}
	ada.post(playground("hubspot")+"/faults", url.Values{"kind": {"lost-answer"}, "times": {"4"}})
	ada.post(playground("zendesk")+"/faults", url.Values{"kind": {"rate-limit"}, "times": {"3"}, "seconds": {"1"}})
	if !holds("zendesk", "Too many requests (429), try again after 1 s, each call") {
		t.Error("the trouble is not shown")
	}
	ada.post(playground("salesforce"), url.Values{"table": {"Contact"}, "key": {""}, "field.Email": {"carla@example.com"}, "field.FirstName": {"Carla"}, "field.LastName": {"Diaz"}, "field.Phone": {"+14155550000"}, "field.Company__c": {"Acme"}})
	until("the contact in spite of trouble", func() bool { return holds("hubspot", "carla@example.com") && holds("zendesk", "carla@example.com") })
	until("the trouble to be over", func() bool {
		return holds("hubspot", "The vendor answers as usual.") && holds("zendesk", "The vendor answers as usual.")
	})
	for _, system := range []string{"salesforce", "hubspot", "zendesk"} {
		if n := strings.Count(ada.get(playground(system)), `value="carla@example.com"`); n != 1 {
			t.Errorf("%s has the contact %d times", system, n)
		}
	}
	ada.post(playground("zendesk")+"/faults", url.Values{"kind": {"unavailable"}, "share": {"10"}})
	ada.post(playground("zendesk")+"/faults", url.Values{"heal": {"1"}})
	if !holds("zendesk", "The vendor answers as usual.") {
		t.Error("the vendor is not healed")
	}
	if page := ada.get("/settings/audit"); !strings.Contains(page, "connection.sandbox_faults") || !strings.Contains(page, "connection.sandbox_edited") {
		t.Errorf("the audit log does not have it: %.600s", page)
	}

	who := func() auth.Principal {
		_, session, err := a.auth.SignIn(t.Context(), "ada@example.com", "correct horse battery", auth.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		return session.Principal(auth.Caller{})
	}()
	apiKey, _, err := a.auth.CreateKey(t.Context(), who, "test", auth.Scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	// The status, in the founding text's shape, asked for by a vendor's own id.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/services/crm-contact-sync/records/"+key[1]+"/status?systems=salesforce,hubspot,zendesk", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey.Reveal())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var status map[string]struct{ LastSync, Status string }
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil || len(status) != 3 {
		t.Fatalf("the status is %v, %v", status, err)
	}
	for system, s := range status {
		if s.Status != "synced" || s.LastSync == "" {
			t.Errorf("%s: %+v", system, s)
		}
	}

	if page := eve.get(playground("hubspot")); !strings.HasPrefix(page, "404") {
		t.Errorf("another tenant gets %.40s", page)
	}
	if page := eve.post(playground("hubspot"), url.Values{"table": {"contacts"}, "key": {key[1]}, "delete": {"1"}}); strings.HasPrefix(page, "2") && !strings.Contains(page, "no connection") {
		t.Errorf("another tenant's edit gets %.40s", page)
	}
	if page := ada.get("/connections/" + url.PathEscape("crm-contact-sync/hubspot")); !strings.Contains(page, playground("hubspot")) {
		t.Error("the connection's page does not lead to its sandbox")
	}
	ada.post(playground("hubspot"), url.Values{"table": {"contacts"}, "key": {key[1]}, "delete": {"1"}})
	until("it is gone there", func() bool { return !holds("hubspot", "jane@example.com") })
	if page := ada.post("/services:sandbox", url.Values{}); !strings.HasPrefix(page, "200") {
		t.Errorf("a second click gets %.40s", page)
	}
}

// The template is the founding text's document.
func TestTemplateIsTheExample(t *testing.T) {
	t.Parallel()
	a, err := os.ReadFile("../../web/templates/crm-contact-sync.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../internal/engine/testdata/crm-contact-sync.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("the template of the dashboard is not the example that the engine is tried with")
	}
}
