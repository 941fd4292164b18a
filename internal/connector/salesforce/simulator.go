// SPDX-License-Identifier: Apache-2.0

package salesforce

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is a Salesforce org as far as this connector needs it, with its quirks: no SELECT *, SOQL over describe, pages by
// nextRecordsUrl, deleted rows only through queryAll, failures inside answers of status 200, errors as a list, offsets without
// a colon, 403 and not 429 when the day's calls are used up, outbound messages in SOAP, unsigned, which do not tell of deletions.
type Simulator struct {
	// Page is how many rows an answer has at most; 2,000 when zero.
	Page int
	// Day is how many calls a day has; 15,000 when zero.
	Day int
	// TokenLife is how long an access token lives; 2 h when zero.
	TokenLife time.Duration
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "salesforce" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: "Contact", Title: "Contacts", Object: "Contact", Columns: []string{"Email", "FirstName", "LastName", "Phone", "Company__c"}},
		{Name: "Account", Title: "Accounts", Object: "Account", Columns: []string{"Name", "Website", "Phone", "Industry", "BillingCity"}},
		{Name: "Lead", Title: "Leads", Object: "Lead", Columns: []string{"Email", "FirstName", "LastName", "Company", "Phone"}}}
}

type field struct {
	name, typ string
	length    int
	fixed     bool // cannot be updated
	required  bool
	scale     int
}

// sobject is an object of the org.
type sobject struct {
	name, plural string
	prefix       string // of its ids
	needs        string // the field that a new record must have
	fields       []field
}

var common = []field{
	{name: "Id", typ: "id", length: 18, fixed: true, required: true}, {name: "IsDeleted", typ: "boolean", fixed: true, required: true},
	{name: "CreatedDate", typ: "datetime", fixed: true, required: true}, {name: "LastModifiedDate", typ: "datetime", fixed: true, required: true}, {name: "SystemModstamp", typ: "datetime", fixed: true, required: true},
}

var sobjects = []*sobject{
	{"Contact", "Contacts", "003", "LastName", append([]field{
		{name: "FirstName", typ: "string", length: 40}, {name: "LastName", typ: "string", length: 80, required: true}, {name: "Name", typ: "string", length: 121, fixed: true, required: true},
		{name: "Email", typ: "email", length: 80}, {name: "Phone", typ: "phone", length: 40}, {name: "MobilePhone", typ: "phone", length: 40}, {name: "Title", typ: "string", length: 128},
		{name: "MailingStreet", typ: "textarea", length: 255}, {name: "MailingCity", typ: "string", length: 40}, {name: "MailingState", typ: "string", length: 80},
		{name: "MailingPostalCode", typ: "string", length: 20}, {name: "MailingCountry", typ: "string", length: 80}, {name: "Birthdate", typ: "date"}, {name: "DoNotCall", typ: "boolean"},
		{name: "Company__c", typ: "string", length: 120}, {name: "Score__c", typ: "double", scale: 2}, {name: "External__c", typ: "string", length: 64},
	}, common...)},
	{"Account", "Accounts", "001", "Name", append([]field{
		{name: "Name", typ: "string", length: 255, required: true}, {name: "Website", typ: "url", length: 255}, {name: "Phone", typ: "phone", length: 40}, {name: "Industry", typ: "picklist", length: 255},
		{name: "BillingStreet", typ: "textarea", length: 255}, {name: "BillingCity", typ: "string", length: 40}, {name: "BillingCountry", typ: "string", length: 80}, {name: "NumberOfEmployees", typ: "int"},
	}, common...)},
	{"Lead", "Leads", "00Q", "LastName", append([]field{
		{name: "FirstName", typ: "string", length: 40}, {name: "LastName", typ: "string", length: 80, required: true}, {name: "Name", typ: "string", length: 121, fixed: true, required: true},
		{name: "Email", typ: "email", length: 80}, {name: "Company", typ: "string", length: 255, required: true}, {name: "Phone", typ: "phone", length: 40}, {name: "Status", typ: "picklist", length: 255},
	}, common...)},
	{"Project__c", "Projects", "a00", "Name", append([]field{ // the org's own
		{name: "Name", typ: "string", length: 80, required: true}, {name: "Budget__c", typ: "double", scale: 2}, {name: "Begins__c", typ: "date"},
	}, common...)},
}

// object is the object of that name, whatever its letters; nil when there is none.
func object(name string) *sobject {
	for _, o := range sobjects {
		if strings.EqualFold(o.name, name) {
			return o
		}
	}
	return nil
}

// holding is the object whose records have ids like this one.
func holding(id string) *sobject {
	for _, o := range sobjects {
		if strings.HasPrefix(id, o.prefix) {
			return o
		}
	}
	return nil
}

func (o *sobject) field(name string) *field {
	for i := range o.fields {
		if strings.EqualFold(o.fields[i].name, name) {
			return &o.fields[i]
		}
	}
	return nil
}

// Seed makes a few people.
func (v *Simulator) Seed(w *sandbox.World) {
	for _, p := range [][5]string{{"jo.fischer@example.com", "Jo", "Fischer", "+4930123456", "Nordwind"}, {"lena.berg@example.com", "Lena", "Berg", "+4687654321", "Fjord AB"}, {"maria.garcia@example.com", "Maria", "Garcia", "+34911234567", "Sol SL"}} {
		v.insert(w, object("Contact"), map[string]any{"Email": p[0], "FirstName": p[1], "LastName": p[2], "Phone": p[3], "Company__c": p[4]})
	}
	for _, a := range [][3]string{{"Nordwind", "https://nordwind.example.com", "Energy"}, {"Fjord AB", "https://fjord.example.com", "Shipping"}} {
		v.insert(w, object("Account"), map[string]any{"Name": a[0], "Website": a[1], "Industry": a[2]})
	}
}

// insert makes a record with an id of 18 characters, whose last three say which letters are large.
func (v *Simulator) insert(w *sandbox.World, o *sobject, set map[string]any) *sandbox.Record {
	t := w.Table(o.name)
	t.Next++
	return w.Insert(o.name, fmt.Sprintf("%s%012dAAA", o.prefix, t.Next), set)
}

func (v *Simulator) fail(x *sandbox.Exchange, status int, code, message string, fields ...string) {
	e := map[string]any{"message": message, "errorCode": code}
	if len(fields) > 0 {
		e["fields"] = fields
	}
	x.Say(status, []any{e})
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	switch x.Path {
	case "/services/oauth2/authorize":
		consent.Ask(x)
		return
	case "/services/oauth2/token":
		v.token(x)
		return
	}
	if len(x.Steps) < 4 || x.Steps[0] != "services" || x.Steps[1] != "data" {
		v.fail(x, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	}
	if !x.Allowed(x.Bearer()) {
		v.fail(x, http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
		return
	}
	day := v.Day
	if day == 0 {
		day = 15_000
	}
	wait, left := x.W.Spend("day", day, 24*time.Hour)
	x.Reply.Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/%d", day-left, day))
	if wait > 0 {
		v.fail(x, http.StatusForbidden, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
		return
	}
	switch steps := x.Steps[3:]; {
	case steps[0] == "limits":
		x.Say(http.StatusOK, map[string]any{"DailyApiRequests": map[string]any{"Max": day, "Remaining": left}})
	case steps[0] == "query" || steps[0] == "queryAll":
		v.query(x, steps)
	case steps[0] == "composite" && len(steps) == 2 && steps[1] == "sobjects":
		v.composite(x)
	case steps[0] == "sobjects" && len(steps) == 1:
		v.global(x)
	case steps[0] == "sobjects" && object(steps[1]) != nil:
		v.sobject(x, object(steps[1]), steps[2:])
	default:
		v.fail(x, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
	}
}

// global says which objects there are, among them those that nothing can be asked of.
func (v *Simulator) global(x *sandbox.Exchange) {
	list := []any{map[string]any{"name": "ContactChangeEvent", "label": "Contact Change Event", "labelPlural": "Contact Change Events", "queryable": false, "custom": false}}
	for _, o := range sobjects {
		list = append(list, map[string]any{"name": o.name, "label": strings.TrimSuffix(o.plural, "s"), "labelPlural": o.plural, "queryable": true, "custom": false})
	}
	x.Say(http.StatusOK, map[string]any{"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": list})
}

func (v *Simulator) sobject(x *sandbox.Exchange, o *sobject, steps []string) {
	switch {
	case len(steps) == 1 && steps[0] == "describe":
		v.describe(x, o)
	case len(steps) == 0 && x.Method == http.MethodPost:
		r, code, message := v.create(x, o, sandbox.Map(x.Body))
		if code != "" {
			v.fail(x, http.StatusBadRequest, code, message)
			return
		}
		x.Say(http.StatusCreated, map[string]any{"id": r.ID, "success": true, "errors": []any{}})
	case len(steps) == 1:
		v.one(x, o, steps[0])
	case len(steps) == 2 && x.Method == http.MethodPatch:
		v.upsert(x, o, steps[0], steps[1])
	default:
		v.fail(x, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
	}
}

var consent = sandbox.Consent{Vendor: "Salesforce", Account: "sandbox.my.salesforce.com", PKCE: true, Known: true, Scopes: map[string]string{
	"api": "Read, make, change and delete records through the API", "refresh_token": "Do so while you are not signed in",
}}

func (v *Simulator) token(x *sandbox.Exchange) {
	more := map[string]any{}
	fail := func(code, says string) {
		x.Say(http.StatusBadRequest, map[string]any{"error": code, "error_description": says})
	}
	switch x.Form.Get("grant_type") {
	case "refresh_token":
		if r := x.Form.Get("refresh_token"); !x.W.Grants[r] && !strings.HasPrefix(r, "sandbox_") {
			fail("invalid_grant", "expired access/refresh token")
			return
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if strings.Count(x.Form.Get("assertion"), ".") != 2 {
			fail("invalid_grant", "invalid assertion")
			return
		}
	case "authorization_code":
		refresh, scope, problem := x.Redeem()
		if problem != "" {
			fail(problem, "invalid authorization code")
			return
		}
		more["refresh_token"], more["scope"] = refresh, scope
	default:
		fail("unsupported_grant_type", "grant type not supported")
		return
	}
	life := v.TokenLife
	if life == 0 {
		life = 2 * time.Hour
	}
	// There is no expires_in: the end shows when a call is refused.
	answer := map[string]any{"access_token": x.Grant(life), "instance_url": x.Base, "token_type": "Bearer", "issued_at": strconv.FormatInt(x.W.Now().UnixMilli(), 10)}
	maps.Copy(answer, more)
	x.Say(http.StatusOK, answer)
}

func (v *Simulator) describe(x *sandbox.Exchange, o *sobject) {
	out := []any{}
	for _, f := range o.fields {
		out = append(out, map[string]any{"name": f.name, "label": f.name, "type": f.typ, "length": f.length, "updateable": !f.fixed, "createable": !f.fixed, "nillable": !f.required, "scale": f.scale, "custom": strings.HasSuffix(f.name, "__c")})
	}
	x.Say(http.StatusOK, map[string]any{"name": o.name, "fields": out, "queryable": true})
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+0000") }

// held is a record's value as SOQL compares it.
func (o *sobject) held(r *sandbox.Record, name string) any {
	f := o.field(name)
	if f == nil {
		return nil
	}
	switch f.name {
	case "Id":
		return r.ID
	case "IsDeleted":
		return !r.Live()
	case "CreatedDate":
		return r.Created
	case "LastModifiedDate", "SystemModstamp":
		return r.Modified
	}
	if f.name == "Name" && f.fixed {
		return strings.TrimSpace(sandbox.Text(r.Fields["FirstName"]) + " " + sandbox.Text(r.Fields["LastName"]))
	}
	val := r.Fields[f.name]
	if val == nil {
		if f.typ == "boolean" {
			return false
		}
		return nil
	}
	if f.typ == "double" {
		n, _ := strconv.ParseFloat(sandbox.Text(val), 64)
		return n
	}
	return val
}

func (o *sobject) row(r *sandbox.Record, fields []string) map[string]any {
	out := map[string]any{"attributes": map[string]any{"type": o.name, "url": "/services/data/v62.0/sobjects/" + o.name + "/" + r.ID}}
	for _, name := range fields {
		f := o.field(name)
		switch val := o.held(r, name).(type) {
		case time.Time:
			out[f.name] = when(val)
		default:
			out[f.name] = val
		}
	}
	return out
}

func (v *Simulator) query(x *sandbox.Exchange, steps []string) {
	page := v.Page
	if page == 0 {
		page = 2000
	}
	text, from, all := x.Query.Get("q"), 0, steps[0] == "queryAll"
	locator := ""
	if len(steps) == 2 { // the rest of an earlier one
		locator, _, _ = strings.Cut(steps[1], "-")
		_, n, _ := strings.Cut(steps[1], "-")
		from, _ = strconv.Atoi(n)
		if text = x.W.Kept["query "+locator]; text == "" {
			v.fail(x, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
			return
		}
	}
	if len(x.Query.Encode()) > 16_384 {
		v.fail(x, http.StatusRequestURITooLong, "URI_TOO_LONG", "URI Too Long")
		return
	}
	q, err := parseSOQL(text)
	if err != nil {
		v.fail(x, http.StatusBadRequest, "MALFORMED_QUERY", err.Error())
		return
	}
	o := object(q.from)
	if o == nil {
		v.fail(x, http.StatusBadRequest, "INVALID_TYPE", "sObject type '"+q.from+"' is not supported.")
		return
	}
	for _, f := range q.fields {
		if o.field(f) == nil {
			v.fail(x, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+f+"' on entity '"+o.name+"'.")
			return
		}
	}
	var found []*sandbox.Record
	for _, r := range x.W.Sorted(o.name) {
		if (r.Live() || all && !r.Purged) && (q.where == nil || q.where(func(name string) any { return o.held(r, name) })) {
			found = append(found, r)
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		for _, s := range q.order {
			if c := compareSOQL(o.held(found[i], s.field), o.held(found[j], s.field)); c != 0 {
				return (c < 0) != s.desc
			}
		}
		return false
	})
	if q.limit > 0 && len(found) > q.limit {
		found = found[:q.limit]
	}
	if q.counted {
		x.Say(http.StatusOK, map[string]any{"totalSize": len(found), "done": true, "records": []any{}})
		return
	}
	rows := []any{}
	for i := from; i < len(found) && i < from+page; i++ {
		rows = append(rows, o.row(found[i], q.fields))
	}
	out := map[string]any{"totalSize": len(found), "done": from+page >= len(found), "records": rows}
	if from+page < len(found) {
		if locator == "" {
			locator = fmt.Sprintf("01g%012d", len(x.W.Kept)+1)
			x.W.Kept["query "+locator] = text
		}
		out["nextRecordsUrl"] = fmt.Sprintf("/services/data/v62.0/%s/%s-%d", steps[0], locator, from+page)
	}
	x.Say(http.StatusOK, out)
}

// accept checks values and says which code and message refuse them.
func (v *Simulator) accept(o *sobject, set map[string]any, creating bool) (out map[string]any, code, message string) {
	out = map[string]any{}
	for name, val := range set {
		if name == "attributes" || strings.EqualFold(name, "Id") {
			continue
		}
		f := o.field(name)
		text := sandbox.Text(val)
		switch {
		case f == nil:
			return nil, "INVALID_FIELD", "No such column '" + name + "' on sobject of type " + o.name
		case f.fixed:
			return nil, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: " + name + "."
		case val == nil && f.required:
			return nil, "REQUIRED_FIELD_MISSING", "Required fields are missing: [" + name + "]"
		case val != nil && f.length > 0 && utf8.RuneCountInString(text) > f.length:
			return nil, "STRING_TOO_LONG", fmt.Sprintf("%s: data value too large: %s (max length=%d)", name, text, f.length)
		case val != nil && f.typ == "email" && !strings.Contains(text, "@"):
			return nil, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: " + text
		}
		switch f.typ {
		case "boolean":
			if _, ok := val.(bool); !ok && val != nil {
				return nil, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean from " + text
			}
		case "double", "int":
			if _, ok := val.(json.Number); !ok && val != nil {
				return nil, "JSON_PARSER_ERROR", "Cannot deserialize instance of double from " + text
			}
		case "email":
			if s, ok := val.(string); ok {
				val = strings.ToLower(s)
			}
		}
		if val == "" {
			val = nil // an empty text is null there
		}
		out[f.name] = val
	}
	if creating && out[o.needs] == nil {
		return nil, "REQUIRED_FIELD_MISSING", "Required fields are missing: [" + o.needs + "]"
	}
	return out, "", ""
}

func (v *Simulator) create(x *sandbox.Exchange, o *sobject, set map[string]any) (*sandbox.Record, string, string) {
	out, code, message := v.accept(o, set, true)
	if code != "" {
		return nil, code, message
	}
	r := v.insert(x.W, o, out)
	x.Tell(o.name, "created", r.ID)
	return r, "", ""
}

func (v *Simulator) update(x *sandbox.Exchange, o *sobject, id string, set map[string]any) (string, string) {
	r := x.W.Table(o.name).Records[id]
	if r == nil {
		return "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"
	}
	if !r.Live() {
		return "ENTITY_IS_DELETED", "entity is deleted"
	}
	out, code, message := v.accept(o, set, false)
	if code != "" {
		return code, message
	}
	x.W.Update(o.name, id, out)
	names := make([]string, 0, len(out))
	for k := range out {
		names = append(names, k)
	}
	x.Tell(o.name, "updated", id, names...)
	return "", ""
}

func (v *Simulator) one(x *sandbox.Exchange, o *sobject, id string) {
	r := x.W.Get(o.name, id)
	if r == nil {
		if deleted := x.W.Table(o.name).Records[id]; deleted != nil && x.Method != http.MethodGet {
			v.fail(x, http.StatusNotFound, "ENTITY_IS_DELETED", "entity is deleted")
			return
		}
		v.fail(x, http.StatusNotFound, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+id)
		return
	}
	switch x.Method {
	case http.MethodGet:
		names := strings.Split(x.Query.Get("fields"), ",")
		if x.Query.Get("fields") == "" {
			names = nil
			for _, f := range o.fields {
				names = append(names, f.name)
			}
		}
		if i := slices.IndexFunc(names, func(n string) bool { return o.field(n) == nil }); i >= 0 {
			v.fail(x, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+names[i]+"' on entity '"+o.name+"'.")
			return
		}
		x.Say(http.StatusOK, o.row(r, names))
	case http.MethodPatch:
		if since, err := http.ParseTime(x.Header.Get("If-Unmodified-Since")); err == nil && r.Modified.Truncate(time.Second).After(since) {
			v.fail(x, http.StatusPreconditionFailed, "PRECONDITION_FAILED", "The record was modified")
			return
		}
		if code, message := v.update(x, o, id, sandbox.Map(x.Body)); code != "" {
			v.fail(x, http.StatusBadRequest, code, message)
			return
		}
		x.Say(http.StatusNoContent, nil)
	case http.MethodDelete:
		x.W.Delete(o.name, id)
		x.Tell(o.name, "deleted", id)
		x.Say(http.StatusNoContent, nil)
	}
}

func (v *Simulator) upsert(x *sandbox.Exchange, o *sobject, by, value string) {
	f := o.field(by)
	if f == nil {
		v.fail(x, http.StatusNotFound, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+by)
		return
	}
	var found []*sandbox.Record
	for _, r := range x.W.Sorted(o.name) {
		if r.Live() && sandbox.Same(r.Fields[f.name], value) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		set := map[string]any{f.name: value}
		for k, val := range sandbox.Map(x.Body) {
			set[k] = val
		}
		r, code, message := v.create(x, o, set)
		if code != "" {
			v.fail(x, http.StatusBadRequest, code, message)
			return
		}
		x.Say(http.StatusCreated, map[string]any{"id": r.ID, "success": true, "errors": []any{}, "created": true})
	case 1:
		if code, message := v.update(x, o, found[0].ID, sandbox.Map(x.Body)); code != "" {
			v.fail(x, http.StatusBadRequest, code, message)
			return
		}
		x.Say(http.StatusOK, map[string]any{"id": found[0].ID, "success": true, "errors": []any{}, "created": false})
	default:
		candidates := []any{}
		for _, r := range found {
			candidates = append(candidates, "/services/data/v62.0/sobjects/"+o.name+"/"+r.ID)
		}
		x.Say(http.StatusMultipleChoices, candidates)
	}
}

// composite writes up to 200 records. What fails, fails inside an answer of status 200.
func (v *Simulator) composite(x *sandbox.Exchange) {
	result := func(id, code, message string) any {
		if code == "" {
			return map[string]any{"id": id, "success": true, "errors": []any{}}
		}
		return map[string]any{"success": false, "errors": []any{map[string]any{"statusCode": code, "message": message, "fields": []any{}}}}
	}
	out := []any{}
	if x.Method == http.MethodDelete {
		for _, id := range strings.Split(x.Query.Get("ids"), ",") {
			o := holding(id)
			if o == nil || !x.W.Delete(o.name, id) {
				out = append(out, result(id, "ENTITY_IS_DELETED", "entity is deleted"))
				continue
			}
			x.Tell(o.name, "deleted", id)
			out = append(out, result(id, "", ""))
		}
		x.Say(http.StatusOK, out)
		return
	}
	records := sandbox.List(sandbox.At(x.Body, "records"))
	if len(records) > 200 {
		v.fail(x, http.StatusBadRequest, "LIMIT_EXCEEDED", "record limit reached. cannot submit more than 200 records in this call")
		return
	}
	for _, rec := range records {
		set := sandbox.Map(rec)
		o := object(sandbox.Text(sandbox.At(rec, "attributes", "type")))
		if o == nil {
			out = append(out, result("", "INVALID_TYPE", "sObject type is not supported"))
			continue
		}
		if x.Method == http.MethodPost {
			r, code, message := v.create(x, o, set)
			id := ""
			if r != nil {
				id = r.ID
			}
			out = append(out, result(id, code, message))
			continue
		}
		id := sandbox.Text(set["id"])
		if id == "" {
			id = sandbox.Text(set["Id"])
		}
		code, message := v.update(x, o, id, set)
		out = append(out, result(id, code, message))
	}
	x.Say(http.StatusOK, out)
}

// outbound is an outbound message as a flow sends it: SOAP with the ids of an organization, an action and a message, and the record.
const outbound = `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D000000000001EAA</OrganizationId><ActionId>04k000000000001AAA</ActionId><SessionId xsi:nil="true"/><EnterpriseUrl>https://sandbox.my.salesforce.com/services/Soap/c/62.0/00D000000000001</EnterpriseUrl><PartnerUrl>https://sandbox.my.salesforce.com/services/Soap/u/62.0/00D000000000001</PartnerUrl><Notification><Id>%s</Id><sObject xsi:type="sf:%s" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>%s</sf:Id></sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>`

// Message is an outbound message, as a flow sends one when a record was made or changed. Of deletions there is none, and nothing is
// signed: the address has the secret.
func (*Simulator) Message(_ *sandbox.World, h sandbox.Hook, e sandbox.Event) *http.Request {
	if e.Op == "deleted" {
		return nil
	}
	body := fmt.Sprintf(outbound, fmt.Sprintf("04l%012dAAA", e.Number), e.Table, e.ID)
	r, err := http.NewRequest(http.MethodPost, h.URL+"?token="+url.QueryEscape(h.Secret), strings.NewReader(body)) //nolint:noctx // whoever sends it gives the context
	if err != nil {
		return nil
	}
	r.Header.Set("Content-Type", "text/xml; charset=UTF-8")
	r.Header.Set("Soapaction", `""`)
	return r
}

var _ sandbox.Maker = (*Simulator)(nil)

// Make is a person's new record, with an id of this vendor's kind.
func (v *Simulator) Make(w *sandbox.World, table string, set map[string]any) string {
	return v.insert(w, object(table), set).ID
}
