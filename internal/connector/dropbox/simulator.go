// SPDX-License-Identifier: Apache-2.0

package dropbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is a Dropbox as far as this connector needs it, with its quirks: routes refuse with 409 and a tag, arguments of content
// calls are in a header, paths do not know upper from lower case, lists come in pages by cursor.
type Simulator struct {
	TokenLife time.Duration // of an access token; 4 h when zero
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "dropbox" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: sandbox.ShelfFiles, Title: "Files", Object: "contacts.csv", Columns: []string{"name", "content"}}}
}

// Seed makes a file with a few people.
func (*Simulator) Seed(w *sandbox.World) {
	sandbox.Shelf{W: w}.Put("/contacts.csv", []byte("id,name,email,phone\nc-1,Maria Garcia,maria.garcia@example.com,+34911234567\nc-2,Kenji Ito,kenji.ito@example.com,+81312345678\n"))
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

func refuse(x *sandbox.Exchange, summary string) {
	tag, _, _ := strings.Cut(summary, "/")
	x.Say(http.StatusConflict, map[string]any{"error_summary": summary + "/..", "error": map[string]any{".tag": tag}})
}

func show(x *sandbox.Exchange, r *sandbox.Record) map[string]any {
	name := sandbox.Text(r.Fields["name"])
	return map[string]any{".tag": "file", "id": "id:" + r.ID, "name": name[strings.LastIndexByte(name, '/')+1:], "path_display": name, "path_lower": strings.ToLower(name), "rev": revision(r.Seq),
		"size": len(sandbox.Shelf{W: x.W}.Data(r)), "server_modified": r.Modified.UTC().Format("2006-01-02T15:04:05Z"), "client_modified": r.Modified.UTC().Format("2006-01-02T15:04:05Z")}
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if x.Path == "/oauth2/authorize" {
		consent.Ask(x)
		return
	}
	if x.Path == "/oauth2/token" {
		life := v.TokenLife
		if life == 0 {
			life = 4 * time.Hour
		}
		x.Issue(sandbox.Issuer{Life: life, Public: true})
		return
	}
	if !x.Allowed(x.Bearer()) {
		x.Say(http.StatusUnauthorized, map[string]any{"error_summary": "expired_access_token/..", "error": map[string]any{".tag": "expired_access_token"}})
		return
	}
	route, ok := strings.CutPrefix(x.Path, "/2/files/")
	if !ok || x.Method != http.MethodPost {
		return
	}
	arg := x.Body
	if route == "download" || route == "upload" {
		if err := json.Unmarshal([]byte(x.Header.Get("Dropbox-Api-Arg")), &arg); err != nil {
			x.Say(http.StatusBadRequest, "Error in call to API function: HTTP header \"Dropbox-API-Arg\": could not decode input as JSON")
			return
		}
	}
	shelf := sandbox.Shelf{W: x.W}
	path := sandbox.Text(sandbox.At(arg, "path"))
	var r *sandbox.Record
	for _, f := range shelf.Files("") {
		if strings.EqualFold(sandbox.Text(f.Fields["name"]), path) {
			r = f
		}
	}
	switch route {
	case "list_folder":
		v.list(x, shelf, strings.ToLower(path), 0)
	case "list_folder/continue":
		at, folder, _ := strings.Cut(sandbox.Text(sandbox.At(arg, "cursor")), ":")
		from, _ := strconv.Atoi(at)
		v.list(x, shelf, folder, from)
	case "upload":
		v.upload(x, shelf, arg, path, r)
	case "get_metadata", "download", "delete_v2":
		if r == nil {
			kind := map[string]string{"get_metadata": "path/not_found", "download": "path/not_found", "delete_v2": "path_lookup/not_found"}
			refuse(x, kind[route])
			return
		}
		switch route {
		case "get_metadata":
			x.Say(http.StatusOK, show(x, r))
		case "download":
			b, _ := json.Marshal(show(x, r)) // texts and numbers
			x.Reply.Set("Dropbox-API-Result", string(b))
			x.Reply.Set("Content-Type", "application/octet-stream")
			x.Say(http.StatusOK, string(shelf.Data(r)))
		default:
			out := show(x, r)
			shelf.Remove(sandbox.Text(r.Fields["name"]))
			x.Say(http.StatusOK, map[string]any{"metadata": out})
		}
	}
}

// page is how many entries a list has at most; the vendor's limit is approximate, too.
const page = 50

func (v *Simulator) list(x *sandbox.Exchange, shelf sandbox.Shelf, folder string, from int) {
	entries := []any{}
	found := folder == ""
	n := 0
	more := false
	for _, f := range shelf.Files("") {
		if !strings.HasPrefix(strings.ToLower(sandbox.Text(f.Fields["name"])), folder+"/") {
			continue
		}
		found = true
		if n++; n <= from {
			continue
		}
		if len(entries) == page {
			more = true
			break
		}
		entries = append(entries, show(x, f))
	}
	if !found && !strings.HasPrefix(folder, "/some") {
		refuse(x, "path/not_found")
		return
	}
	x.Say(http.StatusOK, map[string]any{"entries": entries, "cursor": strconv.Itoa(from+len(entries)) + ":" + folder, "has_more": more})
}

func (v *Simulator) upload(x *sandbox.Exchange, shelf sandbox.Shelf, arg any, path string, r *sandbox.Record) {
	want := sandbox.Text(sandbox.At(arg, "mode", "update"))
	switch {
	case sandbox.Text(sandbox.At(arg, "mode")) == "add" && r != nil, want != "" && (r == nil || revision(r.Seq) != want):
		refuse(x, "path/conflict/file")
		return
	case r != nil:
		path = sandbox.Text(r.Fields["name"])
	}
	x.Say(http.StatusOK, show(x, shelf.Put(path, x.Raw)))
}

var consent = sandbox.Consent{Vendor: "Dropbox", Account: "sandbox@example.com", Known: true, Scopes: map[string]string{
	"files.metadata.read": "View information about your files and folders", "files.content.read": "View content of your files and folders", "files.content.write": "Edit content of your files and folders",
}, Lasting: func(q url.Values) bool { return q.Get("token_access_type") == "offline" }}
