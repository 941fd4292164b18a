// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestRecordVerb(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("record", "stock"); code != exitUsage {
		t.Errorf("without a record: %d", code)
	}
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	if _, _, code := b.syncline("record", "stock", "SKU-1"); code != exitFailed {
		t.Errorf("a record that is none: %d", code)
	}
	b.exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT tenant_id, id, ('00000000-0000-7000-8000-00000000000' || n)::uuid, 'products', 'SKU-' || n, jsonb_build_object('sku', 'SKU-' || n)
  || CASE n WHEN 2 THEN '{"set": "record:00000000-0000-7000-8000-000000000001", "part": "missing:warehouse/parts/77"}'::jsonb ELSE '{}' END, 'warehouse', now(), now() FROM services, generate_series(1, 2) n`)
	b.exec(`INSERT INTO entity_references (tenant_id, service_id, entity_id, field, parent_id)
SELECT tenant_id, service_id, '00000000-0000-7000-8000-000000000002', 'set', id FROM entities WHERE match_key = 'SKU-1'`)
	out, talk, code := b.syncline("record", "stock", "SKU-2")
	if code != 0 || !strings.Contains(talk, "SKU-2 (rec_") || !strings.Contains(out, "its set") || !strings.Contains(out, "SKU-1") || !strings.Contains(out, "parts 77 of warehouse") || !strings.Contains(out, "unknown") {
		t.Errorf("a child: %d %q\n%s", code, talk, out)
	}
	if out, _, code := b.syncline("record", "stock", "SKU-1"); code != 0 || !strings.Contains(out, "set of") || !strings.Contains(out, "1 products") {
		t.Errorf("a parent: %d\n%s", code, out)
	}
	if out, _, code := b.syncline("record", "stock", "SKU-1", "--json"); code != 0 || !strings.Contains(out, `"children"`) || !strings.Contains(out, `"count": 1`) {
		t.Errorf("as JSON: %d\n%s", code, out)
	}
}

func TestRecordsVerbs(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	if out, talk, code := b.syncline("records", "stock"); code != 0 || out != "" || !strings.Contains(talk, "No record") {
		t.Errorf("without any: %d %q %q", code, out, talk)
	}
	b.exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT tenant_id, id, ('00000000-0000-7000-8000-00000000000' || n)::uuid, 'products', 'SKU-' || n, jsonb_build_object('sku', 'SKU-' || n, 'price', n), 'warehouse', now(), now()
FROM services, generate_series(1, 3) n`)
	b.exec(`INSERT INTO links (tenant_id, service_id, entity_id, system, object, key, synced_at) SELECT tenant_id, service_id, id, system, 'stock', match_key, now() FROM entities, unnest(ARRAY['warehouse', 'shop']) system`)
	if out, talk, code := b.syncline("records", "stock", "--limit", "2"); code != 0 || strings.Count(out, "SKU-") != 2 || !strings.Contains(out, "warehouse: ") || !strings.Contains(talk, "more") {
		t.Errorf("the first: %d %q\n%s", code, talk, out)
	}
	if out, _, code := b.syncline("records", "stock", "--search", "SKU-2"); code != 0 || strings.Count(out, "SKU-") != 1 {
		t.Errorf("one: %d\n%s", code, out)
	}
	if _, _, code := b.syncline("records", "stock", "--state", "happy"); code != exitFailed {
		t.Errorf("a state that is none: %d", code)
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"record", "edit", "stock", "SKU-1", "price=12.50"}, exitUsage, ""},
		{[]string{"record", "edit", "stock", "SKU-1", "--system", "shop"}, exitUsage, ""},
		{[]string{"record", "edit", "stock", "SKU-1", "--system", "warehouse", "price"}, exitUsage, ""},
		{[]string{"record", "history", "stock", "SKU-9"}, exitFailed, ""},
	} {
		if out, talk, code := b.syncline(step.args...); code != step.code || !strings.Contains(out+talk, step.says) {
			t.Errorf("%s: %d %q %q", strings.Join(step.args, " "), code, out, talk)
		}
	}
}

// An edit on the command line is one that all systems get; strong consistency says when.
func TestRecordEditVerb(t *testing.T) {
	s := newShelves(t, "strong")
	t.Setenv("SYNCLINE_URL", s.base)
	t.Setenv("SYNCLINE_API_KEY", s.key)
	b := &bench{T: t, key: s.key}
	if out, talk, code := b.syncline("run", s.service); code != 0 {
		t.Fatalf("the run: %d %q %q", code, out, talk)
	}
	if _, _, code := b.syncline("record", "edit", s.service, "SKU-1", "--system", "shop", "quantity=12", "--expect", "quantity=8"); code != exitFailed {
		t.Errorf("an edit of what is something else by now: %d", code)
	}
	if _, talk, code := b.syncline("record", "edit", s.service, "SKU-1", "--system", "shop", "quantity=12", "name=Table", "--expect", "quantity=7"); code != 0 || !strings.Contains(talk, "is at version") || !strings.Contains(talk, "--after") {
		t.Errorf("the edit: %d %q", code, talk)
	}
	var quantity int
	if err := s.warehouse.QueryRowContext(t.Context(), `SELECT quantity FROM products WHERE name = 'Table'`).Scan(&quantity); err != nil || quantity != 12 {
		t.Errorf("the other system has %d, %v", quantity, err)
	}
	if out, _, code := b.syncline("record", "history", s.service, "SKU-1"); code != 0 || !strings.Contains(out, "quantity: 7 -> 12") || !strings.Contains(out, "test") {
		t.Errorf("its history: %d\n%s", code, out)
	}
	if out, _, code := b.syncline("runs", s.service); code != 0 || !strings.Contains(out, "succeeded") {
		t.Errorf("the runs: %d\n%s", code, out)
	}
}
