// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// freeze is somebody who freezes a record that is not on its way to anywhere, or thaws one. From then on no write of it may reach a
// system; see Run.checkWrites.
func (r *Run) freeze(c *customer, thaw bool) {
	row := r.row(c)
	var among []*record.Entity
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		_, locked := r.store.locks["entity "+id.String()]
		if e.DeletedAt == nil && !locked && !thaw && !row.looked[id] && !e.IsFrozen() || thaw && !locked && e.IsFrozen() {
			among = append(among, e)
		}
	}
	if len(among) == 0 {
		return
	}
	before := pick(r.rng, among...)
	e := cloneEntity(before)
	r.store.serial++
	e.Row = uint64(r.store.serial)
	e.Version++
	entry := record.Entry{ID: r.uuid(), Entity: e.ID, At: time.Now(), Kind: record.Decided, System: record.Person, Actor: "somebody"}
	if thaw {
		entry.Op = record.Thawed
		e.Held = slices.DeleteFunc(e.Held, func(f string) bool { return f == record.Ice })
		for _, l := range e.Links {
			if l.State == record.Synced && (len(l.Behind) > 0 || e.DeletedAt != nil) {
				l.State = record.Pending
			}
		}
		for _, id := range c.doc.Receiving()[e.Collection] {
			row.owe(record.System(id), e.Collection, e.ID, time.Now(), time.Now())
		}
	} else {
		entry.Op = record.Froze
		e.Held = append(e.Held, record.Ice)
	}
	row.entities[e.ID] = e
	row.journal = append(row.journal, entry)
	r.tell("%s: %s %s", c.name, entry.Op, e.MatchKey)
	r.wakeAll(c.service)
}

// thawAll ends all freezes: what came in meanwhile must arrive everywhere.
func (r *Run) thawAll(c *customer) {
	row := r.row(c)
	frozen := func() bool {
		for e := range maps.Values(row.entities) {
			if e.IsFrozen() {
				return true
			}
		}
		return false
	}
	for range 1000 {
		if !frozen() {
			return
		}
		r.freeze(c, true)
		r.gate.until(time.Now().Add(10*time.Millisecond), nil)
	}
}

// checkWrites looks at a batch that reaches a system: nothing of it may be frozen.
func (r *Run) checkWrites(c *customer, o *outside, writes []connector.Write) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	row := r.row(c)
	for i := range writes {
		if e := row.entities[writes[i].ID]; e != nil && e.IsFrozen() {
			r.broken = fmt.Errorf("%s was written %s %s, which is frozen", o.name, e.MatchKey, show(writes[i].Fields))
		}
	}
}
