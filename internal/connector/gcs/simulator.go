// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is a bucket as far as this connector needs it: generations, conditions on them, listing in pages.
type Simulator struct{}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "google-cloud-storage" }

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

func fail(x *sandbox.Exchange, status int, message string) {
	x.Say(status, map[string]any{"error": map[string]any{"code": status, "message": message}})
}

func show(x *sandbox.Exchange, r *sandbox.Record) map[string]any {
	return map[string]any{"kind": "storage#object", "name": r.Fields["name"], "size": strconv.Itoa(len(sandbox.Shelf{W: x.W}.Data(r))), "generation": strconv.FormatInt(r.Seq, 10), "updated": r.Modified.UTC().Format("2006-01-02T15:04:05.000Z")}
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if x.Path == "/token" {
		x.Issue(sandbox.Issuer{Life: time.Hour, Others: []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}})
		return
	}
	if !x.Allowed(x.Bearer()) {
		fail(x, http.StatusUnauthorized, "Invalid Credentials")
		return
	}
	shelf := sandbox.Shelf{W: x.W}
	if len(x.Steps) > 3 && strings.HasPrefix(x.Steps[len(x.Steps)-1], "denied") {
		fail(x, http.StatusForbidden, "does not have storage.objects.create access")
		return
	}
	if x.Path == "/upload/storage/v1/b/exchange/o" && x.Method == http.MethodPost {
		name := x.Query.Get("name")
		r := shelf.Find(name)
		if want := x.Query.Get("ifGenerationMatch"); want != "" && (r == nil && want != "0" || r != nil && strconv.FormatInt(r.Seq, 10) != want) {
			fail(x, http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold.")
			return
		}
		x.Say(http.StatusOK, show(x, shelf.Put(name, x.Raw)))
		return
	}
	rest, ok := strings.CutPrefix(x.Path, "/storage/v1/b/exchange/o")
	if !ok {
		fail(x, http.StatusNotFound, "The specified bucket does not exist.")
		return
	}
	if rest == "" {
		v.list(x, shelf)
		return
	}
	name, err := url.PathUnescape(strings.TrimPrefix(rest, "/"))
	r := shelf.Find(name)
	if err != nil || r == nil || x.Query.Get("generation") != "" && x.Query.Get("generation") != strconv.FormatInt(r.Seq, 10) {
		fail(x, http.StatusNotFound, "No such object: exchange/"+name)
		return
	}
	switch {
	case x.Method == http.MethodDelete:
		shelf.Remove(name)
		x.Say(http.StatusNoContent, nil)
	case x.Query.Get("alt") == "media":
		x.Reply.Set("Content-Type", "application/octet-stream")
		x.Say(http.StatusOK, string(shelf.Data(r)))
	default:
		x.Say(http.StatusOK, show(x, r))
	}
}

func (v *Simulator) list(x *sandbox.Exchange, shelf sandbox.Shelf) {
	most, err := strconv.Atoi(x.Query.Get("maxResults"))
	if err != nil || most > 1000 {
		most = 1000
	}
	from, _ := strconv.Atoi(x.Query.Get("pageToken"))
	files := shelf.Files(x.Query.Get("prefix"))
	items := []any{}
	for i := from; i < len(files) && len(items) < most; i++ {
		items = append(items, show(x, files[i]))
	}
	out := map[string]any{"kind": "storage#objects", "items": items}
	if from+len(items) < len(files) {
		out["nextPageToken"] = strconv.Itoa(from + len(items))
	}
	x.Say(http.StatusOK, out)
}
