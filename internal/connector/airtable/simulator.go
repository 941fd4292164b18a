// SPDX-License-Identifier: Apache-2.0

package airtable

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is Airtable as far as this connector needs it, with its quirks: empty fields are left out of records, ten records are
// written at a time and a faulty one refuses them all, values must be of the column's type, five calls a second.
type Simulator struct {
	Rate      int           // calls a second; 5 when zero
	TokenLife time.Duration // of an access token of OAuth; 1 h when zero
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "airtable" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: sandbox.GridRows, Title: "Contacts", Object: "Contacts", Columns: []string{"id", "name", "email", "phone"}}}
}

// Seed makes a table with a few people.
func (*Simulator) Seed(w *sandbox.World) {
	g := MakeTable(w, "Contacts", map[string]string{}, "id", "name", "email", "phone")
	for i, p := range [][3]string{{"Maria Garcia", "maria.garcia@example.com", "+34911234567"}, {"Kenji Ito", "kenji.ito@example.com", "+81312345678"}, {"Ada Obi", "ada.obi@example.com", "+23412345678"}} {
		g.Add(map[string]any{"id": fmt.Sprintf("c-%d", i+1), "name": p[0], "email": p[1], "phone": p[2]})
	}
}

// MakeTable makes a table whose columns are of these types, single-line text where none is given.
func MakeTable(w *sandbox.World, title string, types map[string]string, columns ...string) sandbox.Grid {
	b, _ := json.Marshal(types) // texts
	w.Kept["types/"+title] = string(b)
	return sandbox.MakeGrid(w, title, columns...)
}

// Make adds a record that a person wrote in the playground.
func (*Simulator) Make(w *sandbox.World, _ string, set map[string]any) string {
	return sandbox.Grid{W: w, Title: "Contacts"}.Add(set).ID
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

func fail(x *sandbox.Exchange, status int, typ, message string) {
	x.Say(status, map[string]any{"error": map[string]any{"type": typ, "message": message}})
}

func typeOf(w *sandbox.World, title, column string) string {
	types := map[string]string{}
	_ = json.Unmarshal([]byte(w.Kept["types/"+title]), &types) // as MakeTable wrote it
	if t := types[column]; t != "" {
		return t
	}
	return "singleLineText"
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if x.Path == "/oauth2/v1/authorize" {
		consent.Ask(x)
		return
	}
	if x.Path == "/oauth2/v1/token" {
		life := v.TokenLife
		if life == 0 {
			life = time.Hour
		}
		x.Issue(sandbox.Issuer{Life: life, Once: true, Ends: 60 * 24 * time.Hour, Basic: true, Public: true})
		return
	}
	if !x.Allowed(x.Bearer()) {
		fail(x, http.StatusUnauthorized, "AUTHENTICATION_REQUIRED", "Authentication required")
		return
	}
	rate := v.Rate
	if rate == 0 {
		rate = 5
	}
	if wait, _ := x.W.Spend("calls", rate, time.Second); wait > 0 {
		fail(x, http.StatusTooManyRequests, "RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later")
		return
	}
	if len(x.Steps) < 3 || x.Steps[0] != "v0" {
		return
	}
	if x.Steps[1] == "meta" {
		if len(x.Steps) == 5 && !strings.HasPrefix(x.Steps[3], "appNone") {
			v.schema(x)
		} else {
			fail(x, http.StatusForbidden, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the requested model was not found.")
		}
		return
	}
	title := ""
	for _, t := range sandbox.Grids(x.W) {
		if tableID(t) == x.Steps[2] || t == x.Steps[2] {
			title = t
		}
	}
	if title == "" {
		fail(x, http.StatusForbidden, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the requested model was not found.")
		return
	}
	g := sandbox.Grid{W: x.W, Title: title}
	switch x.Method {
	case http.MethodGet:
		v.list(x, g)
	case http.MethodPost, http.MethodPatch:
		v.write(x, g)
	case http.MethodDelete:
		v.remove(x, g)
	}
}

func tableID(title string) string {
	n := uint64(7)
	for _, c := range title {
		n = n*31 + uint64(c)
	}
	return fmt.Sprintf("tbl%014d", n%100_000_000_000_000)
}

func recordOf(r *sandbox.Record) string {
	n, _ := strconv.Atoi(r.ID)
	return fmt.Sprintf("rec%014d", n)
}

func (v *Simulator) schema(x *sandbox.Exchange) {
	var tables []any
	for _, t := range sandbox.Grids(x.W) {
		var fields []any
		for i, c := range (sandbox.Grid{W: x.W, Title: t}).Header() {
			f := map[string]any{"id": fmt.Sprintf("fld%014d", i+1), "name": c, "type": typeOf(x.W, t, c)}
			if typ, precision, ok := strings.Cut(typeOf(x.W, t, c), "/"); ok {
				n, _ := strconv.Atoi(precision)
				f["type"], f["options"] = typ, map[string]any{"precision": n}
			}
			fields = append(fields, f)
		}
		tables = append(tables, map[string]any{"id": tableID(t), "name": t, "primaryFieldId": "fld00000000000001", "fields": fields})
	}
	x.Say(http.StatusOK, map[string]any{"tables": tables})
}

func show(g sandbox.Grid, r *sandbox.Record) map[string]any {
	fields := map[string]any{}
	for _, c := range g.Header() {
		if value := r.Fields[c]; value != nil && value != "" && value != false {
			fields[c] = value
		}
	}
	return map[string]any{"id": recordOf(r), "createdTime": r.Created.UTC().Format("2006-01-02T15:04:05.000Z"), "fields": fields}
}

func (v *Simulator) list(x *sandbox.Exchange, g sandbox.Grid) {
	size, err := strconv.Atoi(x.Query.Get("pageSize"))
	if err != nil {
		size = 100
	}
	if size > 100 {
		fail(x, http.StatusUnprocessableEntity, "INVALID_REQUEST_UNKNOWN", "pageSize must be at most 100")
		return
	}
	from, _ := strconv.Atoi(x.Query.Get("offset"))
	records := []any{}
	rows := g.Rows()
	for i := from; i < len(rows) && len(records) < size; i++ {
		records = append(records, show(g, rows[i]))
	}
	out := map[string]any{"records": records}
	if from+len(records) < len(rows) {
		out["offset"] = strconv.Itoa(from + len(records))
	}
	x.Say(http.StatusOK, out)
}

func (v *Simulator) find(g sandbox.Grid, id string) *sandbox.Record {
	for _, r := range g.Rows() {
		if recordOf(r) == id {
			return r
		}
	}
	return nil
}

func (v *Simulator) write(x *sandbox.Exchange, g sandbox.Grid) {
	list := sandbox.List(sandbox.At(x.Body, "records"))
	if len(list) == 0 || len(list) > 10 {
		fail(x, http.StatusUnprocessableEntity, "INVALID_REQUEST_UNKNOWN", "Invalid request: parameter validation failed. You can write at most 10 records per request")
		return
	}
	header := map[string]bool{}
	for _, c := range g.Header() {
		header[c] = true
	}
	for _, e := range list { // all or none
		if x.Method == http.MethodPatch && v.find(g, sandbox.Text(sandbox.At(e, "id"))) == nil {
			fail(x, http.StatusUnprocessableEntity, "ROW_DOES_NOT_EXIST", "Record ID does not exist in this table")
			return
		}
		for name, value := range sandbox.Map(sandbox.At(e, "fields")) {
			if !header[name] {
				fail(x, http.StatusUnprocessableEntity, "UNKNOWN_FIELD_NAME", fmt.Sprintf("Unknown field name: %q", name))
				return
			}
			typ, _, _ := strings.Cut(typeOf(x.W, g.Title, name), "/")
			_, isText := value.(string)
			_, isNumber := value.(json.Number)
			_, isBool := value.(bool)
			if value != nil && (typ == "number" && !isNumber || typ == "checkbox" && !isBool || typ == "singleLineText" && !isText) {
				fail(x, http.StatusUnprocessableEntity, "INVALID_VALUE_FOR_COLUMN", fmt.Sprintf("Field %q cannot accept the provided value", name))
				return
			}
		}
	}
	var out []any
	for _, e := range list {
		fields := sandbox.Map(sandbox.At(e, "fields"))
		r := v.find(g, sandbox.Text(sandbox.At(e, "id")))
		if x.Method == http.MethodPost {
			r = g.Add(fields)
		} else {
			x.W.Update(sandbox.GridRows, r.ID, fields)
		}
		out = append(out, show(g, r))
	}
	x.Say(http.StatusOK, map[string]any{"records": out})
}

func (v *Simulator) remove(x *sandbox.Exchange, g sandbox.Grid) {
	ids := x.Query["records[]"]
	if len(ids) == 0 || len(ids) > 10 {
		fail(x, http.StatusUnprocessableEntity, "INVALID_REQUEST_UNKNOWN", "Invalid request: at most 10 records per request")
		return
	}
	for _, id := range ids {
		if v.find(g, id) == nil {
			fail(x, http.StatusForbidden, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the requested model was not found.")
			return
		}
	}
	var out []any
	for _, id := range ids {
		g.Remove(v.find(g, id))
		out = append(out, map[string]any{"id": id, "deleted": true})
	}
	x.Say(http.StatusOK, map[string]any{"records": out})
}

var consent = sandbox.Consent{Vendor: "Airtable", Account: "sandbox@example.com", PKCE: true, Known: true, Scopes: map[string]string{
	"data.records:read": "See the data in records", "data.records:write": "Create, edit, and delete records", "schema.bases:read": "See the structure of a base",
}}
