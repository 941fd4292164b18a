// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

// A program changes a record if nobody was faster, and takes back what it did.
func TestChangeRecordAndUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	key := "STOCK-0-" + p.canary
	at := "/v1/services/catalog-a/systems/left/records/" + url.PathEscape(key)
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	before := w.want(200, p.as("GET", "/v1/services/catalog-a/records/"+url.PathEscape(key), "")).json(t)
	version := int64(before["version"].(float64))

	w.refused(412, "record.version_stale", p.as("PATCH", at, `{"fields": {"name": "Late"}}`, "If-Match", fmt.Sprintf(`"%d"`, version+1)))
	stale := w.refused(412, "record.condition_failed", p.as("PATCH", at, `{"fields": {"name": "Late"}, "expect": {"name": "Another"}}`))
	if detail := stale.json(t)["detail"].(string); len(detail) == 0 || !strings.Contains(detail, fmt.Sprintf("version %d", version)) {
		t.Errorf("the present version is not named: %s", detail)
	}
	w.refused(422, "record.field_unknown", p.as("PATCH", at, `{"fields": {"colour": "red"}}`))
	w.refused(404, "record.not_found", p.as("PATCH", "/v1/services/catalog-a/systems/left/records/nothing", `{"fields": {"name": "x"}}`))
	w.refused(404, "record.system_unknown", p.as("PATCH", "/v1/services/catalog-a/systems/middle/records/nothing", `{"fields": {"name": "x"}}`))
	w.refused(409, "record.in_conflict", p.as("PATCH", "/v1/services/catalog-a/systems/left/records/SKU-0", `{"fields": {"name": "x"}}`))

	changed := w.want(200, p.as("PATCH", at, `{"fields": {"name": "Patched"}, "expect": {"name": "`+p.canary+`"}}`, "If-Match", fmt.Sprintf(`"%d"`, version)))
	if tag := changed.header.Get("ETag"); tag != fmt.Sprintf(`"%d"`, version+1) {
		t.Errorf("the new version is %s", tag)
	}
	p.carry(id, func() {
		p.eventually("both systems to have it", func() bool {
			return left.Get(record.Key(key))["name"] == "Patched" && right.Get(record.Key(key))["name"] == "Patched"
		})
	})
	if n := p.number(`SELECT count(*) FROM audit_log WHERE action = 'record.edited'`); n != 1 {
		t.Errorf("%d audit entries, want 1", n)
	}

	// By the key's name: looked at, refused when the record moved on, done.
	actor := "all " + p.canary
	body := func(more string) string { return fmt.Sprintf(`{"actor": %q%s}`, actor, more) }
	w.refused(422, "undo.selection_empty", p.as("POST", "/v1/services/catalog-a/undo", `{}`))
	look := w.want(200, p.as("POST", "/v1/services/catalog-a/undo", body(`, "dryRun": true`))).json(t)
	if look["applied"] != false || look["records"] != 1.0 || left.Get(record.Key(key))["name"] != "Patched" {
		t.Fatalf("the preview is %v", look)
	}
	w.want(200, p.as("PATCH", at, `{"fields": {"name": "Patched again"}}`))
	w.refused(412, "undo.moved", p.as("POST", "/v1/services/catalog-a/undo", body(fmt.Sprintf(`, "hash": %q`, look["hash"]))))
	look = w.want(200, p.as("POST", "/v1/services/catalog-a/undo", body(`, "dryRun": true`))).json(t)
	done := w.want(200, p.as("POST", "/v1/services/catalog-a/undo", body(fmt.Sprintf(`, "hash": %q`, look["hash"])))).json(t)
	if done["applied"] != true || done["records"] != 1.0 {
		t.Errorf("the undo is %v", done)
	}
	p.carry(id, func() {
		p.eventually("both systems to be back", func() bool {
			return left.Get(record.Key(key))["name"] == p.canary && right.Get(record.Key(key))["name"] == p.canary
		})
	})
}

// A run is rolled back: what it copied goes, what people made stays, and a later edit by somebody else survives.
func TestUndoOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	for i := range 3 {
		left.Put(record.Key(fmt.Sprint("NEW-", i)), record.Fields{"name": "new", "quantity": record.Int(5)})
	}
	run, _, err := p.deps.Services.RunNow(context.Background(), p.owner(), "catalog-a")
	w.must(err)
	p.carry(id, func() {
		p.eventually("the run to copy them", func() bool {
			return right.Get("NEW-2") != nil && right.Get("NEW-0") != nil && right.Get("NEW-1") != nil && p.quiet(id)
		})
		right.Put("NEW-2", record.Fields{"name": "new", "quantity": record.Int(4)})
		p.eventually("a later edit", func() bool { return record.Equal(left.Get("NEW-2")["quantity"], record.Int(4)) && p.quiet(id) })
	})
	body := fmt.Sprintf(`{"run": %q`, run.ID.Public())
	look := w.want(200, p.as("POST", "/v1/services/catalog-a/undo", body+`, "dryRun": true}`)).json(t)
	if look["records"] != 2.0 || look["kept"].(float64) < 1 {
		t.Fatalf("the preview is %v", look)
	}
	w.want(200, p.as("POST", "/v1/services/catalog-a/undo", body+fmt.Sprintf(`, "hash": %q}`, look["hash"])))
	p.carry(id, func() {
		p.eventually("what was copied to go", func() bool { return right.Get("NEW-0") == nil && right.Get("NEW-1") == nil && p.quiet(id) })
	})
	if left.Get("NEW-0") == nil || left.Get("NEW-1") == nil || left.Get("NEW-2") == nil || right.Get("NEW-2") == nil {
		t.Error("something that people made or changed is gone")
	}
}

// A record is left alone until it is thawed; who asks is told so.
func TestFreezeRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	key := "ICE"
	at := "/v1/services/catalog-a/records/" + url.PathEscape(key)
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	left.Put("ICE", record.Fields{"name": "Ice"})
	p.carry(id, func() { p.eventually("the record", func() bool { return right.Get("ICE") != nil }) })
	frozen := w.want(200, p.as("POST", at+":freeze", `{"reason": "Being counted"}`)).json(t)["record"].(map[string]any)
	if f := frozen["freeze"].(map[string]any); frozen["frozen"] != true || f["reason"] != "Being counted" || f["by"] == "" {
		t.Errorf("the record is %v", frozen)
	}
	w.refused(409, "record.frozen", p.as("POST", at+":freeze", `{}`))
	w.refused(422, "request.invalid", p.as("POST", at+":freeze", `{"reason": "`+strings.Repeat("x", 501)+`"}`))
	w.refused(409, "record.frozen", p.as("PATCH", "/v1/services/catalog-a/systems/left/records/"+url.PathEscape(key), `{"fields": {"name": "x"}}`))
	status := w.want(200, p.as("GET", at+"/status", "")).json(t)
	if status["left"].(map[string]any)["status"] != "frozen" || status["right"].(map[string]any)["status"] != "frozen" {
		t.Errorf("it stands as %v", status)
	}
	list := w.want(200, p.as("GET", "/v1/services/catalog-a/records?filter[state]=frozen", "")).json(t)["data"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != frozen["id"] {
		t.Errorf("frozen are %v", list)
	}
	p.carry(id, func() {
		left.Put(record.Key(key), record.Fields{"name": "Meanwhile"})
		left.Put("AFTER", record.Fields{"name": "after it"})
		p.eventually("what was changed after it", func() bool {
			return right.Get("AFTER") != nil && p.number(`SELECT count(*) FROM entities WHERE fields ->> 'name' = 'Meanwhile'`) == 1
		})
		if right.Get(record.Key(key))["name"] == "Meanwhile" {
			t.Error("it was written while it was frozen")
		}
		w.want(200, p.as("POST", at+":thaw", ""))
		p.eventually("the edit to arrive", func() bool { return right.Get(record.Key(key))["name"] == "Meanwhile" })
	})
	w.refused(409, "record.not_frozen", p.as("POST", at+":thaw", ""))
	history := w.want(200, p.as("GET", at+"/history", "")).json(t)["data"].([]any)
	ops := map[any]bool{}
	for _, e := range history {
		ops[e.(map[string]any)["op"]] = true
	}
	if !ops["freeze"] || !ops["thaw"] {
		t.Errorf("the history tells of %v", ops)
	}
}
