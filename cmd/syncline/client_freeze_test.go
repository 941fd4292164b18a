// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestFreezeVerbs(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("freeze", "stock"); code != exitUsage {
		t.Errorf("without a record: %d", code)
	}
	if _, talk, code := b.syncline("freeze", "stock", "SKU-1"); code != exitFailed {
		t.Errorf("a service that is none: %d %q", code, talk)
	}
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	b.exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT tenant_id, id, gen_random_uuid(), 'products', 'SKU-1', '{"sku": "SKU-1"}', 'warehouse', now(), now() FROM services`)
	if out, talk, code := b.syncline("freeze", "stock", "SKU-1", "--reason", "Being counted"); code != 0 || !strings.Contains(talk, "is frozen") || out != "" {
		t.Errorf("freeze: %d %q %q", code, out, talk)
	}
	if _, talk, code := b.syncline("freeze", "stock", "SKU-1"); code != exitFailed {
		t.Errorf("freeze again: %d %q", code, talk)
	}
	if out, _, code := b.syncline("thaw", "stock", "SKU-1", "--json"); code != 0 || strings.Contains(out, `"frozen": true`) {
		t.Errorf("thaw: %d %q", code, out)
	}
	if _, talk, code := b.syncline("thaw", "stock", "SKU-1"); code != exitFailed {
		t.Errorf("thaw again: %d %q", code, talk)
	}
}
