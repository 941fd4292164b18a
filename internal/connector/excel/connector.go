// SPDX-License-Identifier: Apache-2.0

// Package excel is the connector of workbooks in OneDrive and SharePoint, by Microsoft Graph, and a simulator of one.
package excel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/webapi"
	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is the connector type excel.
type Connector struct {
	*webapi.SignIn
	pool *transport.Pool
}

var _ connector.Granter = (*Connector)(nil)

// New returns the connector.
func New(pool *transport.Pool) *Connector {
	c := &Connector{pool: pool}
	c.SignIn = &webapi.SignIn{Pool: pool, Of: c.Spec, Scopes: []string{"offline_access", "Files.ReadWrite.All"}, Way: way}
	return c
}

// way is through the directory that signs in. The refresh token comes for the scope offline_access.
func way(settings connector.Settings) webapi.Way {
	directory := settings["directory"]
	if directory == "" {
		directory = "common"
	}
	at := "https://login.microsoftonline.com/" + url.PathEscape(directory) + "/oauth2/v2.0/"
	return webapi.Way{AuthorizeURL: at + "authorize", Auth: webapi.Auth{TokenURL: at + "token", ClientID: settings["clientId"], ClientSecret: settings["clientSecret"]}}
}

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	settings := []connector.Setting{
		{Name: "workbook", Title: "Workbook", Kind: connector.Text, Required: true, Doc: "Path of the workbook in the drive, Shared/contacts.xlsx, or id:ITEM with the id of the file."},
		{Name: "drive", Title: "Drive", Kind: connector.Text, Default: "me/drive", Doc: "Where the workbook is: me/drive, drives/ID, sites/ID/drive or users/ID/drive."},
		{Name: "directory", Title: "Directory", Kind: connector.Text, Default: "common", Doc: "The tenant of Microsoft Entra that signs in: its id or domain; common for any."},
	}
	settings = append(append(append(settings, webapi.OAuthSettings("Microsoft")...), sheet.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "excel",
		Aliases:    []string{"excel-online", "microsoft-excel"},
		Title:      "Excel Online",
		Summary:    "Tables of a workbook in OneDrive or SharePoint, both ways.",
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

const graph = "https://graph.microsoft.com/v1.0"

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := sheet.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	auth := way(settings).Auth
	auth.RefreshToken, auth.AccessToken, auth.Fill = settings["refreshToken"], settings["accessToken"], "clientId, clientSecret and refreshToken, or connect on the connection's page"
	drive := strings.Trim(settings["drive"], "/")
	if auth.RefreshToken == "" && auth.AccessToken == "" && !strings.HasPrefix(drive, "me") { // an app that acts for itself has no drive of its own
		auth.Grant, auth.Scope = "client_credentials", "https://graph.microsoft.com/.default"
	}
	client, err := webapi.New(ctx, c.pool, "excel/"+settings["directory"]+"/"+settings["clientId"], []transport.Limit{{Calls: 100, Per: 10 * time.Second}}, auth, c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	g := &grid{client: client}
	if id, ok := strings.CutPrefix(settings["workbook"], "id:"); ok {
		g.at = "/" + drive + "/items/" + url.PathEscape(id) + "/workbook"
	} else {
		steps := strings.Split(strings.Trim(settings["workbook"], "/"), "/")
		for i := range steps {
			steps[i] = url.PathEscape(steps[i])
		}
		g.at = "/" + drive + "/root:/" + strings.Join(steps, "/") + ":/workbook"
	}
	client.Fault = fault
	return sheet.New(sheet.Positional(g, options), options, env, connector.Pace{Min: 3 * time.Second, Max: 30 * time.Second})
}

// grid is a workbook; its tables are the objects.
type grid struct {
	client *webapi.Client
	at     string
}

func fault(a *transport.Answer) error {
	switch {
	case a.Status == http.StatusNotFound && strings.Contains(string(a.Body), "itemNotFound"):
		return &connector.Error{Class: connector.Reconnect, Code: "sheet.not_found", Message: "There is no such workbook, or the account may not see it. Check the settings workbook and drive."}
	case a.Status == http.StatusForbidden:
		return &connector.Error{Class: connector.Reconnect, Code: "sheet.forbidden", Message: "The account may not use the workbook. It needs Files.ReadWrite, and the workbook shared with it to edit."}
	case a.Status == http.StatusConflict || a.Status == http.StatusLocked || a.Status == http.StatusGatewayTimeout: // somebody edits it, or a long calculation runs
		return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: fmt.Errorf("status %d", a.Status)}
	}
	return nil
}

func (g *grid) Check(ctx context.Context) error {
	_, err := g.Objects(ctx)
	return err
}

func (g *grid) Wait(ctx context.Context, d time.Duration) error { return g.client.Wait(ctx, d) }

func (g *grid) Close() error {
	g.client.Close()
	return nil
}

func (g *grid) Objects(ctx context.Context) (out []record.Object, err error) {
	a, err := g.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: graph + g.at + "/tables?$select=name"})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Value []struct {
			Name string `json:"name"`
		} `json:"value"`
	}
	err = webapi.Decode(a, &answer)
	for _, t := range answer.Value {
		out = append(out, record.Object(t.Name))
	}
	return out, err
}

func (g *grid) table(object record.Object) string {
	return g.at + "/tables/" + url.PathEscape(string(object))
}

// perPage is how many rows are asked for at once.
const perPage = 2000

func (g *grid) All(ctx context.Context, object record.Object) ([]string, [][]any, error) {
	a, err := g.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: graph + g.table(object) + "/headerRowRange?$select=values"})
	if err != nil {
		if a != nil && a.Status == http.StatusNotFound {
			err = &connector.Error{Class: connector.Reject, Code: "sheet.no_table", Message: fmt.Sprintf("There is no table or sheet %s there. Make it, or correct the name in the document.", object), Err: err}
		}
		return nil, nil, err
	}
	var top struct {
		Values [][]any `json:"values"`
	}
	if err := webapi.Decode(a, &top); err != nil {
		return nil, nil, err
	}
	var header []string
	for _, line := range top.Values {
		for _, v := range line {
			header = append(header, record.Text(v))
		}
	}
	var rows [][]any
	for skip := 0; ; skip += perPage {
		a, err := g.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: graph + g.table(object) + "/rows?$select=index,values&$top=" + strconv.Itoa(perPage) + "&$skip=" + strconv.Itoa(skip)})
		if err != nil {
			return nil, nil, err
		}
		var page struct {
			Value []struct {
				Values [][]any `json:"values"`
			} `json:"value"`
		}
		if err := webapi.Decode(a, &page); err != nil {
			return nil, nil, err
		}
		for _, r := range page.Value {
			rows = append(rows, slices.Concat(r.Values...))
		}
		if len(page.Value) < perPage {
			return header, rows, nil
		}
	}
}

func (g *grid) Some(ctx context.Context, object record.Object, rows []int) ([][]any, error) {
	header, all, err := g.All(ctx, object)
	out := make([][]any, len(rows))
	for i, r := range rows {
		switch {
		case r < 0:
			for _, h := range header {
				out[i] = append(out[i], h)
			}
		case r < len(all):
			out[i] = all[r]
		}
	}
	return out, err
}

// request is one of a batch.
type request struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers,omitempty"`
	Body      any               `json:"body,omitempty"`
	DependsOn []string          `json:"dependsOn,omitempty"`
}

// perBatch is how many requests the vendor takes in one.
const perBatch = 20

// batch makes the requests one after the other, in calls of twenty.
func (g *grid) batch(ctx context.Context, requests []request) error {
	for part := range slices.Chunk(requests, perBatch) {
		for i := range part {
			part[i].ID = strconv.Itoa(i + 1)
			if i > 0 {
				part[i].DependsOn = []string{strconv.Itoa(i)}
			}
		}
		a, err := g.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: graph + "/$batch", JSON: map[string]any{"requests": part}})
		if err != nil {
			return err
		}
		var answer struct {
			Responses []struct {
				Status  int               `json:"status"`
				Headers map[string]string `json:"headers"`
				Body    json.RawMessage   `json:"body"`
			} `json:"responses"`
		}
		if err := webapi.Decode(a, &answer); err != nil {
			return err
		}
		for _, r := range answer.Responses {
			if r.Status/100 == 2 || r.Status == http.StatusFailedDependency {
				continue
			}
			says := fmt.Errorf("status %d: %s", r.Status, webapi.Snippet(r.Body))
			if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
				return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(transport.RetryAfter(r.Headers["Retry-After"], time.Now()), time.Second), Message: "The system asks to slow down.", Err: says}
			}
			return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: says}
		}
	}
	return nil
}

// Set writes row by row; null leaves a cell as it is.
func (g *grid) Set(ctx context.Context, object record.Object, cells []sheet.Cell) error {
	var requests []request
	width := 0
	for _, c := range cells {
		width = max(width, c.Column+1)
	}
	header, _, err := g.All(ctx, object)
	if err != nil {
		return err
	}
	for i := 0; i < len(cells); {
		row := make([]any, max(width, len(header)))
		j := i
		for ; j < len(cells) && cells[j].Row == cells[i].Row; j++ {
			row[cells[j].Column] = written(cells[j].Value)
		}
		requests = append(requests, request{Method: http.MethodPatch, URL: g.table(object) + "/rows/itemAt(index=" + strconv.Itoa(cells[i].Row) + ")", Headers: map[string]string{"Content-Type": "application/json"}, Body: map[string]any{"values": [][]any{row}}})
		i = j
	}
	return g.batch(ctx, requests)
}

// written is a value as it is sent: a text that looks like a formula or a number is marked as a text.
func written(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		if _, err := strconv.ParseFloat(v, 64); err == nil || strings.HasPrefix(v, "=") || strings.HasPrefix(v, "+") || strings.HasPrefix(v, "-") || strings.HasPrefix(v, "@") || strings.HasPrefix(v, "'") ||
			strings.EqualFold(v, "true") || strings.EqualFold(v, "false") {
			return "'" + v
		}
	}
	return v
}

func (g *grid) Append(ctx context.Context, object record.Object, rows [][]any) error {
	list := make([][]any, len(rows))
	for i, row := range rows {
		list[i] = make([]any, len(row))
		for j, v := range row {
			list[i][j] = written(v)
		}
	}
	_, err := g.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: graph + g.table(object) + "/rows", JSON: map[string]any{"index": nil, "values": list}})
	return err
}

func (g *grid) Remove(ctx context.Context, object record.Object, rows []int) error {
	var requests []request
	for _, r := range rows {
		requests = append(requests, request{Method: http.MethodDelete, URL: g.table(object) + "/rows/itemAt(index=" + strconv.Itoa(r) + ")"})
	}
	return g.batch(ctx, requests)
}
