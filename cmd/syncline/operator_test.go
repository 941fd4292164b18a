// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

func TestOperatorVerbs(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	id := ident.Format(ident.Tenant, storetest.Tenant(t, db))
	b := &bench{T: t, dir: t.TempDir(), key: "no key"}
	t.Setenv("DATABASE_URL", url)
	if out, _, code := b.syncline("operator", "tenants"); code != 0 || !strings.Contains(out, id) {
		t.Errorf("tenants: %d %q", code, out)
	}
	people := auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), storetest.Vault(t), auth.Options{Cost: auth.PasswordCost{Memory: 64, Iterations: 1}})
	if _, _, err := people.SignUp(t.Context(), auth.NewAccount{Email: "olga@example.com", Name: "Olga", Password: "correct horse battery", TenantName: "Operations"}, auth.Caller{}); err != nil {
		t.Fatal(err)
	}
	if out, _, code := b.syncline("operator", "grant", "olga@example.com", "--by", "root"); code != 0 || !strings.Contains(out, "runs the installation now") {
		t.Errorf("grant: %d %q", code, out)
	}
	if _, _, code := b.syncline("operator", "grant", "olga@example.com"); code == 0 {
		t.Error("granted twice")
	}
	if out, _, code := b.syncline("operator", "people"); code != 0 || !strings.Contains(out, "olga@example.com") || !strings.Contains(out, "root") {
		t.Errorf("people: %d %q", code, out)
	}
	if _, _, code := b.syncline("operator", "revoke", "olga@example.com"); code != 0 {
		t.Errorf("revoke: %d", code)
	}
	team := b.file("team.json", `{"model": "platform", "tier": "team", "text": "For a team.", "card": {"name": "platform-team", "title": "Platform Team", "currency": "usd", "prices":
  [{"id": "base", "title": "Platform Team", "meter": "months", "scheme": "flat", "base": true, "rate": "900"}]}, "allows": {"features": []}, "addOns": []}`)
	if out, _, code := b.syncline("operator", "publish", "-f", team, "--reason", "The price list of 2027"); code != 0 || !strings.Contains(out, "platform-team, version 1") {
		t.Errorf("publish: %d %q", code, out)
	}
	plan := b.file("plan.json", `{"text": "As agreed.", "card": {"name": "example-ltd", "title": "Example Ltd", "currency": "usd", "minimum": "50", "prices":
  [{"id": "sync-operations", "title": "Sync operations", "meter": "sync_operations", "scheme": "package", "size": 10000, "rate": "7"}]}, "allows":
  {"features": [], "allFeatures": true}, "addOns": []}`)
	if out, _, code := b.syncline("operator", "plan", id, "-f", plan, "--reason", "Contract 2027"); code != 0 || !strings.Contains(out, "example-ltd, version 1") {
		t.Errorf("plan: %d %q", code, out)
	}
	if out, _, code := b.syncline("operator", "plan", id, "-f", plan, "--reason", "Contract 2028", "--from", "2028-01-01T00:00:00Z"); code != 0 || !strings.Contains(out, "version 2, can be chosen from 2028-01-01") {
		t.Errorf("a second version: %d %q", code, out)
	}
	if _, _, code := b.syncline("operator", "plan", id, "-f", b.file("bad.json", `{"prices": []}`), "--reason", "A slip"); code != exitUsage {
		t.Errorf("a plan that is none: %d", code)
	}
	if _, _, code := b.syncline("operator", "coupon", id, "launch", "--title", "Launch offer", "--percent", "20"); code == 0 {
		t.Error("a coupon without a reason")
	}
	if _, _, code := b.syncline("operator", "coupon", id, "launch", "--title", "Launch offer", "--percent", "20", "--months", "6", "--reason", "Launch week"); code != 0 {
		t.Errorf("coupon: %d", code)
	}
	if _, _, code := b.syncline("operator", "coupon", id, "launch", "--end", "--reason", "Agreed"); code != 0 {
		t.Errorf("end of the coupon: %d", code)
	}
	if _, _, code := b.syncline("operator", "code", "launch-2027", "--title", "Launch offer", "--percent", "a fifth", "--reason", "The launch"); code != exitUsage {
		t.Errorf("a code for a share that is no number: %d", code)
	}
	if out, _, code := b.syncline("operator", "code", "launch-2027", "--title", "Launch offer", "--percent", "20", "--max", "100", "--until", "2099-01-01T00:00:00Z", "--reason", "The launch"); code != 0 || !strings.Contains(out, "LAUNCH-2027 can be redeemed from ") {
		t.Errorf("a code: %d %q", code, out)
	}
	if out, _, code := b.syncline("operator", "code"); code != 0 || !strings.Contains(out, "LAUNCH-2027  Launch offer  0         100  2099-01-01") {
		t.Errorf("the codes: %d %q", code, out)
	}
	if out, _, code := b.syncline("operator", "code", "LAUNCH-2027", "--end", "--reason", "The campaign is over"); code != 0 || !strings.Contains(out, "it was redeemed 0 times") {
		t.Errorf("end of the code: %d %q", code, out)
	}
	if _, _, code := b.syncline("operator", "trial", id, "--until", "tomorrow", "--reason", "Trying"); code != exitUsage {
		t.Errorf("a trial until a time that is none: %d", code)
	}
	out, _, code := b.syncline("operator", "credit", id, "--amount", "250", "--by", "olga", "--reason", "The outage of 3 November")
	credit := strings.TrimSpace(out)
	if code != 0 || !strings.HasPrefix(credit, "crd_") {
		t.Errorf("credit: %d %q", code, out)
	}
	if out, _, _ = b.syncline("operator", "credit", id); !strings.Contains(out, "$250.00  $250.00  never    olga  The outage of 3 November") {
		t.Errorf("the credit: %q", out)
	}
	if _, _, code = b.syncline("operator", "credit", id, "--withdraw", credit, "--reason", "A slip"); code != 0 {
		t.Errorf("withdraw: %d", code)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_log WHERE actor_kind = 'operator' AND detail::jsonb ? 'reason'`).Scan(&n); err != nil || n != 6 {
		t.Errorf("%d audit entries with a reason, want 6 (%v)", n, err)
	}
}
