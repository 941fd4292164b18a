// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The vendors of the sandbox tell of changes through the same address as the real ones: where a program can ask for that it is asked
// to, and when the service goes it is told to stop.
func TestSandboxesTell(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	ada := town.visit("ada@example.com")
	db, err := pgx.Connect(t.Context(), town.app.config.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	until := func(what, query string, args ...any) {
		t.Helper()
		deadline := time.Now().Add(2 * time.Minute)
		for {
			var yes bool
			if err := db.QueryRow(t.Context(), query, args...).Scan(&yes); err != nil {
				t.Fatal(err)
			}
			if yes {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: has not come", what)
			}
			select {
			case <-t.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	ada.post("/services:sandbox", url.Values{})
	const subscribed = `SELECT count(*) = 3 AND bool_and(s.sealed IS NOT NULL AND cardinality(s.consumers) = 1 AND s.callback LIKE '%/hooks/ten_%/con_%' AND s.renew_at IS NULL)
FROM connection_subscriptions s JOIN connections c ON c.id = s.connection_id WHERE c.connector IN ('hubspot', 'zendesk', 'salesforce')`
	until("the subscriptions", subscribed)
	until("the first sync", `SELECT EXISTS (SELECT FROM connections c JOIN sandboxes s ON s.connection_id = c.id WHERE c.connector = 'zendesk' AND convert_from(s.state, 'UTF8') LIKE '%kenji.ito@example.com%')`)

	const told = `SELECT EXISTS (SELECT FROM connection_hints h JOIN connections c ON c.id = h.connection_id WHERE c.connector = $1)`
	key := func(system, table, column, value string) string {
		t.Helper()
		var k string
		if err := db.QueryRow(t.Context(), `SELECT r.key FROM connections c, sandboxes s, jsonb_each(convert_from(s.state, 'UTF8')::jsonb -> 'tables' -> $2 -> 'records') r
WHERE c.connector = $1 AND s.connection_id = c.id AND r.value -> 'fields' ->> $3 = $4`, system, table, column, value).Scan(&k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	playground := func(system string) string {
		return "/connections/" + url.PathEscape("crm-contact-sync/"+system) + "/sandbox"
	}
	if page := ada.post(playground("zendesk"), url.Values{"table": {"users"}, "key": {key("zendesk", "users", "email", "kenji.ito@example.com")}, "field.phone": {"+81 3 1111 2222"}}); !strings.HasPrefix(page, "200") {
		t.Fatalf("editing gets %.200s", page)
	}
	until("what Zendesk told", told, "zendesk")
	until("the new phone", `SELECT EXISTS (SELECT FROM connections c JOIN sandboxes s ON s.connection_id = c.id WHERE c.connector = 'salesforce' AND convert_from(s.state, 'UTF8') LIKE '%+81 3 1111 2222%')`)
	until("what HubSpot told", told, "hubspot") // of our own write: an echo
	until("what Salesforce told", told, "salesforce")

	address := func() (at string) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT '/connections/' || translate(c.name, '/', '~') FROM connections c WHERE c.connector = 'zendesk'`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(at, "~", "%2F", 1)
	}()
	// By hand: a pause ends it at the vendor, and it tells again when somebody resumes it.
	const hooks = `SELECT coalesce(jsonb_array_length(convert_from(s.state, 'UTF8')::jsonb -> 'hooks'), 0) = $1 FROM connections c JOIN sandboxes s ON s.connection_id = c.id WHERE c.connector = 'zendesk'`
	act := func(verb, says string, left int) {
		t.Helper()
		if page := ada.post(address+"/subscription:"+verb, url.Values{}); !strings.HasPrefix(page, "200") {
			t.Fatalf("%s gets %.300s", verb, page)
		}
		if page := ada.get(address); !strings.Contains(page, says) {
			t.Errorf("after %s the connection's page says %.2000s", verb, page)
		}
		until("the vendor after "+verb, hooks, left)
	}
	act("renew", "it tells", 1)
	act("pause", "it rests until you resume it", 0)
	// Meanwhile it is looked at, at its own rate (30 s at most for Zendesk) and not by the minute of those who wait to be told.
	until("the next look at a vendor that rests", `SELECT coalesce(bool_and(next_look_at <= now() + interval '30 seconds'), false) FROM cursors WHERE system = 'zendesk' AND phase = 'stream'`)
	if page := ada.post(playground("zendesk"), url.Values{"table": {"users"}, "key": {key("zendesk", "users", "email", "kenji.ito@example.com")}, "field.phone": {"+81 3 3333 4444"}}); !strings.HasPrefix(page, "200") {
		t.Fatalf("editing gets %.200s", page)
	}
	until("the phone of a vendor that rests", `SELECT EXISTS (SELECT FROM connections c JOIN sandboxes s ON s.connection_id = c.id WHERE c.connector = 'salesforce' AND convert_from(s.state, 'UTF8') LIKE '%+81 3 3333 4444%')`)
	act("resume", "it tells", 1)

	// A sandbox as new still tells.
	ada.post(playground("zendesk")+":reset", url.Values{})
	until("the address after a reset", `SELECT jsonb_array_length(convert_from(s.state, 'UTF8')::jsonb -> 'hooks') = 1 FROM connections c JOIN sandboxes s ON s.connection_id = c.id WHERE c.connector = 'zendesk'`)
	until("the subscription after a reset", subscribed)

	// A service that is paused listens to nobody; when it goes on it does again.
	if page := ada.get(address); !strings.Contains(page, "Told of changes") || !strings.Contains(page, "it tells") || !strings.Contains(page, "a simulator answers") {
		t.Errorf("the connection's page says %.2000s", page)
	}
	if page := ada.post("/services/crm-contact-sync:pause", url.Values{}); !strings.HasPrefix(page, "200") {
		t.Fatalf("pausing gets %.300s", page)
	}
	until("the end while it is paused", `SELECT NOT EXISTS (SELECT FROM connection_subscriptions)`)
	if page := ada.get(address); strings.Contains(page, "Told of changes") {
		t.Error("the connection's page says that it is told of changes while nobody listens")
	}
	if page := ada.post("/services/crm-contact-sync:resume", url.Values{}); !strings.HasPrefix(page, "200") {
		t.Fatalf("going on gets %.300s", page)
	}
	until("the subscriptions when it goes on", subscribed)

	if page := ada.post("/services/crm-contact-sync:archive", url.Values{"confirm": {"crm-contact-sync"}}); !strings.HasPrefix(page, "200") {
		t.Fatalf("archiving gets %.300s", page)
	}
	until("the end of the subscriptions", `SELECT NOT EXISTS (SELECT FROM connection_subscriptions)`)
}
