// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/auth"
)

// The tests here are made from openapi.yaml: every operation is in them, a new one too, and fails until it says here what
// its parameters name.

// ownedByTenant are path parameters that name something of a tenant by an id that nobody else can use.
var ownedByTenant = []string{"member", "invitation", "apiKey", "connector", "connection", "service", "run", "record", "conflict", "deadLetter", "ruleAction", "schemaChange", "duplicate", "hold", "servicePlan", "invoice", "line", "adjustment", "creditNote", "budget", "webhookEndpoint", "webhookDelivery", "reconciliation", "discrepancy"}

// ofOperators are path parameters of operations that only people who run the installation reach: tenants are refused, whatever they name.
var ofOperators = []string{"tenant", "coupon", "credit", "couponCode"}

// namesNothing are path parameters that name nothing of one tenant's alone: revisions are numbers of a service, and two tenants' secrets may have the same name.
var namesNothing = []string{"revision", "secret", "system"}

// queryNames says for query parameters that name something which of a party's ids they take; "canary" is text that stands
// in everything of the party's.
var queryNames = map[string]string{
	"filter[service]": "service", "filter[reconciliation]": "reconciliation", "filter[invoice]": "invoice", "filter[record]": "record", "filter[parent]": "record", "filter[actor]": "member", "filter[subject]": "service",
	"filter[connector]": "connector", "filter[endpoint]": "webhookEndpoint", "filter[collection]": "canary", "filter[field]": "canary", "filter[system]": "canary", "filter[code]": "canary",
	"search": "canary", "systems": "canary", "note": "canary", "plan": "planHash",
}

// harmless are query parameters that name nothing.
var harmless = []string{"limit", "records", "changes", "cursor", "format", "revision", "validateOnly", "draft", "timeRange", "interval", "period", "verbose", "months",
	"filter[state]", "filter[review]", "filter[deleted]", "filter[action]", "filter[since]", "filter[until]", "filter[type]", "filter[reason]"}

// request makes a request for an operation with these ids in its path.
func request(t testing.TB, c *api.Contract, o api.Operation, ids map[string]string) call {
	t.Helper()
	path := o.Path
	out := call{method: o.Method}
	for _, p := range o.Parameters {
		switch p.In {
		case "path":
			if !slices.Contains(ownedByTenant, p.Name) && !slices.Contains(ofOperators, p.Name) && !slices.Contains(namesNothing, p.Name) || ids[p.Name] == "" {
				t.Fatalf("%s: the path parameter %s is new; say what it names, and give every party one", o.ID, p.Name)
			}
			path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(ids[p.Name]), 1)
		case "query":
			if queryNames[p.Name] == "" && !slices.Contains(harmless, p.Name) {
				t.Fatalf("%s: the query parameter %s is new; say whether it names something", o.ID, p.Name)
			}
		case "header":
			switch p.Name {
			case "If-Match":
				out.header = append(out.header, "If-Match", "*")
			case "Idempotency-Key":
				out.header = append(out.header, "Idempotency-Key", uuid.NewString())
			}
		}
	}
	out.path = path
	if len(o.Bodies) > 0 {
		out.body = string(c.Example(&o, o.Bodies[0]))
		out.header = append(out.header, "Content-Type", o.Bodies[0])
	}
	return out
}

func (c call) by(key, session string) call {
	c.key, c.session = key, session
	return c
}

func (c call) with(query url.Values) call {
	c.path += "?" + query.Encode()
	return c
}

func inPath(o api.Operation) (names []string) {
	for _, p := range o.Parameters {
		if p.In == "path" {
			names = append(names, p.Name)
		}
	}
	return names
}

func takes(o api.Operation, query string) bool {
	return slices.ContainsFunc(o.Parameters, func(p api.Parameter) bool { return p.In == "query" && p.Name == query })
}

// nowhere are ids of the right form that nobody has.
func nowhere() map[string]string {
	ids := map[string]string{"tenant": "ten_06f3k8t2v0h7x1m9q4r5s6t7w8", "coupon": "nothing", "couponCode": "NOTHING", "credit": "crd_06f3k8t2v0h7x1m9q4r5s6t7w8", "connector": "nowhere", "revision": "1", "system": "left", "secret": "TOKEN_OF_NOBODY"}
	for name, prefix := range map[string]string{"member": "usr", "invitation": "inv", "apiKey": "key", "connection": "con", "service": "svc", "run": "run",
		"record": "rec", "conflict": "cfl", "deadLetter": "dlq", "ruleAction": "act", "schemaChange": "sch", "duplicate": "dup", "hold": "hld", "reconciliation": "rcn", "discrepancy": "dsc", "servicePlan": "pln", "invoice": "bil", "line": "lin",
		"adjustment": "adj", "creditNote": "crn", "budget": "bud", "webhookEndpoint": "whk", "webhookDelivery": "whd"} {
		ids[name] = prefix + "_06f3k8t2v0h7x1m9q4r5s6t7w8"
	}
	return ids
}

// Every operation without a valid key or session is answered 401, and only then is anything else looked at.
func TestNobodyGetsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	ctx := context.Background()
	from := auth.Caller{IP: "192.0.2.7"}
	revoked, k, err := w.deps.Auth.CreateKey(ctx, p.owner(), "revoked", []auth.Scope{auth.ScopeAdmin}, timeZero)
	w.must(err)
	_, err = w.deps.Auth.RevokeKey(ctx, p.owner(), k.ID, 0)
	w.must(err)
	ended, session, err := w.deps.Auth.SignIn(ctx, "owner@a.example.com", password, from)
	w.must(err)
	w.must(w.deps.Auth.SignOut(ctx, session, from))
	for _, o := range w.contract.Operations {
		c := request(t, w.contract, o, nowhere())
		if o.Public {
			w.want(http.StatusOK, c)
			continue
		}
		w.refused(401, "auth.credentials_missing", c)
		w.refused(401, "auth.key_malformed", c.by("sl_live_guessed", ""))
		w.refused(401, "auth.key_unknown", c.by(otherKey(), ""))
		w.refused(401, "auth.key_revoked", c.by(revoked.Reveal(), ""))
		w.refused(401, "auth.session_ended", c.by("", ended.Reveal()))
		// A request that is wrong besides is not told so before anybody signed in.
		w.refused(401, "auth.credentials_missing", call{method: c.method, path: c.path + "?no=such", body: "{"})
	}
}

// Roles and scopes may exactly what the operation's x-permission says.
func TestEveryRoleAndScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	for _, o := range w.contract.Operations {
		if o.Public {
			continue
		}
		check := func(name string, may bool, c call) {
			a := w.do(c)
			switch {
			case may && (a.status == 401 || a.status == 403):
				t.Errorf("%s: %s may, and is answered %d %s", o.ID, name, a.status, a.code())
			case !may && (a.status != 403 || a.code() != "auth.forbidden"):
				t.Errorf("%s: %s may not, and is answered %d %s: %s", o.ID, name, a.status, a.code(), a.body)
			case a.status >= 500:
				t.Errorf("%s: %s is answered %d: %s", o.ID, name, a.status, a.body)
			}
		}
		for role, session := range p.sessions {
			check("the role "+string(role), role.May(auth.Permission(o.Permission)), request(t, w.contract, o, nowhere()).by("", session))
		}
		for scope, key := range p.keys {
			check("the scope "+string(scope), scope.May(auth.Permission(o.Permission)), request(t, w.contract, o, nowhere()).by(key, ""))
		}
	}
}

// With another tenant's ids nothing of that tenant is shown or changed: in the path, in filters, in the body, as a cursor.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	a, b := w.newParty("a"), w.newParty("b")
	a.furnish()
	b.furnish()
	before := b.digest()
	// Whoever is strongest: what a weaker one cannot see or do anyway proves nothing.
	intruders := map[string]call{"a key": {key: a.key}, "an owner": {session: a.sessions[auth.Owner]}}
	untouched := func(o api.Operation, what string, got answer) {
		t.Helper()
		if strings.Contains(string(got.body), b.canary) {
			t.Errorf("%s with %s shows what is the other tenant's: %s", o.ID, what, got.body)
		}
		for name, id := range b.ids {
			// What was asked for may be repeated in the message; nothing else of the other tenant's may be there.
			if got.status < 300 && slices.Contains(ownedByTenant, name) && strings.Contains(string(got.body), id) {
				t.Errorf("%s with %s names the other tenant's %s: %s", o.ID, what, name, got.body)
			}
		}
		if after := b.digest(); after != before {
			t.Fatalf("%s with %s changed something of the other tenant's:\n%s", o.ID, what, diffLines(before, after))
		}
	}
	for _, o := range w.contract.Operations {
		if o.Public {
			continue
		}
		for who, cred := range intruders {
			send := func(c call) answer { return w.do(c.by(cred.key, cred.session)) }
			owned := slices.DeleteFunc(inPath(o), func(name string) bool {
				return slices.Contains(namesNothing, name) || o.Permission == string(auth.Operate)
			})

			// All ids the other's; and one's own above with the other's below, such as a line of another's invoice.
			mixes := []map[string]string{b.ids}
			if len(owned) > 1 {
				for _, name := range owned {
					mix := maps.Clone(a.ids)
					mix[name] = b.ids[name]
					mixes = append(mixes, mix)
				}
			}
			for _, ids := range mixes {
				got := send(request(t, w.contract, o, ids))
				if o.Permission == string(auth.Operate) {
					if got.status != 403 {
						t.Errorf("%s, for operators, by %s: %d, want 403: %s", o.ID, who, got.status, got.body)
					}
					untouched(o, "the other's tenant in the path, by "+who, got)
					continue
				}
				if len(owned) > 0 && got.status != 404 {
					t.Errorf("%s by %s of another tenant: %d, want 404: %s", o.ID, who, got.status, got.body)
				}
				untouched(o, "the other's ids in the path, by "+who, got)
			}
			// The other's ids and words in every filter, on one's own things.
			for _, p := range o.Parameters {
				if p.In != "query" || queryNames[p.Name] == "" || o.Method != http.MethodGet {
					continue
				}
				value := b.ids[queryNames[p.Name]]
				if queryNames[p.Name] == "canary" {
					value = b.canary
				}
				got := send(request(t, w.contract, o, a.ids).with(url.Values{p.Name: {value}}))
				untouched(o, p.Name+" naming something of the other's, by "+who, answer{got.status, got.header, []byte(strings.ReplaceAll(string(got.body), value, "what was asked for"))})
			}
			// A document that uses the other's connections and secrets.
			if slices.Contains(o.Bodies, "application/yaml") && strings.Contains(o.Path, "/services") {
				c := request(t, w.contract, o, a.ids)
				c.body = strings.ReplaceAll(b.document("catalog-a"), b.canary, "stolen")
				c.header = append(c.header, "Content-Type", "application/yaml")
				got := send(c)
				untouched(o, "a document of the other's, by "+who, got)
				// An estimate asks no connection: those of a document need not be there yet.
				if o.ID != "estimateService" && !strings.Contains(string(got.body), "service.connection_unknown") {
					t.Errorf("%s with a document that uses another tenant's connections, by %s: %d %s", o.ID, who, got.status, got.body)
				}
			}
			// A cursor that the other was given.
			if takes(o, "cursor") && o.Permission != string(auth.Operate) {
				theirs := w.want(200, request(t, w.contract, o, b.ids).by(b.key, "").with(url.Values{"limit": {"1"}})).json(t)
				cursor, _ := theirs["nextCursor"].(string)
				if cursor == "" {
					t.Fatalf("%s: the world needs two of what is listed, so that there is a cursor", o.ID)
				}
				before = b.digest() // their own key was used just now
				got := send(request(t, w.contract, o, a.ids).with(url.Values{"cursor": {cursor}}))
				if got.status != 400 || got.code() != "request.cursor_invalid" {
					t.Errorf("%s with another tenant's cursor, by %s: %d %s", o.ID, who, got.status, got.body)
				}
				untouched(o, "the other's cursor, by "+who, got)
			}
		}
	}
}

// digest says what the database holds of the party, a line per table.
func (p *party) digest() string {
	p.Helper()
	rows, err := p.admin.Query(context.Background(), `SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public' ORDER BY 1`)
	p.must(err)
	var tables []string
	for rows.Next() {
		var name string
		p.must(rows.Scan(&name))
		tables = append(tables, name)
	}
	p.must(rows.Err())
	if len(tables) < 20 {
		p.Fatalf("only %d tables of tenants were found", len(tables))
	}
	var parts []string
	for _, name := range tables {
		parts = append(parts, fmt.Sprintf(`SELECT '%[1]s ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM %[1]s t WHERE tenant_id = $1`, name))
	}
	parts = append(parts, `SELECT 'tenants ' || md5(t::text) FROM tenants t WHERE id = $1`)
	rows, err = p.admin.Query(context.Background(), strings.Join(parts, " UNION ALL "), uuid.UUID(p.tenant))
	p.must(err)
	var lines []string
	for rows.Next() {
		var line string
		p.must(rows.Scan(&line))
		lines = append(lines, line)
	}
	p.must(rows.Err())
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func diffLines(a, b string) string {
	have := strings.Split(a, "\n")
	var out []string
	for _, line := range strings.Split(b, "\n") {
		if !slices.Contains(have, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
