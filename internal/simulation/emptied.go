// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// emptied is what a system lost of which nobody said that it was deleted.
type emptied struct {
	gone   map[record.Key]bool // and to which nobody said yes
	more   bool                // there were other records when it was read
	passed int                 // so many were taken for deleted unasked
}

// unasked is how many missing records the brake lets go without asking where the document says nothing.
const unasked = 10

// emptyOut takes all records of a system away, or most of them, and its places with them. Once in a system: what was lost the second
// time would add to what somebody was asked the first.
func (r *Run) emptyOut(c *customer) {
	o := pick(r.rng, c.sources()...)
	all := o.user.All()
	if !c.empties || o.emptied != nil || len(all) == 0 {
		return
	}
	e := &emptied{gone: make(map[record.Key]bool)}
	o.emptied = e
	spared := 0
	if r.rng.IntN(3) == 0 {
		spared = r.rng.IntN(1 + len(all)/3)
	}
	e.more = spared > 0
	for _, k := range sortedRecordKeys(all)[spared:] {
		e.gone[k] = true
		delete(c.names, o.name+" "+string(k))
		c.touched[skuOf(all[k])] = time.Now()
		for _, f := range c.fills {
			delete(f.want, placeOf{o.id, k})
		}
		o.user.Tamper(k, nil)
	}
	o.place.LosePlaces(o.object)
	r.tell("%s: %d of %d records are gone, and nobody deleted them", o.name, len(e.gone), len(all))
}

// filled says that there is a record in the system that was not there before.
func (o *outside) filled() {
	if o.emptied != nil {
		o.emptied.more = true
	}
}

// follow follows what the engine does in the system.
func (c *customer) follow(o *outside, writes []connector.Write, receipts []connector.Receipt) {
	for i := range min(len(writes), len(receipts)) {
		switch {
		case receipts[i].Outcome != connector.Applied:
		case writes[i].Op == record.Delete:
			c.left(o, writes[i].Key)
		default:
			o.filled()
		}
	}
}

// agreed is somebody's yes to a deletion.
func (c *customer) agreed(system record.System, key record.Key) {
	for _, o := range c.systems {
		if o.id == system && o.emptied != nil {
			delete(o.emptied.gone, key)
		}
	}
}

// noteGone counts what of an emptied system's records is taken for deleted without anybody's yes: no more than the document, or the
// brake by itself, allows, and never the last that was known when nothing was left in it. The store's lock is held.
func (r *Run) noteGone(t tenant.ID, g engine.Guard, in engine.Intake) {
	for _, c := range r.customers {
		if c.service != g.Service || c.tenant != t {
			continue
		}
		i := slices.IndexFunc(c.systems, func(o *outside) bool { return o.id == in.Seat.System })
		if i < 0 {
			return // answers of a lookup service
		}
		o := c.systems[i]
		if o.emptied == nil {
			return
		}
		most := unasked
		if s := c.doc.SyncConfig.SafetyThreshold; s != nil && s.MaxDeletes != nil {
			most = *s.MaxDeletes
		}
		row := r.row(c)
		for _, e := range in.Outcome.Changed {
			before := row.entities[e.ID]
			if e.DeletedAt == nil || before == nil || before.DeletedAt != nil || before.Links[o.id] == nil || !o.emptied.gone[before.Links[o.id].Key] {
				continue
			}
			if o.emptied.passed++; o.emptied.passed > most || !o.emptied.more && row.lastOf(o, in.Outcome) {
				r.broken = fmt.Errorf("brake: %s lost its records, and %s is taken for deleted, the %dth, and nobody was asked", o.name, before.MatchKey, o.emptied.passed)
			}
		}
	}
}

// lastOf says whether no record of the system is known any more after the commit.
func (row *serviceRow) lastOf(o *outside, out engine.Outcome) bool {
	left := 0
	for _, e := range row.entities {
		if l := e.Links[o.id]; l != nil && l.Object == o.object && l.State != record.Frozen {
			left++
		}
	}
	for i := range out.Unlinked {
		if out.Unlinked[i].System == o.id {
			left--
		}
	}
	return left <= 0
}

// checkHolds: what was decided was carried out, and nothing waits for a reading to end.
func (c *customer) checkHolds(row *serviceRow, fault func(string, ...any)) {
	for _, h := range row.holds {
		switch h.State {
		case engine.HoldReleased, engine.HoldRejected:
			fault("brake: the hold of %s in %s is %s, and %d changes are still held", h.Kind, h.System, h.State, len(row.heldBy(h.ID)))
		case engine.HoldGathering:
			fault("brake: the hold of %s in %s still gathers, and the reading is over", h.Kind, h.System)
		case engine.HoldOpen:
			if len(row.heldBy(h.ID)) == 0 {
				fault("brake: somebody is asked about %s in %s, and nothing is held", h.Kind, h.System)
			}
		}
	}
}
