// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	shiftsPG = `CREATE TABLE shifts (id varchar(20) PRIMARY KEY, name varchar(50), starts timestamp)`
	shiftsMy = `CREATE TABLE shifts (id varchar(20) PRIMARY KEY, name varchar(50), starts datetime(6))`
)

// shifts is a service whose tables have times without a zone; each may get one.
func shifts(warehouse, shop string) string {
	return fmt.Sprintf(`service: shifts
systems:
  - {id: warehouse, type: postgresql, objects: [shifts]%s}
  - {id: shop, type: mysql, objects: [shifts]%s}
syncConfig: {frequency: realtime}
`, warehouse, shop)
}

func (m *mixedBench) shiftsPG() string {
	return m.fromPG(`SELECT string_agg(id || ' ' || coalesce(to_char(starts, 'YYYY-MM-DD HH24:MI:SS.US'), ''), E'\n' ORDER BY id COLLATE "C") FROM shifts`)
}

func (m *mixedBench) shiftsMy() string {
	return m.fromMy(`SELECT group_concat(id, ' ', coalesce(date_format(starts, '%Y-%m-%d %H:%i:%s.%f'), '') ORDER BY BINARY id SEPARATOR '\n') FROM shifts`)
}

func (m *mixedBench) delivered() int64 {
	return m.number(`SELECT count(*) FROM journal WHERE kind = 'delivery'`)
}

// Two databases whose columns know no zones, in two zones, both ways, over both changes of both clocks. Each row is written once in the other
// system, and never again, whatever else is changed about it.
func TestTwoZones(t *testing.T) {
	t.Parallel()
	m := newMixedBench(t, shifts(", timeZone: Europe/Berlin", ", timeZone: America/New_York"), shiftsPG, shiftsMy)
	rows := []struct{ id, berlin, york string }{ // those whose id begins with p are made in Berlin, the others in New York
		{"m1", "2026-03-08 08:30:00.000000", "2026-03-08 02:30:00.000000"}, // skipped there
		{"m2", "2026-11-01 06:30:00.000000", "2026-11-01 01:30:00.000000"}, // the first of two
		{"m3", "2026-10-25 02:30:00.000000", "2026-10-24 21:30:00.000000"}, // the second of two in Berlin
		{"m4", "2026-11-01 08:00:00.000000", "2026-11-01 02:00:00.000000"},
		{"m5", "", ""},
		{"m6", "2026-03-29 03:30:00.000000", "2026-03-28 21:30:00.000000"}, // right behind what Berlin skips
		{"p1", "2026-03-29 01:59:59.000000", "2026-03-28 20:59:59.000000"},
		{"p2", "2026-03-29 02:30:00.000000", "2026-03-28 21:30:00.000000"}, // skipped
		{"p3", "2026-03-29 03:00:00.000000", "2026-03-28 21:00:00.000000"},
		{"p4", "2026-10-25 01:59:59.000000", "2026-10-24 19:59:59.000000"},
		{"p5", "2026-10-25 02:30:00.000000", "2026-10-24 20:30:00.000000"}, // the first of two
		{"p6", "2026-10-25 03:00:00.000000", "2026-10-24 22:00:00.000000"},
		{"p7", "2026-07-01 12:00:00.123456", "2026-07-01 06:00:00.123456"},
		{"p8", "2026-11-01 07:30:00.000000", "2026-11-01 01:30:00.000000"}, // the second of two in New York
		{"p9", "2026-03-29 02:15:00.000000", "2026-03-28 21:15:00.000000"}, // skipped
	}
	var berlin, york []string
	for _, r := range rows {
		value := func(s string) string {
			if s == "" {
				return "NULL"
			}
			return "'" + s + "'"
		}
		if r.id[0] == 'p' {
			m.inPG(fmt.Sprintf(`INSERT INTO shifts VALUES ('%s', 'Ada', %s)`, r.id, value(r.berlin)))
		} else {
			m.inMy(fmt.Sprintf(`INSERT INTO shifts VALUES ('%s', 'Ada', %s)`, r.id, value(r.york)))
		}
		berlin, york = append(berlin, r.id+" "+r.berlin), append(york, r.id+" "+r.york)
	}
	same := func(when string) {
		t.Helper()
		expect(t, "Berlin "+when, m.shiftsPG(), strings.Join(berlin, "\n"))
		expect(t, "New York "+when, m.shiftsMy(), strings.Join(york, "\n"))
		expect(t, "letters "+when, m.number(`SELECT count(*) FROM dead_letters`), int64(0))
		expect(t, "conflicts "+when, m.number(`SELECT count(*) FROM conflicts`), int64(0))
	}
	n := int64(len(rows))
	proofs := m.proving()
	m.start()
	m.eventually("the first sync", func() bool {
		return m.fromPG(`SELECT count(*)::text FROM shifts`) == fmt.Sprint(n) && m.fromMy(`SELECT count(*) FROM shifts`) == fmt.Sprint(n) && m.settledDown()
	})
	same("after the first sync")
	expect(t, "writes", m.delivered(), n)

	m.inPG(`UPDATE shifts SET name = 'Bea'`)
	m.eventually("names from Berlin", func() bool {
		return m.fromMy(`SELECT count(*) FROM shifts WHERE name = 'Bea'`) == fmt.Sprint(n) && m.settledDown()
	})
	m.inMy(`UPDATE shifts SET name = 'Cem'`)
	m.eventually("names from New York", func() bool {
		return m.fromPG(`SELECT count(*)::text FROM shifts WHERE name = 'Cem'`) == fmt.Sprint(n) && m.settledDown()
	})
	same("after other fields changed")
	expect(t, "writes", m.delivered(), 3*n)

	r := m.prove(proofs)
	expect(t, "proven", []int64{r.Equal, r.Total, r.Drift}, []int64{n, n, 0})
	same("after the proof")
	expect(t, "writes after the proof", m.delivered(), 3*n)

	// What Berlin holds in the skipped hour is not what it would be sent for the same moment; it is written over and deleted all the same.
	m.inMy(`UPDATE shifts SET starts = '2026-03-28 22:30:00' WHERE id = 'p2'`, `DELETE FROM shifts WHERE id = 'p9'`)
	m.inPG(`UPDATE shifts SET starts = '2026-10-25 02:45:00' WHERE id = 'm3'`)
	m.eventually("new times", func() bool {
		return strings.Contains(m.shiftsPG(), "p2 2026-03-29 04:30:00.000000") && strings.Contains(m.shiftsMy(), "m3 2026-10-24 20:45:00.000000") &&
			!strings.Contains(m.shiftsPG(), "p9") && m.settledDown()
	})
	expect(t, "letters", m.number(`SELECT count(*) FROM dead_letters`), int64(0))
	expect(t, "writes at the end", m.delivered(), 3*n+3)
}

// A system that gets its zone later changes what its times mean, and nobody else's: an edit elsewhere takes no time along, and the
// first edit in the system itself tells the others which moment it meant.
func TestZoneComesLater(t *testing.T) {
	t.Parallel()
	m := newMixedBench(t, shifts("", ""), shiftsPG, shiftsMy)
	m.inPG(`INSERT INTO shifts VALUES ('A', 'Ada', '2026-07-01 12:00:00'), ('B', 'Ada', '2026-07-01 12:00:00')`)
	m.start()
	m.eventually("the first sync", func() bool { return m.fromMy(`SELECT count(*) FROM shifts`) == "2" && m.settledDown() })
	m.halt()
	m.apply(shifts(", timeZone: Europe/Berlin", ""), 2)
	m.start()
	m.inMy(`UPDATE shifts SET name = 'Bea'`)
	m.eventually("names", func() bool {
		return m.fromPG(`SELECT count(*)::text FROM shifts WHERE name = 'Bea'`) == "2" && m.settledDown()
	})
	expect(t, "Berlin", m.shiftsPG(), "A 2026-07-01 12:00:00.000000\nB 2026-07-01 12:00:00.000000")
	expect(t, "the shop", m.shiftsMy(), "A 2026-07-01 12:00:00.000000\nB 2026-07-01 12:00:00.000000")
	m.inPG(`UPDATE shifts SET name = 'Cem' WHERE id = 'A'`)
	m.eventually("the moment", func() bool {
		return m.shiftsMy() == "A 2026-07-01 10:00:00.000000\nB 2026-07-01 12:00:00.000000" && m.settledDown()
	})
	expect(t, "Berlin afterwards", m.shiftsPG(), "A 2026-07-01 12:00:00.000000\nB 2026-07-01 12:00:00.000000")
}

// orderLines is a service between rows and documents whose lists hold what the rows have in columns.
const orderLines = `service: orders
systems:
  - {id: crm, type: memory, objects: [orders]}
  - {id: shop, type: memory, objects: [orders]}
syncConfig: {matchFields: [id]}
fieldMapping:
  shop: {id: id, "lines[0].sku": sku, lines.0.quantity: quantity, "tags[1]": second}
`

func newOrderLines(t check) *world {
	f := func(name string, typ connector.Type) connector.FieldInfo {
		return connector.FieldInfo{Name: name, Type: typ, Nullable: true}
	}
	return newWorld(t, orderLines, map[record.System]connector.ObjectInfo{
		"crm":  {Name: "orders", Key: []string{"id"}, Fields: []connector.FieldInfo{f("id", connector.TypeText), f("sku", connector.TypeText), f("quantity", connector.TypeInteger), f("second", connector.TypeText)}},
		"shop": {Name: "orders", Key: []string{"id"}, Fields: []connector.FieldInfo{f("id", connector.TypeText), f("lines", connector.TypeJSON), f("tags", connector.TypeArray)}}})
}

// What nobody mapped stays in the lists and objects of a column when what is mapped there is written.
func TestItemsOfLists(t *testing.T) {
	w := newOrderLines(t)
	w.put("crm", "1", record.Fields{"id": "1", "sku": "A", "quantity": record.Int(2), "second": nil})
	w.settle()
	w.holds("shop", "1", "lines", []any{map[string]any{"sku": "A", "quantity": record.Int(2)}})
	w.holds("shop", "1", "tags", nil)
	w.put("shop", "1", record.Fields{"id": "1", "lines": []any{map[string]any{"sku": "A", "quantity": record.Int(3), "note": "soon"}, map[string]any{"sku": "B"}}, "tags": []any{"new", "eu", "vip"}})
	w.settle()
	w.holds("crm", "1", "quantity", record.Int(3))
	w.holds("crm", "1", "second", "eu")
	w.put("crm", "1", record.Fields{"id": "1", "sku": "A", "quantity": record.Int(5), "second": "us"})
	w.settle()
	w.holds("shop", "1", "lines", []any{map[string]any{"sku": "A", "quantity": record.Int(5), "note": "soon"}, map[string]any{"sku": "B"}})
	w.holds("shop", "1", "tags", []any{"new", "us", "vip"})
	w.quiet()

	// An edit of what is not mapped, between reading and writing, is not written over either.
	w.put("crm", "1", record.Fields{"id": "1", "sku": "A", "quantity": record.Int(6), "second": "us"})
	w.put("shop", "1", record.Fields{"id": "1", "lines": []any{map[string]any{"sku": "A", "quantity": record.Int(5), "note": "late"}}, "tags": []any{"new", "us"}})
	w.settle()
	w.holds("shop", "1", "lines", []any{map[string]any{"sku": "A", "quantity": record.Int(6), "note": "late"}})
	w.remove("crm", "1")
	w.settle()
	if n := len(w.user("shop").All()); n != 0 {
		t.Errorf("the shop still has %d records", n)
	}
	w.quiet()
}

// A list gets no holes: the record is a dead letter that says which item is missing, and goes out when it is there.
func TestHoleInAList(t *testing.T) {
	w := newOrderLines(t)
	w.put("crm", "1", record.Fields{"id": "1", "sku": "A", "quantity": record.Int(2), "second": "eu"})
	w.pull("crm")
	w.pull("shop")
	w.deliver("shop")
	if len(w.deadOut["shop"]) != 1 {
		t.Fatalf("dead letters %v", w.deadOut["shop"])
	}
	for _, d := range w.deadOut["shop"] {
		if d.Code != "mapping.not_convertible" || !strings.Contains(d.Message, "second") || !strings.Contains(d.Message, "tags[1]") || !strings.Contains(d.Message, "item 1 of a list of 0") {
			t.Errorf("%s: %s", d.Code, d.Message)
		}
	}
}
