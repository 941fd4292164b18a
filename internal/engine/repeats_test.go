// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var payments = connector.ObjectInfo{
	Name: "payments",
	Fields: []connector.FieldInfo{
		{Name: "id", Type: connector.TypeText},
		{Name: "amount", Type: connector.TypeNumber, Nullable: true, Scale: -1},
		{Name: "currency", Type: connector.TypeText, Nullable: true},
		{Name: "customer", Type: connector.TypeText, Nullable: true},
		{Name: "receipt_url", Type: connector.TypeText, Nullable: true},
	},
	Key: []string{"id"},
}

func TestDocsWholeRecords(t *testing.T) {
	w := newWorld(t, blocks(t, "data-quality", "yaml")[1], map[record.System]connector.ObjectInfo{"bank": payments, "books": payments})
	records := blocks(t, "data-quality", "json")
	w.putAll("bank", "id", recordsOf(t, records[2]))
	w.settle()
	if n := len(w.user("books").All()); n != 1 || w.user("books").Get("1") == nil {
		t.Errorf("the books hold %d records", n)
	}
	for _, want := range recordsOf(t, records[3]) {
		d := w.deadIn["bank"][record.Key(record.Text(want["id"]))]
		field, _ := want["field"].(string)
		if d.Code != "record.invalid" || d.Rule != want["rule"] || d.Field != field {
			t.Errorf("record %v waits because of %q %q: %s; want %v", want["id"], d.Rule, d.Field, d.Message, want)
		}
	}
}

func payment(id, amount, customer string) record.Fields {
	return record.Fields{"id": id, "amount": record.Number(amount), "currency": "EUR", "customer": customer}
}

// What says the same is kept out only within the window, only while the other lives, and only when it says so anew.
func TestRepeatsAreKeptOut(t *testing.T) {
	const rule = `syncConfig: {matchFields: [id], changeDetection: auto}
businessRules:
  - {name: twice, window: 1h, fields: [amount, customer], action: quarantine}
`
	w := newWorld(t, "service: p\ndirection: bi-directional\nsystems:\n  - {id: bank, type: memory, objects: [payments]}\n  - {id: books, type: memory, objects: [payments]}\n"+rule,
		map[record.System]connector.ObjectInfo{"bank": payments, "books": payments})
	waits := func(s record.System, key record.Key, want bool) {
		t.Helper()
		w.settle()
		if d, does := w.deadIn[s][key]; does != want || does && (d.Rule != "twice" || !strings.Contains(d.Message, "says the same as the record rec_")) {
			t.Errorf("%s %s waits: %v (%s), want %v", s, key, does, d.Message, want)
		}
	}
	w.put("bank", "1", payment("1", "10", "Acme"))
	waits("bank", "1", false)
	w.put("bank", "2", payment("2", "10", "Acme"))
	waits("bank", "2", true)
	w.put("bank", "3", payment("3", "10", "Zenith"))
	waits("bank", "3", false)
	w.put("books", "4", payment("4", "10", "Zenith"))
	waits("books", "4", true)
	// Corrected, it comes in; edited into a repetition, its edit waits.
	w.put("bank", "2", payment("2", "11", "Acme"))
	waits("bank", "2", false)
	w.put("bank", "3", payment("3", "10", "Acme"))
	waits("bank", "3", true)
	w.holds("books", "3", "customer", "Zenith")
	w.put("bank", "3", payment("3", "10", "Zenith"))
	waits("bank", "3", false)
	// Seen again it repeats nothing, nor does an edit of another field.
	w.put("bank", "1", record.Fields{"currency": "USD"})
	waits("bank", "1", false)
	w.holds("books", "1", "currency", "USD")
	// Later, it is another payment.
	w.now = w.now.Add(2 * time.Hour)
	w.put("bank", "5", payment("5", "10", "Acme"))
	waits("bank", "5", false)
	// What is gone is not repeated.
	w.remove("bank", "5")
	w.settle()
	w.put("bank", "6", payment("6", "10", "Acme"))
	waits("bank", "6", false)
	if len(w.last.Acts) > 0 {
		t.Error("a check that keeps records out notes none")
	}
}

// On a real database: what was written in an earlier page counts.
func TestRepeatsOnADatabase(t *testing.T) {
	b := newBench(t, twoWay+`businessRules:
  - {name: twice, window: 24h, fields: [name, quantity], action: quarantine}
`, "warehouse", "shop")
	b.user("warehouse").Put("C", record.Fields{"sku": "C", "name": "same", "quantity": record.Int(4)})
	b.start()
	b.eventually("the first", func() bool { return b.user("shop").Get("C") != nil })
	b.user("warehouse").Put("D", record.Fields{"sku": "D", "name": "same", "quantity": record.Int(4)})
	b.user("warehouse").Put("E", record.Fields{"sku": "E", "name": "same", "quantity": record.Int(5)})
	b.eventually("another", func() bool { return b.user("shop").Get("E") != nil })
	b.eventually("the dead letter", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND key = 'D' AND rule = 'twice'`) == 1
	})
	if b.user("shop").Get("D") != nil {
		t.Error("the repetition was sent")
	}
}
