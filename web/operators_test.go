// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/web/webtest"
)

// Somebody who runs the installation prices a version of a plan and publishes it, makes a coupon code that the customer redeems, gives
// credit, puts the tenant on the plan, and finds it in the revenue. The tenant's owner is refused until then.
func TestOperators(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.member("olga@harbour.example", auth.Owner)
	p := h.open("olga@harbour.example", "/operator", webtest.Options{Expect: []string{"403", "422"}})
	p.WaitText("main", "installation.operate")
	p.Axe()
	if p.Has("a[href='/operator']") {
		t.Error("an owner is led to the operators' pages")
	}
	_, err := h.deps.Auth.GrantOperator(ctx, "olga@harbour.example", "test")
	h.must(err)

	p.Goto(h.url + "/operator/revenue")
	p.WaitText("main", "Nothing was agreed or invoiced")
	p.Axe()
	p.Goto(h.url + "/operator/coupons")
	p.WaitText("#codes", "No code yet")
	p.Fill("#code", "launch-2027")
	p.Fill("#title", "Launch offer")
	p.Fill("#reason", "The launch")
	p.Click("#new-code button[type=submit]")
	p.WaitText("main", "either a percentage or an amount")
	p.Axe()
	p.Fill("#percent", "20")
	p.Click("#new-code button[type=submit]")
	p.WaitText("#codes", "LAUNCH-2027")
	p.Axe()

	p.Goto(h.url + "/operator/plans/new?of=platform-starter")
	p.Eval(`document.querySelector("textarea[name=document]").value = document.querySelector("textarea[name=document]").value.replace('"rate": "500"', '"rate": "600"')`)
	p.Click("button[value=preview]")
	p.WaitText("#preview", "Under the present version")
	p.WaitText("#preview", "600.00")
	p.Axe()
	p.Click("button[value=publish]")
	p.WaitText("main", "Say why")
	p.Fill("#reason", "The price list of 2027")
	p.Click("button[value=publish]")
	p.WaitText("#versions", "platform-starter, version 2")
	p.WaitText("#log", "The price list of 2027")
	p.Axe()

	id := ident.Format(ident.Tenant, h.owner.Tenant)
	p.Goto(h.url + "/operator")
	p.WaitText("#tenants", "Per sync")
	p.Axe()
	p.Goto(h.url + "/operator/tenants/" + id)
	p.Fill("#credit-amount", "250")
	p.Fill("#credit-reason", "The outage of 3 November")
	p.Click("#give-credit button[type=submit]")
	p.WaitText("#credits", "The outage of 3 November")
	p.Goto(h.url + "/operator/tenants/" + id + "?plan=platform-starter&when=now")
	p.WaitText("#preview", "Platform Starter")
	p.Axe()
	p.Fill("#plan-reason", "Contract 2027")
	p.Click("#preview button[type=submit]")
	p.WaitText("main", "platform-starter, version 2")
	p.Reflows()
	p.See(1280, 900, "dark")
	p.Axe()

	p.Goto(h.url + "/settings/plan")
	p.Fill("#redeem input[name=code]", "launch-2027")
	p.Click("#redeem button[type=submit]")
	p.WaitText("main", "Launch offer")
	p.Axe()
	p.Goto(h.url + "/operator/revenue")
	p.WaitText("#by-plan", "platform-starter")
	p.WaitText("#revenue", "600.00")
	p.Axe()
	p.See(1280, 900, "light")
	p.Axe()
	for _, act := range []string{"subscription.changed", "credit.granted", "coupon.redeemed"} {
		list, err := h.deps.Auth.AuditTrail(ctx, h.owner, audit.Filter{Action: act})
		h.must(err)
		if len(list) == 0 {
			t.Errorf("%s is not in the tenant's log", act)
		}
	}
}

// Nobody else reaches a page or an act of operators'.
func TestOperatorPagesAreClosed(t *testing.T) {
	h := newHouse(t)
	h.member("vera@harbour.example", auth.Admin)
	token, _, err := h.deps.Auth.SignIn(context.Background(), "vera@harbour.example", password, auth.Caller{})
	h.must(err)
	id := ident.Format(ident.Tenant, h.owner.Tenant)
	for _, at := range []string{"GET /operator", "GET /operator/plans", "GET /operator/plans/new", "GET /operator/coupons", "GET /operator/revenue", "GET /operator/revenue.csv", "GET /operator/tenants/" + id,
		"POST /operator/plans/new", "POST /operator/coupons", "POST /operator/coupons:end", "POST /operator/tenants/" + id + ":plan", "POST /operator/tenants/" + id + ":credit", "POST /operator/tenants/" + id + ":withdraw",
		"POST /operator/tenants/" + id + ":trial", "POST /operator/tenants/" + id + ":coupon", "POST /operator/tenants/" + id + ":end-coupon"} {
		method, path, _ := strings.Cut(at, " ")
		req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, nil)
		h.must(err)
		req.AddCookie(&http.Cookie{Name: "syncline_session", Value: token.Reveal()})
		res, err := http.DefaultClient.Do(req)
		h.must(err)
		h.must(res.Body.Close())
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", at, res.StatusCode)
		}
	}
}
