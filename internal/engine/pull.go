// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
)

// pull reads the object page by page for as long as the flow lives, woken by the watcher or by its own pace.
func (l *lane) pull(ctx context.Context) error {
	reader, ok := l.Open.(connector.Reader)
	if !ok {
		l.mu.Lock()
		l.pos.Phase = connector.Stream
		l.mu.Unlock()
		l.completed.Do(func() { close(l.complete) })
		l.Reads = false
		return nil
	}
	pace := connector.Pace{Min: time.Second, Max: time.Minute}
	if p, ok := l.Open.(connector.Pacer); ok {
		pace = p.Pace()
	}
	wait, tries := pace.Min, 0
	l.parentsFirst(ctx)
	for ctx.Err() == nil {
		more, changed, err := l.pullPage(ctx, reader)
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil:
			if stop := l.readFailed(ctx, err); stop != nil {
				return stop
			}
			tries++
			if !sleep(ctx, backoff(tries), nil) {
				return nil
			}
			continue
		}
		tries = 0
		if more {
			continue
		}
		// Adaptive polling: a system that changes is asked often, a quiet one seldom. With a watcher the sweep is only for
		// what a notification could have missed.
		wait = min(wait*3/2, pace.Max)
		if changed {
			wait = pace.Min
		}
		l.mu.Lock()
		d, halted := wait, l.isHalted()
		if l.watching {
			d = sweepEvery
		}
		l.mu.Unlock()
		looks := !halted && l.Reads && l.flow.plan.Realtime
		if halted || !l.Reads {
			d = time.Hour
		} else if !l.flow.plan.Realtime {
			d = sweepEvery
		}
		if looks {
			if err := l.noteLook(ctx, d); isStop(err) {
				return err
			} // else it is shown late, which is no reason to read late
		}
		if !sleep(ctx, d, l.wake) {
			return nil
		}
	}
	return nil
}

// isHalted says whether the snapshot waits for the next run; one that was through when its run was cancelled does not. mu is
// held.
func (l *lane) isHalted() bool { return l.halted && l.pos.Phase == connector.Snapshot }

func isStop(err error) bool {
	return errors.Is(err, ErrFenced) || errors.Is(err, ErrRevised) || errors.Is(err, ErrPaused) || errors.Is(err, errUnsettled)
}

// readFailed decides what a failed read means: nil to try again, an error to stop the flow.
func (l *lane) readFailed(ctx context.Context, err error) error {
	switch connector.Classify(err).Class {
	case connector.LostPlace:
		l.mu.Lock()
		l.pos.Cursor, l.pos.Phase, l.pos.Done, l.pos.Total = nil, connector.Snapshot, 0, 0
		l.since = time.Now()
		l.mu.Unlock()
		_ = l.flow.trouble(ctx, l.System, err)
		return nil
	case connector.Drift:
		return l.flow.trouble(ctx, l.System, err) // the plan is compiled anew
	}
	_ = l.flow.trouble(ctx, l.System, err)
	return nil
}

// pullPage reads one page and commits it. more says that there is more to read now.
func (l *lane) pullPage(ctx context.Context, reader connector.Reader) (more, changed bool, err error) {
	l.mu.Lock()
	pos, halted := l.pos, l.isHalted()
	l.mu.Unlock()
	if halted || (!l.Reads && pos.Phase == connector.Stream) {
		l.markRead(time.Now())
		if halted || l.cleared {
			return false, false, nil
		}
		l.cleared = true
		return false, false, l.works(ctx) // it was opened just now, so it answers
	}
	rooms, err := l.reserve(ctx)
	if err != nil {
		return false, false, err
	}
	defer rooms.release()
	began := time.Now()
	limit := max(l.flow.plan.BatchSize, l.grown)
	if pos.Phase == connector.Snapshot {
		limit = max(limit, snapshotBatch)
	}
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		return false, false, err
	}
	if pos.Phase == connector.Snapshot && pos.Cursor == nil {
		if err := l.begin(ctx); err != nil {
			return false, false, err
		}
	}
	page, err := reader.Read(ctx, connector.ReadRequest{Object: l.Object, Fields: l.Map.Natives(), Cursor: pos.Cursor, Limit: limit})
	if err != nil {
		return false, false, err
	}
	l.flow.engine.seam("read")
	if err := l.Inward(ctx, page.Changes); err != nil {
		return false, false, err
	}
	next := pos
	next.Cursor, next.Phase = page.Cursor, page.Phase
	if pos.Phase == connector.Snapshot {
		next.Done += int64(len(page.Changes))
		next.Total = max(page.Total, next.Done)
		if page.Phase == connector.Stream {
			next.Total = next.Done
		}
	}
	complete := pos.Phase == connector.Snapshot && page.Phase == connector.Stream
	if complete {
		if err := l.missing(ctx); err != nil {
			return false, false, err
		}
	}
	stepped := pos.Phase != next.Phase || len(page.Changes) > 0
	if stepped || (!bytes.Equal(l.saved, next.Cursor) && time.Since(l.savedAt) > moveEvery) {
		if err := l.intake(ctx, taking{changes: page.Changes, move: &Move{Position: next, Changed: len(page.Changes) > 0, Complete: complete}, rooms: rooms, anew: pos.Phase == connector.Snapshot}); err != nil {
			return false, false, err
		}
		l.saved, l.savedAt = next.Cursor, time.Now()
	}
	// While there is a backlog pages grow, because each has costs of its own; a page that is not full is a small one again, so that what
	// is done at once stays short where it can.
	if l.grown = 0; page.More && pos.Phase == connector.Stream && 2*len(page.Changes) > limit {
		l.grown = min(2*limit, backlogBatch)
	}
	l.mu.Lock()
	l.pos = next
	l.mu.Unlock()
	if next.Phase == connector.Stream {
		l.completed.Do(func() {
			close(l.complete)
			signal(l.duty)
		})
	}
	if !page.More {
		if err := l.judge(ctx); err != nil {
			return false, false, err
		}
		l.markRead(began)
		if err := l.noteRead(ctx); err != nil {
			return false, false, err
		}
	}
	if a, ok := l.Open.(connector.Acknowledger); ok && time.Since(l.ackedAt) > ackEvery && len(l.saved) > 0 {
		l.ackedAt = time.Now()
		if err := a.Acknowledge(ctx, l.Object, l.saved); err != nil && ctx.Err() == nil {
			l.flow.log.Warn("acknowledging a cursor", "system", l.System, "error", err)
		}
	}
	return page.More, len(page.Changes) > 0, nil
}

// noteRead writes now and then, and at once after trouble, that the object was read to its end.
func (l *lane) noteRead(ctx context.Context) error {
	if !l.flow.recovered(l.System) && time.Since(l.notedAt) < moveEvery {
		return nil
	}
	l.notedAt = time.Now()
	return l.flow.inTx(ctx, func(tx Tx) error { return tx.NoteRead(ctx, l.flow.guard.Service, l.System, l.Object) })
}

// noteLook writes how long reading waits until it looks again by itself. Long waits are written each time, so that people see when the
// next look is; short ones only when they change, or a quiet system would cost a commit for every look.
func (l *lane) noteLook(ctx context.Context, d time.Duration) error {
	if d == l.looksIn && d < moveEvery {
		return nil
	}
	err := l.flow.inTx(ctx, func(tx Tx) error {
		return tx.NoteLook(ctx, l.flow.guard.Service, l.System, l.Object, d)
	})
	if err == nil {
		l.looksIn = d
	}
	return err
}

// works writes that trouble with the system is over, where reading does not tell.
func (l *lane) works(ctx context.Context) error {
	return l.flow.inTx(ctx, func(tx Tx) error { return tx.NoteRead(ctx, l.flow.guard.Service, l.System, l.Object) })
}

// begin notes whether anything is known of the object when its snapshot begins.
func (l *lane) begin(ctx context.Context) error {
	if l.begun {
		c := l.flow.commit[l.Collection.Name]
		c.take(ctx)
		l.flow.sole[l.Collection.Name] = mixed // what is read now was perhaps read before
		c.release()
	}
	l.begun = true
	return l.flow.inTx(ctx, func(tx Tx) error {
		known, err := tx.LinkKeys(ctx, l.flow.guard.Service, l.Seat, l.since.Add(maxSkew), "", 1)
		l.unknown = len(known) == 0
		return err
	})
}

// missing finds what was deleted in the system while nobody looked: a snapshot that begins anew, because its place in the
// stream was lost, shows what is there and not what is gone. So the records that were known before are asked for by key, in
// the order of their keys, before the snapshot counts as complete; a crash on the way begins this again. The brake keeps
// them until all are known, see judge.
func (l *lane) missing(ctx context.Context) error {
	reader, ok := l.Open.(connector.KeyReader)
	if !ok || l.unknown {
		return nil
	}
	after := record.Key("")
	for {
		var keys []record.Key
		err := l.flow.inTx(ctx, func(tx Tx) (err error) {
			keys, err = tx.LinkKeys(ctx, l.flow.guard.Service, l.Seat, l.since.Add(maxSkew), after, snapshotBatch)
			return err
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		after = keys[len(keys)-1]
		changes, err := reader.ReadKeys(ctx, l.Object, l.Map.Natives(), keys)
		if err != nil {
			return err
		}
		gone := changes[:0]
		for _, c := range changes {
			if c.Op == record.Delete {
				c.Absent = true
				gone = append(gone, c)
			}
		}
		if len(gone) > 0 {
			if err := l.intake(ctx, taking{changes: gone}); err != nil {
				return err
			}
		}
	}
}

func (l *lane) markRead(began time.Time) {
	l.mu.Lock()
	l.readAt = began
	l.mu.Unlock()
}

// rooms are reserved places in other lanes' queues.
type rooms map[*lane]bool

func (r rooms) release() {
	for l := range r {
		l.room <- struct{}{}
		delete(r, l)
	}
}

// reserve takes a place in the queue of each system that may be owed something by the next page, and waits for it: this is
// what keeps memory bounded when reading is faster than writing. It is done before any lock is taken, so that two lanes
// cannot wait for each other. A system that is failing, or whose own snapshot is not complete, gets its duties later.
func (l *lane) reserve(ctx context.Context) (rooms, error) {
	r := make(rooms)
	for _, other := range l.flow.lanes {
		if other.Collection != l.Collection || !other.Writes {
			continue
		}
		if other == l {
			select {
			case <-other.room:
				r[other] = true
			default:
			}
			continue
		}
		for other.open() && !r[other] {
			switch await(ctx, time.Second, other.room) {
			case ended:
				r.release()
				return nil, ctx.Err()
			case signalled:
				r[other] = true
			case elapsed: // look again whether it is failing now
			}
		}
	}
	return r, nil
}

// open says whether duties to the system can be carried out right away.
func (l *lane) open() bool {
	select {
	case <-l.complete:
	default:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().After(l.failing)
}

// taking is a page to be committed.
type taking struct {
	changes []record.Change
	move    *Move // nil when records were read by key
	rooms   rooms
	anew    bool      // of a snapshot: records that are new here were not made just now
	proof   uuid.UUID // the comparison that found the changes; zero for what the system told of
	scanned []Mapped  // read beside the stream, in place of changes
	beside  *Beside   // the run that read them, and where it stands
	decided *Hold     // what was held and is decided; nil for what the brake has to weigh yet
	unheld  []record.Key
}

// intake commits a page: what it means, what is owed for it, and the cursor, in one transaction (invariant 1). The lane's
// lock is held.
func (l *lane) intake(ctx context.Context, t taking) error {
	f, changes, move, r := l.flow, t.changes, t.move, t.rooms
	mapped := t.scanned
	if mapped == nil {
		mapped = MapAll(l.Seat, changes)
	}
	for i := range mapped {
		if r, ok := l.edits[mapped[i].Key]; ok {
			mapped[i].Correct(l.Seat, r)
		}
	}
	var attempts []Attempt
	var outcome Outcome
	owes := false // the commit that was begun takes duties on
	var braked *Braked
	quiet := f.plan.Quiet
	if t.anew || t.decided != nil {
		quiet = 0 // nobody is typing
	}
	collection := f.commit[l.Collection.Name]
	collection.take(ctx)
	defer collection.release()
	l.follow(true)
	defer l.follow(false)
	alone := l.alone()
	// What is read beside the stream was read before.
	keys, matchKeys := l.wanted(mapped, t.anew && t.beside == nil)
	further := false
	commit := func(tx Tx) error {
		var loaded Loaded
		var err error
		if len(mapped) > 0 {
			loaded, err = tx.Load(ctx, f.guard, l.Seat, keys, matchKeys)
		} else {
			err = tx.Guard(ctx, f.guard)
		}
		if err != nil {
			return err
		}
		if more := l.revived(mapped, loaded); len(more) > 0 && !further {
			further, keys, matchKeys = true, append(keys, make([]record.Key, len(more))...), append(matchKeys, more...)
			return errFurther
		}
		if err := l.Seat.sameNames(loaded.Entities, mapped, l.naming(ctx, tx)); err != nil {
			return err
		}
		if blocks := blocksOf(mapped); len(blocks) > 0 {
			if loaded.Alike, err = tx.Alike(ctx, f.guard.Service, l.Collection.Name, blocks); err != nil {
				return err
			}
		}
		if err := l.loadActing(ctx, tx, &loaded); err != nil {
			return err
		}
		if said := repeatKeys(mapped); len(said) > 0 {
			if loaded.Repeated, err = tx.Repeated(ctx, f.guard.Service, said); err != nil {
				return err
			}
		}
		run := f.runID()
		if t.beside != nil {
			run = t.beside.Run
		}
		unheld := t.unheld
		switch {
		case t.decided != nil && t.decided.State == HoldRejected:
			outcome, braked = refusal(l.Seat, mapped, loaded, tx.Now(), t.decided), nil
		case t.decided != nil:
			outcome, braked = Apply(l.Seat, mapped, loaded, tx.Now(), uuid.UUID(run)), nil
			outcome.Counts.Read = 0 // counted when it was held
		default:
			var pass []Mapped
			if pass, braked, err = l.brake(ctx, tx, mapped, loaded, t.anew); err != nil {
				return err
			}
			outcome = Apply(l.Seat, pass, loaded, tx.Now(), uuid.UUID(run))
			outcome.Counts.Read = int64(len(mapped))
			if braked != nil {
				outcome.Counts.Held = int64(len(braked.Held))
			}
			if f.mayHold() {
				for i := range pass {
					unheld = append(unheld, pass[i].Key)
				}
			}
		}
		if t.proof != uuid.Nil {
			outcome.Counts.Read = 0
			for i := range outcome.Journal {
				if e := &outcome.Journal[i]; e.Kind == record.Changed {
					e.Actor, e.Cause = record.ByProof, t.proof
				}
			}
		}
		in := Intake{Seat: l.Seat, Outcome: outcome, Move: move, Run: run, Settle: f.mayHaveDead(), Found: f.mayBeFound(outcome), Owed: make(map[record.System][]record.EntityID), Parked: make(map[record.System][]Parked), Braked: braked, Unheld: unheld, Beside: t.beside}
		attempts = attempts[:0]
		for _, system := range sortedKeys(outcome.Owed) {
			ids := outcome.Owed[system]
			if quiet > 0 {
				in.Parked[system] = resting(ids, tx.Now().Add(quiet))
				continue
			}
			if target := f.laneOf(system, l.Collection); target != nil && r[target] && target.open() {
				attempts = append(attempts, Attempt{ID: newID(), System: system, Collection: l.Collection.Name, Entities: ids, OwedAt: outcome.OwedAt})
			} else {
				in.Owed[system] = ids
			}
		}
		in.Attempts = attempts
		in.Usage = l.usageOf(outcome, tx.Now())
		in.Complete = move != nil && move.Complete && l.Writes
		for i := range mapped {
			for _, v := range mapped[i].Fields {
				if s, ok := v.(string); ok {
					in.Bytes += int64(len(s))
				} else {
					in.Bytes += 8
				}
			}
		}
		in.Inquire = f.inquiries(l.Collection, outcome)
		if err := tx.SaveIntake(ctx, f.guard, in); err != nil {
			return err
		}
		if err := f.followed(ctx, tx, l.Seat, outcome, braked); err != nil {
			return err
		}
		if err := f.tellHeld(ctx, tx, braked); err != nil {
			return err
		}
		f.engine.seam("intake saved")
		if err := l.tell(ctx, tx, outcome); err != nil {
			return err
		}
		owes = len(attempts) > 0
		if t.beside != nil {
			return t.beside.tellProgress(ctx, tx, f.guard.Service)
		}
		return nil
	}
	err := f.inTx(ctx, commit)
	if errors.Is(err, errFurther) {
		err = f.inTx(ctx, commit)
	}
	if err != nil && owes {
		// Committed or not: who does not know must not go on, or duties that were taken on would wait for the next flow's
		// recovery, however long this one lives.
		return fmt.Errorf("%w: %w", errUnsettled, err)
	}
	if err != nil {
		f.sole[l.Collection.Name] = mixed // what went wrong may be what we believed
		return err
	}
	f.engine.seam("intake committed")
	if len(outcome.New) > 0 && alone {
		f.sole[l.Collection.Name] = l.System
	}
	l.usedSlot = time.Now().UTC().Truncate(15 * time.Minute)
	if outcome.Counts.Rejected > 0 {
		f.mu.Lock()
		f.dead = true
		f.mu.Unlock()
	}
	l.noteHeld(braked)
	f.wakeSources(outcome)
	l.outdate(outcome)
	if len(outcome.NewLinks)+len(outcome.Unlinked)+int(outcome.Died) > 0 || l.Collection.Refers() && len(outcome.Changed) > 0 {
		f.linkedNow()
	}
	if f.mayHold() {
		signal(l.duty) // what waited for a decision may be due
	}
	for _, a := range attempts {
		target := f.laneOf(a.System, l.Collection)
		delete(r, target) // its place is taken; the sender gives it back
		target.mu.Lock()
		target.sending++
		target.line(&a, outcome)
		target.mu.Unlock()
		target.queue <- a
	}
	for _, system := range sortedKeys(outcome.Owed) {
		if target := f.laneOf(system, l.Collection); target != nil {
			signal(target.duty)
			target.wakeAfter(quiet)
		}
	}
	return nil
}

// errFurther rolls a commit back that has to look more up: what it loads it locks in one order, so it loads all at once.
var errFurther = errors.New("engine: more has to be loaded")

// resting are duties that wait until nobody has changed the records for a while.
func resting(ids []record.EntityID, until time.Time) []Parked {
	out := make([]Parked, len(ids))
	for i, id := range ids {
		out[i] = Parked{Entity: id, Waits: WaitsQuiet, Until: until}
	}
	return out
}

// wakeAfter looks at the backlog again when something becomes due. Control looks too, now and then, so one alarm is enough.
func (l *lane) wakeAfter(d time.Duration) {
	if d <= 0 {
		return
	}
	d += 10 * time.Millisecond
	l.mu.Lock()
	now := time.Now()
	set := !l.alarm.After(now)
	if set {
		l.alarm = now.Add(d)
	}
	l.mu.Unlock()
	if set {
		time.AfterFunc(d, func() { signal(l.duty) })
	}
}

// mayBeFound says whether records were linked, and any may have been refused before.
func (f *flow) mayBeFound(o Outcome) bool {
	if len(o.NewLinks) == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

func (f *flow) mayHaveDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *flow) laneOf(system record.System, c *Collection) *lane {
	for _, l := range f.lanes {
		if l.System == system && l.Collection == c {
			return l
		}
	}
	return nil
}

// usageOf counts what the commit makes true: entities that came to life or died, and that the system is in use.
func (l *lane) usageOf(o Outcome, now time.Time) []billing.UsageEvent {
	sid, object, class := uuid.UUID(l.flow.guard.Service), record.Object(l.Collection.Name), l.Collection.Class
	commit := newID().String()
	var events []billing.UsageEvent
	if o.Born > 0 {
		events = append(events, billing.RecordsCreated(commit, now, sid, object, class, o.Born))
	}
	if o.Died > 0 {
		events = append(events, billing.RecordsDeleted(commit, now, sid, object, class, o.Died))
	}
	for id, since := range o.Revived { // in any order: each is an event of its own
		events = append(events, billing.RecordRevived(commit, now, sid, object, class, id, since))
	}
	if slot := now.Truncate(15 * time.Minute); !slot.Equal(l.usedSlot) {
		// One event for each quarter of an hour counts; more of them are the same event.
		events = append(events, billing.IntegrationUsed(now, sid, l.System, l.Premium))
	}
	return events
}

// tell notes for browsers and programs what came in: conflicts and dead letters one by one, the rest as a sum now and then.
func (l *lane) tell(ctx context.Context, tx Tx, o Outcome) error {
	sid := uuid.UUID(l.flow.guard.Service)
	var disagree []map[string]any
	for _, c := range o.Conflicts {
		if c.Open && c.isNew {
			disagree = append(disagree, map[string]any{"conflict": ident.Format(ident.Conflict, c.ID), "record": ident.Format(ident.Entity, c.Entity), "field": c.Field, "system": l.System})
		}
	}
	if err := tellSome(ctx, tx, "conflict", sid, disagree, "/v1/conflicts"); err != nil {
		return err
	}
	if err := l.alert(ctx, tx, o.Conflicts); err != nil {
		return err
	}
	if err := l.flow.tellActs(ctx, tx, o); err != nil {
		return err
	}
	if err := tellSome(ctx, tx, "dead_letter", sid, deadLetters(o.Dead), "/v1/dead-letters"); err != nil {
		return err
	}
	return l.activity(ctx, tx, "in", map[string]int64{"read": o.Counts.Read, "equal": o.Counts.Equal, "conflicts": o.Counts.Conflicts, "rejected": o.Counts.Rejected, "held": o.Counts.Held})
}

// mostTold is how many things of one kind a page tells of one by one: thousands at once would be no news, and drive out what is.
const mostTold = 20

// tellSome tells of the things of a page. The last that is told says how many more there are, and where they are listed.
func tellSome(ctx context.Context, tx Tx, typ string, service uuid.UUID, list []map[string]any, at string) error {
	if len(list) == 0 {
		return nil
	}
	told := list[:min(len(list), mostTold)]
	if more := len(list) - len(told); more > 0 {
		last := told[len(told)-1]
		last["more"], last["list"] = more, at+"?filter[service]="+ident.Format(ident.Service, service)
	}
	data := make([]any, len(told))
	for i, d := range told {
		data[i] = d
	}
	return tx.EmitAll(ctx, typ, service, data)
}

func deadLetters(list []DeadLetter) []map[string]any {
	out := make([]map[string]any, len(list))
	for i, d := range list {
		out[i] = map[string]any{"system": d.System, "key": d.Key, "code": d.Code, "message": d.Message}
	}
	return out
}

// activity sums figures up and tells them at most every nudgeEvery; what is not told at once is told by the next activity
// or by the flow's control, see tellRest. They are a nudge, and a crash may lose them.
func (l *lane) activity(ctx context.Context, tx Tx, direction string, figures map[string]int64) error {
	l.mu.Lock()
	for k, n := range figures {
		if n != 0 {
			l.nudge[direction+"."+k] += n
		}
	}
	l.mu.Unlock()
	return l.tellRest(ctx, tx)
}

// tellRest tells the figures that were not told yet, when the last ones were told long enough ago.
func (l *lane) tellRest(ctx context.Context, tx Tx) error {
	l.mu.Lock()
	var data map[string]any
	if len(l.nudge) > 0 && time.Since(l.nudgedAt) > nudgeEvery {
		l.nudgedAt = time.Now()
		data = map[string]any{"system": l.System, "object": l.Object}
		for k, n := range l.nudge {
			data[k] = n
		}
		clear(l.nudge)
	}
	l.mu.Unlock()
	if data == nil {
		return nil
	}
	return tx.Emit(ctx, "activity", uuid.UUID(l.flow.guard.Service), data)
}

// watch keeps a notification channel open; while it is, reading waits for it instead of polling.
func (l *lane) watch(ctx context.Context, w connector.Watcher) error {
	tries := 0
	for ctx.Err() == nil {
		err := w.Watch(ctx, []record.Object{l.Object}, func(record.Object) {
			tries = 0
			l.mu.Lock()
			l.watching = true
			l.mu.Unlock()
			signal(l.wake)
		})
		woke(ctx)
		l.mu.Lock()
		l.watching = false
		l.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		l.flow.log.Info("watching ended; polling until it is back", "system", l.System, "error", err)
		signal(l.wake)
		tries++
		if !sleep(ctx, backoff(tries), nil) {
			return nil
		}
	}
	return nil
}
