// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

func TestSumConflicts(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	after := func(d time.Duration) *time.Time { t := noon.Add(d); return &t }
	pair := []record.System{"shop", "crm"}
	st := engine.SumConflicts(engine.ConflictSpan{}, []engine.ConflictFact{
		{Field: "name", Systems: pair, Open: true, Strategy: conflict.Manual, OpenedAt: noon},
		{Field: "name", Systems: pair, Strategy: conflict.Manual, DecidedBy: "Ada", Winner: "crm", OpenedAt: noon, ResolvedAt: after(2 * time.Hour)},
		{Field: "name", Systems: pair, Strategy: conflict.Manual, DecidedBy: "Ada", Winner: "shop", OpenedAt: noon, ResolvedAt: after(4 * time.Hour), Overturned: true},
		{Field: "price", Systems: []record.System{"crm", "shop", "erp"}, Strategy: conflict.LastWriteWins, Winner: "erp", OpenedAt: noon.Add(24 * time.Hour), ResolvedAt: after(24 * time.Hour)},
	})
	if st.Opened != 4 || st.Open != 1 || st.ByRule != 1 || st.ByPerson != 2 || st.Waited != 3*time.Hour || st.Overturned != 1 {
		t.Errorf("the sums are %+v", st)
	}
	if len(st.Days) != 2 || st.Days[0].Waiting != 1 || st.Days[0].ByPerson != 2 || st.Days[1].Ruled != 1 || st.Days[1].Day.Day() != 23 {
		t.Errorf("the days are %+v", st.Days)
	}
	if len(st.Fields) != 2 || st.Fields[0].Field != "name" || st.Fields[0].Count != 3 || st.Fields[0].Open != 1 {
		t.Errorf("the fields are %+v", st.Fields)
	}
	if p := st.Pairs[0]; len(st.Pairs) != 3 || p.A != "crm" || p.B != "shop" || p.Count != 4 || p.WonA != 1 || p.WonB != 1 {
		t.Errorf("the pairs are %+v", st.Pairs)
	}
	if p := st.People[0]; len(st.People) != 1 || p.Name != "Ada" || p.Decided != 2 || p.Overturned != 1 || p.Waited != 3*time.Hour {
		t.Errorf("the people are %+v", st.People)
	}
	if s := st.Strategies; len(s) != 2 || s[0] != (engine.ConflictStrategy{Strategy: conflict.Manual, Decided: 2, Overturned: 1}) || s[1].Strategy != conflict.LastWriteWins {
		t.Errorf("the strategies are %+v", s)
	}
}

// On a real database: conflicts are counted, decisions that did not hold are known, and other strategies are tried.
func TestConflictStatistics(t *testing.T) {
	b := newBench(t, strings.Replace(twoWay, "lastWriteWins", "manual", 1), "warehouse", "shop")
	for _, sku := range []string{"A", "B", "C"} {
		b.user("warehouse").Put(record.Key(sku), product(sku, 1))
	}
	b.start()
	b.eventually("the first sync", func() bool {
		return b.converged("warehouse", "shop") && len(b.user("shop").All()) == 3 && b.settledDown()
	})
	b.halt()
	for i, sku := range []record.Key{"A", "B", "C"} {
		b.user("warehouse").Put(sku, quantity(int64(10+i)))
		b.user("shop").Put(sku, quantity(int64(20+i)))
	}
	b.fence++
	b.start()
	reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	decider := engine.NewDecider(store.InTx(b.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	who := auth.System(b.tenant, "Ada")
	var cases []engine.Case
	b.eventually("three conflicts", func() bool {
		var err error
		if cases, err = reader.Cases(t.Context(), who, engine.CaseQuery{Service: b.service, Limit: 10}); err != nil {
			t.Fatal(err)
		}
		return len(cases) == 3
	})
	byTitle := func(title string) engine.Case {
		return cases[slices.IndexFunc(cases, func(c engine.Case) bool { return c.Title == title })]
	}
	for title, side := range map[string]record.System{"A": "warehouse", "B": "shop"} {
		if _, err := decider.Resolve(t.Context(), who, byTitle(title).ID, engine.Decision{Side: side}); err != nil {
			t.Fatal(err)
		}
	}
	b.engine.Nudge(b.service)
	b.eventually("the decisions in both", func() bool {
		return record.Equal(b.user("shop").Get("A")["quantity"], record.Int(10)) && record.Equal(b.user("warehouse").Get("B")["quantity"], record.Int(21)) && b.settledDown()
	})
	// Of A somebody in the shop insists on what the shop had said.
	b.user("shop").Put("A", quantity(20))
	b.eventually("the insistence in the warehouse", func() bool { return record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(20)) })

	st, err := reader.ConflictStatistics(t.Context(), who, engine.ConflictSpan{Service: b.service})
	if err != nil {
		t.Fatal(err)
	}
	if st.Opened != 3 || st.Open != 1 || st.ByPerson != 2 || st.Overturned != 1 || len(st.Days) == 0 {
		t.Errorf("the statistics are %+v", st)
	}
	if p := st.Pairs[0]; p.A != "shop" || p.B != "warehouse" || p.WonA != 1 || p.WonB != 1 {
		t.Errorf("the pairs are %+v", st.Pairs)
	}
	refused := func(code string, err error) {
		t.Helper()
		if fault.As(err) == nil || fault.As(err).Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	_, err = reader.ConflictStatistics(t.Context(), who, engine.ConflictSpan{Since: time.Now(), Until: time.Now().Add(-time.Hour)})
	refused("conflict.span_invalid", err)

	replay := func(r service.FieldResolution, field string) engine.Replay {
		t.Helper()
		out, err := reader.ReplayConflicts(t.Context(), who, b.service, r, field, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if r := replay(service.FieldResolution{Strategy: "warehouse-wins"}, ""); r.Conflicts != 3 || r.Same != 1 || r.Different != 2 || r.Decided != 3 || r.Agreed != 1 || len(r.Changes) != 2 {
		t.Errorf("the warehouse winning gives %+v", r)
	}
	if r := replay(service.FieldResolution{Strategy: "custom", Expression: "max(first, last)"}, "quantity"); r.Conflicts != 3 || r.Agreed != 1 || !slices.ContainsFunc(r.Changes, func(c engine.ReplayChange) bool {
		return c.Title == "A" && record.Equal(c.Would.Value, record.Int(20))
	}) {
		t.Errorf("the greater one gives %+v", r)
	}
	if r := replay(service.FieldResolution{Strategy: "manual"}, ""); r.Left != 3 || r.Decided != 0 {
		t.Errorf("leaving it to people gives %+v", r)
	}
	if r := replay(service.FieldResolution{Strategy: "sourceWins"}, "name"); r.Conflicts != 0 {
		t.Errorf("another field gives %+v", r)
	}
	for _, bad := range []service.FieldResolution{{Strategy: "luck"}, {Strategy: "erp-wins"}, {Strategy: "custom"}, {Strategy: "custom", Expression: "1 +"}, {Strategy: "fieldPriority"}} {
		_, err := reader.ReplayConflicts(t.Context(), who, b.service, bad, "", time.Time{})
		refused("conflict.strategy_invalid", err)
	}
}
