// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// braked is a two-way service with a threshold, its first sync done, and nobody at it.
func braked(t *testing.T, threshold string, records int) *bench {
	t.Helper()
	b := newBench(t, twoWay+"  safetyThreshold: {"+threshold+"}\n", "warehouse", "shop")
	b.fill(records)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == records && b.settledDown() })
	b.halt()
	return b
}

func (b *bench) fill(records int) {
	for i := range records {
		key := sku(i)
		b.user("warehouse").Put(record.Key(key), product(key, 100))
	}
}

func sku(i int) string { return fmt.Sprintf("A%03d", i) }

func (b *bench) person() auth.Principal {
	return auth.Principal{Kind: auth.KindMember, ID: "usr_1", Name: "Ada", Tenant: b.tenant, Role: auth.Owner}
}

func (b *bench) holds() *safety.Holds {
	return safety.NewHolds(store.InTx(b.db, func(tx *store.Tx) safety.HoldTx { return tx }))
}

// held waits for an open hold of the kind with so many changes.
func (b *bench) held(kind engine.HoldKind, n int64) safety.Hold {
	b.t.Helper()
	var out safety.Hold
	b.eventually(fmt.Sprintf("%d changes to be held as %s", n, kind), func() bool {
		list, err := b.holds().List(context.Background(), b.person(), safety.HoldQuery{State: engine.HoldOpen, Limit: 100})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, h := range list {
			if h.Kind == kind && h.Held == n {
				out = h
				return true
			}
		}
		return false
	})
	return out
}

func (b *bench) decided(h safety.Hold, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine.Nudge(b.service)
	b.eventually("the decision to be carried out", func() bool {
		return b.number(`SELECT count(*) FROM held_changes WHERE hold_id = $1`, h.ID) == 0 && b.number(`SELECT count(*) FROM holds WHERE id = $1 AND state = 'settled'`, h.ID) == 1 && b.settledDown()
	})
}

// More deletions than the document allows wait for a person; other changes flow meanwhile, and a yes carries them out.
func TestDeletesAreHeld(t *testing.T) {
	b := braked(t, "maxDeletes: 2", 10)
	for i := range 3 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.user("warehouse").Put("A009", product("A009", 7))
	b.start()
	h := b.held(engine.HoldDeletes, 3)
	b.eventually("the rest to flow", func() bool {
		return record.Equal(b.user("shop").Get("A009")["quantity"], record.Int(7)) && b.settledDown()
	})
	if n := len(b.user("shop").All()); n != 10 {
		t.Fatalf("the shop holds %d records while the deletions wait, want 10", n)
	}
	if !strings.Contains(h.Reason, "3 deletions, and 2 are allowed") {
		t.Errorf("the reason is %q", h.Reason)
	}
	changes, err := b.holds().Changes(context.Background(), b.person(), h.ID, "", 10)
	if err != nil || len(changes) != 3 || changes[0].Key != "A000" || changes[0].Op != record.Delete || changes[0].Entity.IsZero() {
		t.Errorf("held are %v, %v", changes, err)
	}
	// What comes later adds to the same question; a record that comes back does not wait any more.
	b.user("warehouse").Delete("A003")
	b.user("warehouse").Put("A000", product("A000", 1))
	h = b.held(engine.HoldDeletes, 3)
	h, err = b.holds().Release(context.Background(), b.person(), h.ID, "The range ended.", 0)
	b.decided(h, err)
	b.eventually("the released deletions", func() bool { return len(b.user("shop").All()) == 7 && b.converged("warehouse", "shop") })
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action = 'hold.released' AND detail ->> 'note' = 'The range ended.'`); n != 1 {
		t.Errorf("%d audit entries tell of the release, want 1", n)
	}
	if _, err := b.holds().Release(context.Background(), b.person(), h.ID, "", 0); err == nil || !strings.Contains(err.Error(), "waits for a decision") {
		t.Errorf("a second decision is answered %v", err)
	}
}

// A no brings the system back to what the others hold.
func TestRejectedDeletesComeBack(t *testing.T) {
	b := braked(t, "maxDeletePercent: 20", 10)
	for i := range 3 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.start()
	h := b.held(engine.HoldDeletes, 3)
	if _, err := b.holds().Reject(context.Background(), b.person(), h.ID, "", true, 0); err == nil {
		t.Error("a rejection without a reason was taken")
	}
	h, err := b.holds().Reject(context.Background(), b.person(), h.ID, "A slip.", true, 0)
	b.decided(h, err)
	b.eventually("the records to be back", func() bool { return len(b.user("warehouse").All()) == 10 && b.converged("warehouse", "shop") })
	if n := b.number(`SELECT count(*) FROM journal WHERE kind = 'decision' AND actor = 'Ada' AND op = 'unlink'`); n != 3 {
		t.Errorf("the history tells of %d decisions, want 3", n)
	}
	// From here on deletions count anew: two are within the limit.
	b.user("warehouse").Delete("A000")
	b.eventually("a single deletion to go through", func() bool { return len(b.user("shop").All()) == 9 && b.settledDown() })
}

// Rejected without bringing back, the system keeps what it has and is left alone.
func TestRejectedAndLeftAlone(t *testing.T) {
	b := braked(t, "maxDeletes: 0, maxDecreasePercent: 50", 4)
	b.user("warehouse").Delete("A000")
	b.user("warehouse").Put("A001", product("A001", 10))
	b.start()
	deletes, values := b.held(engine.HoldDeletes, 1), b.held(engine.HoldValues, 1)
	deletes, err := b.holds().Reject(context.Background(), b.person(), deletes.ID, "Only there.", false, 0)
	b.decided(deletes, err)
	values, err = b.holds().Reject(context.Background(), b.person(), values.ID, "Only there.", false, 0)
	b.decided(values, err)
	if b.user("warehouse").Get("A000") != nil || len(b.user("shop").All()) != 4 {
		t.Error("a record was written that was to be left alone")
	}
	if q := b.user("warehouse").Get("A001")["quantity"]; !record.Equal(q, record.Int(10)) {
		t.Errorf("the warehouse's own quantity became %v", q)
	}
	if q := b.user("shop").Get("A001")["quantity"]; !record.Equal(q, record.Int(100)) {
		t.Errorf("the shop's quantity became %v", q)
	}
	b.user("shop").Put("A001", product("A001", 90))
	b.eventually("a change elsewhere to go there again", func() bool {
		return record.Equal(b.user("warehouse").Get("A001")["quantity"], record.Int(90)) && b.settledDown()
	})
	// To find once more that it is gone there is no reason to ask again, nor to delete it elsewhere. (Simulation seed 2619.)
	b.ended(b.ask(service.RecordsRun, service.Selection{Source: "warehouse", Records: []record.Key{"A000"}}), service.RunSucceeded)
	b.eventually("quiet", b.settledDown)
	if n := len(b.user("shop").All()); n != 4 {
		t.Errorf("the shop holds %d of 4 records", n)
	}
}

// The founding text's example: stock that falls by more than half is looked at before it reaches a shop.
func TestValuesAreHeld(t *testing.T) {
	b := braked(t, "maxDecreasePercent: 50, fields: [quantity], alertOnLargeChanges: true", 5)
	b.user("warehouse").Put("A000", product("A000", 49))
	b.user("warehouse").Put("A001", product("A001", 50))
	b.start()
	h := b.held(engine.HoldValues, 1)
	b.eventually("the smaller change", func() bool {
		return record.Equal(b.user("shop").Get("A001")["quantity"], record.Int(50)) && b.settledDown()
	})
	changes, err := b.holds().Changes(context.Background(), b.person(), h.ID, "", 10)
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0].Why, "quantity fell from 100 to 49, by 51%") {
		t.Fatalf("held are %+v, %v", changes, err)
	}
	if q := changes[0].Before["quantity"]; !record.Equal(q, record.Int(100)) {
		t.Errorf("before is %v", changes[0].Before)
	}
	if n := b.number(`SELECT count(*) FROM events WHERE type = 'hold' AND data ->> 'alert' = 'true'`); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	h, err = b.holds().Release(context.Background(), b.person(), h.ID, "", 0)
	b.decided(h, err)
	b.eventually("the released value", func() bool { return record.Equal(b.user("shop").Get("A000")["quantity"], record.Int(49)) })
}

// Too many changes at once wait as well, and what people change meanwhile elsewhere is merged when they may go on.
func TestChangesAreHeld(t *testing.T) {
	b := braked(t, "maxChanges: 3", 8)
	for i := range 5 {
		b.user("warehouse").Put(record.Key(sku(i)), product(sku(i), 200))
	}
	b.start()
	h := b.held(engine.HoldChanges, 5)
	name := product("A000", 100)
	name["name"] = "Renamed in the shop"
	b.user("shop").Put("A000", name)
	b.eventually("the shop's change to be sent", func() bool {
		return b.user("warehouse").Get("A000")["name"] == "Renamed in the shop" && b.settledDown()
	})
	h, err := b.holds().Release(context.Background(), b.person(), h.ID, "", 0)
	b.decided(h, err)
	b.eventually("both to be equal", func() bool {
		return b.converged("warehouse", "shop") && record.Equal(b.user("shop").Get("A004")["quantity"], record.Int(200))
	})
	if b.user("shop").Get("A000")["name"] != "Renamed in the shop" {
		t.Error("the change made meanwhile was lost")
	}
}

// A document that only wants to be told is told once, and nothing is held.
func TestOnlyTold(t *testing.T) {
	b := braked(t, "maxDeletes: 1, onExceed: alert", 10)
	for i := range 4 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.start()
	b.eventually("the deletions", func() bool { return len(b.user("shop").All()) == 6 && b.settledDown() })
	b.user("warehouse").Delete("A004")
	b.eventually("one more", func() bool { return len(b.user("shop").All()) == 5 && b.settledDown() })
	if n := b.number(`SELECT count(*) FROM holds WHERE state = 'alerted'`); n != 1 {
		t.Errorf("it was told %d times, want once", n)
	}
	if n := b.number(`SELECT count(*) FROM held_changes`); n != 0 {
		t.Errorf("%d changes are held", n)
	}
}

// A source that turned empty deletes nothing, whatever the document says about limits, or says nothing.
func TestEmptySource(t *testing.T) {
	for _, threshold := range []string{"", "  safetyThreshold: {maxDeletePercent: 100, onExceed: alert}\n"} {
		t.Run(threshold, func(t *testing.T) {
			b := newBench(t, twoWay+threshold, "warehouse", "shop")
			b.fill(5)
			b.start()
			b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 5 && b.settledDown() })
			b.halt()
			for i := range 5 {
				b.user("warehouse").Delete(record.Key(sku(i)))
			}
			b.systems["warehouse"].LosePlaces("products")
			b.start()
			h := b.held(engine.HoldAbsent, 5)
			if !strings.Contains(h.Reason, "turned empty") {
				t.Errorf("the reason is %q", h.Reason)
			}
			b.eventually("quiet", b.settledDown)
			if n := len(b.user("shop").All()); n != 5 {
				t.Fatalf("the shop holds %d of 5 records", n)
			}
			// The records are there again: nobody has to decide any more.
			b.fill(5)
			b.eventually("the hold to settle by itself", func() bool {
				return b.number(`SELECT count(*) FROM holds WHERE id = $1 AND state = 'settled'`, h.ID) == 1 && b.settledDown() && b.converged("warehouse", "shop")
			})
		})
	}
}

// A yes to a change is none to a deletion: a record that vanished while somebody was asked about its number is asked about again.
func TestReleasedChangeIsNoDeletion(t *testing.T) {
	b := braked(t, "maxDecreasePercent: 50, fields: [quantity]", 1)
	b.user("warehouse").Put(record.Key(sku(0)), record.Fields{"quantity": record.Int(10)})
	b.start()
	h := b.held(engine.HoldValues, 1)
	b.user("warehouse").Tamper(record.Key(sku(0)), nil)
	b.decided(b.holds().Release(context.Background(), b.person(), h.ID, "", 0))
	b.held(engine.HoldAbsent, 1)
	if b.user("shop").Get(record.Key(sku(0))) == nil {
		t.Fatal("the shop lost its record by a yes to a smaller quantity")
	}
}

// That records are gone may show when they are to be written, before any reading: that deletes no more than the reading would.
func TestDeliveriesFindEmptySource(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(1)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 1 && b.settledDown() })
	b.user("warehouse").Tamper(record.Key(sku(0)), nil)
	b.user("shop").Put(record.Key(sku(0)), record.Fields{"name": "Renamed"})
	h := b.held(engine.HoldAbsent, 1)
	if !strings.Contains(h.Reason, "turned empty") {
		t.Errorf("the reason is %q", h.Reason)
	}
	if b.user("shop").Get(record.Key(sku(0))) == nil {
		t.Fatal("the shop lost its only record, and nobody was asked")
	}
	b.decided(b.holds().Reject(context.Background(), b.person(), h.ID, "Nobody deleted it.", true, 0))
	b.eventually("the record to be back", func() bool { return b.converged("warehouse", "shop") && len(b.user("warehouse").All()) == 1 })
}

// That records are gone may also show when somebody wants them read again by their keys. (Simulation seed 2147.)
func TestReadingAgainFindsEmptySource(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(2)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 2 && b.settledDown() })
	for i := range 2 {
		b.user("warehouse").Tamper(record.Key(sku(i)), nil)
	}
	b.ask(service.RecordsRun, service.Selection{Source: "warehouse", Records: []record.Key{record.Key(sku(0)), record.Key(sku(1))}})
	h := b.held(engine.HoldAbsent, 2)
	if !strings.Contains(h.Reason, "turned empty") {
		t.Errorf("the reason is %q", h.Reason)
	}
	if n := len(b.user("shop").All()); n != 2 {
		t.Fatalf("the shop holds %d of 2 records, and nobody was asked", n)
	}
}

// One record of several that is gone when it is read again is taken for deleted, as in a reading of all.
func TestReadingAgainFindsOneGone(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(3)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	b.user("warehouse").Tamper(record.Key(sku(0)), nil)
	b.ask(service.RecordsRun, service.Selection{Source: "warehouse", Records: []record.Key{record.Key(sku(0)), record.Key(sku(1))}})
	b.eventually("the shop to lose it too", func() bool { return b.user("shop").Get(record.Key(sku(0))) == nil && b.settledDown() })
}

// A source that shrank by a few loses them at once, one that shrank by more than a tenth asks.
func TestShrunkSource(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(100)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 100 && b.settledDown() })
	b.halt()
	for i := range 11 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.systems["warehouse"].LosePlaces("products")
	b.start()
	h := b.held(engine.HoldAbsent, 11)
	if n := len(b.user("shop").All()); n != 100 {
		t.Fatalf("the shop holds %d of 100 records", n)
	}
	h, err := b.holds().Reject(context.Background(), b.person(), h.ID, "The export was cut off.", true, 0)
	b.decided(h, err)
	b.eventually("all to be back", func() bool { return len(b.user("warehouse").All()) == 100 && b.converged("warehouse", "shop") })
	b.halt()
	for i := range 5 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.systems["warehouse"].LosePlaces("products")
	b.start()
	b.eventually("a few to go", func() bool { return len(b.user("shop").All()) == 95 && b.settledDown() })
}

// Without a threshold a sweep of the table that the system tells of is asked about, too.
func TestSweepIsHeld(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(40)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 40 && b.settledDown() })
	b.halt()
	for i := range 21 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.start()
	b.held(engine.HoldDeletes, 21)
	if n := len(b.user("shop").All()); n != 40 {
		t.Fatalf("the shop holds %d of 40 records", n)
	}
}

// A crash at any seam of holding, judging and carrying out loses nothing and sends nothing unasked.
func TestBrakeSurvivesCrashes(t *testing.T) {
	for _, seam := range []string{"intake saved", "intake committed", "judged", "held carried"} {
		t.Run(seam, func(t *testing.T) {
			b := newBench(t, twoWay, "warehouse", "shop")
			b.fill(30)
			b.start()
			b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 30 && b.settledDown() })
			b.halt()
			for i := range 6 {
				b.user("warehouse").Delete(record.Key(sku(i)))
			}
			b.systems["warehouse"].LosePlaces("products")
			crash := make(chan struct{}, 1)
			armed := true
			b.engine.Seam = func(point string) {
				if point == seam && armed {
					armed = false
					crash <- struct{}{}
					panic("crash")
				}
			}
			b.exec(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, $4, now() + interval '1 hour')
ON CONFLICT (tenant_id, service_id) DO UPDATE SET fence = excluded.fence`, uuid.UUID(b.tenant), uuid.UUID(b.service), uuid.New(), b.fence)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, _ = b.engine.Carry(ctx, b.tenant, b.service, b.fence) // ends with the crash
			b.fence++
			select {
			case <-crash:
			default:
				t.Fatal("the seam was never reached")
			}
			b.start()
			b.eventually("the six to go, and no more", func() bool {
				return len(b.user("shop").All()) == 24 && b.settledDown() && b.converged("warehouse", "shop")
			})
			if n := b.number(`SELECT count(*) FROM held_changes`); n != 0 {
				t.Errorf("%d changes are still held", n)
			}
		})
	}
}

// The example of docs/safety-brake.md does what the page says.
func TestSafetyBrakePage(t *testing.T) {
	page, ok := docs.Guide("safety-brake")
	if !ok {
		t.Fatal("the page is gone")
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	b := newBench(t, example, "warehouse", "shop")
	b.fill(10)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 10 && b.settledDown() })
	b.halt()
	for i := range 3 {
		b.user("warehouse").Delete(record.Key(sku(i)))
	}
	b.user("warehouse").Put("A003", product("A003", 49))
	b.user("warehouse").Put("A004", product("A004", 50))
	b.start()
	b.held(engine.HoldDeletes, 3)
	b.held(engine.HoldValues, 1)
	b.eventually("what the page lets through", func() bool {
		return record.Equal(b.user("shop").Get("A004")["quantity"], record.Int(50)) && len(b.user("shop").All()) == 10 && b.settledDown()
	})
}

// The limits as numbers, without database.
func TestLimits(t *testing.T) {
	one, two := 1, 2
	tests := []struct {
		name      string
		threshold *service.SafetyThreshold
		deletes   int
		of        int64
		before    int64 // deleted in this window already
		held      bool
		following engine.Following
		followed  int64 // in this window already
	}{
		{name: "nothing said, a few", deletes: 20, of: 20},
		{name: "nothing said, more than half", deletes: 21, of: 41, held: true},
		{name: "nothing said, half", deletes: 21, of: 42},
		{name: "a number", threshold: &service.SafetyThreshold{MaxDeletes: &one}, deletes: 2, of: 1000, held: true},
		{name: "a number, reached", threshold: &service.SafetyThreshold{MaxDeletes: &one}, deletes: 1, of: 1000},
		{name: "a number, in two pages", threshold: &service.SafetyThreshold{MaxDeletes: &one}, deletes: 1, of: 1000, before: 1, held: true},
		{name: "a share", threshold: &service.SafetyThreshold{MaxDeletePercent: "2.5"}, deletes: 26, of: 1000, held: true},
		{name: "a share, reached", threshold: &service.SafetyThreshold{MaxDeletePercent: "2.5"}, deletes: 25, of: 1000},
		{name: "a number, with what follows", threshold: &service.SafetyThreshold{MaxDeletes: &one}, deletes: 1, of: 1000, following: engine.Following{Count: 1}, held: true},
		{name: "a number, with what followed before", threshold: &service.SafetyThreshold{MaxDeletes: &two}, deletes: 1, of: 1000, followed: 1, following: engine.Following{Count: 1}, held: true},
		{name: "a number, reached with what follows", threshold: &service.SafetyThreshold{MaxDeletes: &two}, deletes: 1, of: 1000, following: engine.Following{Count: 1}},
		{name: "nothing said, most of what refers to it", deletes: 1, of: 1000, following: engine.Following{Count: 21, Known: 41}, held: true},
		{name: "nothing said, half of what refers to it", deletes: 1, of: 1000, following: engine.Following{Count: 21, Known: 42}},
		{name: "nothing said, references emptied", deletes: 1, of: 1000, following: engine.Following{Detach: true, Count: 100, Known: 100}},
		{name: "references emptied, a number", threshold: &service.SafetyThreshold{MaxChanges: &two}, deletes: 1, of: 1000, following: engine.Following{Detach: true, Count: 3}, held: true},
		{name: "references emptied, a number of deletions", threshold: &service.SafetyThreshold{MaxDeletes: &one}, deletes: 1, of: 1000, following: engine.Following{Detach: true, Count: 3}},
		{name: "a share of nothing", threshold: &service.SafetyThreshold{MaxDeletePercent: "0"}, deletes: 1, of: 1000, held: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := twin(t, document("bi-directional", "", "shop", "crm"), "shop", "crm")
			for i := range tt.deletes {
				w.put("shop", record.Key(sku(i)), product(sku(i), 1))
			}
			w.settle()
			seat := w.seats["shop"]
			var err error
			if seat.Collection.Brake, err = engine.NewBrake(tt.threshold); err != nil {
				t.Fatal(err)
			}
			var changes []record.Change
			for i := range tt.deletes {
				changes = append(changes, record.Change{Key: record.Key(sku(i)), Op: record.Delete})
			}
			weighing := engine.Weigh(seat, engine.MapAll(seat, changes), engine.Loaded{Entities: w.sorted()}, false)
			tally := engine.Tally{Since: w.now, Deletes: tt.before, Followed: tt.followed}
			weighing.Follow(tt.following)
			known := min(tt.of, weighing.UpTo(tally)) // as the store counts: no further than it matters
			d := weighing.Decide(tally, known, nil)
			if want := tt.followed + tt.following.Count; !tt.held && d.Tally.Followed != want {
				t.Errorf("%d followed are counted, want %d", d.Tally.Followed, want)
			}
			if got := len(d.Held) > 0; got != tt.held || len(d.Held)+len(d.Pass) != tt.deletes {
				t.Errorf("%d pass, %d are held, %v; held is to be %v", len(d.Pass), len(d.Held), d.Reason, tt.held)
			}
		})
	}
}

// What a record is owed waits while a change of it there is held, however often it is looked at, and goes on after the
// decision: merged with what was held, or over it.
func TestDeliveriesWaitForHolds(t *testing.T) {
	b := braked(t, "maxDeletes: 0, maxDecreasePercent: 50, fields: [quantity]", 4)
	b.user("warehouse").Delete("A000")
	b.user("warehouse").Put("A001", record.Fields{"quantity": record.Int(10)})
	b.start()
	deletes, values := b.held(engine.HoldDeletes, 1), b.held(engine.HoldValues, 1)
	b.user("shop").Put("A000", record.Fields{"name": "Kept"})
	b.user("shop").Put("A001", record.Fields{"name": "Renamed", "quantity": record.Int(95)})
	b.eventually("both deliveries to wait", func() bool {
		return b.number(`SELECT count(*) FROM deliveries WHERE system = 'warehouse' AND waits = 'hold' AND due_at > now() + interval '1 year'`) == 2 && b.number(`SELECT count(*) FROM attempts`) == 0
	})
	for round := range 15 { // more often than a record may have moved on
		b.user("shop").Put("A000", record.Fields{"quantity": record.Int(int64(90 + round))})
		b.eventually("the change to wait as well", func() bool {
			return b.number(`SELECT count(*) FROM entities WHERE match_key = 'A000' AND (fields ->> 'quantity')::int = $1`, 90+round) == 1 &&
				b.number(`SELECT count(*) FROM deliveries WHERE waits = 'hold'`) == 2 && b.number(`SELECT count(*) FROM attempts`) == 0
		})
	}
	if n := b.number(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Fatalf("%d dead letters\n%s", n, b.state())
	}
	if _, err := b.holds().Release(context.Background(), b.person(), deletes.ID, "", 0); err != nil {
		t.Fatal(err)
	}
	b.engine.Nudge(b.service)
	b.eventually("the record to be back, because it was edited later elsewhere", func() bool { return b.user("warehouse").Get("A000") != nil })
	values, err := b.holds().Reject(context.Background(), b.person(), values.ID, "A slip.", true, 0)
	b.decided(values, err)
	b.eventually("all of it to arrive", func() bool {
		return b.converged("warehouse", "shop") && b.user("warehouse").Get("A000")["name"] == "Kept" && b.settledDown()
	})
	if got := b.user("warehouse").Get("A001"); got["name"] != "Renamed" || !record.Equal(got["quantity"], record.Int(95)) {
		t.Errorf("the warehouse holds %v", got)
	}
}

// late keeps a system from being read until it is opened.
type late struct {
	connector.Reader
	open chan struct{}
}

func (l late) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	select {
	case <-l.open:
	case <-ctx.Done():
		return connector.Page{}, ctx.Err()
	}
	return l.Reader.Read(ctx, req)
}

// A no goes for what a person saw. What was changed since, and nobody has read yet, is a change like any other: it is neither set back
// nor left where it is, also when the worker dies between the two. What was deleted since is deleted. (Simulation seed 679.)
func TestRejectedAndChangedSince(t *testing.T) {
	for name, c := range map[string]struct{ restore, crash bool }{"left": {}, "set back": {restore: true}, "left, crash": {crash: true}, "set back, crash": {true, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := braked(t, "maxDeletes: 0, maxDecreasePercent: 50, fields: [quantity]", 8)
			warehouse, shop := b.user("warehouse"), b.user("shop")
			for i := range 3 {
				warehouse.Put(record.Key(sku(i)), record.Fields{"quantity": record.Int(10)})
			}
			warehouse.Delete("A003")
			b.start()
			values, deletes := b.held(engine.HoldValues, 3), b.held(engine.HoldDeletes, 1)
			b.halt()

			warehouse.Put("A000", record.Fields{"name": "Renamed"})
			warehouse.Put("A001", record.Fields{"quantity": record.Int(90)})
			warehouse.Put("A003", product("A003", 80))
			for _, h := range []safety.Hold{values, deletes} {
				if _, err := b.holds().Reject(context.Background(), b.person(), h.ID, "A slip.", c.restore, 0); err != nil {
					t.Fatal(err)
				}
			}
			open := make(chan struct{})
			b.opened = func(name string, s connector.System) connector.System {
				if name != "warehouse" {
					return s
				}
				return struct {
					connector.System
					connector.Discoverer
					connector.Reader
					connector.KeyReader
					connector.Writer
					connector.Watcher
				}{s, s.(connector.Discoverer), late{s.(connector.Reader), open}, s.(connector.KeyReader), s.(connector.Writer), s.(connector.Watcher)}
			}
			if c.crash {
				crash := newCrash("held carried")
				crash.arm(1)
				b.engine.Seam = crash.at
				b.startCrashing()
				b.eventually("the crash", crash.happened)
				b.crash()
			}
			b.start()
			b.eventually("the decisions to be carried out", func() bool { return b.number(`SELECT count(*) FROM holds WHERE state = 'settled'`) == 2 })
			close(open)
			b.eventually("what was changed since", func() bool {
				return shop.Get("A000")["name"] == "Renamed" && record.Equal(shop.Get("A001")["quantity"], record.Int(90)) &&
					record.Equal(shop.Get("A003")["quantity"], record.Int(80)) && b.settledDown()
			})
			kept := record.Int(10)
			if c.restore {
				kept = record.Int(100)
			}
			for _, key := range []record.Key{"A000", "A002"} {
				if here, there := warehouse.Get(key)["quantity"], shop.Get(key)["quantity"]; !record.Equal(here, kept) || !record.Equal(there, record.Int(100)) {
					t.Errorf("%s: the quantity is %v in the warehouse and %v in the shop", key, here, there)
				}
			}
			if got := warehouse.Get("A000")["name"]; got != "Renamed" {
				t.Errorf("the warehouse's name became %v", got)
			}
			if n := b.number(`SELECT count(*) FROM held_changes`) + b.number(`SELECT count(*) FROM dead_letters`) + b.number(`SELECT count(*) FROM conflicts`); n != 0 {
				t.Errorf("somebody is asked again\n%s", b.state())
			}
		})
	}
}

// A no to a change is none to a deletion, which is a question of its own.
func TestRejectedChangeIsNoDeletion(t *testing.T) {
	b := braked(t, "maxDeletes: 0, maxDecreasePercent: 50, fields: [quantity]", 4)
	b.user("warehouse").Put("A000", record.Fields{"quantity": record.Int(10)})
	b.start()
	h := b.held(engine.HoldValues, 1)
	b.halt()
	b.user("warehouse").Tamper("A000", nil)
	h, err := b.holds().Reject(context.Background(), b.person(), h.ID, "A slip.", true, 0)
	b.start()
	b.decided(h, err)
	gone := b.held(engine.HoldAbsent, 1)
	if n := len(b.user("warehouse").All()); n != 3 {
		t.Errorf("the warehouse holds %d records, and nobody was asked", n)
	}
	gone, err = b.holds().Reject(context.Background(), b.person(), gone.ID, "Nor this.", true, 0)
	b.decided(gone, err)
	b.eventually("it to be back", func() bool { return record.Equal(b.user("warehouse").Get("A000")["quantity"], record.Int(100)) })
}

// One system that cannot be reached keeps no other's decisions waiting.
func TestDecisionsAreCarriedOutApart(t *testing.T) {
	b := braked(t, "maxDeletes: 0", 4)
	b.start()
	b.user("shop").Delete("A000")
	first := b.held(engine.HoldDeletes, 1)
	b.user("warehouse").Delete("A001")
	var second safety.Hold
	b.eventually("the second hold", func() bool {
		list, err := b.holds().List(context.Background(), b.person(), safety.HoldQuery{State: engine.HoldOpen, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list {
			if h.ID != first.ID {
				second = h
			}
		}
		return len(list) == 2
	})
	b.systems["shop"].SetToken("another")
	for _, h := range []safety.Hold{first, second} { // in the order in which the engine takes them
		if _, err := b.holds().Reject(context.Background(), b.person(), h.ID, "A slip.", true, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.engine.Nudge(b.service)
	b.eventually("the warehouse's record to be back", func() bool { return b.user("warehouse").Get("A001") != nil })
	if b.user("shop").Get("A000") != nil || b.number(`SELECT count(*) FROM held_changes`) != 1 {
		t.Error("the shop cannot be reached, and its decision was carried out")
	}
	b.systems["shop"].SetToken("")
	b.eventually("the shop's record to be back", func() bool { return b.user("shop").Get("A000") != nil })
}

// To bring a record back to what the others hold takes no key from it that its system made and that nobody has seen yet.
func TestRestoringLeavesKeys(t *testing.T) {
	w := withSerial(t)
	w.memory["shop"].SuppressEchoes(true)
	w.deliver("shop")
	w.put("shop", "1", record.Fields{"quantity": record.Int(7)})
	seat, e := w.seats["shop"], w.one()
	changes, err := seat.Open.(connector.KeyReader).ReadKeys(context.Background(), seat.Object, nil, []record.Key{"1"})
	if err != nil {
		t.Fatal(err)
	}
	engine.Refuse(seat, engine.MapAll(seat, changes), engine.Loaded{Entities: []*record.Entity{e}}, w.now, uuid.Nil, true)
	sent, _ := engine.Writes(seat, uuid.New(), []*record.Entity{e}, nil)
	if len(sent) != 1 || !sent[0].Fields.Equal(record.Fields{"quantity": nil}) {
		t.Errorf("sent is %+v, want no more than the quantity", sent)
	}
}
