// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a reconciliation found is listed, left to somebody, and settled.
func TestDiscrepancyVerbs(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	if _, talk, code := b.syncline("discrepancies"); code != 0 || !strings.Contains(talk, "No discrepancy") {
		t.Errorf("without any: %d %q", code, talk)
	}
	b.exec(`INSERT INTO reconciliations (tenant_id, id, service_id, state, since, until, systems, tolerance, actor, asked_at)
SELECT tenant_id, '00000000-0000-7000-8000-0000000000c1', id, 'succeeded', now() - interval '1 day', now(), '{warehouse,shop}', '0', 'Ada', now() FROM services`)
	b.exec(`INSERT INTO discrepancies (tenant_id, id, reconciliation_id, service_id, kind, entity_id, collection, title, field, sides, missing_in, difference, at, state)
SELECT tenant_id, ('00000000-0000-7000-8000-0000000000d' || n)::uuid, id, service_id, CASE n WHEN 1 THEN 'difference' ELSE 'unmatched' END, gen_random_uuid(), 'products', 'SKU-' || n, CASE n WHEN 1 THEN 'price' ELSE '' END,
  '[{"system": "warehouse", "key": "SKU", "value": {"": 7.01}}]', CASE n WHEN 1 THEN '{}'::text[] ELSE '{shop}' END, CASE n WHEN 1 THEN '0.01' ELSE '' END, now(), 'open' FROM reconciliations, generate_series(1, 2) n`)
	out, _, code := b.syncline("discrepancies", "stock", "--json")
	var list []struct{ ID, Title string }
	if err := json.Unmarshal([]byte(out), &list); code != exitFailed || err != nil || len(list) != 2 {
		t.Fatalf("the list: %d, %v\n%s", code, err, out)
	}
	ids := map[string]string{}
	for _, d := range list {
		ids[d.Title] = d.ID
	}
	for _, step := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"discrepancies"}, exitFailed, []string{"price differs by 0.01", "missing in shop", "warehouse SKU 7.01", "2 wait"}},
		{[]string{"discrepancies", "resolve", ids["SKU-1"]}, exitInvalid, nil},
		{[]string{"discrepancies", "resolve", ids["SKU-1"], "--as", "rounding-difference", "--adjustment", "-0.01"}, 0, []string{"SKU-1", "resolved"}},
		{[]string{"discrepancies", "flag", ids["SKU-2"], "--reason", "amount-mismatch", "--assign-to", "accounting-team"}, 0, []string{"SKU-2", "flagged"}},
		{[]string{"discrepancies", "stock"}, exitFailed, []string{"SKU-2", "accounting-team", "1 wait"}},
		{[]string{"discrepancies", "stock", "--all"}, exitFailed, []string{"SKU-1", "SKU-2"}},
	} {
		out, talk, code := b.syncline(step.args...)
		for _, text := range step.says {
			if !strings.Contains(out+talk, text) {
				t.Errorf("%s says nothing of %q", strings.Join(step.args, " "), text)
			}
		}
		if code != step.code {
			t.Errorf("%s: %d %q %q", strings.Join(step.args, " "), code, out, talk)
		}
	}
}
