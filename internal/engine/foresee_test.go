// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// papers are the bench's documents as a planner asks for them.
type papers struct {
	*bench
	looked func() // called when a system is opened; may be nil
}

func (p papers) OpenToLook(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	if p.looked != nil {
		p.looked()
	}
	if p.opener != nil {
		return p.opener.OpenSystem(ctx, t, s, doc, system, consumer)
	}
	return p.OpenSystem(ctx, t, s, doc, system, consumer)
}

func (p papers) Get(ctx context.Context, who auth.Principal, ref string) (s service.Service, r service.Revision, err error) {
	err = p.db.InTenant(ctx, who.Tenant, func(tx *store.Tx) error {
		if s, err = tx.Service(ctx, ref); err != nil {
			return err
		}
		r, err = tx.Revision(ctx, s.ID, s.Revision)
		return err
	})
	return s, r, err
}

func (p papers) DiffAgainst(ctx context.Context, who auth.Principal, source []byte, format service.Format) (out service.Preview, err error) {
	doc, err := service.Parse(source, format)
	if err != nil {
		return out, err
	}
	s, r, err := p.Get(ctx, who, doc.Service)
	if fault.KindOf(err) == fault.NotFound {
		out.Differences = service.Diff(nil, doc)
		return out, nil
	}
	out.Service, out.Differences = &s, service.Diff(r.Document, doc)
	return out, err
}

func (b *bench) planner() *safety.Planner { return b.plannerWith(nil) }

func (b *bench) plannerWith(looked func()) *safety.Planner {
	return safety.NewPlanner(store.InTx(b.db, func(tx *store.Tx) safety.PlanTx { return tx }), papers{b, looked}, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

// planned makes a plan as a worker does.
func (b *bench) planned(p safety.ServicePlan, err error) safety.ServicePlan {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.planner().Carry(context.Background(), safety.PlanArgs{TenantID: b.tenant, PlanID: p.ID}); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.planner().Get(context.Background(), b.person(), p.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	if out.State != safety.PlanReady || out.Hash == "" {
		b.t.Fatalf("the plan is %s: %s %s", out.State, out.ErrorCode, out.Error)
	}
	if n := b.number(`SELECT (SELECT count(*) FROM service_plan_entities) + (SELECT count(*) FROM service_plan_links)`); n != 0 {
		b.t.Errorf("%d rows were left aside", n)
	}
	return out
}

func seatOf(t *testing.T, p safety.ServicePlan, system record.System) engine.ForeseenSeat {
	t.Helper()
	for _, s := range p.Outcome.Seats {
		if s.System == system {
			return s
		}
	}
	t.Fatalf("the plan has no figures of %s", system)
	return engine.ForeseenSeat{}
}

func warned(p safety.ServicePlan, code string) bool {
	for _, w := range p.Outcome.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

// What a plan of a first sync says is what then happens, and making it changes nothing anywhere.
func TestPlanOfFirstSync(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.exec(`UPDATE services SET state = 'draft'`)
	for i := range 2500 { // more than a page
		b.user("warehouse").Put(record.Key(fmt.Sprintf("A%04d", i)), product(fmt.Sprintf("A%04d", i), 1))
	}
	for i := range 40 {
		p := product(fmt.Sprintf("A%04d", i), 1)
		if i < 7 {
			p["quantity"] = record.Int(99)
		}
		b.user("shop").Put(record.Key(fmt.Sprintf("A%04d", i)), p)
	}
	for i := range 3 {
		b.user("shop").Put(record.Key(fmt.Sprint("S", i)), product(fmt.Sprint("S", i), 1))
	}
	before := b.user("warehouse").Writes() + b.user("shop").Writes()
	p := b.planned(b.planner().PlanDocument(context.Background(), b.person(), "", []byte(twoWay), service.YAML))
	if p.Kind != safety.FirstPlan || p.Base != 1 {
		t.Errorf("the plan is a %s plan about revision %d", p.Kind, p.Base)
	}
	if n := b.number(`SELECT (SELECT count(*) FROM entities) + (SELECT count(*) FROM links) + (SELECT count(*) FROM journal) + (SELECT count(*) FROM cursors) + (SELECT count(*) FROM usage_events)`); n != 0 {
		t.Errorf("the plan wrote %d rows of the service", n)
	}
	if n := b.user("warehouse").Writes() + b.user("shop").Writes() - before; n != 0 {
		t.Errorf("the plan wrote %d times to the systems", n)
	}
	warehouse, shop := seatOf(t, p, "warehouse"), seatOf(t, p, "shop")
	if shop.Creates != 2460 || warehouse.Creates != 3 || warehouse.Records != 2500 || shop.Matched != 40 || shop.Conflicts != 7 || p.Outcome.Born[""] != 2503 {
		t.Errorf("foreseen: warehouse %+v, shop %+v, born %v", warehouse, shop, p.Outcome.Born)
	}
	conflicts := 0
	for _, s := range p.Outcome.Samples {
		if s.Kind == engine.SampleConflict {
			conflicts++
			if len(s.Before) != 1 || len(s.After) != 1 || s.Why == "" {
				t.Errorf("a sample of a conflict is %+v", s)
			}
		}
	}
	if conflicts != 7 {
		t.Errorf("%d conflicts are shown", conflicts)
	}
	b.exec(`UPDATE services SET state = 'active'`)
	b.start()
	b.eventually("the first sync", func() bool { return b.converged("warehouse", "shop") && b.settledDown() })
	made := b.number(`SELECT count(*) FROM journal WHERE kind = 'delivery' AND op = 'create'`)
	changed := b.number(`SELECT count(*) FROM journal WHERE kind = 'delivery' AND op = 'update'`)
	if made != shop.Creates+warehouse.Creates || changed != shop.Updates+warehouse.Updates {
		t.Errorf("%d creates and %d updates happened; %d and %d were foreseen", made, changed, shop.Creates+warehouse.Creates, shop.Updates+warehouse.Updates)
	}
}

// A plan of a revision says what a filter and a rule will mean for the records that are there.
func TestPlanOfRevision(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(30)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 30 && b.settledDown() })
	b.halt()
	ctx := context.Background()
	next := twoWay + "businessRules:\n  - {name: cheap, condition: quantity > 0, source: warehouse, target: shop, mapping: {sku: name}}\n"
	p := b.planned(b.planner().PlanDocument(ctx, b.person(), "", []byte(next), service.YAML))
	if p.Kind != safety.RevisionPlan || !p.Later() {
		t.Errorf("the plan is a %s plan, later %v", p.Kind, p.Later())
	}
	if shop := seatOf(t, p, "shop"); shop.Updates != 30 || shop.Creates != 0 {
		t.Errorf("foreseen of the shop: %+v", shop)
	}
	doc := func(text string) *service.Document {
		d, err := service.Parse([]byte(text), service.YAML)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	confirm := func(text string) error {
		_, err := b.planner().Confirm(ctx, b.person(), p.Hash, doc(text), nil)
		return err
	}
	if err := confirm(next); err != nil {
		t.Errorf("the plan cannot be carried out: %v", err)
	}
	if err := confirm(twoWay); !fault.IsCode(err, "plan.differs") {
		t.Errorf("another document is taken: %v", err)
	}
	if _, err := b.planner().Confirm(ctx, b.person(), "0000", doc(next), nil); !fault.IsCode(err, "plan.not_found") {
		t.Errorf("an unknown plan is taken: %v", err)
	}
	for i := range 10 { // as many as are tolerated
		b.user("warehouse").Put(record.Key(fmt.Sprint("N", i)), product(fmt.Sprint("N", i), 1))
	}
	if err := confirm(next); err != nil {
		t.Errorf("a few more records are too many: %v", err)
	}
	b.user("warehouse").Put("N10", product("N10", 1))
	if err := confirm(next); !fault.IsCode(err, "plan.moved") {
		t.Errorf("the world moved on and the plan is taken: %v", err)
	}
	b.apply(next, 2)
	if err := confirm(next); !fault.IsCode(err, "plan.moved") {
		t.Errorf("the revision moved on and the plan is taken: %v", err)
	}
}

// A source that turned empty is told of, and nothing would be deleted.
func TestPlanOfEmptySource(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(20)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 20 && b.settledDown() })
	b.halt()
	for i := range 20 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.exec(`UPDATE cursors SET phase = 'snapshot', cursor = NULL WHERE system = 'warehouse'`)
	p := b.planned(b.planner().PlanDocument(context.Background(), b.person(), "", []byte(twoWay), service.YAML))
	if shop := seatOf(t, p, "shop"); shop.Deletes != 0 || !warned(p, "brake") || !warned(p, "empty") || seatOf(t, p, "warehouse").Held != 20 {
		t.Errorf("foreseen: %+v, warnings %+v", p.Outcome.Seats, p.Outcome.Warnings)
	}
}

// Bad and doubled records are counted and shown.
func TestPlanOfBadRecords(t *testing.T) {
	document := twoWay + "  matchFields: [name]\n  validation:\n    quantity: {min: 0}\n  filterConditions:\n    - {field: price, operator: greaterThan, value: 1}\n"
	b := newBench(t, document, "warehouse", "shop")
	b.exec(`UPDATE services SET state = 'draft'`)
	put := func(system, sku, name string, quantity int64, price string) {
		b.user(system).Put(record.Key(sku), record.Fields{"sku": sku, "name": name, "quantity": record.Int(quantity), "price": record.Number(price)})
	}
	put("warehouse", "1", "one", 1, "9")
	put("warehouse", "2", "one", 1, "9")  // the same again
	put("warehouse", "3", "bad", -1, "9") // below the minimum
	put("warehouse", "4", "cheap", 1, "0.5")
	p := b.planned(b.planner().PlanDocument(context.Background(), b.person(), "", []byte(document), service.YAML))
	w := seatOf(t, p, "warehouse")
	if w.Duplicates != 1 || w.Invalid != 1 || w.Filtered != 1 || seatOf(t, p, "shop").Creates != 1 {
		t.Errorf("foreseen: %+v", p.Outcome.Seats)
	}
	for _, kind := range []engine.SampleKind{engine.SampleDuplicate, engine.SampleInvalid, engine.SampleFiltered, engine.SampleCreate} {
		found := false
		for _, s := range p.Outcome.Samples {
			found = found || s.Kind == kind && len(s.After) > 0
		}
		if !found {
			t.Errorf("no sample of %s in %+v", kind, p.Outcome.Samples)
		}
	}
}

// A plan can be stopped, and one whose process was stopped begins anew.
func TestPlanStops(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.exec(`UPDATE services SET state = 'draft'`)
	b.fill(5)
	ctx := context.Background()
	m := b.planner()
	p, err := m.PlanDocument(ctx, b.person(), "", []byte(twoWay), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	if err := b.plannerWith(cancel).Carry(gone, safety.PlanArgs{TenantID: b.tenant, PlanID: p.ID}); err == nil {
		t.Error("a process that stops says that it made the plan")
	}
	stop := func() {
		if _, err := m.Cancel(ctx, b.person(), p.ID); err != nil {
			t.Error(err)
		}
	}
	if err := b.plannerWith(sync.OnceFunc(stop)).Carry(ctx, safety.PlanArgs{TenantID: b.tenant, PlanID: p.ID}); err != nil {
		t.Error(err)
	}
	if p, err = m.Get(ctx, b.person(), p.ID); err != nil || p.State != safety.PlanCancelled {
		t.Errorf("the plan is %s: %v", p.State, err)
	}
	b.exec(`UPDATE service_plans SET expires_at = now() - interval '1 s'`)
	if err := m.Expire(ctx, safety.ExpireArgs{TenantID: b.tenant}); err != nil {
		t.Error(err)
	}
	if _, err := m.Get(ctx, b.person(), p.ID); !fault.IsCode(err, "plan.not_found") {
		t.Errorf("an expired plan is still there: %v", err)
	}
	if n := b.number(`SELECT count(*) FROM service_plans WHERE tenant_id = $1`, uuid.UUID(b.tenant)); n != 0 {
		t.Errorf("%d plans are kept", n)
	}
}

func TestDocsPlans(t *testing.T) {
	document := blocks(t, "plans", "yaml")[0]
	records := blocks(t, "plans", "json")
	b := newBench(t, document, "warehouse", "shop")
	b.exec(`UPDATE services SET state = 'draft'`)
	for i, system := range []string{"warehouse", "shop"} {
		for _, r := range recordsOf(t, records[i]) {
			b.user(system).Put(record.Key(record.Text(r["sku"])), r)
		}
	}
	p := b.planned(b.planner().PlanDocument(context.Background(), b.person(), "", []byte(document), service.YAML))
	for _, want := range recordsOf(t, records[2]) {
		s := seatOf(t, p, record.System(record.Text(want["system"])))
		got := record.Fields{"system": string(s.System), "records": record.Int(s.Records), "creates": record.Int(s.Creates), "updates": record.Int(s.Updates),
			"deletes": record.Int(s.Deletes), "matched": record.Int(s.Matched), "invalid": record.Int(s.Invalid), "conflicts": record.Int(s.Conflicts), "open": record.Int(s.Open)}
		if !got.Equal(want) {
			t.Errorf("foreseen: %v, the page says %v", got, want)
		}
	}
}

// What a plan says of references: records in other places with other keys are the same, those that would wait do wait, and nobody who
// comes first in a circle goes. Afterwards: what refers to what is gone.
func TestPlanOfReferences(t *testing.T) {
	document := blocks(t, "hierarchies", "yaml")[0] + "  filterConditions: [{field: name, operator: notEquals, value: Secret}]\n  references: {orphans: delete}\n"
	f := newFamily(t, document)
	f.exec(`UPDATE services SET state = 'draft'`)
	for _, table := range []string{"accounts DROP CONSTRAINT accounts_parent_id_fkey", "orders DROP CONSTRAINT orders_account_id_fkey"} {
		f.do("crm", "ALTER TABLE "+table)
	}
	f.do("crm", `INSERT INTO accounts (id, number, name, parent_id) VALUES (1, 'A1', 'Acme', 3), (2, 'A2', 'Bolt', NULL), (3, 'A3', 'Acme Group', NULL),
(4, 'A4', 'Secret', NULL), (5, 'A5', 'Of a secret', 4), (6, 'A6', 'Below', 5), (7, 'A7', 'Ring', 8), (8, 'A8', 'Ring', 9), (9, 'A9', 'Ring', 7), (10, 'A91', 'On the ring', 7)`)
	f.do("crm", `INSERT INTO orders (number, account_id, total) VALUES ('O1', 1, 10), ('O2', 2, 20), ('O3', 99, 30), ('O4', 6, 40), ('O5', 7, 50)`)
	f.do("shop", `INSERT INTO accounts (number, name) VALUES ('A2', 'Bolt')`)
	f.do("shop", `INSERT INTO orders (number, account_id, total) SELECT 'O2', id, 20 FROM accounts WHERE number = 'A2'`)
	p := f.planned(f.planner().PlanDocument(context.Background(), f.person(), "", []byte(document), service.YAML))
	of := func(object record.Object) engine.ForeseenSeat {
		for _, s := range p.Outcome.Seats {
			if s.System == "shop" && s.Object == object {
				return s
			}
		}
		t.Fatalf("no figures of %s", object)
		return engine.ForeseenSeat{}
	}
	// A5 for what the filter leaves out, A6 for A5, A7 to A9 for each other, A91 for those; orders for 99, A6 and A7.
	if s := of("accounts"); s.Creates != 8 || s.Matched != 1 || s.Conflicts != 0 || s.Unfound != 6 || s.Circles != 4 {
		t.Errorf("accounts: %+v", s)
	}
	if s := of("orders"); s.Creates != 4 || s.Updates != 0 || s.Matched != 1 || s.Conflicts != 0 || s.Unfound != 3 || s.Circles != 0 {
		t.Errorf("orders: %+v", s)
	}
	why := map[string]string{}
	for _, s := range p.Outcome.Samples {
		if s.Kind == engine.SampleUnfound {
			why[s.Title] = s.Why
		}
	}
	if len(why) != 9 || !strings.Contains(why["A7"], "in a circle") || !strings.Contains(why["A6"], "waits itself") || !strings.Contains(why["O3"], "accounts 99 of crm, which is not known yet") || !warned(p, "references") {
		t.Errorf("samples: %q, warnings %+v", why, p.Outcome.Warnings)
	}

	// As it is then.
	f.exec(`UPDATE services SET state = 'active'`)
	f.start()
	f.eventually("what does not wait is there", func() bool {
		return f.tree("shop") == "A1 Acme of A3\nA2 Bolt of -\nA3 Acme Group of -\nO1 10.00 of A1\nO2 20.00 of A2\n"
	})
	f.one("the others wait", `SELECT count(*) FROM deliveries WHERE waits = 'reference' AND system = 'shop'`, 9)
	f.halt()
	f.do("crm", `DELETE FROM accounts WHERE number IN ('A3', 'A2')`)
	f.exec(`UPDATE services SET state = 'draft'`)
	p = f.planned(f.planner().PlanDocument(context.Background(), f.person(), "", []byte(document), service.YAML))
	orphans := int64(0)
	for _, s := range p.Outcome.Seats {
		orphans += s.Orphans
		if s.Object == "orders" && s.Updates+s.Conflicts+s.Open != 0 { // they name what they named, though that is gone
			t.Errorf("foreseen of orders in %s: %+v", s.System, s)
		}
	}
	if orphans != 3 { // A1 and its order, and the order of A2
		t.Errorf("%d orphans are foreseen\n%+v", orphans, p.Outcome.Seats)
	}
}

// A plan that reads records which name one that is gone foresees no change of them.
func TestPlanKnowsNamesOfTheGone(t *testing.T) {
	b, items := newTree(t)
	b.start()
	b.eventually("the first sync", func() bool { return len(items.All()) == 2 && b.settledDown() })
	b.user("shop").Delete("P")
	b.eventually("the parent to be gone", func() bool { return len(items.All()) == 1 && b.settledDown() })
	b.halt()
	next := treeOfTwo + "businessRules:\n  - {name: cheap, condition: quantity > 100, source: warehouse, target: shop, mapping: {sku: name}}\n"
	p := b.planned(b.planner().PlanDocument(context.Background(), b.person(), "", []byte(next), service.YAML))
	for _, system := range []record.System{"warehouse", "shop"} {
		s := seatOf(t, p, system)
		expect(t, "equal, updates, conflicts and what would wait in "+string(system), []int64{s.Equal, s.Updates, s.Conflicts + s.Open, s.Unfound}, []int64{1, 0, 0, 0})
	}
}
