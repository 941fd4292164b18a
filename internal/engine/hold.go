// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// brake weighs a page in its commit: what passes goes on to Apply, the rest is kept as it was read.
func (l *lane) brake(ctx context.Context, tx Tx, mapped []Mapped, loaded Loaded, anew bool) ([]Mapped, *Braked, error) {
	w := Weigh(l.Seat, mapped, loaded, anew)
	if !w.Matters() {
		return mapped, nil, nil
	}
	f := l.flow
	b, err := tx.Braking(ctx, f.guard, l.Seat)
	if err != nil {
		return nil, nil, err
	}
	tally := b.Tally.at(tx.Now(), f.brakeRun())
	known := int64(0)
	if up := w.UpTo(tally); up > 0 {
		if known, err = tx.CountLinks(ctx, f.guard.Service, l.Seat, up); err != nil {
			return nil, nil, err
		}
	}
	// Marked first, and counted then: what comes to refer to one of them in between is counted once too often, and weighed when it is found.
	// Were it counted first, it would pass for weighed. Of deletions that are held the marks are forgotten, see TidyOrphans.
	going := w.Going()
	if err := f.follow(ctx, tx, l.Seat, going); err != nil {
		return nil, nil, err
	}
	follows, err := f.plan.following(ctx, tx, f.guard.Service, l.Seat, tally, going, uuid.Nil)
	if err != nil {
		return nil, nil, err
	}
	w.Follow(follows)
	d := w.Decide(tally, known, b.Open)
	out := &Braked{Tally: d.Tally, Held: d.Held, weighed: going}
	for _, kind := range []HoldKind{HoldAbsent, HoldDeletes, HoldChanges, HoldValues} {
		if d.Reason[kind] == "" || b.Open[kind] {
			continue
		}
		h := Hold{ID: newID(), Service: f.guard.Service, System: l.System, Object: l.Object, Collection: l.Collection.Name, Kind: kind,
			State: HoldOpen, Reason: d.Reason[kind], OpenedAt: tx.Now(), alert: d.Alert}
		switch {
		case kind == HoldAbsent:
			h.State = HoldGathering
		case d.Tell && !b.Told[kind].Before(tally.Since):
			continue // told already
		case d.Tell:
			h.State, h.DecidedAt = HoldAlerted, &h.OpenedAt
		}
		out.Opened = append(out.Opened, h)
	}
	return d.Pass, out, nil
}

// brakeRun is the run that the brake counts by; a service that never ends one is counted by time.
func (f *flow) brakeRun() uuid.UUID {
	if f.plan.Realtime {
		return uuid.Nil
	}
	return uuid.UUID(f.runID())
}

// tellHeld tells people and programs, at commit, that something waits for them.
func (f *flow) tellHeld(ctx context.Context, tx Tx, b *Braked) error {
	if b == nil {
		return nil
	}
	for i := range b.Opened {
		if b.Opened[i].State == HoldGathering {
			continue // told when it is known whether anybody has to be asked
		}
		if err := f.tellHold(ctx, tx, &b.Opened[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *flow) tellHold(ctx context.Context, tx Tx, h *Hold) error {
	return tx.Emit(ctx, "hold", uuid.UUID(f.guard.Service), map[string]any{"hold": ident.Format(ident.Hold, h.ID), "system": h.System, "object": h.Object,
		"kind": h.Kind, "state": h.State, "reason": h.Reason, "alert": h.alert})
}

func (f *flow) mayHold() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.holding
}

// noteHeld remembers, after the commit, that something is held.
func (l *lane) noteHeld(b *Braked) {
	if b == nil || len(b.Held) == 0 {
		return
	}
	l.flow.mu.Lock()
	l.flow.holding = true
	l.flow.mu.Unlock()
	l.gathering = l.gathering || slices.ContainsFunc(b.Opened, func(h Hold) bool { return h.State == HoldGathering }) ||
		slices.ContainsFunc(b.Held, func(h Held) bool { return h.Kind == HoldAbsent })
}

// remember takes up what earlier flows left held.
func (f *flow) remember(holds []Hold) {
	f.holding = len(holds) > 0
	for _, h := range holds {
		for _, l := range f.lanes {
			if h.State == HoldGathering && l.System == h.System && l.Object == h.Object {
				l.gathering = true
			}
		}
	}
}

// judge decides, at the end of a reading, about the records that it did not show: a few may go at once, more than the limit
// or all there were wait for a person. Until here none was taken in, so that a source that turned empty deletes nothing. The
// lane's lock is held.
func (l *lane) judge(ctx context.Context) error {
	if !l.gathering {
		return nil
	}
	f := l.flow
	var hold *Hold
	err := f.inTx(ctx, func(tx Tx) error {
		hold = nil
		if err := tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		holds, err := tx.Holds(ctx, f.guard.Service)
		if err != nil {
			return err
		}
		for i := range holds {
			if h := &holds[i]; h.State == HoldGathering && h.System == l.System && h.Object == l.Object {
				hold = h
			}
		}
		if hold == nil {
			return nil // it adds to one that is open already
		}
		b, err := tx.Braking(ctx, f.guard, l.Seat)
		if err != nil {
			return err
		}
		brake := l.Collection.Brake
		tally := b.Tally.at(tx.Now(), f.brakeRun())
		known, err := tx.CountLinks(ctx, f.guard.Service, l.Seat, brake.JudgeUpTo(tally, hold.Held))
		if err != nil {
			return err
		}
		follows, err := f.plan.following(ctx, tx, f.guard.Service, l.Seat, tally, nil, hold.ID)
		if err != nil {
			return err
		}
		if why := brake.Judge(l.Seat, tally, hold.Held, known, follows); why != "" {
			hold.State, hold.Reason, hold.OpenedAt, hold.alert = HoldOpen, why, tx.Now(), brake.alert
			if err := f.tellHold(ctx, tx, hold); err != nil {
				return err
			}
			return tx.SaveHold(ctx, f.guard, *hold, nil)
		}
		now := tx.Now()
		hold.State, hold.DecidedAt = HoldReleased, &now
		tally.Deletes += hold.Held
		tally.Followed += follows.Count
		return tx.SaveHold(ctx, f.guard, *hold, &tally)
	})
	if err != nil {
		return err
	}
	l.gathering = false
	f.engine.seam("judged")
	if hold == nil || hold.State != HoldReleased {
		return nil
	}
	for more := true; more; {
		if more, err = l.carryHold(ctx, hold); err != nil {
			return err
		}
	}
	return nil
}

// heldAtOnce is how many batches of decided changes are carried out before the flow looks after other things.
const heldAtOnce = 10

// carryHolds carries out what people decided.
func (f *flow) carryHolds(ctx context.Context, holds []Hold) error {
	failing := make(map[record.System]bool) // one system's trouble keeps no other's decisions waiting
	for i := range holds {
		h := &holds[i]
		lane := (*lane)(nil)
		for _, l := range f.lanes {
			if l.System == h.System && l.Object == h.Object {
				lane = l
			}
		}
		switch {
		case lane == nil && h.State != HoldSettled:
			h.Note = "The object takes no part in the service any more."
			if err := f.settleHold(ctx, h); err != nil {
				return err
			}
		case h.State == HoldOpen && h.Held == 0:
			h.Note = "Later changes took the place of all that was held."
			if err := f.settleHold(ctx, h); err != nil {
				return err
			}
		case h.State == HoldReleased, h.State == HoldRejected:
			more := true
			for n := 0; more && n < heldAtOnce && !failing[h.System]; n++ {
				var err error
				lane.lock.take(ctx)
				if err = lane.clearDoubts(ctx); err == nil {
					more, err = lane.carryHold(ctx, h)
				}
				lane.lock.release()
				switch {
				case ctx.Err() != nil:
					return nil
				case isStop(err):
					return err
				case err != nil:
					_ = f.trouble(ctx, h.System, err)
					failing[h.System] = true
				}
			}
			if more && !failing[h.System] {
				f.engine.Nudge(f.guard.Service)
			}
		}
	}
	return nil
}

func (f *flow) settleHold(ctx context.Context, h *Hold) error {
	h.State = HoldSettled
	return f.inTx(ctx, func(tx Tx) error {
		if err := tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		if err := f.tellHold(ctx, tx, h); err != nil {
			return err
		}
		return tx.SaveHold(ctx, f.guard, *h, nil)
	})
}

// carryHold carries out the next batch of a decided hold, and says whether there may be more. The records are read again, so
// that a person's yes goes for what is there now, and a no for what it was said to: what was changed since is weighed like any
// change. The lane's lock is held.
func (l *lane) carryHold(ctx context.Context, h *Hold) (more bool, err error) {
	f := l.flow
	var held []record.Change
	err = f.inTx(ctx, func(tx Tx) (err error) {
		held, err = tx.HeldChanges(ctx, h.ID, max(f.plan.BatchSize, snapshotBatch))
		return err
	})
	if err != nil {
		return false, err
	}
	if len(held) == 0 {
		return false, f.settleHold(ctx, h)
	}
	if h.Kind == HoldOrphans {
		err := l.carryOrphans(ctx, h, held)
		return err == nil, err
	}
	changes := held
	if reader, ok := l.Open.(connector.KeyReader); ok {
		present, err := reader.ReadKeys(ctx, l.Object, l.Map.Natives(), keysOf(held))
		if err == nil {
			err = l.Inward(ctx, present)
		}
		if err != nil {
			return false, err
		}
		if len(present) != len(held) {
			return false, fmt.Errorf("%d records were asked for by key and %d answered", len(held), len(present))
		}
		changes = present
	}
	if l.Reads {
		// An answer to a change is none to a deletion: what is gone meanwhile is the brake's to judge.
		deleted := make(map[record.Key]bool)
		for _, c := range held {
			deleted[c.Key] = c.Op == record.Delete
		}
		var gone []record.Change
		changes = slices.DeleteFunc(changes, func(c record.Change) bool {
			if c.Op != record.Delete || deleted[c.Key] {
				return false
			}
			c.Absent = true
			gone = append(gone, c)
			return true
		})
		if len(gone) > 0 {
			signal(l.wake) // judged when the system was read to its end
			if err := l.intake(ctx, taking{changes: gone}); err != nil || len(changes) == 0 {
				return err == nil, err
			}
		}
	}
	t := taking{changes: changes, decided: h, unheld: keysOf(changes)}
	var since []record.Change
	if h.State == HoldRejected {
		t.scanned, since = l.asHeld(held, changes)
	}
	if err := l.intake(ctx, t); err != nil {
		return false, err
	}
	f.engine.seam("held carried")
	if len(since) > 0 {
		err = l.intake(ctx, taking{changes: since})
	}
	return err == nil, err
}

func keysOf(changes []record.Change) []record.Key {
	keys := make([]record.Key, len(changes))
	for i := range changes {
		keys[i] = changes[i].Key
	}
	return keys
}

// asHeld is what records hold of what was held of them and rejected, and those of them that were changed since. Of these it has no
// version, so that nothing is written over the change before that is taken in.
func (l *lane) asHeld(held, present []record.Change) (rejected []Mapped, since []record.Change) {
	before := make(map[record.Key]Mapped, len(held))
	for _, m := range MapAll(l.Seat, held) {
		before[m.Key] = m
	}
	for _, m := range MapAll(l.Seat, present) {
		was, same := before[m.Key], make(record.Fields)
		for f, v := range m.In {
			if old, there := was.In[f]; there && record.Equal(v, old) {
				same[f] = v
			}
		}
		if m.Op != was.Op || m.Err != nil || len(same) < len(m.In) {
			since = append(since, *m.Change)
			c := *m.Change
			c.Version = ""
			m.Change, m.In = &c, same
		}
		rejected = append(rejected, m)
	}
	return rejected, since
}

// refusal is Refuse as a person's decision in the history.
func refusal(seat *Seat, mapped []Mapped, loaded Loaded, now time.Time, h *Hold) Outcome {
	o := Refuse(seat, mapped, loaded, now, uuid.Nil, h.Restore)
	for i := range o.Journal {
		o.Journal[i].Kind, o.Journal[i].Actor = record.Decided, h.DecidedBy
	}
	o.Counts = Counts{}
	return o
}
