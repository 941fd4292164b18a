// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

// oneKey is a service between systems of which one lets two records have what is a key in the other. The first is in both.
func oneKey(t *testing.T) *bench {
	b := newBench(t, "service: stock\ndirection: multi-directional\nsystems:\n"+
		"  - {id: warehouse, type: memory, objects: [{name: items, mapping: product}]}\n"+
		"  - {id: shop, type: memory, objects: [{name: products, mapping: product}]}\n"+
		"syncConfig: {frequency: realtime, matchFields: [name]}\n", "shop")
	b.systems["warehouse"] = connectortest.NewMemory(serial, products)
	b.systems["shop"].Normalise("products", "name", func(v record.Value) record.Value { return strings.ToUpper(v.(string)) })
	b.item("1", "one", 1)
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	return b
}

func (b *bench) item(key record.Key, name string, quantity int64) {
	b.systems["warehouse"].User(serial.Name).Put(key, record.Fields{"sku": "A", "name": name, "quantity": record.Int(quantity)})
}

// A record that was made with the key of another entity's, which is gone and of which nobody told, is the copy of the entity that it was
// made for. Nothing stands still, and the other one's fate is told. (Simulation seeds 1935, 6748.)
func TestKeyOfAnother(t *testing.T) {
	b := oneKey(t)
	b.systems["shop"].Plant(connectortest.Fault{On: connectortest.OnWrite, Class: connectortest.Pass, Before: func() { b.user("shop").Tamper("A", nil) }})
	b.item("2", "two", 2)
	b.eventually("the second to be there", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(2)) && b.settledDown()
	})
	if n := b.number(`SELECT count(*) FROM links l JOIN links w USING (tenant_id, entity_id) WHERE l.system = 'shop' AND w.system = 'warehouse' AND w.key = '2'`); n != 1 {
		t.Errorf("%d records of the shop are the second's", n)
	}
	if n := b.number(`SELECT count(*) FROM journal j JOIN links w USING (tenant_id, entity_id) WHERE j.system = 'shop' AND j.op = 'unlink' AND w.system = 'warehouse' AND w.key = '1'`); n != 1 {
		t.Errorf("%d lines of the history tell that the first lost its record", n)
	}
	b.eventually("the first to wait for a person", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND direction = 'out' AND system = 'shop'`) == 1
	})
}

// A record that is as it should be already, but another entity's copy, is not taken from that.
func TestCopyOfAnother(t *testing.T) {
	b := oneKey(t)
	b.item("2", "One", 1)
	b.eventually("the second to wait for a person", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND code = 'match.duplicate' AND system = 'shop'`) == 1 && b.settledDown()
	})
	if n := b.number(`SELECT count(*) FROM links l JOIN links w USING (tenant_id, entity_id) WHERE l.system = 'shop' AND w.system = 'warehouse' AND w.key = '1'`); n != 1 {
		t.Errorf("%d records of the shop are the first's", n)
	}
}

// A record was deleted and made again under another key while its copy was being made. The copy, which somebody then changed in its own
// system, outlives the first's deletion as the second's copy: revived as the first's, the same thing would be there twice. (Simulation
// seed 12976.)
func TestMadeAgainWhileCopied(t *testing.T) {
	b := newBench(t, "service: stock\ndirection: unidirectional\nsystems:\n"+
		"  - {id: warehouse, type: memory, objects: [{name: items, mapping: product}]}\n"+
		"  - {id: shop, type: memory, objects: [{name: products, mapping: product}]}\n"+
		"syncConfig: {frequency: realtime, deletes: propagate, matchFields: [sku]}\n", "shop")
	b.systems["warehouse"] = connectortest.NewMemory(serial, products)
	b.systems["shop"].SetClock(func() time.Time { return time.Now().Add(time.Minute) }) // its edit is the later one
	writing, goOn := make(chan struct{}), make(chan struct{})
	b.systems["shop"].Plant(
		connectortest.Fault{On: connectortest.OnWrite, Class: connectortest.Pass, Before: func() { close(writing); <-goOn }},
		connectortest.Fault{On: connectortest.OnWrite, Class: connectortest.Pass, Before: func() { b.user("shop").Put("A", record.Fields{"quantity": record.Int(30)}) }},
	)
	b.item("1", "one", 1)
	b.start()
	<-writing
	b.systems["warehouse"].User(serial.Name).Delete("1")
	b.item("2", "two", 2)
	b.eventually("the second to be known", func() bool { return b.number(`SELECT count(*) FROM entities`) == 2 })
	close(goOn)
	b.eventually("the shop to hold the second", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(2)) && b.settledDown()
	})
	if n := b.systems["shop"].Planted(); n != 0 {
		t.Fatalf("%d writes did not come", n)
	}
	if n := b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`); n != 1 {
		t.Errorf("%d records are alive, one is there", n)
	}
	if n := b.number(`SELECT count(*) FROM links l JOIN links w USING (tenant_id, entity_id) WHERE l.system = 'shop' AND l.key = 'A' AND w.system = 'warehouse' AND w.key = '2'`); n != 1 {
		t.Errorf("%d records of the shop are the second's", n)
	}
	if n := b.number(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("%d dead letters\n%s", n, b.state())
	}
	if n := b.number(`SELECT sum(quantity) FROM usage_events WHERE meter = 'records'`); n != 1 {
		t.Errorf("%d records are metered", n)
	}
}
