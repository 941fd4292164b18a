// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// What the engine's transactions do, each method as in internal/store: the same rows read, the same rows locked, in the
// same order.

// read runs fn on what is committed.
func (t *Tx) read(id service.ID, fn func(*serviceRow) error) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	row, err := t.service(id)
	if err != nil {
		return err
	}
	return fn(row)
}

func (t *Tx) write(f func()) { t.writes = append(t.writes, f) }

// Guard shares the lease's lock and says whether the flow may still write.
func (t *Tx) Guard(ctx context.Context, g engine.Guard) error {
	if err := t.step(ctx, "guard"); err != nil {
		return err
	}
	return t.guard(ctx, g)
}

func (t *Tx) guard(ctx context.Context, g engine.Guard) error {
	if err := t.lock(ctx, "lease "+g.Service.String(), false); err != nil {
		return err
	}
	return t.read(g.Service, func(row *serviceRow) error {
		switch {
		case row.lease == nil || row.lease.fence != g.Fence:
			return engine.ErrFenced
		case row.State != service.Active:
			return engine.ErrPaused
		case row.Revision != g.Revision:
			return engine.ErrRevised
		}
		return nil
	})
}

// Frozen passes the guard and says whether any of the entities is frozen.
func (t *Tx) Frozen(ctx context.Context, g engine.Guard, ids []record.EntityID) (frozen bool, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return false, err
	}
	return frozen, t.read(g.Service, func(row *serviceRow) error {
		for _, id := range ids {
			row.looked[id] = true
			e := row.entities[id]
			frozen = frozen || e != nil && e.IsFrozen()
		}
		return nil
	})
}

// hits are the entities that the keys may belong to, in id order. A deleted one counts while some system holds a copy.
func (row *serviceRow) hits(seat *engine.Seat, keys []record.Key, matchKeys []string) []record.EntityID {
	set := make(map[record.EntityID]bool)
	var unknown []string // match keys of records without a link
	for i, k := range keys {
		if id, ok := row.keys[linkKey{seat.System, seat.Object, k}]; ok {
			set[id] = true
		} else if i < len(matchKeys) && matchKeys[i] != "" { // a caller that asks by link alone gives none
			unknown = append(unknown, matchKeys[i])
		}
	}
	if len(unknown) > 0 {
		for id, e := range row.entities {
			if e.Collection == seat.Collection.Name && slices.Contains(unknown, e.MatchKey) && (e.DeletedAt == nil || len(e.Links) > 0) {
				set[id] = true
			}
		}
	}
	return sortedIDs(set)
}

func sortedIDs[V any](set map[record.EntityID]V) []record.EntityID {
	return slices.SortedFunc(maps.Keys(set), compareIDs)
}

func compareIDs(a, b record.EntityID) int { return slices.Compare(a[:], b[:]) }

// Load passes the guard and loads and locks what the changes may belong to.
func (t *Tx) Load(ctx context.Context, g engine.Guard, seat *engine.Seat, keys []record.Key, matchKeys []string) (out engine.Loaded, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return out, err
	}
	var ids []record.EntityID
	if err := t.read(g.Service, func(row *serviceRow) error { ids = row.hits(seat, keys, matchKeys); return nil }); err != nil {
		return out, err
	}
	if err := t.lockAll(ctx, "entity ", ids); err != nil {
		return out, err
	}
	if err := t.step(ctx, "loaded"); err != nil {
		return out, err
	}
	return out, t.read(g.Service, func(row *serviceRow) error {
		still := row.hits(seat, keys, matchKeys)
		for _, id := range ids {
			e := cloneEntity(row.entities[id])
			if !slices.Contains(still, id) {
				e.Links = make(map[record.System]*record.Link)
			}
			out.Entities = append(out.Entities, e)
		}
		for _, c := range row.sortedConflicts() {
			if c.Open && slices.Contains(still, c.Entity) {
				out.Conflicts = append(out.Conflicts, cloneConflict(c))
			}
		}
		return nil
	})
}

// Alike finds nothing: no document of the simulation looks for likeness.
func (t *Tx) Alike(context.Context, service.ID, string, []string) ([]engine.Alike, error) {
	return nil, nil
}

// Repeated finds nothing: no document of the simulation compares what records say.
func (t *Tx) Repeated(context.Context, service.ID, []engine.RepeatKey) ([]engine.Repeated, error) {
	return nil, nil
}

// Acting finds nothing: no document of the simulation has rules with actions.
func (t *Tx) Acting(context.Context, service.ID, []record.EntityID) ([]engine.Acting, error) {
	return nil, nil
}

// Overtaken finds nothing, either.
func (t *Tx) Overtaken(context.Context, service.ID, []string, []string, int) ([]engine.Acting, error) {
	return nil, nil
}

// SaveActs is for rules with actions, which no document of the simulation has.
func (t *Tx) SaveActs(context.Context, service.ID, engine.Outcome) error {
	return errors.New("the simulation has no rules with actions")
}

// RaiseAlerts raises none: no document of the simulation wants to be told.
func (t *Tx) RaiseAlerts(context.Context, []engine.ConflictAlert) ([]engine.ConflictAlert, error) {
	return nil, nil
}

func (t *Tx) lockAll(ctx context.Context, kind string, ids []record.EntityID) error {
	for _, id := range ids {
		if err := t.lock(ctx, kind+id.String(), true); err != nil {
			return err
		}
	}
	return nil
}

func (row *serviceRow) sortedConflicts() []*engine.Conflict {
	return slices.SortedFunc(maps.Values(row.conflicts), func(a, b *engine.Conflict) int { return slices.Compare(a.ID[:], b.ID[:]) })
}

func cloneEntity(e *record.Entity) *record.Entity {
	c := *e
	c.Fields = e.Fields.Clone()
	c.Stamps = maps.Clone(e.Stamps)
	c.Held = slices.Clone(e.Held)
	if e.DeletedAt != nil {
		at := *e.DeletedAt
		c.DeletedAt = &at
	}
	c.Links = make(map[record.System]*record.Link, len(e.Links))
	for s, l := range e.Links {
		c.Links[s] = cloneLink(l)
	}
	return &c
}

func cloneLink(l *record.Link) *record.Link {
	c := *l
	c.Behind, c.OwnForm = cloneFields(l.Behind), cloneFields(l.OwnForm)
	return &c
}

// cloneFields keeps nothing for no fields, as a column that is null.
func cloneFields(f record.Fields) record.Fields {
	if len(f) == 0 {
		return nil
	}
	return f.Clone()
}

// cloneConflict is the conflict as it is read from the store: not new.
func cloneConflict(c *engine.Conflict) *engine.Conflict {
	n := &engine.Conflict{ID: c.ID, Entity: c.Entity, Collection: c.Collection, Field: c.Field, Base: c.Base, Sides: slices.Clone(c.Sides), Open: c.Open,
		Strategy: c.Strategy, Winner: c.Winner, Result: c.Result, Reason: c.Reason, DecidedBy: c.DecidedBy, OpenedAt: c.OpenedAt, Version: c.Version}
	if c.ResolvedAt != nil {
		at := *c.ResolvedAt
		n.ResolvedAt = &at
	}
	return n
}

// LoadEntities passes the guard and loads the entities with their links.
func (t *Tx) LoadEntities(ctx context.Context, g engine.Guard, ids []record.EntityID, lock bool) (out []*record.Entity, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return nil, err
	}
	wanted := make(map[record.EntityID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	sorted := sortedIDs(wanted)
	if lock {
		if err := t.lockAll(ctx, "entity ", sorted); err != nil {
			return nil, err
		}
	}
	return out, t.read(g.Service, func(row *serviceRow) error {
		for _, id := range sorted {
			if !lock {
				row.looked[id] = true
			}
			if e := row.entities[id]; e != nil {
				out = append(out, cloneEntity(e))
			}
		}
		return nil
	})
}

// Moved locks the entities and compares who wrote their rows.
func (t *Tx) Moved(ctx context.Context, g engine.Guard, seat *engine.Seat, entities []*record.Entity) (moved []record.EntityID, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return nil, err
	}
	mine := make(map[record.EntityID]*record.Entity, len(entities))
	for _, e := range entities {
		mine[e.ID] = e
	}
	sorted := sortedIDs(mine)
	if err := t.lockAll(ctx, "entity ", sorted); err != nil {
		return nil, err
	}
	if err := t.step(ctx, "moved"); err != nil {
		return nil, err
	}
	return moved, t.read(g.Service, func(row *serviceRow) error {
		for _, id := range sorted {
			e := row.entities[id]
			if e == nil || e.Row != mine[id].Row || rowOf(e.Links[seat.System]) != rowOf(mine[id].Links[seat.System]) {
				moved = append(moved, id)
			}
		}
		return nil
	})
}

func rowOf(l *record.Link) uint64 {
	if l == nil {
		return 0
	}
	return l.Row
}

// Empty says whether the service has no entity.
func (t *Tx) Empty(_ context.Context, s service.ID) (empty bool, err error) {
	return empty, t.read(s, func(row *serviceRow) error { empty = len(row.entities) == 0; return nil })
}

// saved is what intakes and settlements have in common.
type saved struct {
	created, changed         []*record.Entity
	unlinked, linked, linksC []engine.LinkRow
	referred                 bool // others may refer to the entities: the keys of what is unlinked are kept
	journal                  []record.Entry
	conflicts                []*engine.Conflict
	dead                     []engine.DeadLetter
}

func (t *Tx) save(ctx context.Context, sid service.ID, v saved) error {
	for _, l := range v.linked {
		if err := t.lock(ctx, fmt.Sprintf("key %s %s %s %s", sid, l.System, l.Object, l.Key), true); err != nil {
			return err
		}
	}
	row, err := t.lockedService(sid)
	if err != nil {
		return err
	}
	// The rows are copied now: what the engine does with its own afterwards is not written.
	created, changed := make([]*record.Entity, len(v.created)), make([]*record.Entity, len(v.changed))
	for i, e := range v.created {
		created[i] = cloneEntity(e)
	}
	for i, e := range v.changed {
		changed[i] = cloneEntity(e)
	}
	linked, linksC, unlinked := cloneRows(v.linked), cloneRows(v.linksC), cloneRows(v.unlinked)
	for _, list := range [][]*record.Entity{v.created, v.changed, created, changed} {
		for _, e := range list {
			e.Row = t.serial
		}
	}
	for _, list := range [][]engine.LinkRow{v.linked, v.linksC, linked, linksC} {
		for _, l := range list {
			l.Row = t.serial
		}
	}
	conflicts := make([]*engine.Conflict, len(v.conflicts))
	fresh := make([]bool, len(v.conflicts))
	for i, c := range v.conflicts {
		conflicts[i], fresh[i] = cloneConflict(c), c.IsNew()
	}
	t.checks = append(t.checks, func() error {
		gone, had := make(map[linkKey]bool), make(map[deliveryKey]bool)
		for _, l := range v.unlinked {
			gone[linkKey{l.System, l.Object, l.Key}] = true
			if e := row.entities[l.Entity]; e != nil && e.Links[l.System] != nil {
				gone[linkKey{l.System, l.Object, e.Links[l.System].Key}] = true
				had[deliveryKey{l.System, l.Entity}] = true
			}
		}
		for _, l := range linked {
			k := linkKey{l.System, l.Object, l.Key}
			if _, taken := row.keys[k]; taken && !gone[k] {
				return fmt.Errorf("%w: %s %s %s", engine.ErrLinkTaken, l.System, l.Object, l.Key)
			}
			if e := row.entities[l.Entity]; e != nil && e.Links[l.System] != nil && !had[deliveryKey{l.System, l.Entity}] {
				return fmt.Errorf("simulation: %s has a link to %s already", l.Entity, l.System)
			}
			gone[k] = false
		}
		for i, c := range conflicts {
			if !c.Open || !fresh[i] {
				continue
			}
			for _, other := range row.conflicts {
				if other.Open && other.Entity == c.Entity && other.Field == c.Field && !slices.ContainsFunc(conflicts, func(x *engine.Conflict) bool { return x.ID == other.ID && !x.Open }) {
					return fmt.Errorf("simulation: a conflict about %q of %s is there already", c.Field, c.Entity)
				}
			}
		}
		return nil
	})
	t.write(func() {
		for _, e := range created {
			e.Links = make(map[record.System]*record.Link)
			row.entities[e.ID] = e
		}
		for _, e := range changed {
			if old := row.entities[e.ID]; old != nil {
				e.Links, e.Origin, e.Collection, e.CreatedAt = old.Links, old.Origin, old.Collection, old.CreatedAt
				row.entities[e.ID] = e
			}
		}
		for _, l := range unlinked {
			if v.referred {
				k := deliveryKey{l.System, l.Entity}
				row.former[k] = append(slices.DeleteFunc(row.former[k], func(other record.Key) bool { return other == l.Key }), l.Key)
			}
			if e := row.entities[l.Entity]; e != nil && e.Links[l.System] != nil {
				delete(row.keys, linkKey{l.System, e.Links[l.System].Object, e.Links[l.System].Key})
				delete(e.Links, l.System)
			}
		}
		for _, l := range linked {
			row.entities[l.Entity].Links[l.System] = l.Link
			row.keys[linkKey{l.System, l.Object, l.Key}] = l.Entity
			if k := (formerKey{linkKey{l.System, l.Object, l.Key}, l.Entity}); !row.wasKey(k, len(row.journal)) {
				row.once[k] = len(row.journal)
			}
		}
		for _, l := range linksC {
			if e := row.entities[l.Entity]; e != nil && e.Links[l.System] != nil {
				old := e.Links[l.System]
				old.State, old.Behind, old.OwnForm, old.Version, old.SyncedAt, old.Row = l.State, l.Behind, l.OwnForm, l.Version, l.SyncedAt, l.Row
			}
		}
		row.journal = append(row.journal, v.journal...)
		for i, c := range conflicts {
			if old := row.conflicts[c.ID]; old == nil && fresh[i] {
				row.conflicts[c.ID] = c
			} else if old != nil {
				old.Sides, old.Open, old.Winner, old.Result, old.Reason, old.DecidedBy, old.ResolvedAt = c.Sides, c.Open, c.Winner, c.Result, c.Reason, c.DecidedBy, c.ResolvedAt
				old.Version++
			}
		}
		for _, d := range v.dead {
			row.addDead(d)
		}
		row.settleDead([]string{"open"}, func(d *deadRow) bool { // those that nothing more is sent about
			e := row.entities[d.Entity]
			if d.Inward || e == nil || e.DeletedAt == nil || !slices.ContainsFunc(changed, func(c *record.Entity) bool { return c.ID == e.ID }) &&
				!slices.ContainsFunc(v.dead, func(x engine.DeadLetter) bool { return !x.Inward && x.Entity == e.ID }) {
				return false
			}
			l := e.Links[d.System]
			return l == nil || l.State == record.Frozen
		})
	})
	return nil
}

func cloneRows(rows []engine.LinkRow) []engine.LinkRow {
	out := make([]engine.LinkRow, len(rows))
	for i, r := range rows {
		out[i] = engine.LinkRow{Entity: r.Entity, Link: cloneLink(r.Link)}
	}
	return out
}

func (t *Tx) lockedService(id service.ID) (*serviceRow, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.service(id)
}

// addDead adds a dead letter, or notes a further try of the open one about the same.
func (row *serviceRow) addDead(d engine.DeadLetter) {
	for _, old := range row.dead {
		if old.state != "open" || old.Inward != d.Inward || old.System != d.System {
			continue
		}
		if d.Inward && old.Object == d.Object && old.Key == d.Key || !d.Inward && old.Entity == d.Entity {
			old.Op, old.Code, old.Message, old.Payload, old.Field = d.Op, d.Code, d.Message, d.Payload, d.Field
			old.tries++
			return
		}
	}
	row.dead = append(row.dead, &deadRow{DeadLetter: d, state: "open", tries: 1})
}

func (row *serviceRow) settleDead(states []string, is func(*deadRow) bool) {
	for _, d := range row.dead {
		if slices.Contains(states, d.state) && is(d) {
			d.state = "settled"
		}
	}
}

// owe queues deliveries; their rows are locked in id order.
func (t *Tx) owe(ctx context.Context, row *serviceRow, system record.System, collection string, ids []record.EntityID, since, due time.Time) error {
	set := make(map[record.EntityID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	sorted := sortedIDs(set)
	if err := t.lockAll(ctx, "delivery "+string(system)+" ", sorted); err != nil {
		return err
	}
	t.write(func() {
		for _, id := range sorted {
			row.owe(system, collection, id, since, due)
		}
	})
	return nil
}

// oweStill gives duties back that were taken on and not carried out: they are owed since they first were.
func (t *Tx) oweStill(ctx context.Context, row *serviceRow, a engine.Attempt, ids []record.EntityID, due time.Time) error {
	if err := t.owe(ctx, row, a.System, a.Collection, ids, t.now, due); err != nil {
		return err
	}
	given := slices.Clone(ids)
	t.write(func() {
		for _, id := range given {
			d := row.deliveries[deliveryKey{a.System, id}]
			if at := a.OwedAt[id]; (a.Backlog || a.Lost) && !at.IsZero() && at.Before(d.since) {
				d.since = at
			}
		}
	})
	return nil
}

func (t *Tx) park(ctx context.Context, row *serviceRow, system record.System, collection string, list []engine.Parked) error {
	for _, p := range list {
		if err := t.lockAll(ctx, "delivery "+string(system)+" ", []record.EntityID{p.Entity}); err != nil {
			return err
		}
		t.write(func() {
			k := deliveryKey{system, p.Entity}
			until := p.Until
			if d := row.deliveries[k]; d != nil && p.Waits == engine.WaitsQuiet {
				if latest := d.since.Add(20 * until.Sub(t.now)); latest.Before(until) {
					until = latest
				}
			}
			since := p.Since
			if since.IsZero() {
				since = t.now
			}
			row.owe(system, collection, p.Entity, since, until)
			row.deliveries[k].waits, row.deliveries[k].waitsFor = p.Waits, p.For
		})
	}
	return nil
}

func (row *serviceRow) owe(system record.System, collection string, id record.EntityID, since, due time.Time) {
	k := deliveryKey{system, id}
	if d := row.deliveries[k]; d != nil {
		d.due, d.waits, d.waitsFor = due, "", record.EntityID{}
		return
	}
	row.deliveries[k] = &deliveryRow{collection: collection, since: since, due: due}
}

func (t *Tx) addAttempt(row *serviceRow, a engine.Attempt) {
	a.Entities = slices.Clone(a.Entities)
	t.write(func() { row.attempts[a.ID] = &attemptRow{Attempt: a, at: t.now, since: a.OwedSince(t.now)} })
}

func (t *Tx) addUsage(events []billing.UsageEvent) {
	r := t.rows()
	t.write(func() {
		for _, e := range events {
			if _, there := r.usage[e.Key]; !there {
				r.usage[e.Key] = e
			}
		}
	})
}

// count adds to a run's figures.
func (t *Tx) count(ctx context.Context, row *serviceRow, run service.RunID, counts map[record.System]service.Counts) error {
	if run == (service.RunID{}) {
		return nil
	}
	if err := t.lock(ctx, "run "+run.String(), true); err != nil {
		return err
	}
	t.write(func() {
		for _, r := range row.runs {
			if r.ID == run {
				for s, c := range counts {
					r.Counts[s] = r.Counts[s].Add(c)
				}
			}
		}
	})
	return nil
}

// SaveIntake writes what a page means.
func (t *Tx) SaveIntake(ctx context.Context, g engine.Guard, in engine.Intake) error {
	if err := t.step(ctx, "save intake"); err != nil {
		return err
	}
	o := in.Outcome
	if err := t.save(ctx, g.Service, saved{referred: len(in.Seat.Collection.Children) > 0, created: o.New, changed: o.Changed, unlinked: o.Unlinked, linked: o.NewLinks, linksC: o.Links,
		journal: o.Journal, conflicts: o.Conflicts, dead: o.Dead}); err != nil {
		return err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	seat := in.Seat
	t.saveBraked(row, in)
	if in.Found {
		found := make(map[deliveryKey]bool)
		for _, l := range o.NewLinks {
			if l.State == record.Synced && len(l.Behind) == 0 {
				found[deliveryKey{l.System, l.Entity}] = true
			}
		}
		t.write(func() {
			row.settleDead([]string{"open"}, func(d *deadRow) bool {
				return !d.Inward && d.Op == record.Upsert && found[deliveryKey{d.System, d.Entity}]
			})
		})
	}
	if in.Settle && len(o.Settled) > 0 {
		settled := slices.Clone(o.Settled)
		t.write(func() {
			row.settleDead([]string{"open"}, func(d *deadRow) bool {
				return d.Inward && d.System == seat.System && d.Object == seat.Object && slices.Contains(settled, d.Key)
			})
		})
	}
	for _, a := range in.Attempts {
		t.addAttempt(row, a)
	}
	if err := t.inquire(ctx, row, in.Inquire); err != nil {
		return err
	}
	for _, system := range slices.Sorted(maps.Keys(in.Parked)) {
		if err := t.park(ctx, row, system, seat.Collection.Name, in.Parked[system]); err != nil {
			return err
		}
	}
	for _, system := range slices.Sorted(maps.Keys(in.Owed)) {
		if err := t.owe(ctx, row, system, seat.Collection.Name, in.Owed[system], t.now, t.now); err != nil {
			return err
		}
	}
	if in.Complete {
		t.write(func() {
			for _, id := range sortedIDs(row.entities) {
				e := row.entities[id]
				if e.Collection != seat.Collection.Name || e.DeletedAt != nil || e.Links[seat.System] != nil {
					continue
				}
				if row.deliveries[deliveryKey{seat.System, id}] == nil {
					row.owe(seat.System, e.Collection, id, t.now, t.now)
				}
			}
		})
	}
	if m := in.Move; m != nil {
		position := m.Position
		if err := t.lock(ctx, fmt.Sprintf("cursor %s %s %s", g.Service, m.System, m.Object), true); err != nil {
			return err
		}
		t.write(func() {
			c := row.cursor(m.System, m.Object)
			detection, why := c.Detection, c.Why
			c.Position = position
			c.Cursor = slices.Clone(position.Cursor)
			c.Detection, c.Why, c.failing, c.code = detection, why, false, ""
		})
	}
	c := o.Counts
	own := service.Counts{Read: c.Read, Equal: c.Equal, Conflicts: c.Conflicts, Rejected: c.Rejected}
	if m := in.Move; m != nil {
		own.Done, own.Total = m.Done, m.Total
	}
	if b := in.Beside; b != nil {
		own.Done, own.Total = b.Done, b.Total
		if err := t.SavePlace(ctx, b.Run, b.Place); err != nil {
			return err
		}
	}
	if err := t.count(ctx, row, in.Run, map[record.System]service.Counts{seat.System: own}); err != nil {
		return err
	}
	t.addUsage(in.Usage)
	if t.s.onIntake != nil {
		t.checks = append(t.checks, func() error { return t.s.onIntake(t.tenant, g, in) })
	}
	return t.step(ctx, "intake saved")
}

func (row *serviceRow) cursor(system record.System, object record.Object) *cursorRow {
	k := cursorKey{system, object}
	c := row.cursors[k]
	if c == nil {
		c = &cursorRow{Position: engine.Position{System: system, Object: object, Phase: connector.Snapshot}}
		row.cursors[k] = c
	}
	return c
}

// SaveSettling writes what receipts mean.
func (t *Tx) SaveSettling(ctx context.Context, g engine.Guard, s engine.Settling) error {
	if err := t.step(ctx, "save settling"); err != nil {
		return err
	}
	st := s.Settlement
	if err := t.save(ctx, g.Service, saved{referred: len(s.Seat.Collection.Children) > 0, unlinked: st.Unlinked, linked: st.NewLinks, linksC: st.Links, journal: st.Journal, dead: st.Dead}); err != nil {
		return err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	system, done := s.Seat.System, slices.Clone(st.Done)
	failed := make([]record.EntityID, len(st.Dead))
	for i := range st.Dead {
		failed[i] = st.Dead[i].Entity
	}
	t.write(func() {
		delete(row.attempts, s.Attempt.ID)
		for _, id := range s.Attempt.Entities {
			if !row.underWay(id) { // to another system
				delete(row.looked, id)
			}
		}
		row.settleDead([]string{"open", "redriven"}, func(d *deadRow) bool { return !d.Inward && d.System == system && slices.Contains(done, d.Entity) })
		row.settleDead([]string{"redriven"}, func(d *deadRow) bool { return !d.Inward && d.System == system && slices.Contains(failed, d.Entity) })
	})
	if s.Next != nil {
		t.addAttempt(row, *s.Next)
	}
	if len(st.Loosed) > 0 {
		set := make(map[record.EntityID]bool)
		for _, id := range st.Loosed {
			if d := row.deliveries[deliveryKey{system, id}]; d != nil && d.waits == engine.WaitsReference {
				set[id] = true
			}
		}
		if err := t.lockAll(ctx, "delivery "+string(system)+" ", sortedIDs(set)); err != nil {
			return err
		}
		t.write(func() {
			for id := range set {
				if d := row.deliveries[deliveryKey{system, id}]; d != nil && d.waits == engine.WaitsReference {
					d.due, d.waits, d.waitsFor = t.now, "", record.EntityID{}
				}
			}
		})
	}
	if err := t.oweStill(ctx, row, s.Attempt, st.Waiting, s.RetryAt); err != nil {
		return err
	}
	if err := t.park(ctx, row, system, s.Attempt.Collection, st.Parked); err != nil {
		return err
	}
	counts := service.Counts{Created: st.Created, Updated: st.Updated, Deleted: st.Deleted, Rejected: st.Rejected}
	if err := t.count(ctx, row, s.Run, map[record.System]service.Counts{system: counts}); err != nil {
		return err
	}
	t.addUsage(s.Usage)
	return t.step(ctx, "settling saved")
}

// Recover marks the attempts that a lost process left behind.
func (t *Tx) Recover(ctx context.Context, g engine.Guard) (seats []engine.SeatID, err error) {
	if err := t.Guard(ctx, g); err != nil {
		return nil, err
	}
	return seats, t.read(g.Service, func(row *serviceRow) error {
		for _, id := range row.attemptIDs() {
			a := row.attempts[id]
			if seat := (engine.SeatID{System: a.System, Collection: a.Collection}); !slices.Contains(seats, seat) {
				seats = append(seats, seat)
			}
			t.write(func() {
				if x := row.attempts[id]; x != nil && !x.Lost {
					x.Lost = true
					row.lost[x.System] += len(x.Entities)
				}
			})
		}
		return nil
	})
}

func (row *serviceRow) attemptIDs() []uuid.UUID {
	return slices.SortedFunc(maps.Keys(row.attempts), func(a, b uuid.UUID) int {
		return cmp.Or(row.attempts[a].at.Compare(row.attempts[b].at), slices.Compare(a[:], b[:]))
	})
}

// Doubt returns the oldest attempt of the seat that was cut short.
func (t *Tx) Doubt(ctx context.Context, g engine.Guard, seat *engine.Seat) (out engine.Attempt, found bool, err error) {
	out = engine.Attempt{System: seat.System, Collection: seat.Collection.Name, Lost: true, OwedAt: make(map[record.EntityID]time.Time)}
	if err := t.step(ctx, "doubt"); err != nil {
		return out, false, err
	}
	return out, found, t.read(g.Service, func(row *serviceRow) error {
		for _, id := range row.attemptIDs() {
			a := row.attempts[id]
			if !a.Lost || a.System != seat.System || a.Collection != seat.Collection.Name {
				continue
			}
			out.ID, out.Entities, out.StartedAt = id, slices.Clone(a.Entities), a.at
			for _, e := range a.Entities {
				out.OwedAt[e] = a.since
			}
			found = true
			return nil
		}
		return nil
	})
}

// Past returns how the entities changed since the time, the oldest change first.
func (t *Tx) Past(ctx context.Context, s service.ID, ids []record.EntityID, since time.Time) (map[record.EntityID][]record.Entry, error) {
	if err := t.step(ctx, "past"); err != nil {
		return nil, err
	}
	out := make(map[record.EntityID][]record.Entry)
	return out, t.read(s, func(row *serviceRow) error {
		for _, e := range row.sortedJournal() {
			if e.Kind != record.Delivered && !e.At.Before(since) && slices.Contains(ids, e.Entity) {
				out[e.Entity] = append(out[e.Entity], record.Entry{Entity: e.Entity, At: e.At, Actor: e.Actor, Before: cloneFields(e.Before), After: cloneFields(e.After)})
			}
		}
		return nil
	})
}

func (row *serviceRow) sortedJournal() []record.Entry {
	return slices.SortedStableFunc(slices.Values(row.journal), func(a, b record.Entry) int { return slices.Compare(a.ID[:], b.ID[:]) })
}

// Claim takes due deliveries of the seat and makes them an attempt.
func (t *Tx) Claim(ctx context.Context, g engine.Guard, seat *engine.Seat, id uuid.UUID, limit int) (engine.Attempt, error) {
	a := engine.Attempt{ID: id, System: seat.System, Collection: seat.Collection.Name, Backlog: true, OwedAt: make(map[record.EntityID]time.Time)}
	if err := t.Guard(ctx, g); err != nil {
		return a, err
	}
	var row *serviceRow
	var due []record.EntityID
	err := t.read(g.Service, func(r *serviceRow) error {
		row = r
		set := make(map[record.EntityID]bool)
		for k, d := range r.deliveries {
			if k.system == seat.System && d.collection == seat.Collection.Name && !d.due.After(t.now) {
				set[k.entity] = true
			}
		}
		due = sortedIDs(set)
		due = due[:min(len(due), limit)]
		return nil
	})
	if err != nil || len(due) == 0 {
		return a, err
	}
	if err := t.lockAll(ctx, "delivery "+string(seat.System)+" ", due); err != nil {
		return a, err
	}
	err = t.read(g.Service, func(*serviceRow) error {
		for _, e := range due {
			// Looked at again, now that it is locked.
			if d := row.deliveries[deliveryKey{seat.System, e}]; d != nil && !d.due.After(t.now) {
				a.Entities = append(a.Entities, e)
				a.OwedAt[e] = d.since
			}
		}
		return nil
	})
	if err != nil || len(a.Entities) == 0 {
		return a, err
	}
	taken := slices.Clone(a.Entities)
	t.write(func() {
		for _, e := range taken {
			delete(row.deliveries, deliveryKey{seat.System, e})
		}
	})
	t.addAttempt(row, a)
	return a, nil
}

// Postpone gives an attempt's duties back, or marks it when what it did is unknown.
func (t *Tx) Postpone(ctx context.Context, g engine.Guard, a engine.Attempt, due time.Time, unknown bool) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	if unknown {
		t.write(func() {
			if x := row.attempts[a.ID]; x != nil && !x.Lost {
				x.Lost = true
				row.lost[x.System] += len(x.Entities)
			}
		})
		return nil
	}
	t.write(func() { delete(row.attempts, a.ID) })
	return t.oweStill(ctx, row, a, a.Entities, due)
}

// Owing counts the duties per seat.
func (t *Tx) Owing(ctx context.Context, s service.ID) (map[engine.SeatID]engine.Owing, error) {
	if err := t.step(ctx, "owing"); err != nil {
		return nil, err
	}
	out := make(map[engine.SeatID]engine.Owing)
	return out, t.read(s, func(row *serviceRow) error {
		for k, d := range row.deliveries {
			id := engine.SeatID{System: k.system, Collection: d.collection}
			o := out[id]
			if o.Count == 0 || d.due.Before(o.DueAt) {
				o.DueAt = d.due
			}
			o.Count++
			out[id] = o
		}
		return nil
	})
}

// LinkKeys lists keys of the seat's links that were last in step before the time.
func (t *Tx) LinkKeys(ctx context.Context, s service.ID, seat *engine.Seat, before time.Time, after record.Key, limit int) (keys []record.Key, err error) {
	if err := t.step(ctx, "link keys"); err != nil {
		return nil, err
	}
	return keys, t.read(s, func(row *serviceRow) error {
		for _, e := range row.entities {
			if l := e.Links[seat.System]; l != nil && l.Object == seat.Object && l.Key > after && l.SyncedAt.Before(before) && l.State != record.Frozen {
				keys = append(keys, l.Key)
			}
		}
		slices.Sort(keys)
		keys = keys[:min(len(keys), limit)]
		return nil
	})
}

// Positions reads the cursors of the service.
func (t *Tx) Positions(ctx context.Context, s service.ID) (list []engine.Position, err error) {
	if err := t.step(ctx, "positions"); err != nil {
		return nil, err
	}
	return list, t.read(s, func(row *serviceRow) error {
		for _, c := range row.cursors {
			p := c.Position
			p.Cursor = slices.Clone(p.Cursor)
			list = append(list, p)
		}
		slices.SortFunc(list, func(a, b engine.Position) int {
			return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.Object, b.Object))
		})
		return nil
	})
}

// SavePosition writes the detection in use.
func (t *Tx) SavePosition(ctx context.Context, g engine.Guard, p engine.Position) error {
	if err := t.Guard(ctx, g); err != nil {
		return err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return err
	}
	t.write(func() { c := row.cursor(p.System, p.Object); c.Detection, c.Why = p.Detection, p.Why })
	return nil
}

// NoteTrouble writes that a system fails.
func (t *Tx) NoteTrouble(ctx context.Context, s service.ID, system record.System, object record.Object, code, _ string) error {
	if err := t.step(ctx, "trouble"); err != nil {
		return err
	}
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	t.write(func() {
		noted := false
		for k, c := range row.cursors {
			if k.system == system {
				c.failing, c.code, noted = true, code, true
			}
		}
		if !noted {
			c := row.cursor(system, object)
			c.failing, c.code = true, code
		}
	})
	return nil
}

// NoteLook is for people to see; nothing of the simulation looks at it.
func (t *Tx) NoteLook(ctx context.Context, _ service.ID, _ record.System, _ record.Object, _ time.Duration) error {
	return ctx.Err()
}

// NoteRead says that the object was read to its end.
func (t *Tx) NoteRead(ctx context.Context, s service.ID, system record.System, object record.Object) error {
	if err := t.step(ctx, "read to the end"); err != nil {
		return err
	}
	row, err := t.lockedService(s)
	if err != nil {
		return err
	}
	t.write(func() {
		if c := row.cursors[cursorKey{system, object}]; c != nil {
			c.failing, c.code = false, ""
		}
	})
	return nil
}

// Loadable reads the service and its live revision's document.
func (t *Tx) Loadable(ctx context.Context, s service.ID) (out service.Service, doc *service.Document, err error) {
	if err := t.step(ctx, "loadable"); err != nil {
		return out, nil, err
	}
	return out, doc, t.read(s, func(row *serviceRow) error {
		out = service.Service{ID: s, Name: row.Name, State: row.State, Revision: row.Revision, Realtime: row.Realtime}
		doc = row.docs[row.Revision]
		return nil
	})
}

// NextRun returns the service's oldest run that is not over.
func (t *Tx) NextRun(ctx context.Context, s service.ID) (out service.Run, found bool, err error) {
	if err := t.step(ctx, "next run"); err != nil {
		return out, false, err
	}
	return out, found, t.read(s, func(row *serviceRow) error {
		for _, r := range row.runs {
			if (r.State == service.RunQueued || r.State == service.RunRunning) && !r.Kind.Beside() {
				out, found = *r, true
				out.Counts = maps.Clone(r.Counts)
				return nil
			}
		}
		return nil
	})
}

// MoveRun writes a run's new state.
func (t *Tx) MoveRun(ctx context.Context, r service.Run) error {
	row, err := t.lockedService(r.Service)
	if err != nil {
		return err
	}
	if err := t.lock(ctx, "run "+r.ID.String(), true); err != nil {
		return err
	}
	t.write(func() {
		for _, old := range row.runs {
			if old.ID == r.ID {
				old.State, old.StartedAt, old.FinishedAt, old.ErrorCode, old.Error = r.State, r.StartedAt, r.FinishedAt, r.ErrorCode, r.Error
				old.Version++
			}
		}
	})
	return t.step(ctx, "run moved")
}

// HasDeadLetters says whether there are open inward dead letters, and open outward ones.
func (t *Tx) HasDeadLetters(ctx context.Context, s service.ID) (in, out bool, err error) {
	if err := t.step(ctx, "dead letters"); err != nil {
		return false, false, err
	}
	return in, out, t.read(s, func(row *serviceRow) error {
		in = slices.ContainsFunc(row.dead, func(d *deadRow) bool { return d.Inward && d.state == "open" })
		out = slices.ContainsFunc(row.dead, func(d *deadRow) bool { return !d.Inward && d.state == "open" })
		return nil
	})
}

// Redriven lists inward dead letters that a person wants read again.
func (t *Tx) Redriven(ctx context.Context, s service.ID) (list []engine.Redrive, err error) {
	if err := t.step(ctx, "redriven"); err != nil {
		return nil, err
	}
	return list, t.read(s, func(row *serviceRow) error {
		for _, d := range row.dead {
			if d.Inward && d.state == "redriven" {
				list = append(list, engine.Redrive{ID: d.ID, System: d.System, Object: d.Object, Key: d.Key, Op: d.Op, Payload: d.Payload})
			}
		}
		return nil
	})
}

// SettleRedriven closes those that were read again.
func (t *Tx) SettleRedriven(ctx context.Context, ids []uuid.UUID) error {
	if err := t.step(ctx, "settle redriven"); err != nil {
		return err
	}
	r := t.rows()
	list := slices.Clone(ids)
	t.write(func() {
		for _, row := range r.services {
			row.settleDead([]string{"redriven"}, func(d *deadRow) bool { return slices.Contains(list, d.ID) })
		}
	})
	return nil
}

// Emit tells browsers and programs; nobody listens here.
func (t *Tx) Emit(ctx context.Context, _ string, _ uuid.UUID, _ any) error { return ctx.Err() }

// EmitAll tells nobody, either.
func (t *Tx) EmitAll(ctx context.Context, _ string, _ uuid.UUID, _ []any) error { return ctx.Err() }

// underWay says whether an attempt has the entity.
func (row *serviceRow) underWay(id record.EntityID) bool {
	for _, a := range row.attempts {
		if slices.Contains(a.Entities, id) {
			return true
		}
	}
	return false
}
