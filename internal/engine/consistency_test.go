// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

// What one system of a transactional service refuses none keeps, wherever the worker dies between the refusal and the last of the writes
// that take it back; and what was set back is told of once, in the history, the audit log and an event.
func TestCompensationSurvivesCrashes(t *testing.T) {
	for _, seam := range []string{"before write", "after write", "settling saved", "settled", "compensation saved", "compensated"} {
		t.Run(seam, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, document("multi-directional", together, "crm", "erp", "shop"), "crm", "erp", "shop")
			b.systems["shop"].Check("products", func(_ record.Key, f record.Fields) error {
				if s, ok := f["name"].(string); ok && strings.Contains(s, "bad") {
					return errors.New("a bad name")
				}
				return nil
			})
			b.user("crm").Put("A", product("A", 5))
			all := func(name string, quantity int64) bool {
				for _, s := range []string{"crm", "erp", "shop"} {
					if f := b.user(s).Get("A"); f["name"] != name || !record.Equal(f["quantity"], record.Int(quantity)) {
						return false
					}
				}
				return true
			}
			b.start()
			b.eventually("all to hold it", func() bool { return all("Product A", 5) && b.settledDown() })
			b.halt()

			crash := newCrash(seam)
			crash.arm(1)
			b.engine.Seam = crash.at
			b.user("crm").Put("A", record.Fields{"name": "bad", "quantity": record.Int(6)})
			b.startCrashing()
			b.eventually("the crash", crash.happened)
			b.crash()
			b.start()
			done := func() bool { return b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`) > 0 }
			b.eventually("none to keep it", func() bool { return done() && all("Product A", 5) && b.settledDown() })
			b.halt()
			for what, query := range map[string]string{
				"lines in the history": `SELECT count(*) FROM journal WHERE actor = '@compensation'`,
				"audit entries":        `SELECT count(*) FROM audit_log WHERE action = 'record.compensated' AND detail ->> 'system' = 'shop'`,
				"events":               `SELECT count(*) FROM events WHERE type = 'record.compensated'`,
			} {
				if n := b.number(query); n != 1 {
					t.Errorf("%d %s, want 1", n, what)
				}
			}
			if n := b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`); n != 0 {
				t.Errorf("%d dead letters are open", n)
			}
			written := b.user("crm").Writes() + b.user("erp").Writes() + b.user("shop").Writes()
			if n := b.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`); n != written {
				t.Errorf("%d records were written, %d are in the journal", written, n)
			}
		})
	}
}

// What was set back because one system refused it, and is refused by another in turn, is not set forth again: each holds what the other
// will not have. (Simulation seed 154.)
func TestRefusalsInTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t, document("multi-directional", together, "crm", "shop"), "crm", "shop")
	b.user("crm").Put("A", product("A", 5))
	b.start()
	b.eventually("both to hold it", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.halt()
	for system, other := range map[string]string{"crm": "shop", "shop": "crm"} {
		b.user(system).Put("A", record.Fields{"name": "only the " + system + " has it"})
		b.systems[other].Check("products", func(_ record.Key, f record.Fields) error {
			if f["name"] == "only the "+system+" has it" {
				return errors.New("a bad name")
			}
			return nil
		})
	}
	b.start()
	b.eventually("it to be left to a person", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 1 && b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`) == 1 && b.settledDown()
	})
	for range 2 { // whoever carries it next leaves it alone, too
		b.halt()
		b.start()
		b.eventually("it to rest", b.settledDown)
	}
	if n := b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`); n != 1 {
		t.Errorf("it was set back %d times", n)
	}
}

// A refusal that comes in when its record is deleted already has nothing to set back, and nothing more is sent that would settle it.
func TestRefusalOfADeletedRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t, document("multi-directional", together, "crm", "erp", "shop"), "crm", "erp", "shop")
	b.systems["shop"].Check("products", func(record.Key, record.Fields) error { return errors.New("full") })
	b.start()
	b.user("crm").Put("A", product("A", 5))
	b.eventually("it to be taken back", func() bool {
		return b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`) == 1 && b.user("erp").Get("A") == nil && b.settledDown()
	})
	b.halt()
	// As it is when the attempt is settled after the deletion.
	b.exec(`UPDATE dead_letters SET state = 'open'`)
	b.start()
	b.eventually("it to be settled", func() bool { return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 0 })
	if n := b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation'`); n != 1 {
		t.Errorf("it was set back %d times", n)
	}
}

// A refusal is no matter any more once its record is deleted, whatever the service's consistency: nothing more is sent that would settle it.
func TestRefusalEndsWithItsRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t, twoWay, "warehouse", "shop")
	refuse := new(atomic.Bool)
	refuse.Store(true)
	b.systems["shop"].Check("products", func(record.Key, record.Fields) error {
		if refuse.Load() {
			return errors.New("full")
		}
		return nil
	})
	b.start()
	open := func() int64 { return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) }
	b.user("warehouse").Put("A", product("A", 5))
	b.user("warehouse").Put("B", product("B", 5))
	b.eventually("both to be refused", func() bool { return open() == 2 && b.settledDown() })
	b.user("warehouse").Delete("A")
	b.eventually("the deleted one to be settled", func() bool { return open() == 1 && b.settledDown() })
	if n := b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND key = '' AND entity_id = (SELECT entity_id FROM links WHERE key = 'B')`); n != 1 {
		t.Errorf("the other one's dead letter is not the one that is open")
	}
	// What is there in the system is deleted there, which settles it as ever.
	refuse.Store(false)
	b.user("warehouse").Put("B", product("B", 6))
	b.eventually("the other one to arrive", func() bool { return b.user("shop").Get("B") != nil && open() == 0 })
}

// outing is a system that cannot be written during an outage.
type outing struct {
	capable
	out *atomic.Bool
}

func (o outing) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if o.out.Load() {
		return nil, &connector.Error{Class: connector.Retry, Code: "memory.planted", Message: "It is out."}
	}
	return o.capable.Write(ctx, object, writes)
}

// A change that is owed for longer than the document allows is told of once, and once more when it is over.
func TestLag(t *testing.T) {
	t.Parallel()
	allowed := func(delay string) string {
		return document("multi-directional", "syncConfig: {frequency: realtime, consistency: {level: eventual, maxDelay: "+delay+"}, matchFields: [sku]}\n", "crm", "erp")
	}
	b := newBench(t, allowed("1h"), "crm", "erp")
	var outage atomic.Bool
	b.opened = func(system string, s connector.System) connector.System {
		if system == "erp" {
			return outing{s.(capable), &outage}
		}
		return s
	}
	b.start()
	b.user("crm").Put("A", product("A", 5))
	b.eventually("both to hold it", func() bool { return b.user("erp").Get("A") != nil && b.settledDown() })
	told := func(state string) bool {
		return b.number(`SELECT count(*) FROM events WHERE type = 'lag' AND data ->> 'state' = $1 AND data ->> 'system' IN ('erp', '')`, state) == 1
	}
	if n := b.number(`SELECT count(*) FROM events WHERE type = 'lag'`); n != 0 {
		t.Errorf("%d lags are told of before there was one", n)
	}
	b.halt()
	b.apply(allowed("1s"), 2)
	outage.Store(true)
	b.start()
	b.user("crm").Put("A", product("A", 6))
	b.eventually("the lag to be told of", func() bool { return told("exceeded") })
	// Whoever carries it next knows that it was told of.
	b.halt()
	b.start()
	b.user("crm").Put("B", product("B", 1))
	b.eventually("the next one to be at work", func() bool { return b.number(`SELECT count(*) FROM deliveries`) == 2 })
	if !told("exceeded") {
		t.Error("it was told of again after a restart")
	}
	b.halt()
	outage.Store(false)
	b.start()
	b.eventually("its end to be told of", func() bool { return told("within") && b.converged("crm", "erp") })
	if !told("exceeded") {
		t.Error("it was told of more than once")
	}
}

// Conflicts about a record that goes because one system refused it are over. (Simulation seed 247.)
func TestCompensationClosesConflicts(t *testing.T) {
	b := newBench(t, document("multi-directional", "syncConfig: {frequency: realtime, consistency: transactional, conflictResolution: manual, matchFields: [sku]}\n", "crm", "erp", "shop"), "crm", "erp", "shop")
	b.systems["shop"].Check("products", func(record.Key, record.Fields) error { return errors.New("the shop is closed") })
	opened := make(chan struct{})
	b.systems["shop"].Plant(connectortest.Fault{On: connectortest.OnWrite, Class: connectortest.Pass, Before: func() { <-opened }})
	b.user("crm").Put("A", product("A", 5))
	b.user("erp").Put("A", product("A", 6))
	b.start()
	b.eventually("the conflict", func() bool { return b.number(`SELECT count(*) FROM conflicts WHERE state = 'open'`) == 1 })
	close(opened)
	b.eventually("none to keep it", func() bool {
		return b.number(`SELECT count(*) FROM journal WHERE actor = '@compensation' AND op = 'delete'`) == 1 && b.settledDown()
	})
	if n := b.number(`SELECT count(*) FROM conflicts WHERE state = 'open'`); n != 0 {
		t.Errorf("%d conflicts are open about a record that is gone", n)
	}
}

// A refusal of a record that was found in the system since, as it should be, is over: nothing is sent that would settle it. (Simulation
// seed 6813.)
func TestRefusalOfWhatWasFound(t *testing.T) {
	b := newBench(t, document("multi-directional", together, "crm", "shop"), "crm", "shop")
	b.user("crm").Put("A", product("A", 5))
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.halt()
	b.exec(`INSERT INTO dead_letters (tenant_id, id, service_id, direction, system, object, key, entity_id, op, code, message, state, tries, first_at, last_at)
SELECT tenant_id, gen_random_uuid(), service_id, 'out', 'shop', 'products', '', id, 'upsert', 'delivery.keeps_moving', 'It moved.', 'open', 1, now(), now() FROM entities`)
	b.start()
	b.eventually("the refusal to be over", func() bool { return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 0 })
	if f := b.user("shop").Get("A"); f == nil || b.user("crm").Get("A") == nil {
		t.Error("the record is gone")
	}
}
