// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// awaited is an edit through the API whose answer waits until all systems have it.
type awaited struct {
	entity  record.EntityID
	sku     string
	version int64
	name    string
	at      time.Time
}

// chooseLevel gives the customer a level of consistency that the rest of its document allows.
func (c *customer) chooseLevel(g *rand.Rand, quiet string) {
	c.level = service.Eventual
	switch n := g.IntN(6); {
	case n < 2 && c.realtime && quiet == "" && c.direction != "unidirectional" && c.deletes == "propagate":
		c.level, c.apart = service.Transactional, false // who edits alone does not decide alone
	case n == 2 && c.realtime && quiet == "":
		c.level = service.Strong
	case n == 3:
		c.level = service.Causal
	}
}

// change is an edit through the API, in a moment when nobody is at work on the record.
func (r *Run) change(c *customer) {
	row := r.row(c)
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	var among []*record.Entity
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		if _, locked := r.store.locks["entity "+id.String()]; !locked && e.DeletedAt == nil && len(e.Held) == 0 && len(e.Links) > 0 {
			among = append(among, e)
		}
	}
	if len(among) == 0 {
		return
	}
	e := cloneEntity(pick(r.rng, among...))
	c.words++
	name := fmt.Sprintf("%s-%s-%d", c.name, pick(r.rng, "larch", "bad"), c.words)
	c.written[strings.ToUpper(name)] = true
	r.store.serial++
	e.Row = uint64(r.store.serial)
	entry := record.Entry{ID: r.uuid(), Entity: e.ID, At: time.Now(), Kind: record.Decided, Op: record.Updated, System: record.Person, Actor: "somebody",
		Before: record.Fields{"name": e.Fields["name"]}, After: record.Fields{"name": name}}
	for _, l := range e.Links {
		if l.Holds("name", l.Shadow(e, "name"), name, false); l.State == record.Synced {
			l.State = record.Pending
		}
	}
	e.Fields["name"] = name
	if e.Stamps == nil {
		e.Stamps = make(map[string]record.Stamp)
	}
	e.Stamps["name"] = record.Stamp{System: record.Person, At: time.Now()}
	e.ChangedAt = time.Now()
	e.Version++
	row.entities[e.ID] = e
	row.journal = append(row.journal, entry)
	for _, id := range c.doc.Receiving()[e.Collection] {
		row.owe(record.System(id), e.Collection, e.ID, time.Now(), time.Now())
	}
	c.waiting = append(c.waiting, &awaited{e.ID, skuOf(e.Fields), e.Version, name, time.Now()})
	r.tell("%s: the name of %s is set to %s through the API", c.name, e.MatchKey, name)
	r.wakeAll(c.service)
}

// answer looks at the edits whose answers wait. What is answered with "everybody has it" everybody must have, unless people wrote the
// record since: strong consistency.
func (r *Run) answer(c *customer) {
	row := r.row(c)
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	kept := c.waiting[:0]
	for _, w := range c.waiting {
		e := row.entities[w.entity]
		if e == nil || e.DeletedAt != nil || !c.touched[w.sku].Before(w.at) || !record.Equal(e.Fields["name"], w.name) {
			continue // it is something else by now
		}
		d := engine.Detail{Entity: e, Owed: make(map[record.System]time.Time)}
		for k, owed := range row.deliveries {
			if k.entity == w.entity {
				d.Owed[k.system] = owed.since
			}
		}
		for _, a := range row.attempts {
			if slices.Contains(a.Entities, w.entity) {
				d.Owed[a.System] = a.at
			}
		}
		for _, cf := range row.conflicts {
			if cf.Open && cf.Entity == w.entity {
				d.Conflicts = append(d.Conflicts, cf)
			}
		}
		if !d.Settled(c.doc) {
			kept = append(kept, w)
			continue
		}
		taking := c.doc.Receiving()[e.Collection]
		for _, o := range c.systems {
			l := e.Links[o.id]
			if l == nil || l.State == record.Frozen || c.vague["name"] || row.lost[o.id] > 0 || o.user.Get(l.Key) == nil {
				continue
			}
			want := record.Value(w.name)
			if norm := o.norm["name"]; norm != nil {
				want = norm(want)
			}
			if got := o.user.Get(l.Key)["name"]; !record.Equal(got, want) && slices.Contains(taking, string(o.id)) {
				r.broken = fmt.Errorf("strong: %s is answered to be %s everywhere, and %s holds %v", w.sku, w.name, o.name, got)
			}
		}
	}
	c.waiting = kept
}

// checkOrder sees that no older state of a record is written into a system after a newer one: where one system alone edits a record, the
// numbers of its names only rise. It is called with what a system took.
func (r *Run) checkOrder(c *customer, o *outside, writes []connector.Write, receipts []connector.Receipt) {
	if !c.apart {
		return
	}
	for i := range min(len(writes), len(receipts)) {
		name, _ := writes[i].Fields["name"].(string)
		parts := strings.Split(name, "-")
		n, err := strconv.Atoi(parts[len(parts)-1])
		if err != nil || receipts[i].Outcome != connector.Applied {
			continue
		}
		at := string(o.id) + " " + writes[i].ID.String()
		if n < c.upTo[at] {
			r.broken = fmt.Errorf("invariant 3: %s takes %s after number %d of the same record", o.name, name, c.upTo[at])
		}
		c.upTo[at] = n
	}
}

// refusedInTurn says whether all that the system is behind in got its values by compensations.
func (row *serviceRow) refusedInTurn(e *record.Entity, system record.System) bool {
	l := e.Links[system]
	if l == nil || len(l.Behind) == 0 {
		return false
	}
	last := make(map[string]record.Entry)
	for _, entry := range row.sortedJournal() { // ids of different processes are in no order
		if entry.Entity == e.ID && entry.Kind != record.Delivered {
			for name := range entry.After {
				if !entry.At.Before(last[name].At) {
					last[name] = entry
				}
			}
		}
	}
	for name := range l.Behind {
		if last[name].Actor != engine.ByCompensation {
			return false
		}
	}
	return true
}

// checkTogether: what one system refused none keeps. Every refusal was compensated, in one commit with its entry in the audit log, unless
// the record waits for a person, or what it refused was set back because another system refused what it holds itself.
func (c *customer) checkTogether(r *Run, row *serviceRow, fault func(string, ...any)) {
	if c.level != service.Transactional {
		return
	}
	compensated := 0
	for _, e := range row.journal {
		if e.Actor == engine.ByCompensation {
			compensated++
		}
	}
	audited := 0
	for _, subject := range r.store.tenants[c.tenant].audited {
		if id, err := ident.Parse(ident.Entity, subject); err == nil && row.entities[record.EntityID(id)] != nil {
			audited++
		}
	}
	if compensated != audited {
		fault("transactional: %d compensations are in the journal, %d in the audit log", compensated, audited)
	}
	for _, d := range row.dead {
		if e := row.entities[d.Entity]; !d.Inward && d.state == "open" && e != nil && len(e.Held) == 0 && !row.waits(e) && !d.waits() && !row.refusedInTurn(e, d.System) {
			fault("transactional: %s refused %s (%s), and it was not set back", d.System, e.MatchKey, d.Message)
		}
	}
}

// waits says whether a change of one of the entity's records is held by the brake.
func (row *serviceRow) waits(e *record.Entity) bool {
	for _, l := range e.Links {
		if row.held[heldKey{l.System, l.Object, l.Key}] != nil {
			return true
		}
	}
	return false
}
