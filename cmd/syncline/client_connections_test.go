// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestSubscriptionsVerb(t *testing.T) {
	b := newBench(t)
	if _, talk, code := b.syncline("connections", "subscriptions"); code != 0 || !strings.Contains(talk, "No vendor is asked") {
		t.Errorf("none: %d %q", code, talk)
	}
	b.exec(`INSERT INTO connections (id, tenant_id, name, connector, settings, state, created_at, updated_at) SELECT gen_random_uuid(), id, n, 'hubspot', '{}', 'unchecked', now(), now() FROM tenants, unnest(ARRAY['crm', 'helpdesk', 'quiet']) n`)
	b.exec(`INSERT INTO connection_subscriptions (tenant_id, connection_id, callback, consumers, since, ends_at, reason)
SELECT tenant_id, id, 'https://sync.example.com/hooks/' || name, '{svc_1}', now(), CASE WHEN name = 'crm' THEN now() + interval '7 days' END, CASE WHEN name = 'helpdesk' THEN 'The system refuses it.' ELSE '' END
FROM connections WHERE name <> 'quiet'`)
	out, _, code := b.syncline("connections", "subscriptions")
	if code != exitFailed || !strings.Contains(out, "crm") || !strings.Contains(out, "active") || !strings.Contains(out, "failing") || !strings.Contains(out, "The system refuses it.") || strings.Contains(out, "quiet") {
		t.Errorf("all: %d %q", code, out)
	}
	if out, _, code = b.syncline("connections", "subscriptions", "crm", "--json"); code != 0 || !strings.Contains(out, `"callback": "https://sync.example.com/hooks/crm"`) || strings.Contains(out, "helpdesk") {
		t.Errorf("one: %d %q", code, out)
	}
	if _, _, code = b.syncline("connections", "subscriptions", "nobody"); code != exitFailed {
		t.Errorf("one that is not there: %d", code)
	}
	// By hand; the vendor of a connection that nobody listens through is not asked.
	for _, verb := range []string{"renew", "pause", "resume"} {
		if _, _, code := b.syncline("connections", "subscriptions", verb, "quiet"); code != exitFailed {
			t.Errorf("%s: %d", verb, code)
		}
		if _, _, code := b.syncline("connections", "subscriptions", verb); code != exitUsage {
			t.Errorf("%s of none: %d", verb, code)
		}
	}
}

func TestSketchVerb(t *testing.T) {
	b := newBench(t)
	answers := b.file("shop-sketch.yaml", `title: Our shop
baseUrl: https://shop.example.com/api
auth: header
authName: X-Api-Key
objects:
  - name: articles
    fields: |
      id integer
      title text
    list: /articles
    get: /articles/{id}
    create: /articles
    update: /articles/{id}
`)
	out, _, code := b.syncline("connectors", "sketch", "-f", answers)
	if code != 0 || !strings.Contains(out, "type: our-shop") || !strings.Contains(out, "X-Api-Key") {
		t.Fatalf("sketch: %d %q", code, out)
	}
	if out, talk, code := b.syncline("connectors", "apply", "-f", b.file("shop.yaml", out)); code != 0 || !strings.Contains(out+talk, "our-shop") {
		t.Errorf("apply: %d %q %q", code, out, talk)
	}
	if _, _, code := b.syncline("connectors", "sketch", "-f", b.file("bad.yaml", "title: Our shop\nbaseUrl: x\nobjects: [{name: articles}]\n")); code != exitInvalid {
		t.Errorf("a bad one: %d", code)
	}
}
