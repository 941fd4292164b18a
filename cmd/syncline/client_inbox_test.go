// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What waits for a person is listed and decided from a shell, and the exit code says whether anything waits.
func TestInboxVerbs(t *testing.T) {
	b := newBench(t)
	if _, talk, code := b.syncline("apply", "-f", b.file("stock.yaml", stock), "--yes"); code != 0 {
		t.Fatalf("apply: %d %s", code, talk)
	}
	for _, verb := range []string{"conflicts", "dead-letters", "approvals"} {
		if _, talk, code := b.syncline(verb); code != 0 {
			t.Errorf("%s of nothing: %d %q", verb, code, talk)
		}
	}
	b.exec(`INSERT INTO entities (tenant_id, service_id, id, collection, match_key, fields, held, origin, created_at, changed_at)
SELECT tenant_id, id, '0192f000-0000-7000-8000-000000000001', 'stock', 'SKU-1', '{"sku": "SKU-1", "quantity": 3}', '{quantity}', 'warehouse', now(), now() FROM services`)
	b.exec(`INSERT INTO conflicts (tenant_id, id, service_id, entity_id, collection, field, base, sides, state, strategy, opened_at)
SELECT tenant_id, '0192f000-0000-7000-8000-000000000002', id, '0192f000-0000-7000-8000-000000000001', 'stock', 'quantity', '3',
  '[{"system": "warehouse", "value": 12, "at": "2026-11-23T10:00:00Z", "seenAt": "2026-11-23T10:00:00Z"}, {"system": "shop", "value": 9, "at": "2026-11-23T10:00:01Z", "seenAt": "2026-11-23T10:00:01Z"}]', 'open', 'manual', now() FROM services`)
	b.exec(`INSERT INTO dead_letters (tenant_id, id, service_id, direction, system, object, key, op, code, message, payload, state, first_at, last_at, field, rule)
SELECT tenant_id, ('0192f000-0000-7000-8000-00000000001' || n)::uuid, id, 'in', 'warehouse', 'stock', 'SKU-' || n, 'upsert', 'record.invalid', 'The quantity is below 0.', '{"sku": "SKU-2", "quantity": -1}', 'open', now(), now(), 'quantity', 'min'
FROM services, generate_series(2, 4) n`)
	b.exec(`INSERT INTO rule_actions (tenant_id, id, service_id, entity_id, collection, title, rule, action, system, state, fields, at)
SELECT tenant_id, '0192f000-0000-7000-8000-000000000003', id, '0192f000-0000-7000-8000-000000000001', 'stock', 'SKU-1', 'large', 'require_approval', 'warehouse', 'open', '{"quantity": 12}', now() FROM services`)
	first := func(out string) string {
		lines := strings.Split(out, "\n")
		if len(lines) < 2 || len(strings.Fields(lines[1])) == 0 {
			t.Fatalf("no line in %q", out)
		}
		return strings.Fields(lines[1])[0]
	}

	if _, talk, code := b.syncline("conflicts", "alerts", "stock"); code != 0 || !strings.Contains(talk, "No conflict alert") {
		t.Errorf("no alerts: %d %q", code, talk)
	}
	b.exec(`INSERT INTO conflict_alerts (tenant_id, id, service_id, field, threshold, within_seconds, conflicts, at)
SELECT tenant_id, '0192f000-0000-7000-8000-000000000009', id, NULL, 20, 3600, 23, now() FROM services`)
	if out, _, code := b.syncline("conflicts", "alerts"); code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), "stock any 23 20 within 1h0m0s") {
		t.Errorf("alerts: %d %q", code, out)
	}
	out, talk, code := b.syncline("conflicts", "stock")
	if code != exitFailed || !strings.Contains(out, "warehouse: 12, shop: 9") || !strings.Contains(talk, "1 wait") {
		t.Fatalf("conflicts: %d %q %q", code, out, talk)
	}
	id := first(out)
	if out, _, code := b.syncline("conflicts", "show", id); code != 0 || !strings.Contains(out, "agreed on") {
		t.Errorf("show: %d %q", code, out)
	}
	if out, _, code := b.syncline("conflicts", "what-if", "stock", "--strategy", "warehouse-wins"); code != 0 || !strings.Contains(out, "12") {
		t.Errorf("what-if: %d %q", code, out)
	}
	for _, args := range [][]string{{"conflicts", "resolve", id}, {"conflicts", "resolve", id, "--side", "shop", "--value", "1"}, {"conflicts", "what-if", "stock"}, {"conflicts", "a", "b"}} {
		if _, _, code := b.syncline(args...); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	out, talk, code = b.syncline("conflicts", "resolve", id, "--value", "11", "--reason", "Counted by hand")
	_, token, told := strings.Cut(talk, "have it: ")
	if code != 0 || !strings.Contains(out, "resolved") || !strings.Contains(out, "11") || !told {
		t.Errorf("resolve: %d %q %q", code, out, talk)
	}
	if out, talk, code := b.syncline("record", "stock", "0192f000-0000-7000-8000-000000000001", "--after", strings.TrimSpace(token)); strings.Contains(talk, "token_invalid") {
		t.Errorf("a read with the decision's token: %d %q %q", code, out, talk)
	}
	if out, _, code := b.syncline("conflicts", "stats", "stock", "--days", "7"); code != 0 || !strings.Contains(out, "1 conflicts: 0 decided by rules, 1 by people, 0 wait. 0 decisions were overturned.") ||
		!strings.Contains(strings.Join(strings.Fields(out), " "), "field stock quantity 1 0 wait") {
		t.Errorf("stats: %d %q", code, out)
	}
	if _, _, code := b.syncline("conflicts", "stats", "--days", "0"); code != exitUsage {
		t.Errorf("stats of no days: %d", code)
	}
	if _, _, code := b.syncline("conflicts", "resolve", id, "--side", "shop"); code != exitFailed {
		t.Errorf("a second decision: %d", code)
	}
	if out, _, code := b.syncline("conflicts", "--all", "--json"); code != 0 || !json.Valid([]byte(out)) || !strings.Contains(out, "Counted by hand") {
		t.Errorf("all as JSON: %d %q", code, out)
	}

	if out, _, code := b.syncline("dead-letters", "--causes"); code != exitFailed || !strings.Contains(out, "record.invalid") {
		t.Errorf("causes: %d %q", code, out)
	}
	out, talk, code = b.syncline("quarantine")
	if code != exitFailed || strings.Count(out, "dlq_") != 3 || !strings.Contains(talk, "3 wait") {
		t.Fatalf("quarantine: %d %q %q", code, out, talk)
	}
	id = first(out)
	if out, talk, code := b.syncline("dead-letters", "edit", id, "quantity=4", "--redrive"); code != 0 || !strings.Contains(out, "tried again") {
		t.Errorf("edit: %d %q %q", code, out, talk)
	}
	if out, _, code := b.syncline("dead-letters", "show", id); code != 0 || !strings.Contains(out, "redriven") || !strings.Contains(strings.Join(strings.Fields(out), " "), "quantity -1 4") {
		t.Errorf("show: %d %q", code, out)
	}
	out, _, _ = b.syncline("dead-letters")
	id = first(out)
	if _, _, code := b.syncline("dead-letters", "discard", id); code != exitUsage {
		t.Errorf("given up without a reason: %d", code)
	}
	for _, args := range [][]string{{"redrive"}, {"discard", "--reason", "All of it"}, {"redrive", id, "--code", "record.invalid"}, {"discard", "--code", "record.invalid"}} {
		if _, _, code := b.syncline(append([]string{"dead-letters"}, args...)...); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	if out, _, code := b.syncline("dead-letters", "discard", "--service", "stock", "--code", "record.invalid", "--reason", "A look", "--dry-run"); code != 0 || out != "2 are selected\n" {
		t.Errorf("a look: %d %q", code, out)
	}
	if out, _, code := b.syncline("dead-letters", "redrive", "--code", "no.such"); code != 0 || !strings.HasPrefix(out, "0 ") {
		t.Errorf("of no cause: %d %q", code, out)
	}
	if out, _, code := b.syncline("dead-letters", "discard", id, "--reason", "A test record"); code != 0 || !strings.Contains(out, "given up") {
		t.Errorf("discard: %d %q", code, out)
	}
	out, _, _ = b.syncline("dead-letters")
	if out, _, code := b.syncline("dead-letters", "redrive", first(out), "--alike"); code != 0 || !strings.HasPrefix(out, "1 ") {
		t.Errorf("redrive of all alike: %d %q", code, out)
	}
	if _, _, code := b.syncline("dead-letters"); code != 0 {
		t.Errorf("after all of them: %d", code)
	}

	out, _, code = b.syncline("approvals")
	if code != exitFailed || !strings.Contains(out, "require_approval") {
		t.Fatalf("approvals: %d %q", code, out)
	}
	id = first(out)
	if out, _, code := b.syncline("approvals", "reject", id, "--reason", "A typing error"); code != 0 || !strings.Contains(out, "is sent nowhere") {
		t.Errorf("reject: %d %q", code, out)
	}
	if out, _, code := b.syncline("approvals", "approve", id); code != 0 || !strings.Contains(out, "goes on") {
		t.Errorf("approve after all: %d %q", code, out)
	}
	if out, _, code := b.syncline("approvals", "--all"); code != 0 || !strings.Contains(out, "approved") {
		t.Errorf("all: %d %q", code, out)
	}

	if _, talk, code := b.syncline("actions"); code != 0 || !strings.Contains(talk, "want nothing done") {
		t.Errorf("no actions: %d %q", code, talk)
	}
	b.exec(`INSERT INTO rule_actions (tenant_id, id, service_id, entity_id, collection, title, rule, action, system, state, fields, at)
SELECT tenant_id, '0192f000-0000-7000-8000-000000000004'::uuid, id, '0192f000-0000-7000-8000-000000000001'::uuid, 'stock', 'SKU-1', 'bill', 'generate_invoice', 'warehouse', 'wanted', '{"quantity": 12}'::jsonb, now() FROM services
UNION ALL SELECT tenant_id, '0192f000-0000-7000-8000-000000000005'::uuid, id, '0192f000-0000-7000-8000-000000000001'::uuid, 'stock', 'SKU-1', 'settled', 'mark_reconciled', 'warehouse', 'done', '{}'::jsonb, now() FROM services`)
	out, talk, code = b.syncline("actions", "stock")
	if code != exitFailed || !strings.Contains(out, "generate_invoice") || strings.Contains(out, "mark_reconciled") || !strings.Contains(talk, "1 wait") {
		t.Fatalf("actions: %d %q %q", code, out, talk)
	}
	id = first(out)
	if out, _, code := b.syncline("actions", "take", id); code != 0 || !strings.Contains(out, "is yours") {
		t.Errorf("take: %d %q", code, out)
	}
	if _, talk, code := b.syncline("actions", "take", id); code != exitFailed {
		t.Errorf("taken twice: %d %q", code, talk)
	}
	if out, _, code := b.syncline("actions", "release", id, "--reason", "Later"); code != 0 || !strings.Contains(out, "given back") {
		t.Errorf("release: %d %q", code, out)
	}
	if out, _, code := b.syncline("actions", "done", id, "--reference", "INV-7"); code != 0 || !strings.Contains(out, "is done") {
		t.Errorf("done: %d %q", code, out)
	}
	if out, _, code := b.syncline("actions", "--all", "--action", "generate_invoice"); code != 0 || !strings.Contains(out, "INV-7") || strings.Contains(out, "mark_reconciled") {
		t.Errorf("all: %d %q", code, out)
	}
	if out, talk, code := b.syncline("record", "stock", "SKU-1"); code != 0 || !strings.Contains(talk, "Reconciled since") || !strings.Contains(talk, "by settled") || !strings.Contains(strings.Join(strings.Fields(out), " "), "quantity 11 ") {
		t.Errorf("record: %d %q", code, out)
	}
}
