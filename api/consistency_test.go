// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
)

// consistent is a party with a service of that level whose first record both systems hold.
func (p *party) consistent(level string) {
	p.Helper()
	name, _, _ := strings.Cut(level, ":") // `strong`, or a block
	document := fmt.Sprintf(`service: %[3]s-%[2]s
systems:
  - {id: left, type: left-%[2]s, connection: left-db-%[2]s, objects: [products]}
  - {id: right, type: right-%[2]s, connection: right-db-%[2]s, objects: [products]}
syncConfig: {frequency: realtime, conflictResolution: lastWriteWins, consistency: %[1]s}
`, level, p.name, strings.Trim(name, "{"))
	p.connect()
	p.ids["service"] = p.apply(document).Service.ID.Public()
}

// With strong consistency an edit through the API is answered when all systems have it, and otherwise with who does not.
func TestStrongConsistency(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.consistent("strong")
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	const base = "/v1/services/strong-a"
	at := base + "/systems/left/records/SKU-1"
	left.Put("SKU-1", record.Fields{"name": "Desk", "quantity": record.Int(7)})
	p.carry(id, func() {
		p.eventually("both to hold it", func() bool { return right.Get("SKU-1") != nil && p.quiet(id) })
		done := p.want(200, p.as("PATCH", at, `{"fields": {"name": "Table"}}`)).json(t)
		for side, user := range map[string]interface {
			Get(record.Key) record.Fields
		}{"left": left, "right": right} {
			if name := user.Get("SKU-1")["name"]; name != "Table" {
				t.Errorf("it is answered, and %s holds %v", side, name)
			}
		}
		if done["settled"] != true {
			t.Errorf("the answer says settled: %v", done["settled"])
		}
		if got := p.want(200, p.as("GET", base+"/records/SKU-1", "")).json(t); got["settled"] != true {
			t.Errorf("the record is read as settled: %v", got["settled"])
		}
		if got := p.want(200, p.as("GET", base+"/status", "")).json(t)["consistency"].(map[string]any); got["level"] != "strong" || got["maxDelayMs"] != nil || got["late"] != false {
			t.Errorf("the status says %v", got)
		}
		// The right system will not take it: the edit stands, and the answer says who is behind.
		long := strings.Repeat("long ", 20)
		behind := p.want(202, p.as("PATCH", at, fmt.Sprintf(`{"fields": {"name": %q}}`, long))).json(t)
		if behind["settled"] != false {
			t.Errorf("a refused edit is settled: %v", behind)
		}
		states := map[string]any{}
		for _, s := range behind["systems"].([]any) {
			l := s.(map[string]any)
			states[l["system"].(string)] = l["state"]
		}
		if states["right"] != "rejected" {
			t.Errorf("the answer does not say that the right one refused it: %v", states)
		}
		p.want(200, p.as("PATCH", at, `{"fields": {"name": "Chair"}}`)) // what was refused before is no answer to this
		if name := right.Get("SKU-1")["name"]; name != "Chair" {
			t.Errorf("it is answered, and the right one holds %v", name)
		}
	})
	// Nobody carries the service: the edit is owed, and the answer comes in time.
	owed := p.want(202, p.as("PATCH", at, `{"fields": {"name": "Bench"}}`)).json(t)
	if owed["settled"] != false || owed["owed"].(map[string]any)["left"] == nil {
		t.Errorf("the answer does not say who is owed it: %v", owed)
	}
	if n := p.number(`SELECT count(*) FROM audit_log WHERE action = 'record.edited'`); n != 4 {
		t.Errorf("%d audit entries, want 4", n)
	}
}

// With transactional consistency an edit that one system refuses is kept by none, and the answer says so.
func TestTransactionalConsistency(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.consistent("transactional")
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	at := "/v1/services/transactional-a/systems/left/records/" + url.PathEscape("SKU-1")
	left.Put("SKU-1", record.Fields{"name": "Desk", "quantity": record.Int(7)})
	p.carry(id, func() {
		p.eventually("both to hold it", func() bool { return right.Get("SKU-1") != nil && p.quiet(id) })
		p.want(200, p.as("PATCH", at, `{"fields": {"name": "Table"}}`))
		long := strings.Repeat("long ", 20)
		p.refused(409, "record.compensated", p.as("PATCH", at, fmt.Sprintf(`{"fields": {"name": %q, "quantity": 9}}`, long)))
		p.eventually("both to hold what they held", func() bool {
			for _, f := range []record.Fields{left.Get("SKU-1"), right.Get("SKU-1")} {
				if f["name"] != "Table" || !record.Equal(f["quantity"], record.Int(7)) {
					return false
				}
			}
			return p.quiet(id)
		})
	})
	history := p.want(200, p.as("GET", "/v1/services/transactional-a/records/SKU-1/history", "")).json(t)
	by := 0
	for _, e := range history["data"].([]any) {
		if e.(map[string]any)["actor"] == "compensation" {
			by++
		}
	}
	if by != 1 {
		t.Errorf("%d lines of the history are by the compensation, want 1", by)
	}
	if n := p.number(`SELECT count(*) FROM audit_log WHERE action = 'record.compensated'`); n != 1 {
		t.Errorf("%d audit entries of the compensation, want 1", n)
	}
}

// The status tells the level of consistency, and how far the service is behind: on time, late, and on time again.
func TestStatusOfConsistency(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.consistent("{level: eventual, maxDelay: 30s}")
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	left.Put("SKU-1", record.Fields{"name": "Desk", "quantity": record.Int(7)})
	p.carry(id, func() {
		p.eventually("both to hold it", func() bool { return right.Get("SKU-1") != nil && p.quiet(id) })
	})
	at := "/v1/services/" + p.ids["service"]
	status := func() map[string]any {
		return p.want(200, p.as("GET", at+"/status", "")).json(t)["consistency"].(map[string]any)
	}
	if got := status(); got["level"] != "eventual" || got["maxDelayMs"] != 30000.0 || got["delayMs"] != 0.0 || got["late"] != false || got["system"] != "" {
		t.Errorf("nothing is owed, and the status says %v", got)
	}
	// Nobody carries the service, so the edit stays owed.
	p.want(200, p.as("PATCH", at+"/systems/left/records/SKU-1", `{"fields": {"name": "Bench"}}`))
	p.exec(`UPDATE deliveries SET since = now() - interval '20 seconds' WHERE service_id = $1 AND system = 'right'`, uuid.UUID(id))
	if got := status(); got["delayMs"].(float64) < 20000 || got["late"] != false || got["system"] != "right" {
		t.Errorf("it is 20 s behind, and the status says %v", got)
	}
	p.exec(`UPDATE deliveries SET since = now() - interval '31 seconds' WHERE service_id = $1 AND system = 'right'`, uuid.UUID(id))
	if got := status(); got["delayMs"].(float64) < 31000 || got["late"] != true || got["system"] != "right" {
		t.Errorf("it is 31 s behind, and the status says %v", got)
	}
	p.carry(id, func() { p.eventually("both to hold the edit", func() bool { return p.quiet(id) }) })
	if got := status(); got["delayMs"] != 0.0 || got["late"] != false {
		t.Errorf("it has caught up, and the status says %v", got)
	}
}
