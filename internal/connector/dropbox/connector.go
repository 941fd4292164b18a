// SPDX-License-Identifier: Apache-2.0

// Package dropbox is the connector of folders in Dropbox, and a simulator of an account there.
package dropbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/webapi"
)

// Connector is the connector type dropbox.
type Connector struct {
	*webapi.SignIn
	pool *transport.Pool
}

var _ connector.Granter = (*Connector)(nil)

// New returns the connector.
func New(pool *transport.Pool) *Connector {
	c := &Connector{pool: pool}
	c.SignIn = &webapi.SignIn{Pool: pool, Of: c.Spec, Public: true, Scopes: []string{"files.metadata.read", "files.content.read", "files.content.write"}, Way: way}
	return c
}

// way asks for access that lasts: only then is there a refresh token.
func way(settings connector.Settings) webapi.Way {
	return webapi.Way{AuthorizeURL: "https://www.dropbox.com/oauth2/authorize", Parameters: map[string]string{"token_access_type": "offline"},
		Auth: webapi.Auth{TokenURL: rpc + "/oauth2/token", ClientID: settings["clientId"], ClientSecret: settings["clientSecret"]}}
}

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	settings := append([]connector.Setting{
		{Name: "folder", Title: "Folder", Kind: connector.Text, Doc: "Only what is below this folder is used; objects are named without it. Empty is all that the app may see."},
	}, webapi.OAuthSettings("Dropbox")...)
	settings = append(append(settings, filestore.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "dropbox",
		Title:      "Dropbox",
		Summary:    "Tables in files of a folder in Dropbox: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee,
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (c *Connector) Sandboxed(settings map[string]string) bool {
	return webapi.Sandboxed(c.Spec(), settings)
}

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	client, err := webapi.New(ctx, c.pool, "dropbox/"+settings["clientId"], nil, webapi.Auth{TokenURL: rpc + "/oauth2/token", ClientID: settings["clientId"], ClientSecret: settings["clientSecret"],
		RefreshToken: settings["refreshToken"], AccessToken: settings["accessToken"], Fill: "clientId, clientSecret and refreshToken, or connect on the connection's page"}, c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	folder := strings.Trim(settings["folder"], "/")
	if folder != "" {
		folder = "/" + folder
	}
	return filestore.New(&store{client: client, folder: folder}, "the folder", options, env)
}

const (
	rpc     = "https://api.dropboxapi.com"
	content = "https://content.dropboxapi.com"
)

// store keeps files in a folder. A file is there only when it is whole, and is replaced only if its revision is the one that was
// given.
type store struct {
	client *webapi.Client
	folder string // "" or with a leading slash
}

type entry struct {
	Tag      string    `json:".tag"`
	Path     string    `json:"path_display"`
	Rev      string    `json:"rev"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"server_modified"`
}

func (s *store) info(e *entry) filestore.Info {
	return filestore.Info{Name: strings.TrimPrefix(e.Path[min(len(s.folder), len(e.Path)):], "/"), Size: e.Size, Version: e.Rev, Modified: e.Modified}
}

func (s *store) path(name string) string { return s.folder + "/" + name }

// call makes a call of the vendor's first kind: JSON in, JSON out.
func (s *store) call(ctx context.Context, route string, in, out any, reading bool) error {
	operation := "write"
	if reading {
		operation = "read"
	}
	a, err := s.client.Do(ctx, webapi.Call{Operation: operation, Method: http.MethodPost, URL: rpc + "/2/files/" + route, JSON: in, Idempotent: reading})
	if err != nil {
		return s.classify(a, err, reading)
	}
	if out == nil {
		return nil
	}
	return webapi.Decode(a, out)
}

// classify says what an error means: the vendor answers 409 with a tag for what its routes refuse.
func (s *store) classify(a *transport.Answer, err error, reading bool) error {
	if a == nil || err == nil {
		return err
	}
	var says struct {
		Summary string `json:"error_summary"`
	}
	_ = json.Unmarshal(a.Body, &says) // what is no JSON says nothing
	switch {
	case a.Status == http.StatusConflict && strings.Contains(says.Summary, "not_found"):
		return filestore.ErrNotFound
	case a.Status == http.StatusConflict && strings.Contains(says.Summary, "conflict"):
		return filestore.ErrMoved
	case a.Status == http.StatusConflict && strings.Contains(says.Summary, "too_many_write_operations"):
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: time.Second, Message: "The system asks to slow down.", Err: err}
	case a.Status == http.StatusConflict && strings.Contains(says.Summary, "insufficient_space"):
		return &connector.Error{Class: connector.Reconnect, Code: "dropbox.full", Message: "The Dropbox is full. Make room, or use another account.", Err: err}
	case (a.Status == http.StatusForbidden || a.Status == http.StatusConflict || a.Status == http.StatusUnauthorized) && (strings.Contains(says.Summary, "no_write_permission") || strings.Contains(says.Summary, "missing_scope") && !reading):
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	}
	return err
}

func (s *store) Check(ctx context.Context) error {
	_, err := s.List(ctx, "", 1)
	return err
}

// List looks at the whole folder: the vendor has no prefixes, only folders.
func (s *store) List(ctx context.Context, prefix string, limit int) ([]filestore.Info, error) {
	folder, rest := s.folder, prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder, rest = s.folder+"/"+prefix[:i], prefix[i+1:]
	}
	var page struct {
		Entries []entry `json:"entries"`
		Cursor  string  `json:"cursor"`
		More    bool    `json:"has_more"`
	}
	err := s.call(ctx, "list_folder", map[string]any{"path": folder, "recursive": true, "limit": 2000}, &page, true)
	if errors.Is(err, filestore.ErrNotFound) {
		if prefix == "" && s.folder != "" {
			return nil, &connector.Error{Class: connector.Reconnect, Code: "dropbox.no_folder", Message: fmt.Sprintf("There is no folder %s in the Dropbox, or the app may not see it.", s.folder)}
		}
		return nil, nil
	}
	var out []filestore.Info
	for {
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			info := s.info(e)
			if e.Tag != "file" || !strings.HasPrefix(info.Name, prefix) || rest != "" && !strings.HasPrefix(info.Name[len(prefix)-len(rest):], rest) {
				continue
			}
			if out = append(out, info); len(out) == limit {
				return out, nil
			}
		}
		if !page.More {
			return out, nil
		}
		cursor := page.Cursor
		page.Entries, page.More = nil, false
		err = s.call(ctx, "list_folder/continue", map[string]any{"cursor": cursor}, &page, true)
	}
}

func (s *store) Stat(ctx context.Context, name string) (filestore.Info, error) {
	var e entry
	if err := s.call(ctx, "get_metadata", map[string]any{"path": s.path(name)}, &e, true); err != nil {
		return filestore.Info{}, err
	}
	if e.Tag != "" && e.Tag != "file" {
		return filestore.Info{}, filestore.ErrNotFound
	}
	info := s.info(&e)
	info.Name = name
	return info, nil
}

// argument is JSON that fits in a header: letters beyond ASCII are escaped.
func argument(v any) string {
	b, _ := json.Marshal(v) // texts and truth values
	var out strings.Builder
	for _, r := range string(b) {
		if r < 127 {
			out.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, u)
		}
	}
	return out.String()
}

func (s *store) Get(ctx context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	info, err := s.Stat(ctx, name)
	if err != nil || info.Size > limit {
		return nil, info, err
	}
	a, err := s.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodPost, URL: content + "/2/files/download", Header: http.Header{"Dropbox-Api-Arg": {argument(map[string]any{"path": s.path(name)})}}, Idempotent: true})
	if err != nil {
		return nil, info, s.classify(a, err, true)
	}
	var e entry // of what was really read
	if err := json.Unmarshal([]byte(a.Header.Get("Dropbox-API-Result")), &e); err == nil && e.Rev != "" {
		info = s.info(&e)
		info.Name = name
	}
	info.Size = int64(len(a.Body))
	return a.Body, info, nil
}

func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	var mode any = "add"
	if version != "" {
		mode = map[string]any{".tag": "update", "update": version}
	}
	a, err := s.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: content + "/2/files/upload", Body: data, Header: http.Header{"Content-Type": {"application/octet-stream"},
		"Dropbox-Api-Arg": {argument(map[string]any{"path": s.path(name), "mode": mode, "autorename": false, "mute": true, "strict_conflict": true})}}})
	if err != nil {
		return "", s.classify(a, err, false)
	}
	var e entry
	err = webapi.Decode(a, &e)
	return e.Rev, err
}

func (s *store) Remove(ctx context.Context, name string) error {
	err := s.call(ctx, "delete_v2", map[string]any{"path": s.path(name)}, nil, false)
	if errors.Is(err, filestore.ErrNotFound) {
		return nil
	}
	return err
}

func (s *store) Close() error {
	s.client.Close()
	return nil
}

// revision is a file's version in the form that the vendor gives it.
func revision(seq int64) string { return "0" + strconv.FormatInt(0x10000000+seq, 16) }
