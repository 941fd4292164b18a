// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/web/webtest"
)

// The page of a hold of orphans says what would become of them, of which record, and what each answer means; there is nothing to bring back.
func TestHeldOrphansPage(t *testing.T) {
	h := newHouse(t)
	warehouse, shop := h.harbours()
	h.exec(warehouse, "CREATE TABLE accounts (id integer PRIMARY KEY, number text UNIQUE, parent_id integer)")
	h.exec(shop, "CREATE TABLE accounts (id serial PRIMARY KEY, number text UNIQUE, parent_id integer REFERENCES accounts)")
	h.exec(warehouse, "INSERT INTO accounts VALUES (1, 'GROUP', NULL), (2, 'ACME', 1), (3, 'BOLT', 1), (4, 'CORD', 1)")
	document := func(orphans string) string {
		return `service: groups
direction: hierarchical
systems:
  - {id: warehouse, type: postgresql, connection: warehouse, primary: true, objects: [{name: accounts, matchFields: [number], references: {parent: accounts}}]}
  - {id: shop, type: postgresql, connection: shop, objects: [accounts]}
fieldMapping: {number: number, parent: parent_id}
syncConfig: {frequency: realtime, safetyThreshold: {maxDeletes: 2}, references: {orphans: ` + orphans + `}}
`
	}
	h.apply(document("wait"))
	in := func() string {
		return h.text(shop, "SELECT count(*)::text FROM accounts a LEFT JOIN accounts p ON p.id = a.parent_id WHERE p.number = 'GROUP' OR a.number = 'GROUP'")
	}
	h.eventually("all in the shop", func() bool { return in() == "4" && h.quiet("groups") })
	h.exec(warehouse, "DELETE FROM accounts WHERE number = 'GROUP'")
	h.eventually("the deletion to wait", func() bool {
		list, err := h.deps.Reader.Records(context.Background(), h.owner, h.service("groups").ID, engine.RecordQuery{Limit: 10})
		h.must(err)
		return len(list) == 3
	})
	h.apply(document("delete"))
	var holds []safety.Hold
	h.eventually("the hold", func() bool {
		var err error
		holds, err = h.deps.Holds.List(context.Background(), h.owner, safety.HoldQuery{State: engine.HoldOpen, Limit: 10})
		h.must(err)
		return len(holds) == 1 && holds[0].Held == 3
	})
	c := h.signedIn(ownerEmail)
	path := "/holds/" + ident.Format(ident.Hold, holds[0].ID)
	res, body := h.do(c, "GET", path)
	for _, want := range []string{"3 orphans from shop", "These records refer to deleted ones", "parent refers to GROUP of groups, which is deleted. It would be deleted.", "ACME", "The records stay, for as long as they refer to what was deleted."} {
		if res.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("the page is answered %d and does not say %q", res.StatusCode, want)
		}
	}
	if strings.Contains(body, "reject-restore") {
		t.Error("the page offers to bring something back")
	}
	for _, scheme := range []string{"light", "dark"} {
		p := h.open(ownerEmail, path, webtest.Options{Scheme: scheme})
		p.WaitText("main", "3 orphans from shop")
		p.Axe()
		p.Shot("holds-orphans")
	}
}
