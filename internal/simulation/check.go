// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// checkIntake checks the commit of a page before it counts; the store's lock is held.
func (r *Run) checkIntake(t tenant.ID, g engine.Guard, in engine.Intake) error {
	fail := func(format string, args ...any) error {
		err := fmt.Errorf(format, args...)
		r.broken = errors.Join(r.broken, err)
		return err
	}
	r.noteGone(t, g, in)
	if err := r.checkEchoes(g, in); err != nil {
		return fail("%w", err)
	}
	if err := r.checkBeside(g, in); err != nil {
		return fail("%w", err)
	}
	o := in.Outcome
	if n := int64(len(o.Settled)+len(o.Dead)) + o.Counts.Held; o.Counts.Read > 0 && n != o.Counts.Read || int64(len(o.Dead)) != o.Counts.Rejected {
		return fail("invariant 2: of %d changes %d were settled, %d are dead letters and %d are held", o.Counts.Read, len(o.Settled), len(o.Dead), o.Counts.Held)
	}
	if in.Move == nil {
		return nil
	}
	for _, c := range r.customers {
		if c.service != g.Service {
			continue
		}
		if c.tenant != t {
			return fail("invariant 7: a commit for %s in the wrong tenant", c.name)
		}
		for _, s := range c.systems {
			if s.id != in.Move.System {
				continue
			}
			consumer := c.service.Consumer(string(s.id))
			if !s.covers(consumer, string(in.Move.Cursor), int(o.Counts.Read), func(from string) bool {
				return from == "" || c.committed[string(s.id)+from]
			}, 0) {
				return fail("invariant 1: the cursor of %s moves to %s with %d changes, which are not what lies between", s.name, in.Move.Cursor, o.Counts.Read)
			}
			c.committed[string(s.id)+string(in.Move.Cursor)] = true
		}
	}
	return nil
}

// checkEchoes sees that no name is said to have been changed in a system where nobody ever wrote it: what came back is what was sent.
func (r *Run) checkEchoes(g engine.Guard, in engine.Intake) error {
	for _, c := range r.customers {
		if c.service != g.Service || c.isVague("name") {
			continue
		}
		for i := range in.Outcome.Journal {
			e := &in.Outcome.Journal[i]
			name, ok := e.After["name"].(string)
			if !ok || e.Kind != record.Changed || e.Op != record.Updated || e.System != in.Seat.System || c.wrote[string(e.System)+" "+strings.ToUpper(name)] {
				continue
			}
			return fmt.Errorf("invariant 5: %s of %s is said to have been changed to %s, and nobody wrote that there", e.Entity, e.System, name)
		}
	}
	return nil
}

// isVague says whether a system with forms of its own was sent something of which it is unknown whether it arrived.
func (c *customer) isVague(field string) bool {
	return slices.ContainsFunc(c.systems, func(o *outside) bool { return !o.recalls && o.norm[field] != nil })
}

// checkTwice sees that no record is made in a system for something of which one that was made there before still is.
func (r *Run) checkTwice(c *customer, o *outside, writes []connector.Write, receipts []connector.Receipt) {
	for i := range min(len(writes), len(receipts)) {
		if !writes[i].Create || writes[i].Op != record.Upsert || receipts[i].Outcome != connector.Applied {
			continue
		}
		at, key := string(o.id)+" "+writes[i].ID.String(), receipts[i].Key
		if before, there := c.madeThere[at]; there && before != key && o.user.Get(before) != nil {
			r.broken = fmt.Errorf("invariant 4: %s was made %s for what it has as %s", o.name, key, before)
		}
		c.madeThere[at] = key
	}
}

// covers says whether a page of n changes led to the cursor from one that was committed; pages in which nothing was lie
// between.
func (o *outside) covers(consumer, to string, n int, committed func(string) bool, depth int) bool {
	o.mu.Lock()
	pages := slices.Clone(o.pages[consumer+to])
	o.mu.Unlock()
	for _, p := range pages {
		if p.n == n && (committed(p.from) || depth < 100 && p.from != to && o.covers(consumer, p.from, 0, committed, depth+1)) {
			return true
		}
	}
	return false
}

// check says what is not as it must be, now that everything is at rest.
func (r *Run) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, c := range r.customers {
		r.checkCustomer(c, fault)
	}
	if len(faults) > 12 {
		faults = append(faults[:12], fmt.Errorf("and %d more", len(faults)-12))
	}
	return errors.Join(faults...)
}

func (r *Run) checkCustomer(c *customer, fault func(string, ...any)) {
	row := r.row(c)
	plan, err := c.plan()
	if err != nil {
		fault("%s: %v", c.name, err)
		return
	}
	full := c.direction != "unidirectional"
	var guessed, written int64 // guessed: writes of which only values could tell whether they had arrived
	for _, o := range c.systems {
		if o.broken != nil {
			fault("%w", o.broken)
		}
		if !o.recalls || o.forgot.Load() {
			guessed += int64(row.lost[o.id])
		}
		written += o.user.Writes()
		if row.lost[o.id] > 0 && (!o.recalls || o.forgot.Load()) {
			for f := range o.norm {
				c.vague[f] = true
			}
		}
	}
	c.checkMoney(r, row, written, guessed, fault)

	openFields := make(map[record.EntityID]map[string]bool)
	for _, cf := range row.conflicts {
		if !cf.Open {
			continue
		}
		if openFields[cf.Entity] == nil {
			openFields[cf.Entity] = make(map[string]bool)
		}
		openFields[cf.Entity][cf.Field] = true
		if e := row.entities[cf.Entity]; e == nil || !slices.Contains(e.Held, cf.Field) {
			fault("a conflict about %q is open, and the field is not held", cf.Field)
		}
	}
	deadOut := make(map[deliveryKey]bool)
	deadIn := make(map[linkKey]bool)
	for _, d := range row.dead {
		if d.state == "open" && d.Inward {
			deadIn[linkKey{d.System, d.Object, d.Key}] = true
		} else if d.state == "open" {
			deadOut[deliveryKey{d.System, d.Entity}] = true
		}
	}
	matches := make(map[string]record.EntityID)
	double := make(map[string]bool) // people made two records of one product in one system
	for _, o := range c.systems {
		seen := make(map[string]bool)
		for _, f := range o.user.All() {
			double[skuOf(f)] = double[skuOf(f)] || seen[skuOf(f)]
			seen[skuOf(f)] = true
		}
	}
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		if e.DeletedAt == nil && e.MatchKey != "" {
			if _, twice := matches[e.MatchKey]; twice && !double[skuOf(e.Fields)] {
				fault("invariant 4: %s is there twice", e.MatchKey)
			}
			matches[e.MatchKey] = id
		}
		for _, f := range e.Held {
			if !openFields[id][f] {
				fault("%s: %q is held, and no conflict says why", e.MatchKey, f)
			}
		}
		for i, o := range c.systems {
			seat := plan.Collections[0].Seats[o.id]
			if l := e.Links[o.id]; l != nil && row.isHeld(o, l.Key) {
				continue
			}
			c.checkCopy(row, e, seat, o, i, full, openFields[id], deadOut[deliveryKey{o.id, id}], fault)
		}
	}
	for _, o := range c.systems {
		all := o.user.All()
		for _, k := range sortedRecordKeys(all) {
			lk := linkKey{o.id, o.object, k}
			_, linked := row.keys[lk]
			if seat := plan.Collections[0].Seats[o.id]; !linked && !deadIn[lk] && seat.Reads && !row.isHeld(o, k) {
				fault("invariant 2: %s holds %s %s, of which nothing is known", o.name, k, show(all[k]))
			}
			name, _ := all[k]["name"].(string)
			if name != "" && !strings.HasPrefix(strings.ToLower(name), c.name+"-") {
				fault("invariant 7: %s holds %s", o.name, name)
			}
			if name != "" && !c.written[strings.ToUpper(name)] {
				fault("%s holds %s, which nobody ever wrote", o.name, name)
			}
		}
	}
	c.checkSeen(row, plan, fault)
	c.checkTogether(r, row, fault)
	if c.tree != "" {
		c.checkTree(row, deadOut, openFields, fault)
		c.checkNames(row, fault)
	}
	if c.register != nil {
		r.checkLookups(c, row, deadOut, openFields, fault)
	}
	if c.mixed != nil {
		c.checkEqual(row, plan, fault)
	}
	c.checkFills(fault)
	r.checkProof(c, fault)
	c.checkHolds(row, fault)
	if c.apart {
		c.checkWishes(row, plan, deadOut, deadIn, fault)
	}
}

// isHeld says whether the brake holds a change of the record, and a person is asked.
func (row *serviceRow) isHeld(o *outside, key record.Key) bool {
	return row.held[heldKey{o.id, o.object, key}] != nil
}

// plan compiles the customer's document as the engine does.
func (c *customer) plan() (*engine.Plan, error) {
	opened := make(map[record.System]engine.Opened)
	for _, o := range c.systems {
		s, err := o.place.open(context.Background(), nil, "check")
		if err != nil {
			return nil, err
		}
		infos, err := s.(connector.Discoverer).Describe(context.Background(), o.object)
		if err != nil {
			return nil, err
		}
		_ = s.Close()
		opened[o.id] = engine.Opened{System: s, Spec: o.place.Spec(), Objects: infos}
	}
	return engine.Compile(c.doc, opened)
}

// checkMoney: each write is in the journal once and metered once (invariants 4 and 6).
func (c *customer) checkMoney(r *Run, row *serviceRow, written, guessed int64, fault func(string, ...any)) {
	var journal, metered, born, alive int64
	for _, e := range row.journal {
		if e.Kind == record.Delivered {
			journal++
		}
	}
	for _, u := range r.store.tenants[c.tenant].usage {
		if u.Service != [16]byte(c.service) {
			continue
		}
		switch u.Meter {
		case billing.SyncOperations:
			metered += u.Quantity
		case billing.Records:
			born += u.Quantity
		}
	}
	for _, e := range row.entities {
		if e.DeletedAt == nil {
			alive++
		}
	}
	if metered != journal {
		fault("invariant 6: %s: %d operations are metered, %d are in the journal", c.name, metered, journal)
	}
	if journal < written-guessed || journal > written+guessed {
		fault("invariants 4 and 6: %s: %d records were written, %d are in the journal", c.name, written, journal)
	}
	if born != alive {
		fault("invariant 6: %s: %d entities are metered as living, %d live", c.name, born, alive)
	}
}

// checkCopy compares an entity's record in a system with what is known of it (invariant 8).
func (c *customer) checkCopy(row *serviceRow, e *record.Entity, seat *engine.Seat, o *outside, _ int, full bool, open map[string]bool, dead bool, fault func(string, ...any)) {
	l := e.Links[o.id]
	if engine.Owes(e, seat) && !dead && !open[record.WholeRecord] {
		fault("invariant 8: %s is to be brought up to date with %s %s, nothing is under way, and nothing says why", o.name, e.MatchKey, show(e.Fields))
		return
	}
	if l == nil || l.State == record.Frozen || dead || open[record.WholeRecord] || !seat.Reads && !c.apart {
		return
	}
	held := o.user.Get(l.Key)
	if held == nil {
		if seat.Reads {
			fault("invariant 2: %s does not hold %s, which its link says it does", o.name, l.Key)
		}
		return
	}
	if o.kind != nil && o.kind.raw != nil {
		held = o.kind.raw(held)
	}
	in, err := seat.Map.In(held)
	if err != nil {
		fault("%s %s: %v", o.name, l.Key, err)
		return
	}
	for _, f := range seat.Map.Fields() {
		if info, _ := seat.Info.Field(f); info.Generated || c.vague[f] {
			continue // made by the system, and seen only when it tells of it
		}
		v, shadow := in[f], l.Shadow(e, f)
		if f == "parent" {
			v = row.reference(o, v, shadow)
		}
		if !record.Equal(v, shadow) {
			fault("invariant 2: %s holds %s.%s = %v, and it is taken to hold %v (the entity has %v)", o.name, l.Key, f, v, shadow, e.Fields[f])
			continue
		}
		if !full || e.DeletedAt != nil || open[f] {
			continue
		}
		if _, behind := l.Behind[f]; behind && seat.Map.Writable(f) {
			fault("invariant 8: %s holds %s.%s = %v, the entity %v, and nothing says why", o.name, l.Key, f, v, e.Fields[f])
		}
		if own, there := l.OwnForm[f]; there && (o.norm[f] == nil || !record.Equal(own, o.norm[f](e.Fields[f]))) {
			fault("invariant 8: %v passes for the form that %s has of %v", own, o.name, e.Fields[f])
		}
	}
	if len(e.Held) == 0 && l.State != record.Synced && e.DeletedAt == nil && seat.Writes { // what is only read stays behind an edit through the API
		fault("the link of %s to %s is %s", e.MatchKey, o.name, l.State)
	}
}

// checkSeen: what somebody wrote last into a record is known, also where another system's value won: it came in, or it is a side of a
// conflict, or a dead letter or a hold has it. A write that did not look first would leave no trace of it.
func (c *customer) checkSeen(row *serviceRow, plan *engine.Plan, fault func(string, ...any)) {
	seen := make(map[string]bool)
	see := func(v record.Value) {
		if s, ok := v.(string); ok {
			seen[strings.ToUpper(s)] = true
		}
	}
	for _, e := range row.journal {
		if e.Kind != record.Delivered { // that it was sent does not tell where it came from
			see(e.Before["name"])
			see(e.After["name"])
		}
	}
	whole := make(map[string]bool) // one deleted it, another changed it: the conflict tells of it, without values
	for _, cf := range row.conflicts {
		for _, s := range cf.Sides {
			see(s.Value)
		}
		if e := row.entities[cf.Entity]; e != nil && cf.Field == record.WholeRecord {
			whole[skuOf(e.Fields)] = true
		}
	}
	for _, d := range row.dead {
		see(d.Payload["name"])
	}
	for _, h := range row.held {
		see(h.Fields["name"])
	}
	for _, e := range row.entities {
		for _, l := range e.Links { // while a person decides about the whole record
			see(l.Behind["name"])
		}
	}
	for _, o := range c.systems {
		if !plan.Collections[0].Seats[o.id].Reads {
			continue
		}
		all := o.user.All()
		for _, k := range sortedRecordKeys(all) {
			if name := c.names[o.name+" "+string(k)]; name != "" && !whole[skuOf(all[k])] && !seen[strings.ToUpper(name)] && !c.asked[strings.ToUpper(name)] && !c.vague["name"] {
				fault("invariant 2: %s was written into %s %s, and nothing tells of it", name, o.name, k)
			}
		}
	}
}

// checkWishes: where one system alone edits a record, everybody must hold what was edited last, and nothing is in conflict.
func (c *customer) checkWishes(row *serviceRow, plan *engine.Plan, deadOut map[deliveryKey]bool, deadIn map[linkKey]bool, fault func(string, ...any)) {
	for _, sku := range sortedKeys(c.last) {
		w := c.last[sku]
		if deadIn[linkKey{w.owner.id, w.owner.object, w.key}] || row.isHeld(w.owner, w.key) {
			continue
		}
		id, linked := row.keys[linkKey{w.owner.id, w.owner.object, w.key}]
		if w.deleted && len(c.vague) > 0 {
			continue // a form that passes for an edit may have brought it back
		}
		if w.deleted {
			if w.owner.user.Get(w.key) != nil {
				fault("%s was deleted in %s and is there again", sku, w.owner.name)
			}
			for _, o := range c.systems {
				if c.deletes != "propagate" {
					break
				}
				for k, f := range o.user.All() {
					if skuOf(f) == sku && (o == w.owner || plan.Collections[0].Seats[o.id].Writes) {
						if id, ok := row.keys[linkKey{o.id, o.object, k}]; ok && !deadOut[deliveryKey{o.id, id}] {
							fault("invariant 2: %s was deleted in %s, and %s still has it", sku, w.owner.name, o.name)
						}
					}
				}
			}
			continue
		}
		own := w.owner.user.Get(w.key)
		if own == nil {
			fault("invariant 2: %s is gone from %s, where alone it was edited", sku, w.owner.name)
			continue
		}
		if !linked {
			fault("invariant 2: nothing is known of %s in %s", sku, w.owner.name)
			continue
		}
		e := row.entities[id]
		for _, field := range []string{"name", "quantity", "price"} {
			want := w.fields[field]
			if c.vague[field] {
				continue
			}
			if !record.Equal(own[field], want) {
				fault("invariant 2: %s.%s was set to %v in %s, where alone it was edited, and has become %v", sku, field, want, w.owner.name, own[field])
			}
			for _, o := range c.systems {
				l := e.Links[o.id]
				if o == w.owner || l == nil || l.State == record.Frozen || deadOut[deliveryKey{o.id, id}] {
					continue
				}
				there := want
				if norm := o.norm[field]; norm != nil {
					there = norm(want)
				}
				if got := o.user.Get(l.Key)[field]; !record.Equal(got, there) {
					fault("invariant 2: %s.%s was set to %v in %s, and %s has %v", sku, field, want, w.owner.name, o.name, got)
				}
			}
		}
	}
	for _, cf := range row.conflicts {
		if e := row.entities[cf.Entity]; e != nil && len(c.vague) == 0 {
			fault("a conflict about %s.%q, which was edited in one system alone: %v", e.MatchKey, cf.Field, cf.Sides)
		}
	}
}

func sortedRecordKeys(m map[record.Key]record.Fields) []record.Key {
	keys := make([]record.Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
