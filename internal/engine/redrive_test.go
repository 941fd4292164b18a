// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

// A dead letter that is redriven is settled when it goes through; when it fails again it waits once more, with one try more.
func TestRedrive(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	var allow atomic.Bool
	b.systems["shop"].Check("products", func(record.Key, record.Fields) error {
		if allow.Load() {
			return nil
		}
		return errors.New("the shop is being rebuilt")
	})
	b.user("warehouse").Put("A", product("A", 1))
	b.start()
	people := delivery.NewManager(store.InTx(b.db, func(tx *store.Tx) delivery.Tx { return tx }))
	who := auth.System(b.tenant, "test")
	waiting := func() []delivery.DeadLetter {
		list, err := people.List(t.Context(), who, delivery.Query{Service: b.service, State: delivery.Open, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	b.eventually("a dead letter", func() bool { return len(waiting()) == 1 })
	first := waiting()[0]

	redrive := func(id uuid.UUID) {
		if _, err := people.Redrive(t.Context(), who, id); err != nil {
			t.Fatal(err)
		}
		b.engine.Nudge(b.service)
	}
	state := func(id uuid.UUID) delivery.State {
		d, err := people.Get(t.Context(), who, id)
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	redrive(first.ID)
	b.eventually("the dead letter waits again", func() bool {
		list := waiting()
		return len(list) == 1 && list[0].ID == first.ID && list[0].Tries == 2 && list[0].DecidedBy == ""
	})

	allow.Store(true)
	redrive(first.ID)
	b.eventually("the product in the shop", func() bool { return b.user("shop").Get("A") != nil })
	b.eventually("its end", func() bool { return state(first.ID) == delivery.Settled })
	if n := b.number(`SELECT sum(quantity) FROM usage_events WHERE meter = 'sync_operations'`); n != 1 {
		t.Errorf("%d operations were metered, 1 went through", n)
	}
}

// A record that breaks a rule is corrected in quarantine and goes through as it was corrected, its own system included.
func TestRedriveCorrected(t *testing.T) {
	b := newBench(t, twoWay+"  validation: {quantity: {max: 50}}\n", "warehouse", "shop")
	b.user("warehouse").Put("A", product("A", 500))
	b.start()
	people := delivery.NewManager(store.InTx(b.db, func(tx *store.Tx) delivery.Tx { return tx }))
	who := auth.System(b.tenant, "Grace")
	waiting := func() []delivery.DeadLetter {
		list, err := people.List(t.Context(), who, delivery.Query{Service: b.service, State: delivery.Open, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	b.eventually("a dead letter", func() bool { return len(waiting()) == 1 })
	d := waiting()[0]
	if d.Code != "record.invalid" || d.Field != "quantity" || d.Rule != "max" || len(d.Edit) > 0 {
		t.Fatalf("the dead letter is %+v", d)
	}
	want := func(code string, fields record.Fields, version int64) {
		t.Helper()
		if _, err := people.Edit(t.Context(), who, d.ID, fields, version); fault.As(err) == nil || fault.As(err).Code != code {
			t.Errorf("editing gave %v, want %s", err, code)
		}
	}
	want("dead_letter.field_unknown", record.Fields{"colour": "red"}, 0)
	want("dead_letter.version_stale", record.Fields{"quantity": record.Int(5)}, d.Version+7)
	edited, err := people.Edit(t.Context(), who, d.ID, record.Fields{"quantity": record.Int(50)}, d.Version)
	if err != nil {
		t.Fatal(err)
	}
	if edited.EditedBy == "" || !record.Equal(edited.Edit["quantity"], record.Int(50)) || !record.Equal(edited.Payload["quantity"], record.Int(500)) {
		t.Errorf("the edited letter is %+v", edited)
	}
	if back, err := people.Edit(t.Context(), who, d.ID, record.Fields{"quantity": record.Int(500)}, edited.Version); err != nil || len(back.Edit) > 0 || back.EditedBy != "" {
		t.Errorf("taking a correction back gave %+v, %v", back, err)
	}
	if _, err := people.Edit(t.Context(), who, d.ID, record.Fields{"quantity": record.Int(50)}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := people.Redrive(t.Context(), who, d.ID); err != nil {
		t.Fatal(err)
	}
	b.engine.Nudge(b.service)
	for _, s := range []string{"shop", "warehouse"} {
		b.eventually("the correction in "+s, func() bool {
			got := b.user(s).Get("A")
			return got != nil && record.Equal(got["quantity"], record.Int(50))
		})
	}
	b.eventually("the end of the letter", func() bool {
		d, err := people.Get(t.Context(), who, d.ID)
		return err == nil && d.State == delivery.Settled
	})
	if n := b.number(`SELECT count(*) FROM journal WHERE kind = 'decision' AND actor <> '' AND after ->> 'quantity' = '50'`); n != 1 {
		t.Errorf("%d entries of the journal name who corrected it", n)
	}
	want("dead_letter.not_open", record.Fields{"quantity": record.Int(5)}, 0)
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action = 'dead_letter.edited'`); n != 3 {
		t.Errorf("%d corrections are in the audit log, want 3", n)
	}
}
