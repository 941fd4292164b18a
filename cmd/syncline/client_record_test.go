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
