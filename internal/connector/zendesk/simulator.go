// SPDX-License-Identifier: Apache-2.0

package zendesk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is a Zendesk account as far as this connector needs it, with its quirks: one name instead of two, PUT that changes
// only what is sent, an e-mail address in a PUT that becomes a second one, soft deletes that stay in the export as inactive, an
// export with ten calls a minute, and batches that are jobs to be polled.
type Simulator struct {
	// Rate is calls a minute; 400 when zero. ExportRate is calls of the export a minute; 10 when zero.
	Rate       int
	ExportRate int
	// Polls is how often a job is asked for before it is done; 1 when zero.
	Polls int
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "zendesk" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: "users", Title: "Users", Object: "users", Columns: []string{"email", "name", "phone", "user_fields.company", "suspended"}}}
}

// Seed makes a few people.
func (v *Simulator) Seed(w *sandbox.World) {
	w.Table("users").Next = 380_000
	for _, p := range [][3]string{{"lena.berg@example.com", "Lena Berg", "+4687654321"}, {"tom.baker@example.com", "Tom Baker", "+442071234567"}} {
		w.Insert("users", "", fresh(map[string]any{"email": p[0], "name": p[1], "phone": p[2]}))
	}
}

var writable = []string{"name", "email", "phone", "user_fields", "external_id", "alias", "notes", "details", "time_zone", "role", "tags", "suspended", "verified", "skip_verify_email", "locale"}

// fresh fills in what a new user has.
func fresh(set map[string]any) map[string]any {
	out := map[string]any{"role": "end-user", "suspended": false, "verified": false, "tags": []any{}, "user_fields": map[string]any{"company": nil}, "external_id": nil, "phone": nil, "alias": nil, "notes": nil, "details": nil, "time_zone": "UTC", "email": nil}
	for k, val := range set {
		if inner, ok := val.(map[string]any); ok && k == "user_fields" {
			merged := map[string]any{"company": nil}
			for ik, iv := range inner {
				merged[ik] = iv
			}
			val = merged
		}
		out[k] = val
	}
	return out
}

func (v *Simulator) fail(x *sandbox.Exchange, status int, kind, description string, details map[string]any) {
	body := map[string]any{"error": kind, "description": description}
	if details != nil {
		body["details"] = details
	}
	x.Say(status, body)
}

func (v *Simulator) allowed(x *sandbox.Exchange) bool {
	if user, pass, ok := basic(x.Header.Get("Authorization")); ok {
		return strings.HasSuffix(user, "/token") && x.Allowed(pass)
	}
	return x.Allowed(x.Bearer())
}

func basic(header string) (user, pass string, ok bool) {
	encoded, ok := strings.CutPrefix(header, "Basic ")
	if !ok {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	switch x.Path {
	case "/oauth/authorizations/new":
		consent.Ask(x)
		return
	case "/oauth/tokens":
		v.token(x)
		return
	}
	if !v.allowed(x) {
		v.fail(x, http.StatusUnauthorized, "Couldn't authenticate you", "", nil)
		return
	}
	if len(x.Steps) < 3 || x.Steps[0] != "api" || x.Steps[1] != "v2" {
		v.fail(x, http.StatusNotFound, "InvalidEndpoint", "Not found", nil)
		return
	}
	rate := v.Rate
	if rate == 0 {
		rate = 400
	}
	wait, left := x.W.Spend("calls", rate, time.Minute)
	x.Reply.Set("X-Rate-Limit", strconv.Itoa(rate))
	x.Reply.Set("X-Rate-Limit-Remaining", strconv.Itoa(left))
	if u := x.W.Usage["calls"]; u != nil {
		x.Reply.Set("ratelimit-reset", strconv.Itoa(int(u.Since.Add(time.Minute).Sub(x.W.Now()).Seconds())+1))
	}
	if wait == 0 && x.Steps[2] == "incremental" {
		export := v.ExportRate
		if export == 0 {
			export = 10
		}
		wait, _ = x.W.Spend("export", export, time.Minute)
	}
	if wait > 0 {
		x.Reply.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		v.fail(x, http.StatusTooManyRequests, "TooManyRequests", "Number of allowed API requests per minute exceeded", nil)
		return
	}
	switch {
	case x.Steps[2] == "users":
		v.users(x, x.Steps[3:])
	case x.Steps[2] == "incremental" && len(x.Steps) == 5 && x.Steps[3] == "users" && x.Steps[4] == "cursor":
		v.export(x)
	case x.Steps[2] == "job_statuses" && len(x.Steps) == 4:
		v.job(x, x.Steps[3])
	case x.Steps[2] == "webhooks":
		v.webhooks(x, x.Steps[3:])
	default:
		v.fail(x, http.StatusNotFound, "InvalidEndpoint", "Not found", nil)
	}
}

// webhooks are subscriptions to events; the signing secret is made by the vendor and asked for apart.
func (v *Simulator) webhooks(x *sandbox.Exchange, steps []string) {
	at := -1
	if len(steps) > 0 {
		at = slices.IndexFunc(x.W.Hooks, func(h sandbox.Hook) bool { return h.ID == steps[0] })
	}
	switch {
	case x.Method == http.MethodPost && len(steps) == 0:
		endpoint := sandbox.Text(sandbox.At(x.Body, "webhook", "endpoint"))
		subscriptions, _ := sandbox.At(x.Body, "webhook", "subscriptions").([]any)
		if endpoint == "" || len(subscriptions) == 0 || sandbox.Text(sandbox.At(x.Body, "webhook", "request_format")) != "json" {
			v.fail(x, http.StatusBadRequest, "InvalidWebhook", "The webhook has no endpoint, subscriptions or format", nil)
			return
		}
		x.W.Seq++
		h := sandbox.Hook{ID: fmt.Sprintf("01SANDBOX%d", x.W.Seq), URL: endpoint, Secret: fmt.Sprintf("signing-%d-%d", x.W.Seq, x.W.Now().UnixNano())}
		x.W.Hooks = append(x.W.Hooks, h)
		x.Say(http.StatusCreated, map[string]any{"webhook": map[string]any{"id": h.ID, "endpoint": h.URL, "status": "active", "subscriptions": subscriptions}})
	case at < 0:
		v.fail(x, http.StatusNotFound, "RecordNotFound", "Not found", nil)
	case x.Method == http.MethodGet && len(steps) == 2 && steps[1] == "signing_secret":
		x.Say(http.StatusOK, map[string]any{"signing_secret": map[string]any{"algorithm": "SHA256", "secret": x.W.Hooks[at].Secret}})
	case x.Method == http.MethodDelete && len(steps) == 1:
		x.W.Hooks = slices.Delete(x.W.Hooks, at, at+1)
		x.Say(http.StatusNoContent, nil)
	default:
		v.fail(x, http.StatusNotFound, "InvalidEndpoint", "Not found", nil)
	}
}

var consent = sandbox.Consent{Vendor: "Zendesk", Account: "sandbox.zendesk.com", Known: true, Scopes: map[string]string{"read": "Read everything in your account", "write": "Make, change and delete records"}}

func (v *Simulator) token(x *sandbox.Exchange) {
	if x.Form.Get("grant_type") == "authorization_code" {
		refresh, scope, problem := x.Redeem()
		if problem != "" {
			x.Say(http.StatusBadRequest, map[string]any{"error": problem, "error_description": "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI, or was issued to another client."})
			return
		}
		x.Say(http.StatusOK, map[string]any{"access_token": x.Grant(time.Hour), "refresh_token": refresh, "expires_in": 3600, "refresh_token_expires_in": 30 * 86400, "token_type": "bearer", "scope": scope})
		return
	}
	refresh := sandbox.Text(sandbox.At(x.Body, "refresh_token"))
	if x.Form != nil {
		refresh = x.Form.Get("refresh_token")
	}
	if !x.W.Grants[refresh] && !strings.HasPrefix(refresh, "sandbox_") {
		x.Say(http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "the refresh token is not valid"})
		return
	}
	x.Say(http.StatusOK, map[string]any{"access_token": x.Grant(time.Hour), "refresh_token": x.Refresh(), "expires_in": 3600, "refresh_token_expires_in": 30 * 86400, "token_type": "bearer"})
}

func show(r *sandbox.Record) map[string]any {
	out := map[string]any{}
	for k, val := range r.Fields {
		out[k] = val
	}
	id, _ := strconv.ParseInt(r.ID, 10, 64)
	out["id"], out["active"] = id, r.Live()
	out["created_at"], out["updated_at"] = r.Created.UTC().Format(time.RFC3339), r.Modified.UTC().Format(time.RFC3339)
	out["url"] = "https://example.zendesk.com/api/v2/users/" + r.ID + ".json"
	return out
}

// accept checks what is to be set. What it does not know it ignores, as Zendesk does.
func (v *Simulator) accept(w *sandbox.World, given map[string]any, id string) (set map[string]any, details map[string]any) {
	set = map[string]any{}
	bad := func(field, kind, says string) {
		if details == nil {
			details = map[string]any{}
		}
		details[field] = []any{map[string]any{"description": says, "error": kind}}
	}
	for name, val := range given {
		if !slices.Contains(writable, name) || name == "skip_verify_email" {
			continue
		}
		switch name {
		case "email":
			text := strings.ToLower(strings.TrimSpace(sandbox.Text(val)))
			if val == nil || text == "" {
				val = nil
				break
			}
			if !strings.Contains(text, "@") {
				bad("email", "InvalidValue", "Email:  "+text+" is not properly formatted")
			} else if other := w.Find("users", "email", text, id); other != nil {
				bad("email", "DuplicateValue", "Email: "+text+" is already being used by another user")
			}
			val = text
		case "name":
			if strings.TrimSpace(sandbox.Text(val)) == "" {
				bad("name", "BlankValue", "Name: is too short (minimum one character)")
			}
		case "external_id":
			if text := sandbox.Text(val); text != "" {
				if other := w.Find("users", "external_id", text, id); other != nil {
					bad("external_id", "DuplicateValue", "External has already been taken")
				}
			}
		case "role":
			if !slices.Contains([]string{"end-user", "agent", "admin"}, sandbox.Text(val)) {
				bad("role", "InvalidValue", "Role is not valid")
			}
		case "suspended":
			if _, ok := val.(bool); !ok {
				bad("suspended", "InvalidValue", "Suspended must be a boolean")
			}
		}
		set[name] = val
	}
	if id == "" && sandbox.Text(set["name"]) == "" && details == nil {
		bad("name", "BlankValue", "Name: is too short (minimum one character)")
	}
	return set, details
}

func names(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (v *Simulator) users(x *sandbox.Exchange, steps []string) {
	w := x.W
	invalid := func(details map[string]any) {
		v.fail(x, http.StatusUnprocessableEntity, "RecordInvalid", "Record validation errors", details)
	}
	switch {
	case len(steps) == 0 && x.Method == http.MethodPost:
		set, details := v.accept(w, sandbox.Map(sandbox.At(x.Body, "user")), "")
		if details != nil {
			invalid(details)
			return
		}
		if len(w.Table("users").Records) == 0 {
			w.Table("users").Next = max(w.Table("users").Next, 380_000)
		}
		r := w.Insert("users", "", fresh(set))
		x.Tell("users", "created", r.ID)
		x.Reply.Set("Location", "/api/v2/users/"+r.ID+".json")
		x.Say(http.StatusCreated, map[string]any{"user": show(r)})
	case len(steps) == 0 && x.Method == http.MethodGet:
		v.list(x)
	case len(steps) == 1 && steps[0] == "count":
		x.Say(http.StatusOK, map[string]any{"count": map[string]any{"value": w.Live("users"), "refreshed_at": w.Now().Format(time.RFC3339)}})
	case len(steps) == 1 && steps[0] == "search":
		v.search(x)
	case len(steps) == 1 && steps[0] == "show_many":
		out := []any{}
		for _, id := range strings.Split(x.Query.Get("ids"), ",") {
			if r := w.Get("users", id); r != nil {
				out = append(out, show(r))
			}
		}
		x.Say(http.StatusOK, map[string]any{"users": out, "count": len(out), "next_page": nil, "previous_page": nil})
	case len(steps) == 1 && steps[0] == "update_many" && x.Method == http.MethodPut:
		v.updateMany(x)
	case len(steps) == 1 && steps[0] == "destroy_many" && x.Method == http.MethodDelete:
		results := []any{}
		for _, id := range strings.Split(x.Query.Get("ids"), ",") {
			n, _ := strconv.ParseInt(id, 10, 64)
			if w.Delete("users", id) {
				x.Tell("users", "deleted", id)
				results = append(results, map[string]any{"id": n, "action": "destroy", "success": true, "status": "Deleted"})
			} else {
				results = append(results, map[string]any{"id": n, "action": "destroy", "success": false, "error": "RecordNotFound", "details": "Record not found"})
			}
		}
		v.start(x, results)
	case len(steps) == 2 && steps[1] == "identities" && x.Method == http.MethodPost:
		r := w.Get("users", steps[0])
		if r == nil {
			v.fail(x, http.StatusNotFound, "RecordNotFound", "Not found", nil)
			return
		}
		address := sandbox.At(x.Body, "identity", "value")
		set, details := v.accept(w, map[string]any{"email": address}, r.ID)
		if details != nil {
			invalid(details)
			return
		}
		if sandbox.Text(sandbox.At(x.Body, "identity", "primary")) == "true" {
			w.Update("users", r.ID, set)
			x.Tell("users", "updated", r.ID, "email")
		}
		x.Say(http.StatusCreated, map[string]any{"identity": map[string]any{"id": w.Seq, "user_id": sandbox.Map(show(r))["id"], "type": "email", "value": set["email"], "primary": true, "verified": true}})
	case len(steps) == 1:
		r := w.Get("users", steps[0])
		if r == nil {
			if gone := w.Table("users").Records[steps[0]]; gone != nil && x.Method == http.MethodGet && !gone.Purged {
				x.Say(http.StatusOK, map[string]any{"user": show(gone)}) // a deleted user can still be looked at
				return
			}
			v.fail(x, http.StatusNotFound, "RecordNotFound", "Not found", nil)
			return
		}
		switch x.Method {
		case http.MethodGet:
			x.Say(http.StatusOK, map[string]any{"user": show(r)})
		case http.MethodPut:
			set, details := v.accept(w, sandbox.Map(sandbox.At(x.Body, "user")), r.ID)
			if details != nil {
				invalid(details)
				return
			}
			delete(set, "email") // it becomes a second address, which is not shown here
			w.Update("users", r.ID, set)
			x.Tell("users", "updated", r.ID, names(set)...)
			x.Say(http.StatusOK, map[string]any{"user": show(r)})
		case http.MethodDelete:
			w.Delete("users", r.ID)
			x.Tell("users", "deleted", r.ID)
			x.Say(http.StatusOK, map[string]any{"user": show(w.Table("users").Records[r.ID])})
		}
	default:
		v.fail(x, http.StatusNotFound, "InvalidEndpoint", "Not found", nil)
	}
}

func (v *Simulator) updateMany(x *sandbox.Exchange) {
	list := sandbox.List(sandbox.At(x.Body, "users"))
	if len(list) > 100 {
		v.fail(x, http.StatusBadRequest, "TooManyValues", "at most 100", nil)
		return
	}
	results := []any{}
	for _, u := range list {
		id := sandbox.Text(sandbox.At(u, "id"))
		n, _ := strconv.ParseInt(id, 10, 64)
		r := x.W.Get("users", id)
		if r == nil {
			results = append(results, map[string]any{"id": n, "action": "update", "success": false, "error": "RecordNotFound", "details": "Record not found"})
			continue
		}
		set, details := v.accept(x.W, sandbox.Map(u), id)
		if details != nil {
			kind, says := "RecordInvalid", ""
			for _, d := range details {
				kind, says = sandbox.Text(sandbox.At(sandbox.List(d)[0], "error")), sandbox.Text(sandbox.At(sandbox.List(d)[0], "description"))
			}
			results = append(results, map[string]any{"id": n, "action": "update", "success": false, "error": kind, "details": says})
			continue
		}
		delete(set, "email")
		x.W.Update("users", id, set)
		x.Tell("users", "updated", id, names(set)...)
		results = append(results, map[string]any{"id": n, "action": "update", "success": true, "status": "Updated"})
	}
	v.start(x, results)
}

// start answers with a job whose work is done but not told yet.
func (v *Simulator) start(x *sandbox.Exchange, results []any) {
	id := fmt.Sprintf("%032x", x.W.Seq+int64(len(x.W.Jobs)))
	x.W.Jobs[id] = map[string]any{"polls": json.Number("0"), "results": results}
	x.Say(http.StatusOK, map[string]any{"job_status": map[string]any{"id": id, "status": "queued", "total": len(results), "progress": nil, "results": nil, "message": nil, "url": "https://example.zendesk.com/api/v2/job_statuses/" + id + ".json"}})
}

func (v *Simulator) job(x *sandbox.Exchange, id string) {
	j := sandbox.Map(x.W.Jobs[id])
	if j == nil {
		v.fail(x, http.StatusNotFound, "RecordNotFound", "Not found", nil)
		return
	}
	n, _ := strconv.Atoi(sandbox.Text(j["polls"]))
	j["polls"] = json.Number(strconv.Itoa(n + 1))
	polls := v.Polls
	if polls == 0 {
		polls = 1
	}
	out := map[string]any{"id": id, "status": "working", "total": len(sandbox.List(j["results"])), "progress": n, "results": nil, "message": nil, "url": "https://example.zendesk.com/api/v2/job_statuses/" + id + ".json"}
	if n >= polls {
		out["status"], out["results"] = "completed", j["results"]
	}
	x.Say(http.StatusOK, map[string]any{"job_status": out})
}

func (v *Simulator) list(x *sandbox.Exchange) {
	size, err := strconv.Atoi(x.Query.Get("page[size]"))
	if err != nil || size > 100 {
		size = 100
	}
	after := x.Query.Get("page[after]")
	out := []any{}
	more, last := false, ""
	for _, r := range x.W.Sorted("users") {
		if !r.Live() || after != "" && !sandbox.Before(after, r.ID) {
			continue
		}
		if len(out) == size {
			more = true
			break
		}
		out = append(out, show(r))
		last = r.ID
	}
	x.Say(http.StatusOK, map[string]any{"users": out, "meta": map[string]any{"has_more": more, "after_cursor": last}, "links": map[string]any{"next": nil, "prev": nil}})
}

// search knows field:"value" and words.
func (v *Simulator) search(x *sandbox.Exchange) {
	out := []any{}
	field, want, exact := strings.Cut(x.Query.Get("query"), ":")
	want = strings.Trim(want, `"`)
	if e := x.Query.Get("external_id"); e != "" {
		field, want, exact = "external_id", e, true
	}
	for _, r := range x.W.Sorted("users") {
		if !r.Live() {
			continue
		}
		if exact && strings.EqualFold(sandbox.Text(r.Fields[field]), want) || !exact && strings.Contains(strings.ToLower(sandbox.Text(r.Fields["name"])+" "+sandbox.Text(r.Fields["email"])), strings.ToLower(field)) {
			out = append(out, show(r))
		}
		if len(out) == 100 {
			break
		}
	}
	x.Say(http.StatusOK, map[string]any{"users": out, "count": len(out), "next_page": nil, "previous_page": nil})
}

// export goes on in the order of changes; its cursor is the number of the last one.
func (v *Simulator) export(x *sandbox.Exchange) {
	var after int64
	var since time.Time
	if c := x.Query.Get("cursor"); c != "" {
		b, err := base64.StdEncoding.DecodeString(c)
		if err == nil {
			after, err = strconv.ParseInt(string(b), 10, 64)
		}
		if err != nil {
			v.fail(x, http.StatusBadRequest, "InvalidValue", "cursor is not valid", nil)
			return
		}
	} else {
		n, err := strconv.ParseInt(x.Query.Get("start_time"), 10, 64)
		if err != nil || x.W.Now().Unix()-n < 60 {
			v.fail(x, http.StatusUnprocessableEntity, "InvalidValue", "Too recent start_time. Use a start_time older than 60 seconds", nil)
			return
		}
		since = time.Unix(n, 0)
	}
	size, err := strconv.Atoi(x.Query.Get("per_page"))
	if err != nil || size > 1000 {
		size = 1000
	}
	var list []*sandbox.Record
	for _, r := range x.W.Table("users").Records {
		if r.Seq > after && !r.Modified.Before(since) && !r.Purged {
			list = append(list, r)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Seq < list[j].Seq })
	end := len(list) <= size
	if !end {
		list = list[:size]
	}
	out := []any{}
	for _, r := range list {
		out = append(out, show(r))
		after = r.Seq
	}
	cursor := base64.StdEncoding.EncodeToString([]byte(strconv.FormatInt(after, 10)))
	x.Say(http.StatusOK, map[string]any{"users": out, "after_cursor": cursor, "after_url": x.Base + "/api/v2/incremental/users/cursor.json?cursor=" + cursor, "before_cursor": nil, "before_url": nil, "end_of_stream": end})
}

// Message is a webhook about a user.
func (v *Simulator) Message(w *sandbox.World, h sandbox.Hook, e sandbox.Event) *http.Request {
	kind := e.Op
	if kind != "created" && kind != "deleted" {
		kind = "details_changed"
	}
	body, err := json.Marshal(map[string]any{"account_id": 1, "id": fmt.Sprintf("evt-%d", e.Number), "type": "zen:event-type:user." + kind, "time": e.At.Format(time.RFC3339),
		"subject": "zen:user:" + e.ID, "detail": map[string]any{"id": e.ID}, "zendesk_event_version": "2022-11-06"})
	if err != nil {
		return nil
	}
	r, err := http.NewRequest(http.MethodPost, h.URL, strings.NewReader(string(body))) //nolint:noctx // whoever sends it gives the context
	if err != nil {
		return nil
	}
	at := w.Now().Format(time.RFC3339)
	m := hmac.New(sha256.New, []byte(h.Secret))
	fmt.Fprintf(m, "%s%s", at, body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Zendesk-Webhook-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil)))
	r.Header.Set("X-Zendesk-Webhook-Signature-Timestamp", at)
	return r
}

var _ sandbox.Maker = (*Simulator)(nil)

// Make is a person's new record, with what a new user has.
func (v *Simulator) Make(w *sandbox.World, table string, set map[string]any) string {
	nested := map[string]any{}
	for k, x := range set {
		if head, tail, inside := strings.Cut(k, "."); inside {
			m, ok := nested[head].(map[string]any)
			if !ok {
				m = map[string]any{}
				nested[head] = m
			}
			m[tail] = x
			continue
		}
		nested[k] = x
	}
	return w.Insert(table, "", fresh(nested)).ID
}
