// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
)

// newOperator makes a person who runs the installation: the owner of a tenant of their own, which is nothing to the others. It returns
// their session and a key of the scope operator alone.
func (w *world) newOperator() (p *party, session, key string) {
	w.Helper()
	ctx := context.Background()
	p = w.newParty("operators")
	_, err := w.deps.Auth.GrantOperator(ctx, "owner@operators.example.com", "test")
	w.must(err)
	who := p.owner()
	who.Operates = true
	text, _, err := w.deps.Auth.CreateKey(ctx, who, "operator", []auth.Scope{auth.ScopeOperator}, timeZero)
	w.must(err)
	return p, p.sessions[auth.Owner], text.Reveal()
}

// Operators reach every operation for operators, by session and by key, and a key of theirs reaches nothing else.
func TestOperatorsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	a := w.newParty("a")
	_, session, key := w.newOperator()
	ids := nowhere()
	ids["tenant"] = ident.Format(ident.Tenant, a.tenant)
	routes := 0
	for _, o := range w.contract.Operations {
		if o.Public {
			continue
		}
		c := request(t, w.contract, o, ids)
		if o.Permission != string(auth.Operate) {
			w.refused(403, "auth.forbidden", c.by(key, ""))
			continue
		}
		routes++
		for who, c := range map[string]call{"the session": c.by("", session), "the key": request(t, w.contract, o, ids).by(key, "")} {
			if got := w.do(c); got.status == 401 || got.status == 403 || got.status >= 500 {
				t.Errorf("%s by %s: %d %s", o.ID, who, got.status, got.body)
			}
		}
		if strings.Contains(o.Path, "{tenant}") {
			other := request(t, w.contract, o, nowhere())
			w.refused(404, "tenant.not_found", other.by(key, ""))
		}
	}
	if routes < 14 {
		t.Errorf("only %d operations are for operators", routes)
	}
	// No tenant's owner makes themselves one.
	w.refused(403, "auth.operators_only", call{method: "POST", path: "/v1/api-keys", body: `{"name": "all", "scopes": ["operator"]}`, session: a.sessions[auth.Owner], header: []string{"Idempotency-Key", uuid.NewString()}})
	w.refused(403, "auth.operators_only", call{method: "POST", path: "/v1/api-keys", body: `{"name": "all", "scopes": ["operator"]}`, key: a.key, header: []string{"Idempotency-Key", uuid.NewString()}})
	// Who runs the installation no more has no key that does, from the next request on.
	w.want(200, call{method: "GET", path: "/v1/operator/tenants", key: key})
	_, err := w.deps.Auth.RevokeOperator(context.Background(), "owner@operators.example.com", "test")
	w.must(err)
	w.refused(403, "auth.forbidden", call{method: "GET", path: "/v1/operator/tenants", key: key})
	w.refused(403, "auth.forbidden", call{method: "GET", path: "/v1/operator/tenants", session: session})
}

// What operators do for a tenant is by the tenant's own rules, counts once however often it is sent, and is in its audit log; what they
// do to the price list is in the installation's.
func TestOperatorActs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	a := w.newParty("a")
	_, _, key := w.newOperator()
	at := "/v1/operator/tenants/" + ident.Format(ident.Tenant, a.tenant)
	post := func(status int, path, body string, header ...string) map[string]any {
		t.Helper()
		got := w.want(status, call{method: "POST", path: path, body: body, key: key, header: header})
		if len(got.body) == 0 {
			return nil
		}
		return got.json(t)
	}
	once := []string{"Idempotency-Key", uuid.NewString()}
	first := post(200, at+"/credits", `{"amount": "250.00", "currency": "usd", "reason": "The outage of 3 November"}`, once...)
	again := post(200, at+"/credits", `{"amount": "250.00", "currency": "usd", "reason": "The outage of 3 November"}`, once...)
	if first["id"] != again["id"] || w.number(`SELECT count(*) FROM credits`) != 1 {
		t.Errorf("sent twice: %v and %v", first["id"], again["id"])
	}
	post(200, at+"/subscription:change", `{"plan": "platform-starter", "addOns": ["real-time-sync"], "reason": "Contract 2027"}`)
	post(200, at+"/coupons", `{"id": "launch", "title": "Launch offer", "percent": "20", "months": 2, "reason": "Launch week"}`)
	post(200, at+"/trial", `{"until": "`+inAWeek()+`", "reason": "Trying it out"}`)
	post(200, at+"/coupons/launch:end", `{"reason": "Agreed"}`)
	post(200, at+"/plans", `{"plan": {"text": "As agreed.", "card": {"name": "a-plan", "title": "A", "currency": "usd", "prices": [{"id": "base", "title": "A", "meter": "months", "scheme": "flat", "rate": "7"}]}, "allows": {"features": []}, "addOns": []}, "reason": "Contract 2028"}`)
	w.refused(422, "plans.plan_malformed", call{method: "POST", path: at + "/plans", body: `{"plan": {"price": 7}, "reason": "A slip"}`, key: key})
	detail := w.want(200, call{method: "GET", path: at, key: key}).json(t)
	row := detail["tenant"].(map[string]any)
	if row["plan"] != "platform-starter" || row["trialUntil"] == nil || len(row["credit"].([]any)) != 1 || len(detail["plans"].([]any)) != 1 {
		t.Errorf("the tenant: %v", detail)
	}
	if got := w.want(200, call{method: "GET", path: "/v1/operator/tenants?search=" + a.canary, key: key}).json(t); len(got["data"].([]any)) != 1 {
		t.Errorf("searched: %v", got)
	}
	for page, cursor := 0, ""; ; page++ {
		got := w.want(200, call{method: "GET", path: "/v1/operator/tenants?limit=1" + cursor, key: key}).json(t)
		next, more := got["nextCursor"].(string)
		if !more {
			if page != 1 {
				t.Errorf("%d pages of one tenant, want 2", page+1)
			}
			break
		}
		cursor = "&cursor=" + next
	}
	post(204, at+"/credits/"+first["id"].(string)+":withdraw", `{"reason": "A slip"}`)
	if n := w.number(`SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND actor_kind = 'operator' AND detail::jsonb ? 'reason' AND actor_id LIKE 'key_%'`, a.tenant); n != 6 {
		t.Errorf("%d entries in the tenant's log, want 6", n)
	}
	if n := w.number(`SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND action = 'subscription.changed' AND actor_kind = 'operator' AND detail::jsonb->>'note' = 'Contract 2027'`, a.tenant); n != 1 {
		t.Error("giving the plan is not in the tenant's log")
	}
}

// A version of the price list is for whoever agrees from its time on; what was agreed keeps its own.
func TestPriceListVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	a := w.newParty("a")
	_, _, key := w.newOperator()
	w.want(200, call{method: "POST", path: "/v1/subscription:change", body: `{"plan": "platform-starter"}`, session: a.sessions[auth.Owner]})
	plan := func(rate string) string {
		return `"plan": {"model": "platform", "tier": "starter", "text": "A first few systems.", "card": {"name": "platform-starter", "title": "Platform Starter", "currency": "usd", "prices": [{"id": "base", "title": "Platform Starter", "meter": "months", "scheme": "flat", "base": true, "rate": "` + rate + `"}]}, "allows": {"features": [], "pool": "dedicated"}, "addOns": []}`
	}
	preview := w.want(200, call{method: "POST", path: "/v1/operator/plans:preview", body: "{" + plan("600") + "}", key: key}).json(t)
	if then, now := preview["then"].(map[string]any)["total"], preview["now"].(map[string]any)["total"]; then != "600.00" || now != "500.00" {
		t.Errorf("the preview: %v now, %v then", now, then)
	}
	publish := func(status int, rate, from, code string) {
		t.Helper()
		got := w.do(call{method: "POST", path: "/v1/operator/plans", body: "{" + plan(rate) + from + `, "reason": "The price list of 2027"}`, key: key})
		if got.status != status || got.code() != code {
			t.Errorf("publishing at %s: %d %s", rate, got.status, got.body)
		}
	}
	publish(200, "600", "", "")
	publish(200, "700", `, "from": "`+inAWeek()+`"`, "")
	publish(422, "800", "", "plans.plan_malformed") // before version 3 begins
	public := string(w.want(200, call{method: "GET", path: "/v1/pricing"}).body)
	if !strings.Contains(public, `"600"`) || strings.Contains(public, `"700"`) {
		t.Errorf("the price list: %s", public)
	}
	calculated := w.want(200, call{method: "POST", path: "/v1/pricing:calculate", body: `{"model": "platform", "plan": "starter"}`}).json(t)
	if calculated["total"] != "600.00" || calculated["version"] != 2.0 {
		t.Errorf("calculated: %v", calculated)
	}
	held := w.want(200, call{method: "GET", path: "/v1/subscription", session: a.sessions[auth.Owner]}).json(t)
	if v := held["plan"].(map[string]any)["version"]; v != 1.0 {
		t.Errorf("the running agreement is on version %v", v)
	}
	held = w.want(200, call{method: "POST", path: "/v1/subscription:change", body: `{"plan": "platform-starter"}`, session: a.sessions[auth.Owner]}).json(t)
	if v := held["plan"].(map[string]any)["version"]; v != 2.0 {
		t.Errorf("agreed anew, it is on version %v", v)
	}
	log := w.want(200, call{method: http.MethodGet, path: "/v1/operator/log", key: key}).json(t)["data"].([]any)
	if len(log) != 3 || log[0].(map[string]any)["previousHash"] != log[1].(map[string]any)["hash"] {
		t.Errorf("the installation's log: %v", log)
	}
}
