// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
)

func TestInvoicesVerb(t *testing.T) {
	b := newBench(t)
	out, _, code := b.syncline("invoices")
	if code != 0 || !strings.Contains(out, "draft") {
		t.Fatalf("the present month: %d %q", code, out)
	}
	id := ""
	for word := range strings.FieldsSeq(out) {
		if strings.HasPrefix(word, "bil_") {
			id = word
		}
	}
	for _, sql := range []string{
		`UPDATE invoices SET state = 'open', number = 1, finalized_at = now(), approved_at = now(), closed_at = now()`,
		`INSERT INTO collections (tenant_id, invoice_id, external_id, state, url, problem, updated_at, tries, failed_at, next_at, payments, failure)
		 SELECT tenant_id, id, 'in_1', 'sent', 'https://pay.example/in_1', 'Stripe does not answer.', now(), 2, now(), now() + interval '1 hour', 1, 'Your card was declined.' FROM invoices`,
	} {
		if _, err := b.db.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if out, _, code = b.syncline("invoices", "--state", "open"); code != 0 || !strings.Contains(out, "INV-000001") || !strings.Contains(out, "retrying") || !strings.Contains(out, "tried again") {
		t.Errorf("open ones: %d %q", code, out)
	}
	if out, _, code = b.syncline("invoices", "--state", "paid"); code != 0 || strings.Contains(out, "INV-") {
		t.Errorf("paid ones: %d %q", code, out)
	}
	out, _, code = b.syncline("invoices", id)
	for _, want := range []string{"INV-000001", "retrying", "Stripe does not answer.", "Your card was declined.", "https://pay.example/in_1"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("one, %d, lacks %q: %q", code, want, out)
		}
	}
	if out, _, code = b.syncline("invoices", id, "--json"); code != 0 || !strings.Contains(out, `"state": "retrying"`) {
		t.Errorf("as JSON: %d %q", code, out)
	}
	if _, _, code = b.syncline("invoices", "bil_unknown"); code != exitFailed {
		t.Errorf("one that is not there: %d", code)
	}
}

func TestEstimateVerb(t *testing.T) {
	b := newBench(t)
	path := b.file("stock.yaml", "service: stock\nsystems:\n  - {id: a, type: postgresql, objects: [{name: p, mapping: products}]}\n  - {id: b, type: postgresql, objects: [{name: p, mapping: products}]}\nsyncConfig: {frequency: 5m}\n")
	out, talk, code := b.syncline("estimate", path)
	if code != 0 || !strings.Contains(out, "50.00 USD") || !strings.Contains(out, "5.00 USD") || !strings.Contains(talk, "--records") {
		t.Errorf("as assumed: %d %q %q", code, out, talk)
	}
	if out, _, code = b.syncline("estimate", path, "--records", "100000", "--changes", "0"); code != 0 || !strings.Contains(out, "500.00 USD") || !strings.Contains(out, "0.00 USD") {
		t.Errorf("as said: %d %q", code, out)
	}
	if out, _, code = b.syncline("estimate", path, "--json"); code != 0 || !strings.Contains(out, `"assumptions"`) {
		t.Errorf("as JSON: %d %q", code, out)
	}
	if _, _, code = b.syncline("estimate", b.file("broken.yaml", "service: [")); code == 0 {
		t.Error("a document that cannot be read is priced")
	}
	if _, _, code = b.syncline("estimate"); code != exitUsage {
		t.Errorf("without a file: %d", code)
	}
}
