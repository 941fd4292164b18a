// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// A refusal ends with its record: when the others come back to what the refusing system holds, when that comes to hold what they say, and
// when a record that it would not take is made there by hand. It says why, and nothing is written for it.
func TestRefusalEndsWhenItsRecordIsEqual(t *testing.T) {
	const why = "The system holds the record as it is now."
	for name, how := range map[string]func(b *bench){
		"the others come back": func(b *bench) { b.user("warehouse").Put("A", product("A", 1)) },
		"it comes to hold it":  func(b *bench) { b.user("shop").Put("A", product("A", 2)) },
		"it is made by hand":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, twoWay, "warehouse", "shop")
			var refuse atomic.Bool
			b.systems["shop"].Check("products", func(record.Key, record.Fields) error {
				if refuse.Load() {
					return errors.New("the shop is being rebuilt")
				}
				return nil
			})
			if how != nil {
				b.user("warehouse").Put("A", product("A", 1))
			}
			b.start()
			if how != nil {
				b.eventually("the first sync", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
			}
			refuse.Store(true)
			b.user("warehouse").Put("A", product("A", 2))
			b.eventually("a refusal", func() bool { return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 1 })
			if how == nil {
				how = func(b *bench) { b.user("shop").Put("A", product("A", 2)) }
			}
			how(b)
			b.eventually("its end", func() bool {
				return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'settled' AND reason = $1 AND decided_by = ''`, why) == 1 && b.settledDown()
			})
			if n := b.number(`SELECT count(*) FROM links WHERE state <> 'synced'`) + b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`); n != 0 {
				t.Errorf("something is left over\n%s", b.state())
			}
		})
	}
}

// Records that a bulk run names and that are not there are missing, in its plan as in the run: a few go, and all of them, or more than a few,
// are what the brake would ask about. What was never known is nothing.
func TestPlanOfNamedRecordsThatAreMissing(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(30)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 30 && b.settledDown() })
	b.halt()
	for i := range 12 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	planned := func(n int) (shop, warehouse engine.ForeseenSeat) {
		sel := service.Selection{Source: "warehouse", Records: []record.Key{"NEVER"}}
		for i := range n {
			sel.Records = append(sel.Records, record.Key(sku(i)))
		}
		p := b.planned(b.planner().PlanRun(context.Background(), b.person(), "stock", sel))
		if held := n > 10; warned(p, "brake") != held {
			t.Errorf("%d records are named, and the plan warns: %+v", n, p.Outcome.Warnings)
		}
		return seatOf(t, p, "shop"), seatOf(t, p, "warehouse")
	}
	if shop, warehouse := planned(5); shop.Deletes != 5 || warehouse.Held != 0 {
		t.Errorf("of five: %+v and %+v", shop, warehouse)
	}
	if shop, warehouse := planned(12); shop.Deletes != 0 || warehouse.Held != 12 {
		t.Errorf("of twelve: %+v and %+v", shop, warehouse)
	}
}

// contended is a transaction in which others link each record just before it is linked here.
type contended struct {
	engine.Tx
	left, begun *atomic.Int32
}

func (c contended) SaveSettling(ctx context.Context, g engine.Guard, s engine.Settling) error {
	if len(s.Settlement.NewLinks) > 0 && c.left.Add(-1) >= 0 {
		return fmt.Errorf("%w: for the test", engine.ErrLinkTaken)
	}
	return c.Tx.SaveSettling(ctx, g, s)
}

func (c contended) Recover(ctx context.Context, g engine.Guard) ([]engine.SeatID, error) {
	c.begun.Add(1)
	return c.Tx.Recover(ctx, g)
}

// Claims to a key that come between the look and the commit, again and again, do not end the flow.
func TestKeyTakenAgainAndAgain(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	var left, begun atomic.Int32
	left.Store(4)
	b.engine = engine.New(store.InTx(b.db, func(tx *store.Tx) engine.Tx { return contended{tx, &left, &begun} }), b, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	b.user("warehouse").Put("A", product("A", 1))
	b.start()
	b.eventually("the record there", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	if left.Load() >= 0 || begun.Load() != 1 {
		t.Errorf("%d claims were not made, and the flow began %d times", left.Load()+1, begun.Load())
	}
	if n := b.number(`SELECT count(*) FROM links`); n != 2 {
		t.Errorf("%d links\n%s", n, b.state())
	}
}
