// SPDX-License-Identifier: Apache-2.0

package googlesheets

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is Google Sheets as far as this connector needs it, with its quirks: rows have no id and no time, empty cells at the end
// of a row and empty rows at the end are left out, null leaves a cell as it is, structural changes happen all or none, 60 reads and
// writes a minute for each person.
type Simulator struct {
	Rate      int           // calls a minute; 60 when zero
	TokenLife time.Duration // of an access token; 1 h when zero
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "google-sheets" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: sandbox.GridRows, Title: "Contacts", Object: "Contacts", Columns: []string{"id", "name", "email", "phone"}}}
}

// Seed makes a sheet with a few people.
func (*Simulator) Seed(w *sandbox.World) {
	g := sandbox.MakeGrid(w, "Contacts", "id", "name", "email", "phone")
	for i, p := range [][3]string{{"Maria Garcia", "maria.garcia@example.com", "+34911234567"}, {"Kenji Ito", "kenji.ito@example.com", "+81312345678"}, {"Ada Obi", "ada.obi@example.com", "+23412345678"}} {
		g.Add(map[string]any{"id": fmt.Sprintf("c-%d", i+1), "name": p[0], "email": p[1], "phone": p[2]})
	}
}

// Make adds a row that a person wrote in the playground.
func (*Simulator) Make(w *sandbox.World, _ string, set map[string]any) string {
	return sandbox.Grid{W: w, Title: "Contacts"}.Add(set).ID
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

func fail(x *sandbox.Exchange, status int, code, message string) {
	x.Say(status, map[string]any{"error": map[string]any{"code": status, "message": message, "status": code}})
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if x.Path == "/o/oauth2/v2/auth" {
		consent.Ask(x)
		return
	}
	if x.Path == "/token" {
		life := v.TokenLife
		if life == 0 {
			life = time.Hour
		}
		x.Issue(sandbox.Issuer{Life: life, Others: []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}})
		return
	}
	if !x.Allowed(x.Bearer()) {
		fail(x, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	rate := v.Rate
	if rate == 0 {
		rate = 60
	}
	if wait, _ := x.W.Spend("calls", rate, time.Minute); wait > 0 {
		fail(x, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user'.")
		return
	}
	rest, ok := strings.CutPrefix(x.Path, "/v4/spreadsheets/")
	if !ok {
		return
	}
	id, rest, _ := strings.Cut(rest, "/")
	id, verb, _ := strings.Cut(id, ":")
	if strings.HasPrefix(id, "no-") {
		fail(x, http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
		return
	}
	switch {
	case rest == "" && verb == "" && x.Method == http.MethodGet:
		v.about(x)
	case rest == "" && verb == "batchUpdate" && x.Method == http.MethodPost:
		v.change(x)
	case rest == "values:batchGet" && x.Method == http.MethodGet:
		var out []any
		for _, r := range x.Query["ranges"] {
			a, ok := parse(x.W, r)
			if !ok {
				fail(x, http.StatusBadRequest, "INVALID_ARGUMENT", "Unable to parse range: "+r)
				return
			}
			out = append(out, a.read(r))
		}
		x.Say(http.StatusOK, map[string]any{"spreadsheetId": id, "valueRanges": out})
	case rest == "values:batchUpdate" && x.Method == http.MethodPost:
		v.write(x, id)
	case strings.HasPrefix(rest, "values/") && x.Method == http.MethodGet:
		r, _ := url.PathUnescape(strings.TrimPrefix(rest, "values/"))
		a, ok := parse(x.W, r)
		if !ok {
			fail(x, http.StatusBadRequest, "INVALID_ARGUMENT", "Unable to parse range: "+r)
			return
		}
		x.Say(http.StatusOK, a.read(r))
	}
}

func (v *Simulator) about(x *sandbox.Exchange) {
	var sheets []any
	for i, t := range sandbox.Grids(x.W) {
		sheets = append(sheets, map[string]any{"properties": map[string]any{"sheetId": sheetID(x.W, t, i), "title": t, "sheetType": "GRID"}})
	}
	x.Say(http.StatusOK, map[string]any{"sheets": sheets})
}

// sheetID is a number that stays the sheet's.
func sheetID(w *sandbox.World, title string, _ int) int64 {
	var n int64 = 7
	for _, c := range title {
		n = n*31 + int64(c)
	}
	return n % 1_000_000_007
}

// area is a range of a sheet; row 0 is the header.
type area struct {
	sandbox.Grid
	fromRow, toRow, fromColumn, toColumn int // the last are not in it; -1 is without end
}

var a1 = regexp.MustCompile(`^([A-Z]*)(\d*)(?::([A-Z]*)(\d*))?$`)

func parse(w *sandbox.World, text string) (area, bool) {
	title, cells, _ := strings.Cut(text, "'!")
	title = strings.ReplaceAll(strings.Trim(title, "'"), "''", "'")
	a := area{Grid: sandbox.Grid{W: w, Title: title}, toRow: -1, toColumn: -1}
	if !a.There() {
		return a, false
	}
	m := a1.FindStringSubmatch(cells)
	if m == nil {
		return a, false
	}
	number := func(letters string) int {
		n := 0
		for _, c := range letters {
			n = n*26 + int(c-'A') + 1
		}
		return n - 1
	}
	if m[1] != "" {
		a.fromColumn = number(m[1])
	}
	if m[2] != "" {
		n, _ := strconv.Atoi(m[2])
		a.fromRow = n - 1
	}
	if m[3] != "" {
		a.toColumn = number(m[3]) + 1
	}
	if m[4] != "" {
		a.toRow, _ = strconv.Atoi(m[4])
	}
	return a, true
}

func (a area) read(text string) map[string]any {
	var lines [][]any
	header := []any{}
	for _, h := range a.Header() {
		header = append(header, h)
	}
	lines = append(lines, header)
	for _, r := range a.Rows() {
		lines = append(lines, a.Cells(r))
	}
	out := [][]any{}
	for i := a.fromRow; i < len(lines) && (a.toRow < 0 || i < a.toRow); i++ {
		line := lines[i]
		if a.fromColumn < len(line) {
			line = line[a.fromColumn:]
		} else {
			line = nil
		}
		if a.toColumn >= 0 && len(line) > a.toColumn-a.fromColumn {
			line = line[:a.toColumn-a.fromColumn]
		}
		out = append(out, append([]any{}, line...))
	}
	for len(out) > 0 && len(out[len(out)-1]) == 0 {
		out = out[:len(out)-1]
	}
	answer := map[string]any{"range": text, "majorDimension": "ROWS"}
	if len(out) > 0 {
		answer["values"] = out
	}
	return answer
}

func (v *Simulator) write(x *sandbox.Exchange, id string) {
	if sandbox.Text(sandbox.At(x.Body, "valueInputOption")) == "" {
		fail(x, http.StatusBadRequest, "INVALID_ARGUMENT", "'valueInputOption' is required but not specified")
		return
	}
	for _, d := range sandbox.List(sandbox.At(x.Body, "data")) {
		a, ok := parse(x.W, sandbox.Text(sandbox.At(d, "range")))
		if !ok {
			fail(x, http.StatusBadRequest, "INVALID_ARGUMENT", "Unable to parse range")
			return
		}
		header, rows := a.Header(), a.Rows()
		for i, line := range sandbox.List(sandbox.At(d, "values")) {
			n := a.fromRow + i - 1
			for j, value := range sandbox.List(line) {
				c := a.fromColumn + j
				if value == nil || c >= len(header) || n < 0 {
					continue
				}
				for n >= len(rows) {
					a.Add(map[string]any{})
					rows = a.Rows()
				}
				if value == "" {
					value = nil
				}
				x.W.Update(sandbox.GridRows, rows[n].ID, map[string]any{header[c]: value})
			}
		}
	}
	x.Say(http.StatusOK, map[string]any{"spreadsheetId": id})
}

func (v *Simulator) change(x *sandbox.Exchange) {
	grids := map[string]sandbox.Grid{}
	for i, t := range sandbox.Grids(x.W) {
		grids[strconv.FormatInt(sheetID(x.W, t, i), 10)] = sandbox.Grid{W: x.W, Title: t}
	}
	for _, r := range sandbox.List(sandbox.At(x.Body, "requests")) {
		id := sandbox.Text(sandbox.At(r, "appendCells", "sheetId"))
		if sandbox.At(r, "deleteDimension") != nil {
			id = sandbox.Text(sandbox.At(r, "deleteDimension", "range", "sheetId"))
		}
		if _, known := grids[id]; !known {
			fail(x, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid requests: No grid with id: "+id)
			return
		}
	}
	for _, r := range sandbox.List(sandbox.At(x.Body, "requests")) {
		if a := sandbox.At(r, "appendCells"); a != nil {
			g := grids[sandbox.Text(sandbox.At(a, "sheetId"))]
			header := g.Header()
			for _, row := range sandbox.List(sandbox.At(a, "rows")) {
				f := map[string]any{}
				for j, c := range sandbox.List(sandbox.At(row, "values")) {
					for _, kind := range []string{"stringValue", "numberValue", "boolValue"} {
						if value := sandbox.At(c, "userEnteredValue", kind); value != nil && j < len(header) {
							f[header[j]] = value
						}
					}
				}
				g.Add(f)
			}
		}
		if d := sandbox.At(r, "deleteDimension", "range"); d != nil {
			g := grids[sandbox.Text(sandbox.At(d, "sheetId"))]
			from, _ := strconv.Atoi(sandbox.Text(sandbox.At(d, "startIndex")))
			to, _ := strconv.Atoi(sandbox.Text(sandbox.At(d, "endIndex")))
			rows := g.Rows()
			for i := range slices.Values(rows[max(0, min(from-1, len(rows))):max(0, min(to-1, len(rows)))]) {
				g.Remove(i)
			}
		}
	}
	x.Say(http.StatusOK, map[string]any{"replies": []any{}})
}

var consent = sandbox.Consent{Vendor: "Google", Account: "sandbox@example.com", PKCE: true, Known: true, Scopes: map[string]string{scope: "See, edit, create and delete your spreadsheets"},
	Lasting: func(q url.Values) bool { return q.Get("access_type") == "offline" && q.Get("prompt") == "consent" }}
