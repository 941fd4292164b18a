// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// send carries out what the system is owed: the attempts that pulling committed, and in between the backlog. There is one
// sender per system and object, so the deliveries of an entity to a system go in order (invariant 3).
func (l *lane) send(ctx context.Context) error {
	if !l.Writes {
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	select {
	case <-l.complete: // the system's own records are all known, so that nothing is created twice
	case <-ctx.Done():
		return nil
	}
	woke(ctx)
	tries := 0
	for n := 0; ; n++ {
		var a Attempt
		queued := false
		select {
		case a = <-l.queue:
			queued = true
		default:
		}
		if !queued || n%8 == 7 {
			if err := l.findOut(ctx, &tries); err != nil {
				return err
			}
			claimed, err := l.claim(ctx)
			if err != nil {
				return err
			}
			if len(claimed.Entities) > 0 {
				if err := l.finish(ctx, claimed, &tries); err != nil {
					return err
				}
				if !queued {
					continue
				}
			}
		}
		if !queued {
			var found bool
			if a, found = l.await(ctx); ctx.Err() != nil {
				return nil
			} else if !found {
				continue
			}
		}
		err := l.finish(ctx, a, &tries)
		l.leave(a)
		l.mu.Lock()
		l.sending--
		l.mu.Unlock()
		l.room <- struct{}{}
		if err != nil {
			return err
		}
	}
}

// findOut clears doubts also while nothing new is owed: an attempt that was cut short holds duties, and a system that is only
// written to is not read, which would clear them as well.
func (l *lane) findOut(ctx context.Context, tries *int) error {
	if !l.open() {
		return nil
	}
	l.lock.take(ctx)
	defer l.lock.release()
	doubted := l.doubt
	err := l.clearDoubts(ctx)
	if err == nil && doubted && !l.Reads && l.flow.recovered(l.System) {
		err = l.works(ctx)
	}
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case isStop(err):
		return err
	}
	l.rest(ctx, err, tries)
	return nil
}

// await waits for an attempt, or for a sign that the backlog may hold something; false for the latter.
func (l *lane) await(ctx context.Context) (a Attempt, queued bool) {
	if ctx.Err() != nil {
		return a, false
	}
	// What is there already counts in this order.
	select {
	case a = <-l.queue:
		return a, true
	default:
	}
	select {
	case <-l.duty:
		return a, false
	default:
	}
	defer woke(ctx)
	select {
	case <-ctx.Done():
	case a = <-l.queue:
		queued = true
	case <-l.duty:
	}
	return a, queued
}

// claim makes an attempt of due deliveries; an empty one when there are none or the system is failing.
func (l *lane) claim(ctx context.Context) (a Attempt, err error) {
	if !l.open() {
		return a, nil
	}
	l.mu.Lock()
	l.sending++
	l.mu.Unlock()
	defer func() {
		if err != nil || len(a.Entities) == 0 {
			l.mu.Lock()
			l.sending--
			l.mu.Unlock()
		}
	}()
	err = l.flow.inTx(ctx, func(tx Tx) (err error) {
		a, err = tx.Claim(ctx, l.flow.guard, l.Seat, newID(), max(l.flow.plan.BatchSize, snapshotBatch))
		return err
	})
	if ctx.Err() != nil {
		return a, nil
	}
	return a, err
}

// finish carries an attempt through to its settlement, and those that follow from it. Trouble with the system makes it a
// delivery for later; an error stops the flow.
func (l *lane) finish(ctx context.Context, a Attempt, tries *int) error {
	backlog := a.Backlog
	defer func() {
		if backlog {
			l.mu.Lock()
			l.sending--
			l.mu.Unlock()
			signal(l.duty) // there may be more
		}
	}()
	for next := &a; next != nil && ctx.Err() == nil; {
		var err error
		next, err = l.attempt(ctx, *next, tries)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// attempt loads, writes and settles. It returns the attempt that is still owed, if the entities moved on meanwhile.
func (l *lane) attempt(ctx context.Context, a Attempt, tries *int) (*Attempt, error) {
	f := l.flow
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		if isStop(err) {
			return nil, err
		}
		return nil, l.writeFailed(ctx, a, err, false, tries)
	}
	entities := l.take(a)
	var held map[record.EntityID]bool
	err := f.inTx(ctx, func(tx Tx) (err error) {
		frozen := false
		if entities != nil { // as the commit left them; but whether they are still ours to send is asked right before
			if frozen, err = tx.Frozen(ctx, f.guard, a.Entities); err != nil {
				return err
			}
		}
		if entities == nil || frozen { // a person may have frozen one of them since
			entities, err = tx.LoadEntities(ctx, f.guard, a.Entities, false)
		}
		if err != nil || !f.mayHold() {
			return err
		}
		held, err = tx.HeldOf(ctx, f.guard.Service, l.Seat, a.Entities)
		return err
	})
	if err != nil {
		return nil, err
	}
	present, spelled, err := l.asTheyStand(ctx, entities)
	if err != nil {
		return nil, l.writeFailed(ctx, a, err, false, tries)
	}
	sent, dead := Writes(l.Seat, a.ID, entities, present)
	for i := range sent {
		for name, v := range spelled[sent[i].ID] {
			if known, expected := sent[i].Expect[name]; expected && record.Equal(known, present[sent[i].ID][name]) {
				sent[i].Expect[name] = v
			}
		}
	}
	sent, waiting, unfit, err := l.outward(ctx, a, sent)
	if err != nil {
		return nil, err
	}
	dead = append(dead, unfit...)
	var halted error // what kept a part of the batch from being carried out
	if len(sent) > 0 {
		writes := make([]connector.Write, len(sent))
		for i := range sent {
			writes[i] = sent[i].Write
		}
		f.engine.seam("before write")
		l.unsettled = true
		receipts, err := l.Open.(connector.Writer).Write(ctx, l.Object, writes)
		f.engine.seam("after write")
		if err == nil && len(receipts) != len(writes) {
			err = fmt.Errorf("%d receipts for %d writes", len(receipts), len(writes))
		}
		if err != nil {
			return nil, l.writeFailed(ctx, a, err, true, tries)
		}
		for i := range receipts {
			if receipts[i].Outcome == connector.Unsent && halted == nil {
				halted = receipts[i].Err
			}
			sent[i].Receipt = receipts[i]
			l.Seat.restore(&sent[i])
		}
	}
	next, reread, err := l.settle(ctx, a, entities, sent, dead, remaining{held: held, parked: waiting})
	if err != nil {
		return nil, err
	}
	l.unsettled = false
	f.engine.seam("settled")
	if halted != nil { // the rest is owed still, once the system is well again
		l.rest(ctx, halted, tries)
	} else if len(sent) > 0 {
		*tries = 0
	}
	if f.plan.Transactional && len(dead) > 0 || f.plan.Transactional && slices.ContainsFunc(sent, func(w Sent) bool { return w.Receipt.Outcome == connector.Refused }) {
		f.engine.Nudge(f.guard.Service) // what was refused is set back at once
	}
	if !l.Reads && halted == nil && f.recovered(l.System) {
		if err := l.works(ctx); err != nil {
			return nil, err
		}
	}
	if len(reread) > 0 {
		if err := l.reread(ctx, reread); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// asTheyStand reads the records of which more must be known than what we keep of them. Spelled are those that name a record which they
// refer to by a key that it had before: so they hold it, and so it is to be expected.
func (l *lane) asTheyStand(ctx context.Context, entities []*record.Entity) (present, spelled map[record.EntityID]record.Fields, err error) {
	reader, ok := l.Open.(connector.KeyReader)
	if !ok {
		return nil, nil, nil
	}
	byKey := ToLookAt(l.Seat, entities, l.moved)
	if len(byKey) == 0 {
		return nil, nil, nil
	}
	changes, err := reader.ReadKeys(ctx, l.Object, l.Map.Natives(), sortedKeys(byKey))
	if err == nil {
		err = l.Inward(ctx, changes)
	}
	read := slices.Clone(changes)
	if err == nil {
		err = l.sameNames(ctx, entities, changes)
	}
	if err != nil {
		return nil, nil, err
	}
	present, spelled = make(map[record.EntityID]record.Fields, len(changes)), make(map[record.EntityID]record.Fields)
	for i := range changes {
		if c := &changes[i]; c.Op == record.Upsert {
			id := byKey[c.Key]
			present[id] = c.Fields
			for j := range l.Refs {
				name := l.Refs[j].Native
				if was, known := read[i].Fields[name], c.Fields[name]; !record.Equal(was, known) {
					if spelled[id] == nil {
						spelled[id] = record.Fields{}
					}
					spelled[id][name] = was
				}
			}
		}
	}
	return present, spelled, nil
}

// settle commits what the receipts mean: links, shadows, journal, usage and the end of the attempt, in one transaction. rest
// are duties of the attempt that stay deliveries.
func (l *lane) settle(ctx context.Context, a Attempt, entities []*record.Entity, sent []Sent, dead []DeadLetter, rest remaining) (next *Attempt, reread []record.Key, err error) {
	f := l.flow
	defer l.settles(a)()
	var st Settlement
	linked, taken, refused := false, false, false
	commit := func(tx Tx) error {
		sent, rest := sent, rest
		var replaced []*record.Entity
		entities := entities
		var err error
		if taken { // the first try has settled them
			entities, sent, rest, replaced, err = l.untake(ctx, tx, a, entities, sent, rest)
		} else {
			entities, err = l.asTheyAre(ctx, tx, entities)
		}
		if err != nil {
			return err
		}
		st = Settle(l.Seat, a, entities, sent, tx.Now())
		for _, e := range replaced {
			st.replaced(l.Seat, a, e, tx.Now())
		}
		l.park(&st, sent, rest, tx.Now())
		l.lookLater(&st, a, entities, sent, rest, tx.Now())
		l.giveUp(&st, sent)
		st.Waiting = append(st.Waiting, rest.due...)
		st.Dead = append(st.Dead, dead...)
		st.Rejected += int64(len(dead))
		next = nil
		if a.Lost {
			// Only found out, not carried out: what is still owed is a delivery like any other.
			st.Waiting, st.Again = append(st.Waiting, st.Again...), nil
		}
		if f.plan.Quiet > 0 {
			// They were changed while they were sent: somebody is typing.
			st.Parked = append(st.Parked, resting(st.Again, tx.Now().Add(f.plan.Quiet))...)
			if len(st.Again) > 0 {
				l.wakeAfter(f.plan.Quiet)
			}
			st.Again = nil
		}
		if len(st.Again) > 0 {
			next = &Attempt{ID: newID(), System: l.System, Collection: l.Collection.Name, Entities: st.Again, OwedAt: a.OwedAt}
		}
		run, beside := f.runOf(&a)
		s := Settling{Seat: l.Seat, Attempt: a, Settlement: st, Run: run, Next: next, RetryAt: tx.Now()}
		if n := st.Operations(); n > 0 {
			ev := billing.Operations(a.ID, 0, tx.Now(), uuid.UUID(f.guard.Service), l.System, l.Object, l.Collection.Class, n)
			ev.Realtime, ev.Complex, ev.Premium = f.plan.Realtime && !f.isFirstRun() && !beside, l.Collection.Complex, l.Premium
			s.Usage = append(s.Usage, ev)
		}
		if err := tx.SaveSettling(ctx, f.guard, s); err != nil {
			return err
		}
		if err := l.actOnSettled(ctx, tx, entities); err != nil {
			return err
		}
		f.engine.seam("settling saved")
		if err := tellSome(ctx, tx, "dead_letter", uuid.UUID(f.guard.Service), deadLetters(st.Dead), "/v1/dead-letters"); err != nil {
			return err
		}
		refused = len(st.Dead) > 0
		linked = len(st.NewLinks)+len(st.Unlinked) > 0 || slices.ContainsFunc(st.Parked, func(p Parked) bool { return p.Waits == WaitsReference })
		return l.activity(ctx, tx, "out", map[string]int64{"created": st.Created, "updated": st.Updated, "deleted": st.Deleted, "rejected": st.Rejected})
	}
	// Between the look at who is linked and the commit another may link a record once more; each time it is looked at anew.
	err = f.inTx(ctx, commit)
	for n := 0; n < mostTaken && errors.Is(err, ErrLinkTaken); n++ {
		taken = true
		err = f.inTx(ctx, commit)
	}
	if err == nil && linked {
		f.linkedNow()
		signal(l.duty)
	}
	if err == nil && refused {
		f.mu.Lock()
		f.refused = true
		f.mu.Unlock()
	}
	return next, st.Reread, err
}

// mostTaken is how often the settling of an attempt is begun again because another linked a record meanwhile. Each time is a commit of
// another's, so that many in a row are something else; the flow then begins anew, as after any failure.
const mostTaken = 10

// untake looks after writes that made, or found, a record which is linked to another entity: two entities are one thing to the system, or
// the other's record was deleted there and nobody has read that yet. A record that was made is the entity's that it was made for, and
// replaced are those whose record it took the place of. One that was only found as wanted is the other's; so is one of which only its
// values would tell that it was made. The entities are locked together with the others, in one order, since the others' system may
// settle at the same moment.
func (l *lane) untake(ctx context.Context, tx Tx, a Attempt, entities []*record.Entity, sent []Sent, rest remaining) (own []*record.Entity, kept []Sent, left remaining, replaced []*record.Entity, err error) {
	fresh := make(map[record.EntityID]bool)
	var ids []record.EntityID
	for _, e := range entities {
		fresh[e.ID] = true
		ids = append(ids, e.ID)
	}
	var keys []record.Key
	leaves := make(map[record.EntityID]bool)
	for i := range sent {
		leaves[sent[i].ID] = sent[i].Op == record.Delete
		if sent[i].made() {
			keys = append(keys, sent[i].Receipt.Key)
		}
	}
	owners, err := tx.Linked(ctx, l.flow.guard.Service, l.System, l.Object, keys)
	if err != nil {
		return nil, nil, rest, nil, err
	}
	for _, id := range owners {
		if _, ours := fresh[id]; !ours {
			ids = append(ids, id)
		}
	}
	loaded, err := tx.LoadEntities(ctx, l.flow.guard, slices.Compact(slices.SortedFunc(slices.Values(ids), compareIDs)), true)
	if err != nil {
		return nil, nil, rest, nil, err
	}
	owner := make(map[record.Key]*record.Entity)
	for _, e := range loaded {
		link := e.Links[l.System]
		if link != nil && !leaves[e.ID] {
			owner[link.Key] = e
		}
		if fresh[e.ID] {
			own, fresh[e.ID] = append(own, e), link == nil
		}
	}
	left = rest
	given := make(map[record.Key]bool)
	for _, w := range sent {
		if !w.made() || !fresh[w.ID] {
			kept = append(kept, w)
			continue
		}
		key := w.Receipt.Key
		other := owner[key]
		switch {
		case other == nil && !given[key]:
		case w.guessed:
			left.due = append(slices.Clone(left.due), w.ID)
			continue
		case w.Receipt.Outcome == connector.Applied && !given[key]:
			replaced = append(replaced, other)
		default:
			w.Receipt = connector.Receipt{Outcome: connector.Refused, Key: key, Err: &connector.Error{Class: connector.Reject, Code: "match.duplicate",
				Message: fmt.Sprintf("The record %s of %s is another record's copy already; merge the two, or delete or change one of them.", key, l.System)}}
		}
		given[key] = true
		kept = append(kept, w)
	}
	return own, kept, left, replaced, nil
}

// made says that the write made a record, or found the one that it would have made.
func (w *Sent) made() bool {
	return w.Create && w.Receipt.Key != "" && (w.Receipt.Outcome == connector.Applied || w.Receipt.Outcome == connector.Already)
}

// asTheyAre locks the entities and loads those anew that moved on since they were loaded.
func (l *lane) asTheyAre(ctx context.Context, tx Tx, entities []*record.Entity) ([]*record.Entity, error) {
	moved, err := tx.Moved(ctx, l.flow.guard, l.Seat, entities)
	if err != nil || len(moved) == 0 {
		return entities, err
	}
	anew, err := tx.LoadEntities(ctx, l.flow.guard, moved, true)
	if err != nil {
		return nil, err
	}
	for _, e := range entities {
		if _, again := slices.BinarySearchFunc(moved, e.ID, compareIDs); !again {
			anew = append(anew, e)
		}
	}
	slices.SortFunc(anew, func(x, y *record.Entity) int { return compareIDs(x.ID, y.ID) })
	return anew, nil
}

// remaining are duties of an attempt that were not carried out.
type remaining struct {
	due    []record.EntityID        // they are deliveries like any other
	held   map[record.EntityID]bool // a change of these in the system waits for a person
	parked []Parked                 // they wait for another record
}

// park lets deliveries wait. Of a record of which a change is held what has nothing to do with that change may still be sent;
// the rest would meet a record that is not as expected, however often it was read. So it is not read again, either: to hold it
// anew would be a new question, beside one that may be decided at this moment.
func (l *lane) park(st *Settlement, sent []Sent, rest remaining, now time.Time) {
	for i := range sent {
		if w := &sent[i]; rest.held[w.ID] && slices.Contains(st.Waiting, w.ID) {
			st.Reread = slices.DeleteFunc(st.Reread, func(k record.Key) bool { return k == w.Key || k == w.Receipt.Key })
		}
	}
	st.Waiting = slices.DeleteFunc(st.Waiting, func(id record.EntityID) bool {
		if rest.held[id] {
			st.Parked = append(st.Parked, Parked{Entity: id, Waits: WaitsHold, Until: now.Add(longestWait)})
		}
		return rest.held[id]
	})
	for _, p := range st.Parked {
		delete(l.moved, p.Entity)
	}
}

// isFirstRun says whether the first run is under way: its operations are not realtime.
func (f *flow) isFirstRun() bool {
	r := f.current()
	return r != nil && r.Kind == service.FirstRun
}

// giveUp turns records that never hold still, so that reading and merging them again did not help, into dead letters.
func (l *lane) giveUp(st *Settlement, sent []Sent) {
	kept := st.Waiting[:0]
	for _, id := range st.Waiting {
		if slices.ContainsFunc(sent, func(w Sent) bool { return w.ID == id && w.Receipt.Outcome == connector.Unsent }) {
			kept = append(kept, id)
			continue
		}
		l.moved[id]++
		if l.moved[id] <= maxMoved {
			kept = append(kept, id)
			continue
		}
		delete(l.moved, id)
		for i := range sent {
			if sent[i].ID == id {
				st.Rejected++
				st.Dead = append(st.Dead, DeadLetter{ID: newID(), System: l.System, Object: l.Object, Key: sent[i].Key, Entity: id, Op: sent[i].Op,
					Code: "delivery.keeps_moving", Payload: l.said(&sent[i]),
					Message: fmt.Sprintf("The record in %s was different from what was read, %d times in a row. Something else writes it all the time, or it holds a value that cannot be compared.", l.System, maxMoved)})
			}
		}
	}
	st.Waiting = kept
	for _, id := range st.Done {
		delete(l.moved, id)
	}
}

// reread reads records that had moved on and merges them as if they had just been pulled; the lane's lock is held.
func (l *lane) reread(ctx context.Context, keys []record.Key) error {
	reader, ok := l.Open.(connector.KeyReader)
	if !ok {
		signal(l.wake) // what moved on is among what comes next
		return nil
	}
	changes, err := reader.ReadKeys(ctx, l.Object, l.Map.Natives(), keys)
	if err == nil {
		err = l.Inward(ctx, changes)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		_ = l.flow.trouble(ctx, l.System, err)
		return nil // the deliveries stand; they are tried again
	}
	for i := range changes {
		// That a record is missing is a conclusion: nobody said that it was deleted. The brake judges it when the system was read to its
		// end, so that one that turned empty does not lose its records in all the others one delivery at a time.
		if l.Reads && changes[i].Op == record.Delete {
			changes[i].Absent = true
			signal(l.wake)
		}
	}
	return l.intake(ctx, taking{changes: changes})
}

// writeFailed makes the attempt a delivery for later. When what the batch did is unknown it is marked so, and found out
// before the system is read or written again; the lane's lock is held.
func (l *lane) writeFailed(ctx context.Context, a Attempt, err error, unknown bool, tries *int) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := connector.Classify(err)
	wait := l.rest(ctx, err, tries)
	err = l.flow.inTx(ctx, func(tx Tx) error { return tx.Postpone(ctx, l.flow.guard, a, tx.Now().Add(wait), unknown) })
	if err != nil {
		return err
	}
	l.doubt, l.unsettled = l.doubt || unknown, false
	if c.Class == connector.Drift {
		return errors.Join(errDrift, err)
	}
	return nil
}

// rest leaves a system alone for a while that fails, and says for how long.
func (l *lane) rest(ctx context.Context, err error, tries *int) time.Duration {
	c := connector.Classify(err)
	*tries++
	wait := backoff(*tries)
	switch c.Class {
	case connector.SlowDown:
		wait = max(wait, c.After)
	case connector.Reconnect:
		wait = maxBackoff
	}
	l.mu.Lock()
	l.failing = time.Now().Add(wait)
	l.mu.Unlock()
	_ = l.flow.trouble(ctx, l.System, err)
	time.AfterFunc(wait+10*time.Millisecond, func() { signal(l.duty) })
	return wait
}

var errDrift = errors.New("engine: a system's objects changed shape")
