// SPDX-License-Identifier: Apache-2.0

package hubspot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is HubSpot as far as this connector needs it, with its quirks: values are texts, an unnamed property is not
// returned, search lags behind and ends at 10,000 results, a batch that makes one contact twice fails as a whole, deleting is
// archiving, webhooks tell ids and one property.
type Simulator struct {
	// Lag is how long search does not see a change; 3 s when zero, none when negative.
	Lag time.Duration
	// Cap is the most results of a search; 10,000 when zero.
	Cap int
	// Rate is calls in 10 s; 100 when zero. Searches have 4 a second; SearchRate changes that.
	Rate       int
	SearchRate int
	// TokenLife is how long an access token of OAuth lives; 30 min when zero.
	TokenLife time.Duration
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "hubspot" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: "contacts", Title: "Contacts", Object: "contacts", Columns: []string{"email", "firstname", "lastname", "phone", "company", "lifecyclestage"}},
		{Name: "companies", Title: "Companies", Object: "companies", Columns: []string{"name", "domain", "phone", "industry", "city"}},
		{Name: "deals", Title: "Deals", Object: "deals", Columns: []string{"dealname", "amount", "dealstage", "closedate"}}}
}

// property is one property of the account.
type property struct {
	name, typ string
	readOnly  bool
	options   []string
}

// kind is an object of the account: contacts and the others differ in their properties, and in the name of the one that has the time of the
// last change.
type kind struct {
	table      string
	single     string // in events: contact.creation
	modified   string
	usual      []string // what is shown when nothing is asked for
	properties []property
}

var kinds = map[string]*kind{ // by their names in addresses
	"contacts": {"contacts", "contact", "lastmodifieddate", []string{"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"}, contactProperties},
	"companies": {"companies", "company", "hs_lastmodifieddate", []string{"createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"}, []property{
		{name: "name", typ: "string"}, {name: "domain", typ: "string"}, {name: "phone", typ: "string"}, {name: "industry", typ: "string"}, {name: "city", typ: "string"}, {name: "state", typ: "string"}, {name: "country", typ: "string"},
		{name: "numberofemployees", typ: "number"},
		{name: "createdate", typ: "datetime", readOnly: true}, {name: "hs_lastmodifieddate", typ: "datetime", readOnly: true}, {name: "hs_object_id", typ: "number", readOnly: true}}},
	"0-3": deals, "deals": deals,
}

var deals = &kind{"deals", "deal", "hs_lastmodifieddate", []string{"amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline"}, []property{
	{name: "dealname", typ: "string"}, {name: "amount", typ: "number"}, {name: "dealstage", typ: "enumeration", options: []string{"appointmentscheduled", "contractsent", "closedwon", "closedlost"}}, {name: "pipeline", typ: "string"},
	{name: "closedate", typ: "datetime"}, {name: "description", typ: "string"},
	{name: "createdate", typ: "datetime", readOnly: true}, {name: "hs_lastmodifieddate", typ: "datetime", readOnly: true}, {name: "hs_object_id", typ: "number", readOnly: true}}}

var contactProperties = []property{
	{name: "email", typ: "string"}, {name: "firstname", typ: "string"}, {name: "lastname", typ: "string"}, {name: "phone", typ: "string"}, {name: "mobilephone", typ: "string"},
	{name: "company", typ: "string"}, {name: "jobtitle", typ: "string"}, {name: "website", typ: "string"}, {name: "address", typ: "string"}, {name: "city", typ: "string"},
	{name: "state", typ: "string"}, {name: "zip", typ: "string"}, {name: "country", typ: "string"},
	{name: "lifecyclestage", typ: "enumeration", options: []string{"subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "other"}},
	{name: "score", typ: "number"}, {name: "optin", typ: "bool"}, {name: "birthday", typ: "date"},
	{name: "createdate", typ: "datetime", readOnly: true}, {name: "lastmodifieddate", typ: "datetime", readOnly: true}, {name: "hs_object_id", typ: "number", readOnly: true},
}

func (k *kind) known(name string) *property {
	for i := range k.properties {
		if k.properties[i].name == name {
			return &k.properties[i]
		}
	}
	return nil
}

// Seed makes a few people.
func (v *Simulator) Seed(w *sandbox.World) {
	for _, p := range [][4]string{{"maria.garcia@example.com", "Maria", "Garcia", "+34911234567"}, {"kenji.ito@example.com", "Kenji", "Ito", "+81312345678"}, {"ada.obi@example.com", "Ada", "Obi", "+23412345678"}} {
		w.Insert("contacts", "", map[string]any{"email": p[0], "firstname": p[1], "lastname": p[2], "phone": p[3], "lifecyclestage": "lead"})
	}
	for _, c := range [][3]string{{"Sol SL", "sol.example.com", "Madrid"}, {"Kumo KK", "kumo.example.com", "Tokyo"}} {
		w.Insert("companies", "", map[string]any{"name": c[0], "domain": c[1], "city": c[2]})
	}
	w.Insert("deals", "", map[string]any{"dealname": "First order", "amount": "1200", "dealstage": "contractsent", "pipeline": "default"})
}

func (v *Simulator) fail(x *sandbox.Exchange, status int, category, message string, more map[string]any) {
	body := map[string]any{"status": "error", "message": message, "correlationId": "c0ffee00-0000-4000-8000-000000000000", "category": category}
	for k, val := range more {
		body[k] = val
	}
	x.Say(status, body)
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	switch x.Path {
	case "/oauth/authorize":
		consent.Ask(x)
		return
	case "/oauth/v1/token":
		v.token(x)
		return
	}
	if !x.Allowed(x.Bearer()) {
		v.fail(x, http.StatusUnauthorized, "INVALID_AUTHENTICATION", "Authentication credentials not found. This API supports OAuth 2.0 authentication.", nil)
		return
	}
	search := strings.HasSuffix(x.Path, "/search")
	name, calls, per, policy := "calls", v.Rate, 10*time.Second, "TEN_SECONDLY_ROLLING"
	if calls == 0 {
		calls = 100
	}
	if search {
		if name, calls, per, policy = "search", v.SearchRate, time.Second, "SECONDLY"; calls == 0 {
			calls = 5
		}
	}
	wait, left := x.W.Spend(name, calls, per)
	if wait > 0 {
		v.fail(x, http.StatusTooManyRequests, "RATE_LIMITS", "You have reached your "+strings.ToLower(policy)+" limit.", map[string]any{"policyName": policy})
		return
	}
	if !search {
		x.Reply.Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(left))
	}
	switch {
	case x.Path == "/account-info/v3/details" && x.Method == http.MethodGet:
		x.Say(http.StatusOK, map[string]any{"portalId": portal, "accountType": "SANDBOX", "timeZone": "UTC", "companyCurrency": "EUR", "additionalCurrencies": []any{}, "utcOffset": "+00:00", "utcOffsetMilliseconds": 0,
			"uiDomain": "app.hubspot.com", "dataHostingLocation": "na1"})
	case len(x.Steps) < 4 || kinds[x.Steps[3]] == nil:
	case len(x.Steps) == 4 && x.Steps[1] == "v3" && x.Steps[2] == "properties" && x.Method == http.MethodGet:
		v.properties(x, kinds[x.Steps[3]])
	case x.Steps[2] == "objects":
		v.objects(x, kinds[x.Steps[3]], x.Steps[4:])
	}
}

// portal is the account's number.
const portal = 62515

var consent = sandbox.Consent{Vendor: "HubSpot", Account: fmt.Sprintf("Sandbox portal %d", portal), Known: true, Scopes: map[string]string{
	"crm.objects.contacts.read": "Read contacts", "crm.objects.contacts.write": "Make, change and delete contacts", "crm.schemas.contacts.read": "See which properties contacts have", "oauth": "Know which account it is",
	"crm.objects.companies.read": "Read companies", "crm.objects.companies.write": "Make, change and delete companies", "crm.schemas.companies.read": "See which properties companies have",
	"crm.objects.deals.read": "Read deals", "crm.objects.deals.write": "Make, change and delete deals", "crm.schemas.deals.read": "See which properties deals have",
}}

func (v *Simulator) token(x *sandbox.Exchange) {
	if x.Form.Get("grant_type") != "refresh_token" && x.Form.Get("grant_type") != "authorization_code" || x.Form.Get("client_id") == "" {
		x.Say(http.StatusBadRequest, map[string]any{"status": "BAD_CLIENT_ID", "message": "missing or unknown client id"})
		return
	}
	refresh := x.Form.Get("refresh_token")
	if x.Form.Get("grant_type") == "refresh_token" && !x.W.Grants[refresh] && !strings.HasPrefix(refresh, "sandbox_") {
		x.Say(http.StatusBadRequest, map[string]any{"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"})
		return
	}
	life := v.TokenLife
	if life == 0 {
		life = 30 * time.Minute
	}
	if x.Form.Get("grant_type") == "authorization_code" {
		var problem string
		if refresh, _, problem = x.Redeem(); problem != "" {
			x.Say(http.StatusBadRequest, map[string]any{"status": map[string]string{"invalid_client": "BAD_CLIENT_SECRET", "invalid_grant": "BAD_AUTH_CODE"}[problem], "message": "missing or unknown auth code, or it was used before"})
			return
		}
	}
	x.Say(http.StatusOK, map[string]any{"access_token": x.Grant(life), "refresh_token": refresh, "expires_in": int(life.Seconds()), "token_type": "bearer"})
}

func (v *Simulator) properties(x *sandbox.Exchange, k *kind) {
	results := make([]any, 0, len(k.properties))
	for _, p := range k.properties {
		options := []any{}
		for _, o := range p.options {
			options = append(options, map[string]any{"label": o, "value": o, "hidden": false})
		}
		results = append(results, map[string]any{"name": p.name, "label": p.name, "type": p.typ, "fieldType": "text", "groupName": "contactinformation", "description": "", "options": options, "archived": false,
			"modificationMetadata": map[string]any{"archivable": true, "readOnlyDefinition": false, "readOnlyValue": p.readOnly}})
	}
	x.Say(http.StatusOK, map[string]any{"results": results})
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// show is a record as answers have it: the properties asked for, by default a handful.
func (k *kind) show(r *sandbox.Record, wanted []string) map[string]any {
	if len(wanted) == 0 {
		wanted = k.usual
	}
	p := map[string]any{"hs_object_id": r.ID, "createdate": stamp(r.Created), k.modified: stamp(r.Modified)}
	for _, name := range wanted {
		if k.known(name) == nil {
			continue
		}
		if _, done := p[name]; !done {
			p[name] = r.Fields[name]
		}
	}
	out := map[string]any{"id": r.ID, "properties": p, "createdAt": stamp(r.Created), "updatedAt": stamp(r.Modified), "archived": !r.Live()}
	if !r.Live() {
		out["archivedAt"] = stamp(r.Deleted)
	}
	return out
}

// accept checks properties and brings them into the form in which they are kept. "" clears.
func (v *Simulator) accept(x *sandbox.Exchange, k *kind, given any, id string) (set map[string]any, status int, category, message string) {
	set = map[string]any{}
	for name, value := range sandbox.Map(given) {
		p := k.known(name)
		text := sandbox.Text(value)
		switch {
		case p == nil:
			return nil, http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"%s\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"%s\"}]", name, name)
		case p.readOnly:
			return nil, http.StatusBadRequest, "VALIDATION_ERROR", "Property values were not valid: " + name + " is a read only property"
		case text == "":
			set[name] = nil
			continue
		case p.options != nil && !slices.Contains(p.options, text):
			return nil, http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("Property values were not valid: %s was not one of the allowed options", text)
		}
		switch p.typ {
		case "number":
			if _, err := strconv.ParseFloat(text, 64); err != nil {
				return nil, http.StatusBadRequest, "VALIDATION_ERROR", "Property values were not valid: " + text + " was not a valid number."
			}
		case "bool":
			if text != "true" && text != "false" {
				return nil, http.StatusBadRequest, "VALIDATION_ERROR", "Property values were not valid: " + text + " was not a valid boolean."
			}
		}
		if name == "email" && k.table == "contacts" {
			text = strings.ToLower(strings.TrimSpace(text))
			if !strings.Contains(text, "@") {
				return nil, http.StatusBadRequest, "VALIDATION_ERROR", "Property values were not valid: Email address " + text + " is invalid"
			}
			if other := x.W.Find("contacts", "email", text, id); other != nil {
				return nil, http.StatusConflict, "CONFLICT", "Contact already exists. Existing ID: " + other.ID
			}
		}
		set[name] = text
	}
	return set, 0, "", ""
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func texts(v any) (out []string) {
	for _, e := range sandbox.List(v) {
		out = append(out, sandbox.Text(e))
	}
	return out
}

func (v *Simulator) objects(x *sandbox.Exchange, k *kind, steps []string) {
	w := x.W
	switch {
	case len(steps) == 0 && x.Method == http.MethodGet:
		v.list(x, k)
	case len(steps) == 0 && x.Method == http.MethodPost:
		if sandbox.Map(x.Body)["associations"] == nil {
			v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON: Some required fields were not set: [associations]", nil)
			return
		}
		set, status, category, message := v.accept(x, k, sandbox.At(x.Body, "properties"), "")
		if status != 0 {
			v.fail(x, status, category, message, nil)
			return
		}
		r := w.Insert(k.table, "", set)
		x.Tell(k.table, "created", r.ID)
		x.Say(http.StatusCreated, k.show(r, keys(set)))
	case len(steps) == 1 && steps[0] == "search" && x.Method == http.MethodPost:
		v.search(x, k)
	case len(steps) == 2 && steps[0] == "batch" && x.Method == http.MethodPost:
		v.batch(x, k, steps[1])
	case len(steps) == 1:
		r := w.Get(k.table, steps[0])
		if p := x.Query.Get("idProperty"); p != "" {
			r = w.Find(k.table, p, steps[0], "")
		}
		if r == nil {
			v.fail(x, http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found", nil)
			return
		}
		switch x.Method {
		case http.MethodGet:
			x.Say(http.StatusOK, k.show(r, split(x.Query.Get("properties"))))
		case http.MethodPatch:
			set, status, category, message := v.accept(x, k, sandbox.At(x.Body, "properties"), r.ID)
			if status != 0 {
				v.fail(x, status, category, message, nil)
				return
			}
			w.Update(k.table, r.ID, set)
			x.Tell(k.table, "updated", r.ID, keys(set)...)
			x.Say(http.StatusOK, k.show(r, keys(set)))
		case http.MethodDelete:
			w.Delete(k.table, r.ID)
			x.Tell(k.table, "deleted", r.ID)
			x.Say(http.StatusNoContent, nil)
		}
	}
}

func keys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (v *Simulator) list(x *sandbox.Exchange, k *kind) {
	limit, err := strconv.Atoi(x.Query.Get("limit"))
	if err != nil {
		limit = 10
	}
	if limit > 100 {
		v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", "limit must be at most 100", nil)
		return
	}
	archived := x.Query.Get("archived") == "true"
	after := x.Query.Get("after")
	results := []any{}
	next := ""
	for _, r := range x.W.Sorted(k.table) {
		if r.Live() == archived || r.Purged || after != "" && !sandbox.Before(after, r.ID) {
			continue
		}
		if len(results) == limit {
			next = sandbox.Text(sandbox.Map(results[limit-1])["id"])
			break
		}
		results = append(results, k.show(r, split(x.Query.Get("properties"))))
	}
	out := map[string]any{"results": results}
	if next != "" {
		out["paging"] = map[string]any{"next": map[string]any{"after": next}}
	}
	x.Say(http.StatusOK, out)
}

// value is what search compares: times as milliseconds.
func (k *kind) value(r *sandbox.Record, name string) string {
	switch name {
	case k.modified:
		return strconv.FormatInt(r.Modified.UnixMilli(), 10)
	case "createdate":
		return strconv.FormatInt(r.Created.UnixMilli(), 10)
	case "hs_object_id":
		return r.ID
	}
	return sandbox.Text(r.Fields[name])
}

func (k *kind) order(name, a, b string) int {
	if p := k.known(name); p != nil && (p.typ == "number" || p.typ == "datetime") {
		x, _ := strconv.ParseFloat(a, 64)
		y, _ := strconv.ParseFloat(b, 64)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

func (k *kind) holds(r *sandbox.Record, f any) bool {
	name, want := sandbox.Text(sandbox.At(f, "propertyName")), sandbox.Text(sandbox.At(f, "value"))
	c := k.order(name, k.value(r, name), want)
	switch sandbox.Text(sandbox.At(f, "operator")) {
	case "EQ":
		return c == 0
	case "NEQ":
		return c != 0
	case "GT":
		return c > 0
	case "GTE":
		return c >= 0
	case "LT":
		return c < 0
	case "LTE":
		return c <= 0
	case "HAS_PROPERTY":
		return k.value(r, name) != ""
	case "NOT_HAS_PROPERTY":
		return k.value(r, name) == ""
	case "IN":
		return slices.ContainsFunc(texts(sandbox.At(f, "values")), func(s string) bool { return strings.EqualFold(s, k.value(r, name)) })
	}
	return false
}

func (v *Simulator) search(x *sandbox.Exchange, k *kind) {
	body := sandbox.Map(x.Body)
	groups := sandbox.List(body["filterGroups"])
	if len(groups) > 5 {
		v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", "too many filter groups", nil)
		return
	}
	limit, _ := strconv.Atoi(sandbox.Text(body["limit"]))
	offset, _ := strconv.Atoi(sandbox.Text(body["after"]))
	if limit == 0 {
		limit = 10
	}
	most := v.Cap
	if most == 0 {
		most = 10_000
	}
	if limit > 200 || offset+limit > most {
		v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("search results end at %d, and a page has at most 200", most), nil)
		return
	}
	lag := v.Lag
	if lag == 0 {
		lag = 3 * time.Second
	}
	var found []*sandbox.Record
	for _, r := range x.W.Sorted(k.table) {
		if !r.Live() || lag > 0 && x.W.Now().Sub(r.Modified) < lag {
			continue // not indexed yet: a record that changed vanishes from search for a moment
		}
		ok := len(groups) == 0
		for _, g := range groups {
			all := true
			for _, f := range sandbox.List(sandbox.At(g, "filters")) {
				all = all && k.holds(r, f)
			}
			ok = ok || all
		}
		if ok {
			found = append(found, r)
		}
	}
	if sorts := sandbox.List(body["sorts"]); len(sorts) > 0 {
		name := sandbox.Text(sandbox.At(sorts[0], "propertyName"))
		if text, ok := sorts[0].(string); ok {
			name = text
		}
		sort.SliceStable(found, func(i, j int) bool {
			c := k.order(name, k.value(found[i], name), k.value(found[j], name))
			if sandbox.Text(sandbox.At(sorts[0], "direction")) == "DESCENDING" {
				c = -c
			}
			return c < 0
		})
	}
	results := []any{}
	for i := offset; i < len(found) && i < offset+limit; i++ {
		results = append(results, k.show(found[i], texts(body["properties"])))
	}
	out := map[string]any{"total": len(found), "results": results}
	if offset+limit < len(found) {
		out["paging"] = map[string]any{"next": map[string]any{"after": strconv.Itoa(offset + limit)}}
	}
	x.Say(http.StatusOK, out)
}

func (v *Simulator) batch(x *sandbox.Exchange, k *kind, verb string) {
	w := x.W
	inputs := sandbox.List(sandbox.At(x.Body, "inputs"))
	if len(inputs) > 100 {
		v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", "a batch has at most 100 inputs", nil)
		return
	}
	results, errs := []any{}, []any{}
	wanted := texts(sandbox.At(x.Body, "properties"))
	missing := func(id string) {
		errs = append(errs, map[string]any{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid.", "context": map[string]any{"ids": []any{id}}, "errors": []any{}, "links": map[string]any{}})
	}
	switch verb {
	case "read":
		by := sandbox.Text(sandbox.At(x.Body, "idProperty"))
		for _, in := range inputs {
			id := sandbox.Text(sandbox.At(in, "id"))
			r := w.Get(k.table, id)
			if by != "" {
				r = w.Find(k.table, by, id, "")
			}
			if r == nil {
				missing(id)
				continue
			}
			results = append(results, k.show(r, wanted))
		}
	case "create":
		// One that cannot be made fails all, as it does there.
		sets := make([]map[string]any, len(inputs))
		emails := map[string]bool{}
		for i, in := range inputs {
			if sandbox.Map(in)["associations"] == nil {
				v.fail(x, http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON: Some required fields were not set: [associations]", nil)
				return
			}
			set, status, category, message := v.accept(x, k, sandbox.At(in, "properties"), "")
			if email := sandbox.Text(set["email"]); status == 0 && email != "" {
				if emails[email] {
					status, category, message = http.StatusBadRequest, "VALIDATION_ERROR", "Duplicate inputs found: "+email
				}
				emails[email] = true
			}
			if status != 0 {
				v.fail(x, status, category, message, nil)
				return
			}
			sets[i] = set
		}
		for i := len(inputs) - 1; i >= 0; i-- { // the order of results is not promised
			r := w.Insert(k.table, "", sets[i])
			x.Tell(k.table, "created", r.ID)
			out := k.show(r, keys(sets[i]))
			out["objectWriteTraceId"] = sandbox.At(inputs[i], "objectWriteTraceId")
			results = append(results, out)
		}
	case "update":
		for _, in := range inputs {
			id := sandbox.Text(sandbox.At(in, "id"))
			r := w.Get(k.table, id)
			if r == nil {
				missing(id)
				continue
			}
			set, status, category, message := v.accept(x, k, sandbox.At(in, "properties"), id)
			if status != 0 {
				errs = append(errs, map[string]any{"status": "error", "category": category, "message": message, "context": map[string]any{"ids": []any{id}}, "errors": []any{}, "links": map[string]any{}})
				continue
			}
			w.Update(k.table, id, set)
			x.Tell(k.table, "updated", id, keys(set)...)
			results = append(results, k.show(r, keys(set)))
		}
	case "archive":
		for _, in := range inputs {
			id := sandbox.Text(sandbox.At(in, "id"))
			if w.Delete(k.table, id) {
				x.Tell(k.table, "deleted", id)
			}
		}
		x.Say(http.StatusNoContent, nil)
		return
	default:
		return
	}
	now := stamp(w.Now())
	out := map[string]any{"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
	status := http.StatusOK
	if verb == "create" {
		status = http.StatusCreated
	}
	if len(errs) > 0 {
		status, out["errors"], out["numErrors"] = http.StatusMultiStatus, errs, len(errs)
	}
	x.Say(status, out)
}

// Message is a webhook: a list of one event with an id and at most one property, never the record.
func (v *Simulator) Message(w *sandbox.World, h sandbox.Hook, e sandbox.Event) *http.Request {
	event := map[string]any{"eventId": e.Number, "subscriptionId": 1, "portalId": portal, "appId": 54321, "occurredAt": e.At.UnixMilli(), "attemptNumber": 0, "changeSource": "CRM_UI"}
	id, _ := strconv.ParseInt(e.ID, 10, 64)
	event["objectId"] = id
	single := kinds[e.Table].single
	switch e.Op {
	case "created":
		event["subscriptionType"] = single + ".creation"
	case "deleted":
		event["subscriptionType"] = single + ".deletion"
	case "restored":
		event["subscriptionType"] = single + ".restore"
	default:
		event["subscriptionType"] = single + ".propertyChange"
		if len(e.Fields) > 0 {
			event["propertyName"] = e.Fields[0]
		}
	}
	body, err := json.Marshal([]any{event})
	if err != nil {
		return nil
	}
	r, err := http.NewRequest(http.MethodPost, h.URL, strings.NewReader(string(body))) //nolint:noctx // whoever sends it gives the context
	if err != nil {
		return nil
	}
	at := strconv.FormatInt(w.Now().UnixMilli(), 10)
	m := hmac.New(sha256.New, []byte(h.Secret))
	fmt.Fprintf(m, "%s%s%s%s", http.MethodPost, h.URL, body, at)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-HubSpot-Request-Timestamp", at)
	r.Header.Set("X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(m.Sum(nil)))
	return r
}
