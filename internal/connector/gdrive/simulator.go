// SPDX-License-Identifier: Apache-2.0

package gdrive

import (
	"bytes"
	"crypto/md5" //nolint:gosec // see sum
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is a drive as far as this connector needs it, with its quirks: files and folders have ids, names need not be unique,
// writes know no conditions, each content is a revision, a feed tells of changes, and patience is asked for with status 403.
type Simulator struct{}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "google-drive" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: sandbox.ShelfFiles, Title: "Files", Object: "contacts.csv", Columns: []string{"name", "content"}}}
}

// Seed makes a file with a few people.
func (*Simulator) Seed(w *sandbox.World) {
	sandbox.Shelf{W: w}.Put("contacts.csv", []byte("id,name,email,phone\nc-1,Maria Garcia,maria.garcia@example.com,+34911234567\nc-2,Kenji Ito,kenji.ito@example.com,+81312345678\n"))
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

// What the simulator keeps beside the files.
const (
	tableFolders   = "folders"   // path
	tableRevisions = "revisions" // file, revision, content
	tableKnown     = "known"     // files that were there, by id
	tableRemoved   = "removed"   // file
	kept           = 20          // revisions of a file
)

func folderID(dir string) string {
	return "folder-" + base64.RawURLEncoding.EncodeToString([]byte(dir))
}

func refuse(x *sandbox.Exchange, status int, reason, message string) {
	x.Say(status, map[string]any{"error": map[string]any{"code": status, "message": message, "errors": []any{map[string]any{"domain": "global", "reason": reason, "message": message}}}})
}

func parentOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// notice takes down what happened since the last call: folders that files are in, contents, and files that are gone.
func (v *Simulator) notice(w *sandbox.World) {
	shelf := sandbox.Shelf{W: w}
	have := map[string]bool{"": true}
	for _, r := range w.Table(tableFolders).Records {
		have[sandbox.Text(r.Fields["path"])] = true
	}
	there := map[string]bool{}
	for _, f := range shelf.Files("") {
		there[f.ID] = true
		for dir := parentOf(sandbox.Text(f.Fields["name"])); dir != ""; dir = parentOf(dir) {
			if !have[dir] {
				have[dir] = true
				w.Insert(tableFolders, "", map[string]any{"path": dir})
			}
		}
		k := w.Table(tableKnown).Records[f.ID]
		if k == nil {
			k = w.Insert(tableKnown, f.ID, map[string]any{})
		}
		if head := strconv.FormatInt(f.Seq, 10); sandbox.Text(k.Fields["head"]) != head {
			k.Fields["head"] = head
			w.Insert(tableRevisions, "", map[string]any{"file": f.ID, "revision": head, "content": f.Fields["content"]})
			if all := v.revisions(w, f.ID); len(all) > kept {
				delete(w.Table(tableRevisions).Records, all[0].ID)
			}
		}
	}
	for id := range w.Table(tableKnown).Records {
		if !there[id] {
			delete(w.Table(tableKnown).Records, id)
			w.Insert(tableRemoved, "", map[string]any{"file": id})
		}
	}
}

func (v *Simulator) revisions(w *sandbox.World, file string) (out []*sandbox.Record) {
	for _, r := range w.Sorted(tableRevisions) {
		if r.Fields["file"] == file {
			out = append(out, r)
		}
	}
	return out
}

func said(t time.Time) string { return t.UTC().Format(moment) }

func sum(data []byte) string {
	s := md5.Sum(data) //nolint:gosec // it is what the vendor gives
	return hex.EncodeToString(s[:])
}

func (v *Simulator) file(w *sandbox.World, r *sandbox.Record) map[string]any {
	name := sandbox.Text(r.Fields["name"])
	data := sandbox.Shelf{W: w}.Data(r)
	out := map[string]any{"id": r.ID, "name": path.Base(name), "mimeType": "application/octet-stream", "size": strconv.Itoa(len(data)), "headRevisionId": strconv.FormatInt(r.Seq, 10),
		"md5Checksum": sum(data), "modifiedTime": said(r.Modified), "createdTime": said(r.Created), "trashed": false, "parents": []any{folderID(parentOf(name))}}
	if k := w.Table(tableKnown).Records[r.ID]; k != nil && k.Fields["properties"] != nil {
		out["appProperties"] = k.Fields["properties"]
		if k.Fields["described"] == out["headRevisionId"] {
			out["modifiedTime"] = k.Fields["modified"]
		}
	}
	return out
}

func (v *Simulator) folder(dir string, r *sandbox.Record) map[string]any {
	out := map[string]any{"id": folderID(dir), "name": "My Drive", "mimeType": folderType, "trashed": false}
	if r != nil {
		out["name"], out["parents"], out["modifiedTime"], out["createdTime"] = path.Base(dir), []any{folderID(parentOf(dir))}, said(r.Modified), said(r.Created)
	}
	return out
}

// dirOf is the folder of an id, false when there is none.
func (v *Simulator) dirOf(w *sandbox.World, id string) (dir string, r *sandbox.Record, ok bool) {
	if id == "root" || id == folderID("") {
		return "", nil, true
	}
	for _, r := range w.Table(tableFolders).Records {
		if dir := sandbox.Text(r.Fields["path"]); folderID(dir) == id {
			return dir, r, true
		}
	}
	return "", nil, false
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if x.Path == "/o/oauth2/v2/auth" {
		consent.Ask(x)
		return
	}
	if x.Path == "/token" {
		x.Issue(sandbox.Issuer{Life: time.Hour, Others: []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}})
		return
	}
	if !x.Allowed(x.Bearer()) {
		refuse(x, http.StatusUnauthorized, "authError", "Invalid Credentials")
		return
	}
	v.notice(x.W)
	shelf := sandbox.Shelf{W: x.W}
	upload, isUpload := strings.CutPrefix(x.Path, "/upload/drive/v3/files")
	rest, isFile := strings.CutPrefix(x.Path, "/drive/v3/files")
	switch {
	case x.Path == "/drive/v3/changes/startPageToken":
		x.Say(http.StatusOK, map[string]any{"startPageToken": strconv.FormatInt(x.W.Seq, 10)})
	case x.Path == "/drive/v3/changes":
		v.changes(x, shelf)
	case isUpload && upload == "" && x.Method == http.MethodPost:
		v.create(x, shelf)
	case isUpload && x.Method == http.MethodPatch:
		r := v.byID(shelf, strings.TrimPrefix(upload, "/"))
		if r == nil {
			refuse(x, http.StatusNotFound, "notFound", "File not found")
			return
		}
		v.replace(x, shelf, r)
	case isFile && rest == "" && x.Method == http.MethodGet:
		v.list(x, shelf)
	case isFile && rest == "" && x.Method == http.MethodPost:
		parent := ""
		if list, ok := sandbox.At(x.Body, "parents").([]any); ok && len(list) == 1 {
			parent = sandbox.Text(list[0])
		}
		dir, _, ok := v.dirOf(x.W, parent)
		if !ok || sandbox.Text(sandbox.At(x.Body, "mimeType")) != folderType {
			refuse(x, http.StatusNotFound, "notFound", "File not found: the parent")
			return
		}
		made := strings.TrimPrefix(dir+"/"+sandbox.Text(sandbox.At(x.Body, "name")), "/")
		x.Say(http.StatusOK, v.folder(made, x.W.Insert(tableFolders, "", map[string]any{"path": made})))
	case isFile:
		v.one(x, shelf, strings.Split(strings.TrimPrefix(rest, "/"), "/"))
	}
}

func (v *Simulator) byID(shelf sandbox.Shelf, id string) *sandbox.Record {
	if r := shelf.W.Table(sandbox.ShelfFiles).Records[id]; r != nil && r.Live() {
		return r
	}
	return nil
}

// one is about one file: its description, its revisions, its end.
func (v *Simulator) one(x *sandbox.Exchange, shelf sandbox.Shelf, steps []string) {
	if dir, r, ok := v.dirOf(x.W, steps[0]); ok && len(steps) == 1 && x.Method == http.MethodGet {
		x.Say(http.StatusOK, v.folder(dir, r))
		return
	}
	r := v.byID(shelf, steps[0])
	if r == nil {
		refuse(x, http.StatusNotFound, "notFound", "File not found: "+steps[0]+".")
		return
	}
	switch {
	case len(steps) == 2 && steps[1] == "revisions":
		list := []any{}
		for _, rev := range v.revisions(x.W, r.ID) {
			list = append(list, map[string]any{"id": rev.Fields["revision"], "md5Checksum": sum(shelf.Data(rev))})
		}
		x.Say(http.StatusOK, map[string]any{"revisions": list})
	case len(steps) == 3 && steps[1] == "revisions":
		for _, rev := range v.revisions(x.W, r.ID) {
			if rev.Fields["revision"] == steps[2] {
				x.Reply.Set("Content-Type", "application/octet-stream")
				x.Say(http.StatusOK, string(shelf.Data(rev)))
				return
			}
		}
		refuse(x, http.StatusNotFound, "notFound", "Revision not found: "+steps[2]+".")
	case x.Method == http.MethodDelete, x.Method == http.MethodPatch && sandbox.At(x.Body, "trashed") == true:
		delete(x.W.Table(sandbox.ShelfFiles).Records, r.ID)
		x.W.Seq++
		x.Say(http.StatusOK, map[string]any{"id": r.ID})
	default:
		x.Say(http.StatusOK, v.file(x.W, r))
	}
}

// list knows queries of the form ('a' in parents or 'b' in parents) and trashed = false.
func (v *Simulator) list(x *sandbox.Exchange, shelf sandbox.Shelf) {
	var in []string
	for _, part := range strings.Split(x.Query.Get("q"), "'") {
		if strings.HasPrefix(part, "folder-") || part == "root" {
			in = append(in, part)
		}
	}
	var all []any
	for _, r := range x.W.Sorted(tableFolders) {
		if dir := sandbox.Text(r.Fields["path"]); slices.Contains(in, folderID(parentOf(dir))) {
			all = append(all, v.folder(dir, r))
		}
	}
	for _, r := range shelf.Files("") {
		if slices.Contains(in, folderID(parentOf(sandbox.Text(r.Fields["name"])))) {
			all = append(all, v.file(x.W, r))
		}
	}
	const page = 50 // fewer than asked for, as the vendor reserves itself
	from, _ := strconv.Atoi(x.Query.Get("pageToken"))
	end := min(from+page, len(all))
	out := map[string]any{"files": append([]any{}, all[min(from, end):end]...)}
	if end < len(all) {
		out["nextPageToken"] = strconv.Itoa(end)
	}
	x.Say(http.StatusOK, out)
}

func (v *Simulator) changes(x *sandbox.Exchange, shelf sandbox.Shelf) {
	from, err := strconv.ParseInt(x.Query.Get("pageToken"), 10, 64)
	if err != nil {
		refuse(x, http.StatusBadRequest, "invalid", "Invalid Value")
		return
	}
	type change struct {
		seq int64
		is  map[string]any
	}
	var all []change
	for _, r := range x.W.Table(tableFolders).Records {
		dir := sandbox.Text(r.Fields["path"])
		all = append(all, change{r.Seq, map[string]any{"removed": false, "fileId": folderID(dir), "file": v.folder(dir, r)}})
	}
	for _, r := range shelf.Files("") {
		all = append(all, change{r.Seq, map[string]any{"removed": false, "fileId": r.ID, "file": v.file(x.W, r)}})
	}
	for _, r := range x.W.Table(tableRemoved).Records {
		all = append(all, change{r.Seq, map[string]any{"removed": true, "fileId": r.Fields["file"]}})
	}
	slices.SortFunc(all, func(a, b change) int { return int(a.seq - b.seq) })
	list := []any{}
	out := map[string]any{"newStartPageToken": strconv.FormatInt(x.W.Seq, 10)}
	const page = 20
	for _, c := range all {
		if c.seq <= from {
			continue
		}
		if len(list) == page {
			delete(out, "newStartPageToken")
			out["nextPageToken"] = strconv.FormatInt(c.seq-1, 10)
			break
		}
		list = append(list, c.is)
	}
	out["changes"] = list
	x.Say(http.StatusOK, out)
}

// description is what goes before a content.
type description struct {
	Name       string            `json:"name"`
	Parents    []string          `json:"parents"`
	Modified   string            `json:"modifiedTime"`
	Properties map[string]string `json:"appProperties"`
}

// upload takes a description and a content in two parts.
func (v *Simulator) upload(x *sandbox.Exchange) (meta description, content []byte, ok bool) {
	_, params, err := mime.ParseMediaType(x.Header.Get("Content-Type"))
	if err != nil {
		refuse(x, http.StatusBadRequest, "badContent", "Malformed multipart body.")
		return meta, nil, false
	}
	parts := multipart.NewReader(bytes.NewReader(x.Raw), params["boundary"])
	var read [2][]byte
	for i := range read {
		p, err := parts.NextPart()
		if err == nil {
			read[i], err = io.ReadAll(p)
		}
		if err != nil {
			refuse(x, http.StatusBadRequest, "badContent", "Malformed multipart body.")
			return meta, nil, false
		}
	}
	if json.Unmarshal(read[0], &meta) != nil {
		refuse(x, http.StatusBadRequest, "parseError", "Parse Error")
		return meta, nil, false
	}
	return meta, read[1], true
}

// replace gives a file another content. Properties stay until they are given anew, and the time is the vendor's unless given.
func (v *Simulator) replace(x *sandbox.Exchange, shelf sandbox.Shelf, r *sandbox.Record) {
	meta, content, ok := v.upload(x)
	if !ok {
		return
	}
	r = shelf.Put(sandbox.Text(r.Fields["name"]), content)
	v.notice(x.W)
	k := x.W.Table(tableKnown).Records[r.ID]
	properties := map[string]any{}
	for name, value := range meta.Properties {
		properties[name] = value
	}
	k.Fields["properties"], k.Fields["modified"], k.Fields["described"] = properties, meta.Modified, strconv.FormatInt(r.Seq, 10)
	x.Say(http.StatusOK, v.file(x.W, r))
}

// create makes a file.
func (v *Simulator) create(x *sandbox.Exchange, shelf sandbox.Shelf) {
	meta, content, ok := v.upload(x)
	if !ok {
		return
	}
	if len(meta.Parents) != 1 || meta.Name == "" {
		refuse(x, http.StatusBadRequest, "parseError", "Parse Error")
		return
	}
	dir, _, ok := v.dirOf(x.W, meta.Parents[0])
	if !ok {
		refuse(x, http.StatusNotFound, "notFound", "File not found: "+meta.Parents[0]+".")
		return
	}
	name := strings.TrimPrefix(dir+"/"+meta.Name, "/")
	if path.Base(meta.Name) == "denied.csv" {
		refuse(x, http.StatusForbidden, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
		return
	}
	var r *sandbox.Record
	if shelf.Find(name) == nil {
		r = shelf.Put(name, content)
	} else { // names are not unique
		fresh := shelf.Put(name+"\x00", content)
		fresh.Fields["name"] = name
		r = fresh
	}
	x.Say(http.StatusOK, v.file(x.W, r))
}

var consent = sandbox.Consent{Vendor: "Google", Account: "sandbox@example.com", PKCE: true, Known: true, Scopes: map[string]string{scope: "See, edit, create and delete all of your files in Drive"},
	Lasting: func(q url.Values) bool { return q.Get("access_type") == "offline" && q.Get("prompt") == "consent" }}
