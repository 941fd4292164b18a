// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// compensate is what a flow does about refusals, without a database.
func (w *world) compensate() (done int) {
	for _, s := range w.systems() {
		for id, d := range w.deadOut[s] {
			e := w.entities[id]
			entry, ok := engine.Compensate(e, w.seats[s], &d, nil, w.now)
			if !ok {
				continue
			}
			done++
			w.journal = append(w.journal, entry)
			delete(w.deadOut[s], id)
			for _, other := range w.systems() {
				w.owed[other][id] = true
			}
		}
	}
	w.settle()
	return done
}

const together = "syncConfig: {frequency: realtime, consistency: transactional, conflictResolution: lastWriteWins, matchFields: [sku]}\n"

// picky is a service of three systems, of which the shop refuses names that have the word bad.
func picky(t *testing.T) *world {
	w := twin(t, document("multi-directional", together, "crm", "erp", "shop"), "crm", "erp", "shop")
	w.memory["shop"].Check("products", func(_ record.Key, f record.Fields) error {
		if s, ok := f["name"].(string); ok && strings.Contains(s, "bad") {
			return errors.New("a bad name")
		}
		return nil
	})
	return w
}

// What one system refuses none keeps: also where another took it already, and where it came from.
func TestCompensate(t *testing.T) {
	t.Run("values", func(t *testing.T) {
		w := picky(t)
		w.put("crm", "A", product("A", 5))
		w.settle()
		name := w.user("shop").Get("A")["name"]
		w.put("crm", "A", record.Fields{"name": "bad", "quantity": record.Int(6)})
		w.settle()
		w.holds("erp", "A", "name", "bad")
		if n := w.compensate(); n != 1 {
			t.Fatalf("%d compensations", n)
		}
		for _, s := range w.systems() {
			w.holds(s, "A", "name", name)
			w.holds(s, "A", "quantity", record.Int(5)) // it came with it
		}
		w.quiet()
	})
	t.Run("moved on", func(t *testing.T) {
		w := picky(t)
		w.put("crm", "A", product("A", 5))
		w.settle()
		w.put("crm", "A", record.Fields{"name": "bad"})
		w.settle()
		w.put("erp", "A", record.Fields{"name": "good"})
		w.pull("erp")
		if n := w.compensate(); n != 0 {
			t.Errorf("%d compensations of a record that moved on", n)
		}
		for _, s := range w.systems() {
			w.holds(s, "A", "name", "good")
		}
	})
	t.Run("a new record", func(t *testing.T) {
		w := picky(t)
		w.put("crm", "A", record.Fields{"sku": "A", "name": "bad"})
		w.settle()
		if w.user("erp").Get("A") == nil {
			t.Fatal("the erp did not take it")
		}
		w.compensate()
		if w.user("erp").Get("A") != nil || w.user("shop").Get("A") != nil || w.user("crm").Get("A") == nil {
			t.Error("it is not where people made it, and only there")
		}
		w.put("crm", "A", record.Fields{"name": "good"})
		w.settle()
		for _, s := range w.systems() {
			w.holds(s, "A", "name", "good")
		}
	})
}
