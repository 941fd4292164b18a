// SPDX-License-Identifier: Apache-2.0

package clearbit

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is Clearbit as far as this connector needs it: it knows what its tables have, and says 404 of anybody else, 422 of what
// is no address or domain, and 429 beyond its limit. It never says that an answer comes later.
type Simulator struct {
	// Rate is calls a minute; 600 when zero.
	Rate int
}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "clearbit" }

// Tables are what the playground shows: what Clearbit knows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{
		{Name: "people", Title: "People it knows", Object: "people", Columns: []string{"email", "name.givenName", "name.familyName", "employment.title", "employment.name"}},
		{Name: "companies", Title: "Companies it knows", Object: "companies", Columns: []string{"domain", "name", "category.industry", "metrics.employees"}},
	}
}

// Seed lets it know a few people and companies.
func (*Simulator) Seed(w *sandbox.World) {
	for _, p := range [][5]string{
		{"lena.berg@example.com", "Lena", "Berg", "Head of Operations", "Nordlicht"},
		{"tom.baker@example.com", "Tom", "Baker", "Engineering Manager", "Baker and Sons"},
		{"jane@example.com", "Jane", "Doe", "Buyer", "Example Corp"},
	} {
		w.Insert("people", "", map[string]any{"email": p[0], "name": map[string]any{"givenName": p[1], "familyName": p[2], "fullName": p[1] + " " + p[2]},
			"employment": map[string]any{"title": p[3], "name": p[4], "domain": "example.com"}})
	}
	w.Insert("companies", "", map[string]any{"domain": "example.com", "name": "Example Corp", "category": map[string]any{"sector": "Information Technology", "industry": "Internet Software"},
		"metrics": map[string]any{"employees": 75, "employeesRange": "51-250"}})
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	if !x.Allowed(x.Bearer()) {
		v.fail(x, http.StatusUnauthorized, "auth_invalid", "Invalid API key provided")
		return
	}
	rate := v.Rate
	if rate == 0 {
		rate = 600
	}
	wait, left := x.W.Spend("calls", rate, time.Minute)
	x.Reply.Set("X-RateLimit-Limit", strconv.Itoa(rate))
	x.Reply.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	if wait > 0 {
		x.Reply.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		v.fail(x, http.StatusTooManyRequests, "rate_limit", "Rate limit exceeded")
		return
	}
	switch {
	case x.Method != http.MethodGet:
		v.fail(x, http.StatusNotFound, "unknown_route", "Unknown route")
	case x.Path == "/v2/people/find":
		email := strings.ToLower(x.Query.Get("email"))
		if name, host, ok := strings.Cut(email, "@"); !ok || name == "" || !strings.Contains(host, ".") {
			v.fail(x, http.StatusUnprocessableEntity, "email_invalid", "Invalid email")
			return
		}
		v.show(x, x.W.Find("people", "email", email, ""))
	case x.Path == "/v2/companies/find":
		domain := strings.ToLower(x.Query.Get("domain"))
		if !strings.Contains(domain, ".") || strings.ContainsAny(domain, " /@") {
			v.fail(x, http.StatusUnprocessableEntity, "domain_invalid", "Invalid domain")
			return
		}
		v.show(x, x.W.Find("companies", "domain", domain, ""))
	default:
		v.fail(x, http.StatusNotFound, "unknown_route", "Unknown route")
	}
}

func (v *Simulator) show(x *sandbox.Exchange, r *sandbox.Record) {
	if r == nil {
		v.fail(x, http.StatusNotFound, "unknown_record", "Unknown person or company")
		return
	}
	out := map[string]any{"id": r.ID, "indexedAt": r.Modified.UTC().Format(time.RFC3339)}
	for k, val := range r.Fields {
		out[k] = val
	}
	x.Say(http.StatusOK, out)
}

func (*Simulator) fail(x *sandbox.Exchange, status int, kind, message string) {
	x.Say(status, map[string]any{"error": map[string]any{"type": kind, "message": message}})
}

// Message is none: this simulator tells nothing by itself.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }
