// SPDX-License-Identifier: Apache-2.0

// Package googlesheets is the connector of spreadsheets in Google Sheets, and a simulator of one.
package googlesheets

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/webapi"
	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is the connector type google-sheets.
type Connector struct {
	*webapi.SignIn
	pool *transport.Pool
}

var _ connector.Granter = (*Connector)(nil)

// New returns the connector.
func New(pool *transport.Pool) *Connector {
	c := &Connector{pool: pool}
	c.SignIn = &webapi.SignIn{Pool: pool, Of: c.Spec, Scopes: []string{scope}, Way: way}
	return c
}

// way asks for access that lasts: the vendor gives a refresh token only to who asks for it, and only when the person says yes anew.
func way(settings connector.Settings) webapi.Way {
	return webapi.Way{AuthorizeURL: "https://accounts.google.com/o/oauth2/v2/auth", Parameters: map[string]string{"access_type": "offline", "prompt": "consent"},
		Auth: webapi.Auth{TokenURL: tokens, ClientID: settings["clientId"], ClientSecret: settings["clientSecret"]}}
}

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	settings := []connector.Setting{
		{Name: "spreadsheet", Title: "Spreadsheet", Kind: connector.Text, Required: true, Doc: "Address or id of the spreadsheet: https://docs.google.com/spreadsheets/d/ID/edit."},
		{Name: "serviceAccount", Title: "Service account key", Kind: connector.Text, Secret: true, Doc: "The JSON file with the key of a service account; share the spreadsheet with the account's address."},
	}
	settings = append(append(append(settings, webapi.OAuthSettings("Google")...), sheet.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "google-sheets",
		Aliases:    []string{"googlesheets", "gsheets"},
		Title:      "Google Sheets",
		Summary:    "Sheets of a spreadsheet in Google Sheets, both ways: the first line has the names of the columns.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{sheet.ByHash},
		Deletes:    sheet.Deletes,
		Guarantee:  sheet.Guarantee,
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (c *Connector) Sandboxed(settings map[string]string) bool {
	return webapi.Sandboxed(c.Spec(), settings)
}

const (
	base   = "https://sheets.googleapis.com/v4/spreadsheets/"
	scope  = "https://www.googleapis.com/auth/spreadsheets"
	tokens = "https://oauth2.googleapis.com/token"
)

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := sheet.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	id := settings["spreadsheet"]
	if _, rest, ok := strings.Cut(id, "/d/"); ok {
		id, _, _ = strings.Cut(rest, "/")
	}
	client, err := webapi.New(ctx, c.pool, "google-sheets/"+id, []transport.Limit{{Operations: []string{"get", "read"}, Calls: 60, Per: time.Minute}, {Operations: []string{"write"}, Calls: 60, Per: time.Minute}},
		webapi.Auth{TokenURL: tokens, ClientID: settings["clientId"], ClientSecret: settings["clientSecret"], RefreshToken: settings["refreshToken"],
			AccessToken: settings["accessToken"], ServiceAccount: settings["serviceAccount"], Scope: scope, Fill: "serviceAccount, or clientId, clientSecret and refreshToken, or connect on the connection's page"},
		c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	g := &grid{client: client, at: base + url.PathEscape(id)}
	client.Fault = g.fault
	return sheet.New(sheet.Positional(g, options), options, env, sheet.Every())
}

// grid is a spreadsheet; its sheets are the objects.
type grid struct {
	client *webapi.Client
	at     string

	mu     sync.Mutex
	sheets map[record.Object]int64 // ids by title
}

func (g *grid) fault(a *transport.Answer) error {
	switch {
	case a.Status == http.StatusNotFound:
		return &connector.Error{Class: connector.Reconnect, Code: "sheet.not_found", Message: "There is no such spreadsheet, or the credentials may not see it. Check the setting spreadsheet, and share the spreadsheet with the account."}
	case a.Status == http.StatusForbidden && strings.Contains(string(a.Body), "PERMISSION_DENIED"):
		return &connector.Error{Class: connector.Reconnect, Code: "sheet.forbidden", Message: "The credentials may not use the spreadsheet. Share it with the account; to write, as editor."}
	}
	return nil
}

func (g *grid) Check(ctx context.Context) error {
	_, err := g.titles(ctx)
	return err
}

func (g *grid) Wait(ctx context.Context, d time.Duration) error { return g.client.Wait(ctx, d) }

func (g *grid) Close() error {
	g.client.Close()
	return nil
}

func (g *grid) titles(ctx context.Context) (map[record.Object]int64, error) {
	a, err := g.client.Do(ctx, webapi.Call{Operation: "get", Method: http.MethodGet, URL: g.at + "?fields=" + url.QueryEscape("sheets.properties(sheetId,title,sheetType)")})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Sheets []struct {
			Properties struct {
				SheetID int64  `json:"sheetId"`
				Title   string `json:"title"`
				Type    string `json:"sheetType"`
			} `json:"properties"`
		} `json:"sheets"`
	}
	if err := webapi.Decode(a, &answer); err != nil {
		return nil, err
	}
	out := map[record.Object]int64{}
	for _, s := range answer.Sheets {
		if s.Properties.Type == "" || s.Properties.Type == "GRID" {
			out[record.Object(s.Properties.Title)] = s.Properties.SheetID
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sheets = out
	return out, nil
}

// sheet is the id of the sheet, as it was when it was asked for last.
func (g *grid) sheet(ctx context.Context, object record.Object) (int64, error) {
	g.mu.Lock()
	id, known := g.sheets[object]
	g.mu.Unlock()
	if known {
		return id, nil
	}
	titles, err := g.titles(ctx)
	if err != nil {
		return 0, err
	}
	id, known = titles[object]
	if !known {
		return 0, missing(object)
	}
	return id, nil
}

func missing(object record.Object) error {
	return &connector.Error{Class: connector.Reject, Code: "sheet.no_table", Message: fmt.Sprintf("There is no table or sheet %s there. Make it, or correct the name in the document.", object)}
}

func (g *grid) Objects(ctx context.Context) (out []record.Object, err error) {
	titles, err := g.titles(ctx)
	for t := range titles {
		out = append(out, t)
	}
	return out, err
}

func quoted(object record.Object) string {
	return "'" + strings.ReplaceAll(string(object), "'", "''") + "'"
}

const render = "valueRenderOption=UNFORMATTED_VALUE&dateTimeRenderOption=FORMATTED_STRING"

type values struct {
	Range  string  `json:"range"`
	Values [][]any `json:"values"`
}

func (g *grid) All(ctx context.Context, object record.Object) ([]string, [][]any, error) {
	if _, err := g.sheet(ctx, object); err != nil {
		return nil, nil, err
	}
	a, err := g.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: g.at + "/values/" + url.PathEscape(quoted(object)) + "?" + render})
	if err != nil {
		if a != nil && a.Status == http.StatusBadRequest { // it was renamed
			return nil, nil, missing(object)
		}
		return nil, nil, err
	}
	var answer values
	if err := webapi.Decode(a, &answer); err != nil {
		return nil, nil, err
	}
	if len(answer.Values) == 0 {
		return nil, nil, nil
	}
	header := make([]string, len(answer.Values[0]))
	for i, v := range answer.Values[0] {
		header[i] = record.Text(v)
	}
	return header, answer.Values[1:], nil
}

// maxRanges is how many ranges are asked for in one address; for more, reading all is cheaper.
const maxRanges = 40

func (g *grid) Some(ctx context.Context, object record.Object, rows []int) ([][]any, error) {
	if len(rows) > maxRanges {
		header, all, err := g.All(ctx, object)
		out := make([][]any, len(rows))
		for i, r := range rows {
			if r < 0 {
				for _, h := range header {
					out[i] = append(out[i], h)
				}
			} else if r < len(all) {
				out[i] = all[r]
			}
		}
		return out, err
	}
	q := make([]string, 0, len(rows)+1)
	for _, r := range rows {
		q = append(q, "ranges="+url.QueryEscape(fmt.Sprintf("%s!%d:%d", quoted(object), r+2, r+2)))
	}
	a, err := g.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: g.at + "/values:batchGet?" + strings.Join(append(q, render), "&")})
	if err != nil {
		return nil, err
	}
	var answer struct {
		ValueRanges []values `json:"valueRanges"`
	}
	if err := webapi.Decode(a, &answer); err != nil {
		return nil, err
	}
	out := make([][]any, len(rows))
	for i := range out {
		if i < len(answer.ValueRanges) && len(answer.ValueRanges[i].Values) > 0 {
			out[i] = answer.ValueRanges[i].Values[0]
		}
	}
	return out, nil
}

// Set writes cells that stand side by side as one range.
func (g *grid) Set(ctx context.Context, object record.Object, cells []sheet.Cell) error {
	var data []values
	for i := 0; i < len(cells); {
		j := i + 1
		row := []any{written(cells[i].Value)}
		for j < len(cells) && cells[j].Row == cells[i].Row && cells[j].Column == cells[j-1].Column+1 {
			row = append(row, written(cells[j].Value))
			j++
		}
		data = append(data, values{fmt.Sprintf("%s!%s%d:%s%d", quoted(object), sheet.Letters(cells[i].Column), cells[i].Row+2, sheet.Letters(cells[j-1].Column), cells[i].Row+2), [][]any{row}})
		i = j
	}
	_, err := g.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: g.at + "/values:batchUpdate", JSON: map[string]any{"valueInputOption": "RAW", "data": data}})
	return err
}

// written is a value as it is sent: null would leave the cell as it is.
func written(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func (g *grid) Append(ctx context.Context, object record.Object, rows [][]any) error {
	id, err := g.sheet(ctx, object)
	if err != nil {
		return err
	}
	list := make([]any, len(rows))
	for i, row := range rows {
		cells := make([]any, len(row))
		for j, v := range row {
			cells[j] = cell(v)
		}
		list[i] = map[string]any{"values": cells}
	}
	return g.change(ctx, map[string]any{"appendCells": map[string]any{"sheetId": id, "rows": list, "fields": "userEnteredValue"}})
}

// cell is a value as a person would have entered it, but for a text that begins with an equals sign, which stays a text.
func cell(v any) map[string]any {
	switch v := v.(type) {
	case nil:
		return map[string]any{}
	case bool:
		return map[string]any{"userEnteredValue": map[string]any{"boolValue": v}}
	case record.Number:
		return map[string]any{"userEnteredValue": map[string]any{"numberValue": v}}
	}
	return map[string]any{"userEnteredValue": map[string]any{"stringValue": record.Text(v)}}
}

func (g *grid) Remove(ctx context.Context, object record.Object, rows []int) error {
	id, err := g.sheet(ctx, object)
	if err != nil {
		return err
	}
	list := make([]any, 0, len(rows))
	for i := 0; i < len(rows); { // from below; neighbours go together
		j := i + 1
		for j < len(rows) && rows[j] == rows[j-1]-1 {
			j++
		}
		list = append(list, map[string]any{"deleteDimension": map[string]any{"range": map[string]any{"sheetId": id, "dimension": "ROWS", "startIndex": rows[j-1] + 1, "endIndex": rows[i] + 2}}})
		i = j
	}
	return g.change(ctx, list...)
}

// change makes structural changes: all of them or none.
func (g *grid) change(ctx context.Context, requests ...any) error {
	_, err := g.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: g.at + ":batchUpdate", JSON: map[string]any{"requests": slices.Clone(requests)}})
	return err
}
