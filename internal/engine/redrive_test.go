// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/delivery"
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
