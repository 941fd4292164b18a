// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Waiting for other records. References to records that are not known, and records that are written to a system where the one
// that they refer to is not yet, wait; they are looked at again when links come in, all at once (references), and each second
// besides, so that a notification that nobody sees loses nothing.

// whyWaits says what is waited for, in a sentence for people.
func whyWaits(s *Seat, r *Reference, ref record.Reference) string {
	if ref.Entity.IsZero() {
		return fmt.Sprintf("%s refers to %s %s of %s, which is not known yet.", r.Field, ref.Object, ref.Key, ref.System)
	}
	return fmt.Sprintf("%s refers to a record of %s that %s does not have yet.", r.Field, r.Parent.Collection.Name, s.System)
}

// overdue is the dead letter of a record that waited too long for another.
func overdue(s *Seat, p *Parked, op record.Op, after time.Duration) DeadLetter {
	code, remedy := "reference.missing", "Sync or create that record, or correct the reference; this one then follows by itself."
	if p.deletes {
		code, remedy = "reference.children", "Delete those records, let them refer to another one, or set syncConfig.references.orphans; the deletion then follows by itself."
	}
	return DeadLetter{ID: newID(), System: s.System, Object: s.Object, Entity: p.Entity, Op: op, Code: code,
		Message: fmt.Sprintf("The record waits for another since %s: %s %s", after.Round(time.Second), p.Why, remedy)}
}

// waitsSince says since when the delivery is owed.
func (l *lane) waitsSince(a Attempt, id record.EntityID, now time.Time) time.Time {
	if at, ok := a.OwedAt[id]; ok && a.Backlog {
		return at
	}
	return now
}

// lookLater parks what waits for other records, and reports what has waited too long. A deletion that the system itself refuses
// while it may still hold records that refer to what is deleted is tried again until then.
func (l *lane) lookLater(st *Settlement, a Attempt, entities []*record.Entity, sent []Sent, rest remaining, now time.Time) {
	rules := l.flow.plan.References
	if !l.flow.plan.refers() {
		return
	}
	if !a.Backlog {
		// What was taken on at once may have been parked before, when it referred to another record: nobody would look at that any more.
		st.Loosed = st.Done
	}
	versions := make(map[record.EntityID]int64)
	if len(rest.parked) > 0 {
		for _, e := range entities {
			versions[e.ID] = e.Version
		}
	}
	for _, p := range rest.parked {
		if versions[p.Entity] != p.version {
			// It was changed meanwhile; perhaps it refers to another record now.
			st.Parked = append(st.Parked, Parked{Entity: p.Entity, Until: now})
			continue
		}
		p.Since = l.waitsSince(a, p.Entity, now)
		waited := now.Sub(p.Since)
		p.Until = p.Since.Add(rules.Wait)
		if waited >= rules.Wait {
			op := record.Upsert
			p.Until = now.Add(longestWait)
			if p.deletes {
				op, p.Until = record.Delete, p.Since.Add(2*rules.Wait)
				if !p.Until.After(now) {
					p.Until = now.Add(rules.Wait)
				}
			}
			st.Dead = append(st.Dead, overdue(l.Seat, &p, op, waited))
			st.Rejected++
		}
		st.Parked = append(st.Parked, p)
	}
	if len(l.Collection.Children) == 0 {
		return
	}
	kept := st.Dead[:0]
	for _, d := range st.Dead {
		since := l.waitsSince(a, d.Entity, now)
		waited := now.Sub(since)
		if d.Op != record.Delete || d.Code == "reference.children" || waited >= rules.Wait || !slices.ContainsFunc(sent, func(w Sent) bool { return w.ID == d.Entity }) {
			kept = append(kept, d)
			continue
		}
		st.Rejected--
		st.Parked = append(st.Parked, Parked{Entity: d.Entity, Waits: WaitsReference, Since: since, Until: now.Add(min(max(waited, time.Second), 30*time.Second)),
			deletes: true, Why: fmt.Sprintf("%s does not delete it yet: %s", l.System, d.Message)})
		for i := range st.Links {
			if st.Links[i].Entity == d.Entity && st.Links[i].State == record.Rejected {
				st.Links[i].State = record.Pending
			}
		}
	}
	st.Dead = kept
}

// parentsFirst lets a first reading wait until the records that this one's may refer to are there, in all systems.
func (l *lane) parentsFirst(ctx context.Context) {
	l.mu.Lock()
	first := l.pos.Phase == connector.Snapshot
	l.mu.Unlock()
	if !first {
		return
	}
	var parents []*lane
	for _, other := range l.flow.lanes {
		for _, s := range l.Collection.Seats {
			for i := range s.Refs {
				if r := &s.Refs[i]; !r.Circle && r.Parent.Collection == other.Collection && !slices.Contains(parents, other) {
					parents = append(parents, other)
				}
			}
		}
	}
	for _, p := range parents {
		select {
		case <-p.complete:
		default:
			select {
			case <-p.complete:
			case <-ctx.Done():
			}
			woke(ctx)
		}
	}
	// And delivered, as far as the systems take them now.
	for wait := 10 * time.Millisecond; ctx.Err() == nil && len(parents) > 0; wait = min(2*wait, time.Second) {
		var owing map[SeatID]Owing
		now := time.Now()
		err := l.flow.inTx(ctx, func(tx Tx) (err error) {
			now = tx.Now()
			owing, err = tx.Owing(ctx, l.flow.guard.Service)
			return err
		})
		if err != nil {
			return
		}
		busy := false
		for _, p := range parents {
			o := owing[SeatID{p.System, p.Collection.Name}]
			p.mu.Lock()
			busy = busy || p.sending > 0 || p.Writes && o.Count > 0 && !o.DueAt.After(now) && now.After(p.failing)
			p.mu.Unlock()
		}
		if !busy || !sleep(ctx, wait, nil) {
			return
		}
	}
}

// linkedNow says that links came or went, or that records began to wait for some.
func (f *flow) linkedNow() {
	if !f.plan.refers() {
		return
	}
	f.mu.Lock()
	f.links++
	f.mu.Unlock()
	signal(f.linked)
}

// tangleBatch is how many records are looked at again at once.
const tangleBatch = 500

// references lets records go on that waited for others.
func (f *flow) references(ctx context.Context) error {
	var before []RecordIn
	for {
		f.mu.Lock()
		links := f.links
		f.mu.Unlock()
		found, err := f.untangle(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil:
			f.log.Warn("looking for records that waited for others; it is tried again", "error", err)
		case len(found) == 0 || slices.Equal(found, before):
			f.mu.Lock()
			f.untied = links
			f.mu.Unlock()
		default:
			signal(f.linked)
		}
		before = found
		if !sleep(ctx, controlEvery, f.linked) {
			return nil
		}
	}
}

// untangle makes due what waited for a record that is there now, reads those again that name one which is known now, and carries
// out what the document says of records whose parent was deleted. It returns what it found.
func (f *flow) untangle(ctx context.Context) (found []RecordIn, err error) {
	var released int64
	var orphans, unasked, quarantined, named []RecordIn
	ruled := f.plan.References.Orphans != service.OrphansWait
	var names []record.Reference
	err = f.inTx(ctx, func(tx Tx) (err error) {
		if released, err = tx.ReleaseWaiting(ctx, f.guard); err != nil {
			return err
		}
		if held := f.mayHold(); ruled || held {
			if err = tx.TidyOrphans(ctx, f.guard.Service, held, ruled); err != nil {
				return err
			}
		}
		if named, err = tx.FoundReferences(ctx, f.guard.Service, tangleBatch); err != nil {
			return err
		}
		if quarantined, names, err = tx.Quarantined(ctx, f.guard.Service, tangleBatch); err != nil || len(quarantined) == 0 {
			return err
		}
		for i, r := range quarantined {
			known, err := tx.Linked(ctx, f.guard.Service, names[i].System, names[i].Object, []record.Key{names[i].Key})
			if err != nil {
				return err
			}
			if len(known) > 0 {
				found = append(found, r)
			}
		}
		return nil
	})
	if err == nil && ruled {
		err = f.inTx(ctx, func(tx Tx) (err error) {
			orphans, unasked, err = tx.Orphans(ctx, f.guard.Service, tangleBatch)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	for _, l := range f.lanes {
		if released > 0 {
			signal(l.duty)
		}
		var keys, alone, weigh, name []record.Key
		for _, r := range named {
			if r.System == l.System && r.Object == l.Object {
				name = append(name, r.Key)
			}
		}
		for _, r := range found {
			if r.System == l.System && r.Object == l.Object {
				keys = append(keys, r.Key)
			}
		}
		for _, r := range orphans {
			if r.System == l.System && r.Object == l.Object {
				alone = append(alone, r.Key)
			}
		}
		for _, r := range unasked {
			if r.System == l.System && r.Object == l.Object {
				weigh = append(weigh, r.Key)
			}
		}
		if len(keys) == 0 && len(alone) == 0 && len(weigh) == 0 && len(name) == 0 {
			continue
		}
		if err := l.again(ctx, keys, alone, weigh, name); err != nil {
			return nil, err
		}
	}
	if released > 0 {
		found = append(found, RecordIn{Key: record.Key(fmt.Sprint(released))})
	}
	return slices.Concat(found, named, orphans, unasked), nil
}

func (l *lane) again(ctx context.Context, keys, alone, weigh, name []record.Key) error {
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		if isStop(err) {
			return err
		}
		return nil // it fails; later
	}
	if len(keys) > 0 {
		if err := l.reread(ctx, keys); err != nil {
			return err
		}
	}
	if len(name) > 0 {
		if err := l.rewrite(ctx, name, l.named); err != nil {
			return err
		}
	}
	if len(alone) > 0 {
		if err := l.rewrite(ctx, alone, l.orphaned); err != nil {
			return err
		}
	}
	if len(weigh) > 0 {
		return l.weighOrphans(ctx, weigh)
	}
	return nil
}

// named puts the records in place of references to what was not known before. Their systems need not be asked for that.
func (l *lane) named(ctx context.Context, tx Tx, loaded Loaded) (Outcome, error) {
	wanted := make(map[RecordIn]record.EntityID)
	for _, e := range loaded.Entities {
		for _, v := range e.Fields {
			if ref, ok := record.ReferenceOf(v); ok && ref.Entity.IsZero() {
				wanted[RecordIn{ref.System, ref.Object, ref.Key}] = record.EntityID{}
			}
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(wanted), RecordIn.compare) {
		known, err := tx.Linked(ctx, l.flow.guard.Service, r.System, r.Object, []record.Key{r.Key})
		if err != nil {
			return Outcome{}, err
		}
		wanted[r] = known[r.Key]
	}
	return Named(l.Seat, loaded, wanted, tx.Now()), nil
}

func (r RecordIn) compare(o RecordIn) int {
	return cmp.Or(cmp.Compare(r.System, o.System), cmp.Compare(r.Object, o.Object), cmp.Compare(r.Key, o.Key))
}

// Named puts entities in place of the names of records that are known meanwhile; a zero id is of one that is not. It is a function of its
// arguments.
func Named(seat *Seat, loaded Loaded, known map[RecordIn]record.EntityID, now time.Time) Outcome {
	b := newBatch(seat, loaded, now, uuid.Nil)
	for _, e := range loaded.Entities {
		for _, f := range sortedKeys(e.Fields) {
			was := e.Fields[f]
			ref, ok := record.ReferenceOf(was)
			if !ok || !ref.Entity.IsZero() {
				continue
			}
			id := known[RecordIn{ref.System, ref.Object, ref.Key}]
			if id.IsZero() {
				continue
			}
			is := record.Reference{Entity: id}.Text()
			var holders []*record.Link // they hold the key that the name is made of
			for _, l := range e.Links {
				if record.Equal(l.Shadow(e, f), was) {
					holders = append(holders, l)
				}
			}
			b.setField(e, nil, f, is, e.StampOf(f))
			for _, l := range holders {
				l.Holds(f, is, is, false)
			}
			b.journal(e, record.Updated, record.Fields{f: was}, record.Fields{f: is})
			entry := &b.out.Journal[len(b.out.Journal)-1]
			entry.Kind, entry.Actor, entry.System = record.Decided, byReferences, record.Person
		}
		for _, s := range seat.Collection.Seats {
			if Owes(e, s) {
				b.owe(e, s.System, &record.Change{At: now})
			}
		}
	}
	b.collect()
	for _, ids := range b.out.Owed {
		slices.SortFunc(ids, compareIDs)
	}
	return b.out
}

// orphaned deletes the records, or empties their reference, because the one that they refer to was deleted.
func (l *lane) orphaned(ctx context.Context, tx Tx, loaded Loaded) (Outcome, error) {
	follows, err := tx.Follows(ctx, l.flow.guard.Service, entityIDs(loaded.Entities))
	if err != nil {
		return Outcome{}, err
	}
	return Orphaned(l.Seat, loaded, follows, l.flow.plan.References.Orphans, tx.Now()), nil
}

// rewrite commits what becomes of the records with these keys, of which no system told anything. The lane's lock is held.
func (l *lane) rewrite(ctx context.Context, keys []record.Key, decide func(context.Context, Tx, Loaded) (Outcome, error)) error {
	f := l.flow
	collection := f.commit[l.Collection.Name]
	collection.take(ctx)
	defer collection.release()
	var out Outcome
	err := f.inTx(ctx, func(tx Tx) error {
		loaded, err := tx.Load(ctx, f.guard, l.Seat, keys, make([]string, len(keys)))
		if err != nil {
			return err
		}
		if out, err = decide(ctx, tx, loaded); err != nil {
			return err
		}
		in := Intake{Seat: l.Seat, Outcome: out, Owed: out.Owed, Usage: l.usageOf(out, tx.Now())}
		return tx.SaveIntake(ctx, f.guard, in)
	})
	if err != nil {
		return err
	}
	l.outdate(out)
	for system := range out.Owed {
		if target := f.laneOf(system, l.Collection); target != nil {
			signal(target.duty)
		}
	}
	f.linkedNow()
	return nil
}

// parentsOf are the records that the entity refers to, by field.
func parentsOf(c *Collection, e *record.Entity) map[string]record.EntityID {
	out := make(map[string]record.EntityID)
	for _, s := range c.Seats {
		for i := range s.Refs {
			if ref, ok := record.ReferenceOf(e.Fields[s.Refs[i].Field]); ok && !ref.Entity.IsZero() {
				out[s.Refs[i].Field] = ref.Entity
			}
		}
	}
	return out
}

// byReferences is how the history names what the document's rule for orphans did.
const byReferences = "references"

// Orphaned decides what becomes of entities of which these fields refer to deleted ones. It is a function of its arguments.
func Orphaned(seat *Seat, loaded Loaded, follows map[record.EntityID][]string, policy string, now time.Time) Outcome {
	b := newBatch(seat, loaded, now, uuid.Nil)
	for _, e := range loaded.Entities {
		if e.DeletedAt != nil {
			continue
		}
		parents := parentsOf(seat.Collection, e)
		for _, f := range follows[e.ID] {
			if parents[f].IsZero() || e.DeletedAt != nil {
				continue
			}
			if policy == service.OrphansDelete {
				b.kill(e, now)
				e.Stamps[record.WholeRecord] = record.Stamp{System: record.Person, At: now}
				b.journal(e, record.Deleted, e.Fields, nil)
			} else {
				before := record.Fields{f: e.Fields[f]}
				b.setField(e, nil, f, nil, record.Stamp{System: record.Person, At: now})
				b.journal(e, record.Updated, before, record.Fields{f: nil})
			}
			entry := &b.out.Journal[len(b.out.Journal)-1]
			entry.Kind, entry.Actor, entry.System = record.Decided, byReferences, record.Person
		}
		for _, s := range seat.Collection.Seats {
			if Owes(e, s) {
				b.owe(e, s.System, &record.Change{At: now})
			}
		}
	}
	b.collect()
	for _, ids := range b.out.Owed {
		slices.SortFunc(ids, compareIDs)
	}
	return b.out
}
