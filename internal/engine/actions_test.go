// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

const acting = `syncConfig: {conflictResolution: lastWriteWins, matchFields: [sku]}
businessRules:
  - {name: low-stock, condition: quantity < 10, action: notify, with: {to: buyers}}
  - {name: large, condition: price > 1000, action: require_approval}
  - {name: test-records, condition: name startsWith 'TEST', action: quarantine}
  - {name: secret, condition: name == 'Secret', action: skip}
  - {name: reconciled, condition: quantitys_match && price_match, action: mark_reconciled}
`

func rulesMet(out engine.Outcome) (names string) {
	for _, a := range out.Acts {
		names += a.Rule + " " + string(a.State) + ";"
	}
	return names
}

// A rule acts when a record comes to meet it, and again only after it had ceased to.
func TestRuleActsOnTheEdge(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	step := func(what string, s record.System, f record.Fields, want string) {
		t.Helper()
		w.put(s, "A", f)
		w.pull(s)
		if got := rulesMet(w.last); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	step("enough", "crm", product("A", 10), "")
	step("too few", "crm", quantity(9), "low-stock done;")
	if a := w.last.Acts[0]; a.Action != "notify" || a.System != "crm" || a.Options["to"] != "buyers" || !record.Equal(a.Fields["quantity"], record.Int(9)) || a.Title != "A" {
		t.Errorf("the action is %+v", a)
	}
	step("fewer", "crm", quantity(3), "")
	step("enough again", "crm", quantity(30), "")
	step("too few again", "crm", quantity(1), "low-stock done;")
}

func TestRuleApproval(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"sku": "A", "price": record.Int(5000), "quantity": record.Int(50)})
	w.pull("crm")
	if got := rulesMet(w.last); got != "large open;" {
		t.Errorf("met %q", got)
	}
	w.settle()
	if w.user("shop").Get("A") != nil {
		t.Error("it was sent before anybody approved")
	}
	// While it waits, its other fields change and are not sent either.
	w.put("crm", "A", record.Fields{"name": "Desk"})
	w.settle()
	if w.user("shop").Get("A") != nil || !w.one().IsHeld(record.Approval) {
		t.Error("it was sent before anybody approved")
	}
	// Corrected, it waits for nobody.
	w.put("crm", "A", record.Fields{"price": record.Int(500)})
	w.pull("crm")
	if len(w.last.Lapsed) != 1 || w.last.Lapsed[0].Rule != "large" {
		t.Errorf("lapsed are %+v", w.last.Lapsed)
	}
	w.settle()
	w.holds("shop", "A", "price", record.Int(500))
	w.holds("shop", "A", "name", "Desk")
	// A change of a record that both hold waits as well; a deletion does not.
	w.put("shop", "A", record.Fields{"price": record.Int(9999)})
	w.settle()
	w.holds("crm", "A", "price", record.Int(500))
	w.remove("crm", "A")
	w.settle()
	w.quiet()
}

func TestRuleQuarantineAndSkip(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"sku": "A", "name": "TEST 1"})
	w.put("crm", "B", record.Fields{"sku": "B", "name": "Secret"})
	w.put("crm", "C", record.Fields{"sku": "C", "name": "Desk"})
	w.settle()
	if d := w.deadIn["crm"]["A"]; d.Code != "record.invalid" || d.Rule != "test-records" {
		t.Errorf("the dead letter is %+v", d)
	}
	if n := len(w.user("shop").All()); n != 1 {
		t.Errorf("the shop has %d records", n)
	}
}

// Two systems' records meet, and agree in what the rule asks about.
func TestRuleReconciled(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", record.Fields{"sku": "A", "quantity": record.Int(50), "price": record.Int(7)})
	w.put("shop", "A", record.Fields{"sku": "A", "quantity": record.Int(50), "price": record.Int(7)})
	w.put("crm", "B", record.Fields{"sku": "B", "quantity": record.Int(50), "price": record.Int(7)})
	w.put("shop", "B", record.Fields{"sku": "B", "quantity": record.Int(50), "price": record.Int(8)})
	w.pull("crm")
	w.pull("shop")
	if got := rulesMet(w.last); got != "reconciled done;" || w.last.Acts[0].Title != "A" {
		t.Errorf("met %q", got)
	}
}

func (w *world) marks(want string) {
	w.t.Helper()
	got := ""
	for _, e := range w.journal {
		if e.Op == record.Reconciled || e.Op == record.Unreconciled {
			got += string(e.Op) + " by " + e.Actor + ";"
		}
	}
	if got != want {
		w.t.Errorf("the history says %q, want %q", got, want)
	}
}

// A record is marked once for as long as it meets the rule, however often it changes, also when it was the write to the other system
// that made both agree; and no longer when it ceases to.
func TestRuleReconciledForAsLong(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	const mark, unmark = "reconcile by rule reconciled;", "unreconcile by rule reconciled;"
	w.put("crm", "A", record.Fields{"sku": "A", "quantity": record.Int(50), "price": record.Int(7)})
	w.pull("crm")
	w.pull("shop")
	w.marks("")
	w.deliver("shop")
	w.marks(mark)
	w.put("crm", "A", record.Fields{"name": "Desk"})
	w.settle()
	w.marks(mark)
	if n := len(w.acts); n != 1 {
		t.Errorf("the rules acted %d times", n)
	}
	// Until the shop has the new price the two do not agree.
	w.put("crm", "A", record.Fields{"price": record.Int(8)})
	w.pull("crm")
	w.marks(mark + unmark)
	w.settle()
	w.marks(mark + unmark + mark)
	w.remove("crm", "A")
	w.settle()
	w.marks(mark + unmark + mark + unmark)
	if len(w.acting) != 0 {
		t.Errorf("of a record that is gone %v stand", w.acting)
	}
}

// A rule that went, or does something else now, leaves nothing behind; one that is new counts from the next change on.
func TestRuleThatWent(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	w.put("crm", "A", product("A", 3))
	w.settle()
	if len(w.acting) != 2 { // low-stock, reconciled
		t.Fatalf("stand %v", w.acting)
	}
	anew := twin(t, document("bi-directional", `businessRules:
  - {name: low-stock, condition: quantity < 10, action: generate_invoice}
`, "crm", "shop"), "crm", "shop")
	w.plan = anew.plan
	for _, s := range w.plan.Seats {
		s.Open = w.seats[s.System].Open
		w.seats[s.System] = s
	}
	w.put("crm", "A", record.Fields{"name": "Desk"})
	w.pull("crm")
	if got := rulesMet(w.last); len(w.last.Lapsed) != 2 || got != "low-stock wanted;" {
		t.Errorf("lapsed %v, met %q", w.last.Lapsed, got)
	}
}

// What begins and ends within one page is kept as it ended.
func TestRuleWithinOnePage(t *testing.T) {
	w := twin(t, document("bi-directional", acting, "crm", "shop"), "crm", "shop")
	seat := w.seats["crm"]
	change := func(n int64) record.Change {
		w.tick()
		return record.Change{Key: "A", Op: record.Upsert, At: w.now, Fields: product("A", n)}
	}
	w.intake(seat, []record.Change{change(3), change(30), change(4)})
	if got := rulesMet(w.last); got != "low-stock done;low-stock done;" || w.last.Acts[0].LapsedAt == nil || w.last.Acts[1].LapsedAt != nil || len(w.last.Lapsed) != 0 {
		t.Errorf("met %q, lapsed %v", got, w.last.Lapsed)
	}
}

// On a real database: approvals are answered, duplicates within a window are found.
func TestRuleActions(t *testing.T) {
	b := newBench(t, twoWay+`businessRules:
  - {name: large, condition: price > 1000, action: require_approval}
  - {name: twice, window: 24h, fields: [name, quantity]}
`, "warehouse", "shop")
	for _, sku := range []string{"A", "B"} {
		b.user("warehouse").Put(record.Key(sku), record.Fields{"sku": sku, "name": sku, "price": record.Int(5000), "quantity": record.Int(1)})
	}
	b.user("warehouse").Put("C", record.Fields{"sku": "C", "name": "same", "quantity": record.Int(4)})
	b.start()
	reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	decider := engine.NewDecider(store.InTx(b.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	who := auth.System(b.tenant, "Ada")
	waiting := func() map[string]engine.ActCase {
		list, err := reader.Acts(t.Context(), who, engine.ActQuery{Service: b.service, State: engine.ActOpen, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[string]engine.ActCase)
		for _, c := range list {
			out[c.Rule+" "+c.Title] = c
		}
		return out
	}
	b.eventually("two approvals", func() bool { w := waiting(); return w["large A"].ID != uuid.Nil && w["large B"].ID != uuid.Nil })
	b.user("warehouse").Put("D", record.Fields{"sku": "D", "name": "same", "quantity": record.Int(4)})
	b.eventually("the duplicate", func() bool { return !waiting()["twice D"].Other.IsZero() })
	b.eventually("those that wait for nobody", func() bool {
		return b.user("shop").Get("C") != nil && b.user("shop").Get("D") != nil && b.settledDown()
	})
	if b.user("shop").Get("A") != nil || b.user("shop").Get("B") != nil {
		t.Error("something was sent before anybody approved")
	}
	list := waiting()
	yes, err := decider.Answer(t.Context(), who, list["large A"].ID, true, "checked")
	if err != nil || yes.State != engine.ActApproved || yes.DecidedBy == "" {
		t.Fatalf("%+v, %v", yes, err)
	}
	if no, err := decider.Answer(t.Context(), who, list["large B"].ID, false, "a typing error"); err != nil || no.State != engine.ActRejected {
		t.Fatalf("%+v, %v", no, err)
	}
	b.engine.Nudge(b.service)
	b.eventually("what was approved", func() bool { return b.user("shop").Get("A") != nil })
	if b.user("shop").Get("B") != nil {
		t.Error("what was rejected was sent")
	}
	if _, err := decider.Answer(t.Context(), who, list["large A"].ID, true, ""); fault.As(err) == nil || fault.As(err).Code != "rule_action.not_open" {
		t.Errorf("answering twice gives %v", err)
	}
	if _, err := decider.Answer(t.Context(), who, uuid.New(), true, ""); fault.As(err) == nil || fault.As(err).Code != "rule_action.not_found" {
		t.Errorf("answering nothing gives %v", err)
	}
	// After all.
	if _, err := decider.Answer(t.Context(), who, list["large B"].ID, true, ""); err != nil {
		t.Fatal(err)
	}
	b.engine.Nudge(b.service)
	b.eventually("what was approved after all", func() bool { return b.user("shop").Get("B") != nil })
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action LIKE 'rule_action.%'`); n != 3 {
		t.Errorf("%d answers are in the audit log, want 3", n)
	}
}
