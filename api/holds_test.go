// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

// What the brake holds is listed, shown change by change, and decided, through the API.
func TestHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	list := w.want(200, p.as("GET", "/v1/holds?filter[state]=open", "")).json(t)["data"].([]any)
	if len(list) != 2 {
		t.Fatalf("%d holds are open, want 2", len(list))
	}
	for _, one := range list {
		h := one.(map[string]any)
		if h["kind"] != "values" || h["held"] != 2.0 || h["serviceName"] != "catalog-a" {
			t.Errorf("a hold is %v", h)
		}
		changes := w.want(200, p.as("GET", fmt.Sprintf("/v1/holds/%s/changes", h["id"]), "")).json(t)["data"].([]any)
		if len(changes) != 2 {
			t.Fatalf("%d changes are held, want 2", len(changes))
		}
		first := changes[0].(map[string]any)
		if before := first["before"].(map[string]any)["quantity"]; before != 100.0 {
			t.Errorf("a change was %v before", before)
		}
	}
	var left, right string
	for _, one := range list {
		h := one.(map[string]any)
		if h["system"] == "left" {
			left = h["id"].(string)
		} else {
			right = h["id"].(string)
		}
	}
	w.refused(422, "request.invalid", p.as("POST", "/v1/holds/"+right+":reject", `{"reason": ""}`))
	rejected := w.want(202, p.as("POST", "/v1/holds/"+right+":reject", `{"reason": "Counted wrong", "restore": true}`)).json(t)
	if rejected["state"] != "rejected" || rejected["note"] != "Counted wrong" || rejected["restore"] != true {
		t.Errorf("rejected: %v", rejected)
	}
	w.refused(409, "hold.not_open", p.as("POST", "/v1/holds/"+right+":release", `{}`))
	w.want(202, p.as("POST", "/v1/holds/"+left+":release", ""))
	id, err := parseService(list[0].(map[string]any)["service"].(string))
	w.must(err)
	key := record.Key("STOCK-0-" + p.canary)
	p.carry(id, func() {
		p.eventually("both decisions to be carried out", func() bool {
			l, r := p.systems["left-a"].User("products").Get(key)["quantity"], p.systems["right-a"].User("products").Get(key)["quantity"]
			return record.Equal(l, record.Int(1)) && record.Equal(r, record.Int(1)) && p.number(`SELECT count(*) FROM held_changes`) == 0
		})
	})
	for _, id := range []string{left, right} {
		if h := w.want(200, p.as("GET", "/v1/holds/"+id, "")).json(t); h["state"] != "settled" || h["total"] != 2.0 {
			t.Errorf("the hold is %v", h)
		}
	}
	if n := p.number(`SELECT count(*) FROM audit_log WHERE action IN ('hold.released', 'hold.rejected')`); n != 2 {
		t.Errorf("%d audit entries, want 2", n)
	}
}
