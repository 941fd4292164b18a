// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// drift is a change that was planted without a trace, for the prover to find.
type drift struct {
	system record.System
	key    record.Key
	entity record.EntityID
	at     time.Time // on the clock of whoever's is slowest
}

// toProve are the steps at the end of a run with a prover: first drift is planted and found, then all must be equal.
func (r *Run) toProve() bool {
	asked := false
	for _, c := range r.customers {
		if !c.proves || c.asks == 2 {
			continue
		}
		row := r.row(c)
		if row.proof == nil {
			continue // nobody ever carried it
		}
		if c.asks++; c.asks == 1 {
			row.proof.ever = nil
			r.plant(c)
		}
		asked = true
		at := time.Now().Add(-r.skew) // before the comparison begins, whatever clock that is by
		row.proof.AskedAt, row.proof.AskedBy = &at, "somebody"
		r.tell("%s: equality is to be proven", c.name)
		r.wakeAll(c.service)
	}
	return asked
}

// plant changes records of which nothing is under way, or takes one away.
func (r *Run) plant(c *customer) {
	row := r.row(c)
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		o := pick(r.rng, c.sources()...)
		l := e.Links[o.id]
		if len(c.planted) == 2 || l == nil || e.DeletedAt != nil || row.excused(e) != "" || r.rng.IntN(2) == 0 {
			continue
		}
		before := o.user.Get(l.Key)
		w := c.last[skuOf(before)]
		switch {
		case before == nil, c.apart && (w == nil || w.owner != o):
			continue
		case !c.apart && c.deletes == "propagate" && r.rng.IntN(4) == 0:
			c.left(o, l.Key)
			delete(c.names, o.name+" "+string(l.Key))
			o.user.Tamper(l.Key, nil)
		default:
			o.user.Tamper(l.Key, record.Fields{"quantity": record.Int(r.rng.Int64N(900))})
			if c.apart {
				w.fields = o.user.Get(l.Key)
			}
		}
		if now := o.user.Get(l.Key); now != nil && record.Equal(now["quantity"], before["quantity"]) {
			continue
		}
		c.planted = append(c.planted, drift{o.id, l.Key, id, time.Now().Add(-r.skew)})
		r.tell("%s: %s becomes %s, and nobody is told", o.name, l.Key, show(o.user.Get(l.Key)))
	}
}

// excused says why the systems may hold something else than the entity; "" when there is no reason.
func (row *serviceRow) excused(e *record.Entity) string {
	if len(e.Held) > 0 {
		return "something of it is held for a decision"
	}
	for _, d := range row.dead {
		if d.state != "settled" && d.Entity == e.ID {
			return "it was refused"
		}
	}
	for _, l := range e.Links {
		if l.State == record.Frozen || row.held[heldKey{l.System, l.Object, l.Key}] != nil {
			return "its record is frozen or held"
		}
		for _, d := range row.dead {
			if d.Inward && d.state != "settled" && d.System == l.System && d.Object == l.Object && d.Key == l.Key {
				return "its record was not understood"
			}
		}
	}
	return ""
}

// checkProof holds what the prover says to what is there: it counts the living, names all that differs and nothing that is equal, and
// what was planted it found and healed: one that was cut short between the two finds nothing any more, and the history tells of it.
func (r *Run) checkProof(c *customer, fault func(string, ...any)) {
	row := r.row(c)
	if c.asks == 0 {
		return
	}
	if row.proof == nil || row.proof.Result == nil {
		fault("proof: %s was asked whether all is equal, and has no answer", c.name)
		return
	}
	res := row.proof.Result
	found := row.proof.differences[res.Pass]
	if !res.Proven() {
		fault("proof: a system of %s could not be read, and none failed", c.name)
	}
	if c.asks == 1 {
		for _, p := range c.planted {
			healed := slices.ContainsFunc(row.journal, func(e record.Entry) bool {
				// It may also be deleted with a parent before the comparison comes to it.
				return (e.Actor == record.ByProof || e.Op == record.Deleted && e.Kind != record.Delivered) && e.Entity == p.entity && e.At.After(p.at)
			})
			if !healed && !slices.ContainsFunc(row.proof.ever, func(d engine.Difference) bool {
				return d.System == p.system && d.Key == p.key && (d.Reason == engine.ByDrift && d.Healed || d.Reason == engine.ByHold)
			}) {
				fault("proof: %s %s was changed without a trace, and the comparison did not find it", p.system, p.key)
			}
		}
		return
	}
	named, oneWay := make(map[record.EntityID]bool), make(map[record.EntityID]bool)
	for _, d := range found {
		if d.Reason == engine.ByDirection { // a form of its own, or what somebody wrote into a system that is only written to
			oneWay[d.Entity] = true
			for _, f := range d.Fields {
				if _, shared := products.Field(f); !shared && (c.register == nil || f != "maker") && (c.tree == "" || f != "parent") {
					fault("proof: %s %s is said to differ in %s, which no other system has", d.System, d.Key, f)
				}
			}
		}
		if d.Reason == engine.ByDrift {
			fault("proof: %s %s is found to be drift, and nobody touched it", d.System, d.Key)
		}
		named[d.Entity] = true
	}
	plan, err := c.plan()
	if err != nil {
		fault("%s: %v", c.name, err)
		return
	}
	var alive, equal int64
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		if e.DeletedAt != nil {
			continue
		}
		if alive++; !named[id] {
			equal++
		}
		differs := c.differs(row, e, plan)
		switch {
		case differs != "" && !named[id]:
			fault("proof: %s is said to be equal, and %s", e.MatchKey, differs)
		case differs == "" && named[id] && !oneWay[id] && row.excused(e) == "" && len(c.vague) == 0:
			fault("proof: %s is said to differ, and is equal", e.MatchKey)
		}
	}
	if res.Total != alive || res.Equal != equal {
		fault("proof: it says %d of %d are equal, and %d of %d are", res.Equal, res.Total, equal, alive)
	}
}

// differs says what one of the systems holds that is not what the entity says; "" for nothing.
func (c *customer) differs(row *serviceRow, e *record.Entity, plan *engine.Plan) string {
	for _, o := range c.systems {
		seat := plan.Collections[0].Seats[o.id]
		l := e.Links[o.id]
		switch {
		case l == nil && seat.Writes:
			return string(o.id) + " has no record of it"
		case l == nil:
			continue
		}
		there := o.user.Get(l.Key)
		if there == nil {
			return string(o.id) + " does not hold " + string(l.Key)
		}
		if v := row.reference(o, there["parent"], l.Shadow(e, "parent")); c.tree != "" && !record.Equal(v, e.Fields["parent"]) {
			return string(o.id) + " refers to another record"
		}
		for _, f := range []string{"sku", "name", "quantity", "price"} {
			want := e.Fields[f]
			if norm := o.norm[f]; norm != nil {
				want = norm(want)
			}
			if !seat.Reads && cutOff(there[f], e.Fields[f]) {
				continue // nobody can tell that from a form of the system's
			}
			if !record.Equal(there[f], want) && !record.Equal(there[f], e.Fields[f]) {
				return string(o.id) + " holds another " + f
			}
		}
	}
	return ""
}

// cutOff says whether one text is the beginning of the other.
func cutOff(v, of record.Value) bool {
	text, ok := v.(string)
	whole, also := of.(string)
	return ok && also && text != "" && strings.HasPrefix(strings.ToLower(whole), strings.ToLower(text))
}
