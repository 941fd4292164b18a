// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A group of duplicates is shown, merged as it was shown, and taken back.
func TestDuplicateGroupVerbs(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	b.exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, origin, created_at, changed_at)
SELECT tenant_id, id, ('00000000-0000-7000-8000-00000000000' || n)::uuid, 'products', 'SKU-' || n, jsonb_build_object('sku', 'SKU-' || n, 'name', CASE n WHEN 2 THEN 'Desk' END, 'price', 92.5, 'tags', '["wood"]'::jsonb), 'warehouse', now(), now()
FROM services, generate_series(1, 3) n`)
	b.exec(`INSERT INTO duplicates (tenant_id, id, service_id, collection, a_id, b_id, score, fields, outcome, state, found_at)
SELECT tenant_id, ('00000000-0000-7000-8000-0000000000d' || n)::uuid, id, 'products', ('00000000-0000-7000-8000-00000000000' || n)::uuid, ('00000000-0000-7000-8000-00000000000' || n + 1)::uuid, 0.9, '[]', 'ask', 'open', now()
FROM services, generate_series(1, 2) n`)
	out, _, code := b.syncline("duplicates", "list", "stock", "--json")
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list.Data) != 2 {
		t.Fatalf("the list: %d, %v\n%s", code, err, out)
	}
	pair := list.Data[0].ID
	if out, _, code := b.syncline("duplicates", "group", "stock", pair); code != 0 || strings.Count(out, "rec_") != 4 || !strings.Contains(out, "stays") || strings.Count(out, "Desk") != 2 || strings.Count(out, "92.5") != 4 || strings.Count(out, `["wood"]`) != 4 {
		t.Errorf("the group: %d\n%s", code, out)
	}
	if _, _, code := b.syncline("duplicates", "merge", "stock", pair, "--group", "--strategy", "best"); code == 0 {
		t.Error("a strategy that is none is merged by")
	}
	if _, talk, code := b.syncline("duplicates", "later", "stock", pair, "--reason", "to be asked"); code != 0 {
		t.Errorf("putting it aside: %d %q", code, talk)
	}
	if out, _, code := b.syncline("duplicates", "list", "stock", "--state", "later"); code != 0 || !strings.Contains(out, pair) {
		t.Errorf("what is put aside: %d\n%s", code, out)
	}
	if out, talk, code := b.syncline("duplicates", "merge", "stock", pair, "--group", "--yes", "--reason", "one desk"); code != 0 || !strings.Contains(out, "3 records are one: rec_") {
		t.Errorf("the merge: %d %q\n%s", code, talk, out)
	}
	if out, _, code := b.syncline("duplicates", "list", "stock", "--state", "merged"); code != 0 || strings.Count(out, "dup_") != 2 {
		t.Errorf("what is merged: %d\n%s", code, out)
	}
	if _, talk, code := b.syncline("duplicates", "undo", "stock", list.Data[1].ID); code != 0 {
		t.Errorf("taking it back: %d %q", code, talk)
	}
	if out, _, code := b.syncline("duplicates", "list", "stock", "--state", "later"); code != 0 || strings.Count(out, "dup_") != 2 {
		t.Errorf("what waits again: %d\n%s", code, out)
	}
	// A token that no write answered with.
	if _, _, code := b.syncline("record", "stock", "SKU-1", "--after", "nothing"); code != exitFailed {
		t.Errorf("a token that is none: %d", code)
	}
}
