// SPDX-License-Identifier: Apache-2.0

// Package gdrive is the connector of folders in Google Drive, and a simulator of a drive.
package gdrive

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // see upload
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/webapi"
)

// Connector is the connector type google-drive.
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
	settings := append([]connector.Setting{
		{Name: "folderId", Title: "Folder", Kind: connector.Text, Default: "root", Doc: "The id of the folder, as its address ends in the browser; only what is in it and below is used. root is the whole drive of the account."},
		{Name: "serviceAccount", Title: "Service account key", Kind: connector.Text, Secret: true, Doc: "The JSON file with the key of a service account that the folder is shared with as Editor."},
	}, webapi.OAuthSettings("Google")...)
	settings = append(append(settings, filestore.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "google-drive",
		Aliases:    []string{"gdrive"},
		Title:      "Google Drive",
		Summary:    "Tables in files of a folder in Google Drive: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee + ". Drive has no conditional writes: an edit of somebody else in the same moment is found in the file's revisions, put back, and merged.",
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
	client, err := webapi.New(ctx, c.pool, "google-drive/"+settings["clientId"]+settings["folderId"], nil, webapi.Auth{TokenURL: tokens, ClientID: settings["clientId"], ClientSecret: settings["clientSecret"],
		RefreshToken: settings["refreshToken"], AccessToken: settings["accessToken"], ServiceAccount: settings["serviceAccount"], Scope: scope,
		Fill: "serviceAccount, or clientId, clientSecret and refreshToken, or connect on the connection's page"}, c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	client.Fault = limited
	root := settings["folderId"]
	if root == "" {
		root = "root"
	}
	return filestore.New(&store{client: client, root: root, fine: map[string]string{}}, "the folder", options, env)
}

// limited knows the refusals of status 403 that only ask for patience.
func limited(a *transport.Answer) error {
	if a.Status == http.StatusForbidden && (strings.Contains(string(a.Body), "ateLimitExceeded")) {
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(a.After, time.Second), Message: "The system asks to slow down."}
	}
	return nil
}

const (
	host       = "https://www.googleapis.com"
	tokens     = "https://oauth2.googleapis.com/token"
	scope      = "https://www.googleapis.com/auth/drive"
	folderType = "application/vnd.google-apps.folder"
	fields     = "id,name,mimeType,size,headRevisionId,md5Checksum,modifiedTime,createdTime,trashed,parents,appProperties"
	everywhere = "&supportsAllDrives=true"
)

// store keeps files in a folder. What the folder holds is kept in mind and followed by the feed of changes.
type store struct {
	client *webapi.Client
	root   string

	mu    sync.Mutex
	token string            // where the feed of changes goes on; "" before the folder was listed
	known map[string]*file  // by id: files and folders below root
	fine  map[string]string // by id: the revision that was found to overwrite nothing
}

type file struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Mime     string    `json:"mimeType"`
	Size     string    `json:"size"`
	Revision string    `json:"headRevisionId"`
	Modified time.Time `json:"modifiedTime"`
	Created  time.Time `json:"createdTime"`
	Trashed  bool      `json:"trashed"`
	Parents  []string  `json:"parents"`
	Sum      string    `json:"md5Checksum"`
	Ours     stamp     `json:"appProperties"`
}

// stamp goes with each content that we upload, in the same step: the revision that it was made from, and what tells it from a
// later content of somebody else, whose upload leaves the stamp as it is.
type stamp struct {
	Base string `json:"synclineBase,omitempty"`
	Sum  string `json:"synclineSum,omitempty"`
	At   string `json:"synclineAt,omitempty"`
}

// mine says whether the file's content is one that we uploaded.
func (f *file) mine() bool {
	return f.Ours.Base != "" && f.Ours.Sum == f.Sum && f.Ours.At == f.Modified.UTC().Format(moment)
}

// moment is how the vendor writes times.
const moment = "2006-01-02T15:04:05.000Z"

// turns are the files', by folder and name.
var turns filestore.Turns

// turn waits for the file's turn, and returns what ends it.
func (s *store) turn(ctx context.Context, name string) (end func(), err error) {
	return turns.Take(ctx, s.root+"\x00"+name)
}

// ask makes a call that is answered in JSON.
func (s *store) ask(ctx context.Context, operation, method, path string, in, out any) error {
	a, err := s.client.Do(ctx, webapi.Call{Operation: operation, Method: method, URL: host + path, JSON: in, Idempotent: method == http.MethodGet || method == http.MethodDelete})
	if err != nil {
		return classify(a, err, operation)
	}
	if out == nil {
		return nil
	}
	return webapi.Decode(a, out)
}

func classify(a *transport.Answer, err error, operation string) error {
	if err == nil || a == nil {
		return err
	}
	switch {
	case a.Status == http.StatusNotFound:
		return filestore.ErrNotFound
	case a.Status == http.StatusForbidden && strings.Contains(string(a.Body), "torageQuotaExceeded"):
		return &connector.Error{Class: connector.Reconnect, Code: "gdrive.full", Message: "The drive is full. Make room, or use another account.", Err: err}
	case a.Status == http.StatusForbidden && operation == "write":
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	}
	return err
}

func (s *store) noFolder() error {
	return &connector.Error{Class: connector.Reconnect, Code: "gdrive.no_folder", Message: fmt.Sprintf("There is no folder %s in the drive, or the account may not see it. Share it with the account, and check its id.", s.root)}
}

// follow brings what is known up to date: by the feed of changes, else by listing everything. s.mu is held.
func (s *store) follow(ctx context.Context) error {
	for s.token != "" {
		var page struct {
			Changes []struct {
				Removed bool   `json:"removed"`
				ID      string `json:"fileId"`
				File    *file  `json:"file"`
			} `json:"changes"`
			Next  string `json:"nextPageToken"`
			Start string `json:"newStartPageToken"`
		}
		err := s.ask(ctx, "changes", http.MethodGet, "/drive/v3/changes?includeItemsFromAllDrives=true&pageSize=1000&fields=changes(removed,fileId,file("+fields+")),nextPageToken,newStartPageToken&pageToken="+url.QueryEscape(s.token)+everywhere, nil, &page)
		if c := connector.Classify(err).Class; err != nil && (errors.Is(err, filestore.ErrNotFound) || c == connector.Reject || c == connector.Missing) {
			s.token = "" // too old: everything is listed once more
			break
		}
		if err != nil {
			return err
		}
		for _, c := range page.Changes {
			before := s.known[c.ID]
			gone := c.Removed || c.File == nil || c.File.Trashed || !s.below(c.File)
			folder := before != nil && before.Mime == folderType || !gone && c.File.Mime == folderType
			switch {
			case folder && (gone || before == nil || before.Name != c.File.Name || !slices.Equal(before.Parents, c.File.Parents)):
				s.token = "" // what is in it is not told of
			case gone:
				delete(s.known, c.ID)
			default:
				s.known[c.ID] = c.File
			}
		}
		if s.token == "" {
			break
		}
		if page.Next == "" {
			if page.Start != "" {
				s.token = page.Start
			}
			return nil
		}
		s.token = page.Next
	}
	return s.list(ctx)
}

// below says whether the file is in the folder or in one below it.
func (s *store) below(f *file) bool {
	return slices.ContainsFunc(f.Parents, func(p string) bool {
		return p == s.root || s.known[p] != nil && s.known[p].Mime == folderType || s.root == "root" && s.known["root:"+p] != nil
	})
}

// list reads the folder and those below it. The feed's place is taken before, so nothing falls between. s.mu is held.
func (s *store) list(ctx context.Context) error {
	var start struct {
		Token string `json:"startPageToken"`
	}
	if err := s.ask(ctx, "changes", http.MethodGet, "/drive/v3/changes/startPageToken?"+everywhere[1:], nil, &start); err != nil {
		return err
	}
	var top file
	if err := s.ask(ctx, "read", http.MethodGet, "/drive/v3/files/"+url.PathEscape(s.root)+"?fields="+fields+everywhere, nil, &top); err != nil {
		if errors.Is(err, filestore.ErrNotFound) {
			return s.noFolder()
		}
		return err
	}
	if top.Mime != folderType {
		return s.noFolder()
	}
	known := map[string]*file{}
	if top.ID != s.root { // root is a name for it; its files name the id
		known["root:"+top.ID] = &top
	}
	folders := []string{top.ID}
	for len(folders) > 0 {
		part := folders[:min(20, len(folders))]
		folders = folders[len(part):]
		var in []string
		for _, id := range part {
			in = append(in, quoted(id)+" in parents")
		}
		for token := ""; ; {
			q := url.Values{"q": {"(" + strings.Join(in, " or ") + ") and trashed = false"}, "pageSize": {"1000"}, "fields": {"files(" + fields + "),nextPageToken"}, "supportsAllDrives": {"true"}, "includeItemsFromAllDrives": {"true"}}
			if token != "" {
				q.Set("pageToken", token)
			}
			var page struct {
				Files []*file `json:"files"`
				Next  string  `json:"nextPageToken"`
			}
			if err := s.ask(ctx, "list", http.MethodGet, "/drive/v3/files?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			for _, f := range page.Files {
				if known[f.ID] == nil && f.Mime == folderType {
					folders = append(folders, f.ID)
				}
				known[f.ID] = f
			}
			if token = page.Next; token == "" {
				break
			}
		}
	}
	s.token, s.known = start.Token, known
	return nil
}

// quoted is a text in a query.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// isRoot says whether the id is the folder's. s.mu is held.
func (s *store) isRoot(id string) bool { return id == s.root || s.known["root:"+id] != nil }

// path is the file's name with the folders that it is in; false when it is in none of ours. s.mu is held.
func (s *store) path(f *file) (string, bool) {
	name := f.Name
	for range 100 {
		if len(f.Parents) == 0 {
			return "", false
		}
		p := f.Parents[0]
		if s.isRoot(p) {
			return name, true
		}
		if f = s.known[p]; f == nil {
			return "", false
		}
		name = f.Name + "/" + name
	}
	return "", false
}

// usable says whether it is a file with content, and not a document of the vendor's own.
func usable(f *file) bool { return f.Mime != folderType && f.Revision != "" }

func (s *store) info(name string, f *file) filestore.Info {
	size, _ := strconv.ParseInt(f.Size, 10, 64) // the vendor's own number
	return filestore.Info{Name: name, Size: size, Version: f.Revision, Modified: f.Modified}
}

// find is the file of that name; of several that have it, the one that was first. s.mu is held.
func (s *store) find(name string, folder bool) *file {
	var found *file
	for id, f := range s.known {
		if strings.HasPrefix(id, "root:") || folder != (f.Mime == folderType) || !folder && !usable(f) || !strings.HasSuffix(name, f.Name) {
			continue
		}
		if p, ok := s.path(f); !ok || p != name {
			continue
		}
		if found == nil || earlier(f, found) {
			found = f
		}
	}
	return found
}

func earlier(a, b *file) bool {
	return a.Created.Before(b.Created) || a.Created.Equal(b.Created) && a.ID < b.ID
}

func (s *store) Check(ctx context.Context) error {
	_, err := s.List(ctx, "", 1)
	return err
}

func (s *store) List(ctx context.Context, prefix string, limit int) (out []filestore.Info, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.follow(ctx); err != nil {
		return nil, err
	}
	first := map[string]*file{}
	for id, f := range s.known {
		if strings.HasPrefix(id, "root:") || !usable(f) {
			continue
		}
		if name, ok := s.path(f); ok && strings.HasPrefix(name, prefix) && (first[name] == nil || earlier(f, first[name])) {
			first[name] = f
		}
	}
	for name, f := range first {
		if len(out) < limit {
			out = append(out, s.info(name, f))
		}
	}
	return out, nil
}

func (s *store) Stat(ctx context.Context, name string) (filestore.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.now(ctx, name)
	if err != nil {
		return filestore.Info{}, err
	}
	return s.info(name, f), nil
}

// now is the file as it is. s.mu is held.
func (s *store) now(ctx context.Context, name string) (*file, error) {
	if err := s.follow(ctx); err != nil {
		return nil, err
	}
	f := s.find(name, false)
	if f == nil {
		return nil, filestore.ErrNotFound
	}
	var fresh file // the feed may be a moment behind
	if err := s.ask(ctx, "read", http.MethodGet, "/drive/v3/files/"+url.PathEscape(f.ID)+"?fields="+fields+everywhere, nil, &fresh); err != nil {
		return nil, err
	}
	if fresh.Trashed {
		return nil, filestore.ErrNotFound
	}
	return s.settled(ctx, &fresh)
}

// settled is the file when nothing is overwritten in it. The vendor has no conditional writes, so an upload of ours can come to
// lie over a content that it was not made from. Whoever meets that puts the overwritten content back on top; it may be done
// twice, as the same content. s.mu is held.
func (s *store) settled(ctx context.Context, f *file) (*file, error) {
	for range 10 {
		s.known[f.ID] = f
		if !f.mine() || s.fine[f.ID] == f.Revision {
			return f, nil
		}
		before, err := s.before(ctx, f)
		if err != nil {
			return nil, err
		}
		if before.ID == "" || before.ID == f.Ours.Base || before.Sum == f.Sum {
			s.fine[f.ID] = f.Revision
			return f, nil
		}
		theirs, err := s.content(ctx, f.ID, before.ID)
		if err != nil {
			return nil, err
		}
		if f, err = s.upload(ctx, f, theirs); err != nil {
			return nil, err
		}
	}
	return nil, &connector.Error{Class: connector.Retry, Code: "gdrive.contended", Message: fmt.Sprintf("%s is written by others without a pause. It will be tried again.", f.Name)}
}

type revision struct {
	ID  string `json:"id"`
	Sum string `json:"md5Checksum"`
}

// before is the revision below the file's content; the zero value when the vendor does not keep it any more.
func (s *store) before(ctx context.Context, f *file) (before revision, err error) {
	for token := ""; ; {
		var page struct {
			Revisions []revision `json:"revisions"`
			Next      string     `json:"nextPageToken"`
		}
		if err := s.ask(ctx, "read", http.MethodGet, "/drive/v3/files/"+url.PathEscape(f.ID)+"/revisions?pageSize=1000&fields=revisions(id,md5Checksum),nextPageToken&pageToken="+url.QueryEscape(token), nil, &page); err != nil {
			return before, err
		}
		for _, r := range page.Revisions {
			if r.ID == f.Revision {
				return before, nil
			}
			before = r
		}
		if token = page.Next; token == "" { // the content is not among them: it was overwritten meanwhile
			return revision{}, nil
		}
	}
}

// content is what was in a file at a revision.
func (s *store) content(ctx context.Context, id, revision string) ([]byte, error) {
	a, err := s.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: host + "/drive/v3/files/" + url.PathEscape(id) + "/revisions/" + url.PathEscape(revision) + "?alt=media"})
	if err != nil {
		return nil, classify(a, err, "read")
	}
	return a.Body, nil
}

// Get reads the revision that it tells of.
func (s *store) Get(ctx context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	end, err := s.turn(ctx, name)
	if err != nil {
		return nil, filestore.Info{}, err
	}
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.now(ctx, name)
	if err != nil {
		return nil, filestore.Info{}, err
	}
	info := s.info(name, f)
	if info.Size > limit {
		return nil, info, nil
	}
	data, err := s.content(ctx, f.ID, f.Revision)
	if err != nil {
		return nil, info, err
	}
	info.Size = int64(len(data))
	return data, info, nil
}

// Put replaces the content in one step. The vendor has no condition for it, so what came between is looked for afterwards: an
// edit of somebody else is put back on top, and the write counts as one that came too late.
func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	end, err := s.turn(ctx, name)
	if err != nil {
		return "", err
	}
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.now(ctx, name)
	switch {
	case errors.Is(err, filestore.ErrNotFound) && version == "":
		return s.create(ctx, name, data)
	case errors.Is(err, filestore.ErrNotFound), err == nil && f.Revision != version:
		return "", filestore.ErrMoved
	case err != nil:
		return "", err
	}
	next, err := s.upload(ctx, f, data)
	if err != nil {
		return "", err
	}
	now, err := s.settled(ctx, next)
	if err == nil && now.Revision != next.Revision {
		err = filestore.ErrMoved
	}
	if err != nil {
		return "", err
	}
	return next.Revision, nil
}

// upload puts a content on top of the one that the file has.
func (s *store) upload(ctx context.Context, f *file, data []byte) (*file, error) {
	sum := md5.Sum(data) //nolint:gosec // it is the vendor's word for a content, and guards nothing
	at := s.client.Now().UTC().Format(moment)
	return s.send(ctx, http.MethodPatch, "/"+url.PathEscape(f.ID), map[string]any{"modifiedTime": at, "appProperties": stamp{f.Revision, hex.EncodeToString(sum[:]), at}}, data)
}

// send sends a description and a content in one request.
func (s *store) send(ctx context.Context, method, path string, meta any, data []byte) (*file, error) {
	description, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, part := range []struct {
		kind string
		data []byte
	}{{"application/json; charset=UTF-8", description}, {"application/octet-stream", data}} {
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind}})
		if err != nil {
			return nil, err
		}
		if _, err := p.Write(part.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	a, err := s.client.Do(ctx, webapi.Call{Operation: "write", Method: method, URL: host + "/upload/drive/v3/files" + path + "?uploadType=multipart&fields=" + fields + everywhere,
		Header: http.Header{"Content-Type": {"multipart/related; boundary=" + w.Boundary()}}, Body: body.Bytes()})
	if err != nil {
		return nil, classify(a, err, "write")
	}
	var f file
	return &f, webapi.Decode(a, &f)
}

// create makes a file. Names are not unique in a drive: of two that were made at once the first stays. s.mu is held.
func (s *store) create(ctx context.Context, name string, data []byte) (string, error) {
	folder, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		folder, base = name[:i], name[i+1:]
	}
	parent, err := s.folder(ctx, folder)
	if err != nil {
		return "", err
	}
	made, err := s.send(ctx, http.MethodPost, "", map[string]any{"name": base, "parents": []string{parent}}, data)
	if err != nil {
		return "", err
	}
	s.known[made.ID] = made
	if err := s.follow(ctx); err != nil {
		return "", err
	}
	s.known[made.ID] = made
	if first := s.find(name, false); first != nil && first.ID != made.ID {
		delete(s.known, made.ID)
		if err := s.ask(ctx, "write", http.MethodDelete, "/drive/v3/files/"+url.PathEscape(made.ID)+"?"+everywhere[1:], nil, nil); err != nil && !errors.Is(err, filestore.ErrNotFound) {
			return "", err
		}
		return "", filestore.ErrMoved
	}
	return made.Revision, nil
}

// folder is the id of a folder below ours, made where it is not there. s.mu is held.
func (s *store) folder(ctx context.Context, path string) (string, error) {
	parent, at := s.root, ""
	if path == "" {
		return parent, nil
	}
	for _, name := range strings.Split(path, "/") {
		at = strings.TrimPrefix(at+"/"+name, "/")
		if f := s.find(at, true); f != nil {
			parent = f.ID
			continue
		}
		var made file
		if err := s.ask(ctx, "write", http.MethodPost, "/drive/v3/files?fields="+fields+everywhere, map[string]any{"name": name, "mimeType": folderType, "parents": []string{parent}}, &made); err != nil {
			return "", err
		}
		s.known[made.ID] = &made
		parent = made.ID
	}
	return parent, nil
}

// Remove deletes the file; it goes to the trash, where people can find it.
func (s *store) Remove(ctx context.Context, name string) error {
	end, err := s.turn(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.now(ctx, name)
	if err == nil {
		err = s.ask(ctx, "write", http.MethodPatch, "/drive/v3/files/"+url.PathEscape(f.ID)+"?fields=id"+everywhere, map[string]any{"trashed": true}, nil)
	}
	if errors.Is(err, filestore.ErrNotFound) {
		return nil
	}
	if err == nil {
		delete(s.known, f.ID)
	}
	return err
}

func (s *store) Close() error {
	s.client.Close()
	return nil
}
