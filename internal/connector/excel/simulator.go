// SPDX-License-Identifier: Apache-2.0

package excel

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

// Simulator is a workbook in Microsoft Graph as far as this connector needs it, with its quirks: a row is an index and values, the
// indices shift after a deletion, null leaves a cell as it is, an apostrophe marks a text, twenty requests go in a batch, refresh
// tokens are replaced.
type Simulator struct {
	Rate      int           // calls in 10 s; 200 when zero
	TokenLife time.Duration // of an access token; 1 h when zero
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "excel" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: sandbox.GridRows, Title: "Contacts", Object: "Contacts", Columns: []string{"id", "name", "email", "phone"}}}
}

// Seed makes a table with a few people.
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
	x.Say(status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

var itemAt = regexp.MustCompile(`^rows/itemAt\(index=(\d+)\)$`)

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if strings.HasSuffix(x.Path, "/oauth2/v2.0/authorize") {
		consent.Ask(x)
		return
	}
	if strings.HasSuffix(x.Path, "/oauth2/v2.0/token") {
		life := v.TokenLife
		if life == 0 {
			life = time.Hour
		}
		x.Issue(sandbox.Issuer{Life: life, Next: true, Others: []string{"client_credentials"}})
		return
	}
	if !x.Allowed(x.Bearer()) {
		fail(x, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
		return
	}
	rate := v.Rate
	if rate == 0 {
		rate = 200
	}
	if wait, _ := x.W.Spend("calls", rate, 10*time.Second); wait > 0 {
		x.Reply.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		fail(x, http.StatusTooManyRequests, "TooManyRequests", "The server is busy. Please try again later.")
		return
	}
	path := strings.TrimPrefix(x.Path, "/v1.0")
	if path == "/$batch" {
		v.batch(x)
		return
	}
	v.one(x, path)
}

func (v *Simulator) batch(x *sandbox.Exchange) {
	list := sandbox.List(sandbox.At(x.Body, "requests"))
	if len(list) > perBatch {
		fail(x, http.StatusBadRequest, "BadRequest", "Number of batch request steps exceeds the maximum value of 20.")
		return
	}
	var out []any
	failed := false
	for _, r := range list {
		id := sandbox.Text(sandbox.At(r, "id"))
		if failed && sandbox.At(r, "dependsOn") != nil {
			out = append(out, map[string]any{"id": id, "status": http.StatusFailedDependency, "body": map[string]any{}})
			continue
		}
		inner := *x
		inner.Method, inner.Body, inner.Reply = sandbox.Text(sandbox.At(r, "method")), sandbox.At(r, "body"), http.Header{}
		u, err := url.Parse(sandbox.Text(sandbox.At(r, "url")))
		if err != nil {
			fail(x, http.StatusBadRequest, "BadRequest", err.Error())
			return
		}
		inner.Query, inner.Status = u.Query(), 0
		v.one(&inner, u.Path)
		failed = failed || inner.Status/100 != 2
		out = append(out, map[string]any{"id": id, "status": inner.Status, "body": inner.Answer})
	}
	x.Say(http.StatusOK, map[string]any{"responses": out})
}

func (v *Simulator) one(x *sandbox.Exchange, path string) {
	file, rest, ok := strings.Cut(path, "/workbook/")
	if !ok || strings.Contains(file, "no-such") {
		fail(x, http.StatusNotFound, "itemNotFound", "The resource could not be found.")
		return
	}
	if rest == "tables" {
		tables := []any{}
		for _, t := range sandbox.Grids(x.W) {
			tables = append(tables, map[string]any{"name": t})
		}
		x.Say(http.StatusOK, map[string]any{"value": tables})
		return
	}
	title, rest, _ := strings.Cut(strings.TrimPrefix(rest, "tables/"), "/")
	g := sandbox.Grid{W: x.W, Title: title}
	if !g.There() {
		fail(x, http.StatusNotFound, "ItemNotFound", "The requested resource doesn't exist.")
		return
	}
	header, rows := g.Header(), g.Rows()
	at := itemAt.FindStringSubmatch(rest)
	switch {
	case rest == "headerRowRange":
		line := make([]any, len(header))
		for i, h := range header {
			line[i] = h
		}
		x.Say(http.StatusOK, map[string]any{"values": [][]any{line}})
	case rest == "rows" && x.Method == http.MethodGet:
		skip, _ := strconv.Atoi(x.Query.Get("$skip"))
		top, _ := strconv.Atoi(x.Query.Get("$top"))
		out := []any{}
		for i := skip; i < len(rows) && len(out) < top; i++ {
			line := make([]any, len(header)) // a table's rows have all their cells
			for j, h := range header {
				if line[j] = rows[i].Fields[h]; line[j] == nil {
					line[j] = ""
				}
			}
			out = append(out, map[string]any{"index": i, "values": [][]any{line}})
		}
		x.Say(http.StatusOK, map[string]any{"value": out})
	case rest == "rows" && x.Method == http.MethodPost:
		for _, line := range sandbox.List(sandbox.At(x.Body, "values")) {
			if len(sandbox.List(line)) != len(header) {
				fail(x, http.StatusBadRequest, "InvalidArgument", "The argument is invalid or missing or has an incorrect format.")
				return
			}
		}
		for _, line := range sandbox.List(sandbox.At(x.Body, "values")) {
			f := map[string]any{}
			for j, value := range sandbox.List(line) {
				f[header[j]] = kept(value)
			}
			g.Add(f)
		}
		x.Say(http.StatusCreated, map[string]any{"index": len(rows)})
	case at != nil:
		n, _ := strconv.Atoi(at[1])
		if n >= len(rows) {
			fail(x, http.StatusNotFound, "ItemNotFound", "The requested resource doesn't exist.")
			return
		}
		if x.Method == http.MethodDelete {
			g.Remove(rows[n])
			x.Say(http.StatusNoContent, nil)
			return
		}
		set := map[string]any{}
		for _, line := range sandbox.List(sandbox.At(x.Body, "values")) {
			if len(sandbox.List(line)) != len(header) {
				fail(x, http.StatusBadRequest, "InvalidArgument", "The argument is invalid or missing or has an incorrect format.")
				return
			}
			for j, value := range sandbox.List(line) {
				if value != nil {
					set[header[j]] = kept(value)
				}
			}
		}
		x.W.Update(sandbox.GridRows, rows[n].ID, set)
		x.Say(http.StatusOK, map[string]any{"index": n})
	}
}

// kept is what a cell makes of what is entered.
func kept(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	if rest, marked := strings.CutPrefix(text, "'"); marked {
		return rest
	}
	switch {
	case text == "":
		return nil
	case strings.EqualFold(text, "true"), strings.EqualFold(text, "false"):
		return strings.EqualFold(text, "true")
	case strings.HasPrefix(text, "="):
		return "#NAME?"
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}

var consent = sandbox.Consent{Vendor: "Microsoft", Account: "sandbox@example.com", Known: true, Scopes: map[string]string{
	"offline_access": "Keep access to data that you gave it access to", "Files.ReadWrite.All": "Have full access to all files that you have access to",
}, Lasting: func(q url.Values) bool { return slices.Contains(strings.Fields(q.Get("scope")), "offline_access") }}
