// SPDX-License-Identifier: Apache-2.0

// Package airtable is the connector of bases in Airtable, and a simulator of one.
package airtable

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

// Connector is the connector type airtable.
type Connector struct {
	*webapi.SignIn
	pool *transport.Pool
}

var _ connector.Granter = (*Connector)(nil)

// New returns the connector.
func New(pool *transport.Pool) *Connector {
	c := &Connector{pool: pool}
	c.SignIn = &webapi.SignIn{Pool: pool, Of: c.Spec, Public: true, Scopes: []string{"data.records:read", "data.records:write", "schema.bases:read"}, Way: way}
	return c
}

// way: the vendor wants PKCE always, and the secret of an app that has one in the header. Refresh tokens are good once; the new one is
// stored before the new access token is used.
func way(settings connector.Settings) webapi.Way {
	return webapi.Way{AuthorizeURL: "https://airtable.com/oauth2/v1/authorize",
		Auth: webapi.Auth{TokenURL: "https://airtable.com/oauth2/v1/token", ClientID: settings["clientId"], ClientSecret: settings["clientSecret"], Basic: true}}
}

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	settings := []connector.Setting{
		{Name: "base", Title: "Base", Kind: connector.Text, Required: true, Doc: "Id of the base: app and 14 letters, as in its address."},
		{Name: "token", Title: "Personal access token", Kind: connector.Text, Secret: true, Doc: "A token with the scopes data.records:read, data.records:write and schema.bases:read for the base."},
	}
	settings = append(append(append(settings, webapi.OAuthSettings("Airtable")[:3]...), sheet.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "airtable",
		Title:      "Airtable",
		Summary:    "Tables of a base in Airtable, both ways.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{sheet.ByHash},
		Deletes:    sheet.Deletes,
		Guarantee:  "effectively once: records are recognised by their key column and compared with the expected state just before writing; a person who writes the same cell in the same instant is not kept out",
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (c *Connector) Sandboxed(settings map[string]string) bool {
	return webapi.Sandboxed(c.Spec(), settings)
}

const (
	api      = "https://api.airtable.com/v0"
	perWrite = 10  // records in a call that writes
	perRead  = 100 // records in a page
)

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := sheet.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	auth := way(settings).Auth
	auth.RefreshToken, auth.AccessToken, auth.Fill = settings["refreshToken"], settings["token"], "token, or clientId, clientSecret and refreshToken, or connect on the connection's page"
	client, err := webapi.New(ctx, c.pool, "airtable/"+settings["base"], []transport.Limit{{Calls: 5, Per: time.Second}}, auth, c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	b := &base{client: client, id: settings["base"], options: options}
	client.Fault = b.fault
	return sheet.New(b, options, env, sheet.Every())
}

// base is a base; its tables are the objects.
type base struct {
	client  *webapi.Client
	id      string
	options sheet.Options

	mu     sync.Mutex
	tables map[record.Object]*tableInfo
	at     time.Time // when they were asked for
}

type tableInfo struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Fields []struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Type    string `json:"type"`
		Options struct {
			Precision int `json:"precision"`
			Choices   []struct {
				Name string `json:"name"`
			} `json:"choices"`
		} `json:"options"`
	} `json:"fields"`
}

func (b *base) fault(a *transport.Answer) error {
	body := string(a.Body)
	switch {
	case a.Status == http.StatusTooManyRequests: // the vendor names no time in a header; it documents this one
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(a.After, 30*time.Second), Message: "The system asks to slow down."}
	case a.Status == http.StatusNotFound && strings.Contains(body, "NOT_FOUND") || a.Status == http.StatusForbidden && strings.Contains(body, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"):
		return &connector.Error{Class: connector.Reconnect, Code: "sheet.not_found", Message: "There is no such base or table, or the token may not use it. Check the setting base, and the token's scopes and bases."}
	}
	return nil
}

func (b *base) Check(ctx context.Context) error {
	_, err := b.schema(ctx, true)
	return err
}

func (b *base) Close() error {
	b.client.Close()
	return nil
}

// schemaAge is how long the base's schema counts; a changed column is found by then, or by a refused write.
const schemaAge = 30 * time.Second

func (b *base) schema(ctx context.Context, anew bool) (map[record.Object]*tableInfo, error) {
	b.mu.Lock()
	tables, fresh := b.tables, time.Since(b.at) < schemaAge
	b.mu.Unlock()
	if tables != nil && fresh && !anew {
		return tables, nil
	}
	a, err := b.client.Do(ctx, webapi.Call{Operation: "schema", Method: http.MethodGet, URL: api + "/meta/bases/" + url.PathEscape(b.id) + "/tables"})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Tables []*tableInfo `json:"tables"`
	}
	if err := webapi.Decode(a, &answer); err != nil {
		return nil, err
	}
	tables = map[record.Object]*tableInfo{}
	for _, t := range answer.Tables {
		tables[record.Object(t.Name)] = t
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables, b.at = tables, time.Now()
	return tables, nil
}

func (b *base) table(ctx context.Context, object record.Object) (*tableInfo, error) {
	tables, err := b.schema(ctx, false)
	if err == nil && tables[object] == nil {
		tables, err = b.schema(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	if t := tables[object]; t != nil {
		return t, nil
	}
	return nil, &connector.Error{Class: connector.Reject, Code: "sheet.no_table", Message: fmt.Sprintf("There is no table or sheet %s there. Make it, or correct the name in the document.", object)}
}

func (b *base) Objects(ctx context.Context) (out []record.Object, err error) {
	tables, err := b.schema(ctx, true)
	for t := range tables {
		out = append(out, t)
	}
	return out, err
}

// recordID is the key field of tables that have no column of the key's name.
const recordID = "record id"

// computed are the types of fields that the vendor fills in.
var computed = []string{"formula", "rollup", "count", "lookup", "multipleLookupValues", "createdTime", "lastModifiedTime", "createdBy", "lastModifiedBy", "autoNumber", "button", "externalSyncSource", "aiText"}

func (t *tableInfo) columns(key string) (fields []connector.FieldInfo, made bool) {
	made = true
	for _, f := range t.Fields {
		d := connector.FieldInfo{Name: f.Name, Native: f.Type, Nullable: f.Name != key, ReadOnly: slices.Contains(computed, f.Type), Scale: -1}
		switch f.Type {
		case "number", "percent", "currency", "rating", "count", "autoNumber", "duration":
			if d.Type = connector.TypeNumber; f.Options.Precision == 0 && f.Type != "duration" {
				d.Type = connector.TypeInteger
			}
		case "checkbox":
			d.Type = connector.TypeBoolean
		case "date":
			d.Type = connector.TypeDate
		case "dateTime", "createdTime", "lastModifiedTime":
			d.Type = connector.TypeTimestamp
		case "multipleSelects", "multipleRecordLinks", "multipleLookupValues":
			d.Type = connector.TypeArray
		case "singleSelect":
			d.Type = connector.TypeText
			for _, c := range f.Options.Choices {
				d.Enum = append(d.Enum, c.Name)
			}
		case "singleLineText", "multilineText", "richText", "email", "url", "phoneNumber":
			d.Type = connector.TypeText
		default:
			d.Type = connector.TypeJSON
		}
		made = made && f.Name != key
		fields = append(fields, d)
	}
	if made {
		fields = append(fields, connector.FieldInfo{Name: recordID, Type: connector.TypeText, Native: "record id", ReadOnly: true, Generated: true, Scale: -1})
	}
	return fields, made
}

type entry struct {
	ID     string         `json:"id,omitempty"`
	Fields map[string]any `json:"fields,omitempty"`
}

func (b *base) Load(ctx context.Context, object record.Object) (*sheet.Table, error) {
	info, err := b.table(ctx, object)
	if err != nil {
		return nil, err
	}
	t := &sheet.Table{Key: []string{b.options.KeyColumn(object)}}
	t.Fields, t.Made = info.columns(t.Key[0])
	if t.Made {
		t.Key = []string{recordID}
	}
	seen := map[string]bool{}
	for begin, offset := true, ""; begin || offset != ""; begin = false {
		q := url.Values{"pageSize": {fmt.Sprint(perRead)}}
		if offset != "" {
			q.Set("offset", offset)
		}
		a, err := b.client.Do(ctx, webapi.Call{Operation: "list", Method: http.MethodGet, URL: b.url(info) + "?" + q.Encode()})
		if err != nil {
			if a != nil && strings.Contains(string(a.Body), "LIST_RECORDS_ITERATOR_NOT_AVAILABLE") { // it waits only some minutes
				return nil, &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: err}
			}
			return nil, err
		}
		var page struct {
			Records []entry `json:"records"`
			Offset  string  `json:"offset"`
		}
		if err := webapi.Decode(a, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Records {
			if seen[e.ID] { // people moved it between two pages
				continue
			}
			seen[e.ID] = true
			t.Rows = append(t.Rows, row(t, e))
		}
		offset = page.Offset
	}
	return t, nil
}

func (b *base) url(t *tableInfo) string {
	return api + "/" + url.PathEscape(b.id) + "/" + url.PathEscape(t.ID)
}

func row(t *sheet.Table, e entry) *sheet.Row {
	r := &sheet.Row{Fields: record.Fields{}, Handle: e.ID}
	for _, f := range t.Fields {
		v, err := record.Canonical(e.Fields[f.Name])
		if err != nil {
			v = fmt.Sprint(e.Fields[f.Name])
		}
		switch {
		case f.Name == recordID:
			v = e.ID
		case v == nil && f.Type == connector.TypeBoolean: // the vendor leaves an empty box out
			v = false
		case f.Type == connector.TypeTimestamp:
			if text, ok := v.(string); ok {
				if at, err := time.Parse(time.RFC3339, text); err == nil {
					v = record.Time(at)
				}
			}
		}
		r.Fields[f.Name] = v
	}
	if t.Made {
		r.Key = record.Key(e.ID)
	}
	return r
}

// Keep: a column takes values of its type.
func (b *base) Keep(f connector.FieldInfo, v record.Value) (record.Value, error) {
	bad := fmt.Errorf("is of type %s and does not take this value", f.Native)
	if f.ReadOnly || v == nil {
		if f.Type == connector.TypeBoolean {
			return false, nil
		}
		return v, nil
	}
	switch f.Type {
	case connector.TypeInteger, connector.TypeNumber:
		n, ok := v.(record.Number)
		if !ok || f.Type == connector.TypeInteger && strings.Contains(string(n), ".") {
			return nil, bad
		}
		if len(strings.Trim(string(n), "-")) > 16 {
			return nil, fmt.Errorf("cannot keep the number %s: it has more digits than Airtable keeps. Map it to a text", n)
		}
	case connector.TypeBoolean:
		if _, ok := v.(bool); !ok {
			return nil, bad
		}
	case connector.TypeTimestamp:
		text, ok := v.(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if !ok || err != nil {
			return nil, bad
		}
		return record.Time(at.Truncate(time.Millisecond)), nil
	case connector.TypeDate, connector.TypeText:
		text, ok := v.(string)
		if !ok {
			return nil, bad
		}
		if text == "" {
			return nil, nil
		}
		if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
			return nil, fmt.Errorf("takes only %s", strings.Join(f.Enum, ", "))
		}
		if len(text) > 100_000 {
			return nil, fmt.Errorf("keeps at most 100,000 characters")
		}
	case connector.TypeArray:
		if _, ok := v.([]any); !ok {
			return nil, bad
		}
	}
	return v, nil
}

// Apply writes ten records at a time. Records are known by id, so nothing can hit another row; what each holds is looked at again
// just before, because the vendor has no condition.
func (b *base) Apply(ctx context.Context, object record.Object, t *sheet.Table, edits []*sheet.Edit) ([]error, error) {
	info, err := b.table(ctx, object)
	if err != nil {
		return nil, err
	}
	answers := make([]error, len(edits))
	moved, err := b.moved(ctx, object, edits)
	if err != nil {
		return nil, err
	}
	var creates, updates, removes []int
	for i, e := range edits {
		switch {
		case moved[i] || e.Row != nil && e.Row.Handle == nil:
			answers[i] = sheet.ErrMoved
		case e.Row == nil:
			creates = append(creates, i)
		case e.Delete:
			removes = append(removes, i)
		default:
			updates = append(updates, i)
		}
	}
	for part := range slices.Chunk(creates, perWrite) {
		if err := b.send(ctx, info, t, http.MethodPost, edits, part, answers); err != nil {
			return nil, err
		}
	}
	for part := range slices.Chunk(updates, perWrite) {
		if err := b.send(ctx, info, t, http.MethodPatch, edits, part, answers); err != nil {
			return nil, err
		}
	}
	for part := range slices.Chunk(removes, perWrite) {
		q := url.Values{}
		for _, i := range part {
			q.Add("records[]", edits[i].Row.Handle.(string))
		}
		a, err := b.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodDelete, URL: b.url(info) + "?" + q.Encode()})
		if err != nil && a != nil && (a.Status == http.StatusNotFound || a.Status == http.StatusForbidden) { // one of them is gone
			for _, i := range part {
				answers[i] = sheet.ErrMoved
			}
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (b *base) moved(ctx context.Context, object record.Object, edits []*sheet.Edit) ([]bool, error) {
	out := make([]bool, len(edits))
	if !slices.ContainsFunc(edits, func(e *sheet.Edit) bool { return e.Row != nil && e.Row.Handle != nil }) {
		return out, nil
	}
	now, err := b.Load(ctx, object)
	if err != nil {
		return nil, err
	}
	byID := make(map[any]*sheet.Row, len(now.Rows))
	for _, r := range now.Rows {
		byID[r.Handle] = r
	}
	for i, e := range edits {
		if e.Row == nil || e.Row.Handle == nil {
			continue
		}
		is := byID[e.Row.Handle]
		out[i] = is == nil
		for name := range e.Set {
			out[i] = out[i] || !record.Equal(is.Fields[name], e.Row.Fields[name])
		}
		if e.Delete && is != nil {
			out[i] = !is.Fields.Equal(e.Row.Fields)
		}
	}
	return out, nil
}

// send writes a part of the edits in one call; when the vendor refuses the call, one by one, to find out whose fault it is.
func (b *base) send(ctx context.Context, info *tableInfo, t *sheet.Table, method string, edits []*sheet.Edit, part []int, answers []error) error {
	list := make([]entry, len(part))
	for j, i := range part {
		list[j].Fields = map[string]any{}
		for name, v := range edits[i].Set {
			list[j].Fields[name] = v
		}
		if edits[i].Row != nil {
			list[j].ID = edits[i].Row.Handle.(string)
		}
	}
	a, err := b.client.Do(ctx, webapi.Call{Operation: "write", Method: method, URL: b.url(info), JSON: map[string]any{"records": list}})
	switch {
	case err == nil:
	case a != nil && (a.Status == http.StatusUnprocessableEntity || a.Status == http.StatusNotFound):
		if len(part) > 1 {
			for _, i := range part {
				if err := b.send(ctx, info, t, method, edits, []int{i}, answers); err != nil {
					return err
				}
			}
			return nil
		}
		answers[part[0]] = &connector.Error{Class: connector.Reject, Code: "sheet.value_refused", Message: "Airtable refuses the record: " + webapi.Snippet(a.Body) + ".", Err: err}
		if a.Status == http.StatusNotFound || strings.Contains(string(a.Body), "ROW_DOES_NOT_EXIST") {
			answers[part[0]] = sheet.ErrMoved
		}
		return nil
	default:
		return err
	}
	var answer struct {
		Records []entry `json:"records"`
	}
	if err := webapi.Decode(a, &answer); err != nil {
		return err
	}
	if t.Made && method == http.MethodPost {
		for j, i := range part {
			if j < len(answer.Records) {
				edits[i].Key = record.Key(answer.Records[j].ID)
			}
		}
	}
	return nil
}
