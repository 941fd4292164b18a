// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Customers whose service mixes five kinds of systems: PostgreSQL, MongoDB, a Google Sheet, a CSV file in S3 and a topic of Kafka. What
// each is and can is the connector's own word (Spec), and what can run without a network is the connector's own code:
//
//	sheet      connector/sheet, positional, over a grid in which people sort, move and insert rows, also in the instant between
//	           our looking and our writing; a quota by the minute
//	bucket     connector/filestore over objects with ETags
//	topic      connector/kafka over a log with two partitions, transactions, tombstones and compaction
//	documents  connector/sheet, told by a change stream whose token can be lost, over an in-memory collection
//	database   an in-memory table: batches are one transaction and are remembered
//
// A call of such a connector is several to its place, and each of them meets trouble of its own: between any two of them the process
// may die, be refused, or not hear the answer.

// kind is how a system of a mixed service differs from an in-memory one.
type kind struct {
	able      func(base) connector.System // with what the connector of this kind can, and nothing else
	detection string                      // in place of what the system says; "" for that
	raw       func(record.Fields) record.Fields
}

// seam is the way of a connector's call to its place.
type seam struct {
	o *outside
	l *line // nil is somebody who looks, without trouble
}

// call is what every call meets on its way there.
func (s seam) call(ctx context.Context, what string) error {
	if s.l == nil {
		return ctx.Err()
	}
	return s.o.call(ctx, s.l, what)
}

// changed is the way back of a call that changed something: it may not be heard.
func (s seam) changed(ctx context.Context) error {
	if s.l == nil {
		return ctx.Err()
	}
	s.o.gate.Step(s.l.name+" "+s.o.name, "has changed")
	switch {
	case s.l.killed():
		return context.Canceled
	case ctx.Err() != nil:
		return ctx.Err()
	case s.o.gate.chance(s.o.unheard):
		return s.o.trouble(connector.Retry, 0)
	}
	return nil
}

// chance is true in n of thousand cases, for those who work.
func (s seam) chance(perMille int) bool { return s.l != nil && s.o.gate.chance(perMille) }

// The systems of a mixed service by their names.
const (
	inDatabase  = "crm"
	inDocuments = "docs"
	inSheet     = "team"
	inBucket    = "bucket"
	inTopic     = "log"
)

// isMixed says whether the seed has a mixed service beside its others: by numbers of its own, so that other seeds stay as they were.
func isMixed(seed uint64) bool { return rand.New(rand.NewPCG(seed, 0x5ee75)).IntN(12) == 0 }

// newMixed makes a scenario with a mixed service and nothing else.
func newMixed(seed uint64, r *Run) {
	r.addMixed(tenant.ID(r.uuid()), "m", rand.New(rand.NewPCG(seed, 0x3171ed)))
}

// addMixed adds such a customer; all of it is drawn from own.
func (r *Run) addMixed(t tenant.ID, tag string, own *rand.Rand) {
	c := newCustomer(t, service.ID(r.uuid()), tag)
	c.mixed = own
	c.direction = pick(own, "multi-directional", "multi-directional", "multi-directional", "unidirectional")
	c.strategy = pick(own, "lastWriteWins", "lastWriteWins", "firstWriteWins", "sourceWins", inSheet+"-wins", "weighted", "merge", "manual",
		"{strategy: fieldPriority, priority: ["+inTopic+", "+inDatabase+"]}")
	c.deletes = pick(own, "propagate", "propagate", "propagate", "ignore")
	c.apart = own.IntN(2) == 0
	c.realtime = own.IntN(4) > 0
	frequency, quiet := "realtime", pick(own, "", "", "", ", quietPeriod: 2s")
	if !c.realtime {
		frequency = "1m"
	}
	c.chooseLevel(own, quiet)
	var b strings.Builder
	fmt.Fprintf(&b, "service: mixed%d\ndirection: %s\nsystems:\n", len(r.customers), c.direction)
	for i, id := range []string{inDatabase, inDocuments, inSheet, inBucket, inTopic} {
		o := r.newKind(fmt.Sprintf("%s%d/%s", tag, len(r.customers), id), id, own)
		r.trouble(o, own)
		r.listen(c, o)
		if s, ok := o.place.(*spreadsheet); ok {
			took := o.took
			o.took = func(writes []connector.Write, receipts []connector.Receipt) {
				s.took(receipts)
				took(writes, receipts)
			}
			s.onHit = func(name string) { c.wrote[string(o.id)+" "+strings.ToUpper(name)] = true }
		}
		c.systems = append(c.systems, o)
		fmt.Fprintf(&b, "  - {id: %s, type: %s, weight: %d, objects: [{name: %s, mapping: product}]}\n", id, o.place.Spec().Type, i%3+1, o.object)
	}
	brake := pick(own, "", "", "", ", safetyThreshold: {maxDeletes: 1}", ", safetyThreshold: {maxChanges: 3, maxDeletes: 0}")
	fmt.Fprintf(&b, "fieldMapping: {sku: sku, name: name, quantity: quantity, price: price}\nsyncConfig: {frequency: %s, batchSize: %d, deletes: %s, conflictResolution: %s, matchFields: [sku]%s%s, consistency: %s}\n",
		frequency, pick(own, 10, 50, 500), c.deletes, c.strategy, quiet, brake, c.level)
	c.text = b.String()
	var err error
	if c.doc, err = service.Parse([]byte(c.text), service.YAML); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, c.text))
	}
	r.begin(c)
	for range 2 + own.IntN(12) {
		r.edit(c)
	}
}

// newKind makes one of the five systems.
func (r *Run) newKind(name, id string, own *rand.Rand) *outside {
	switch id {
	case inDatabase:
		return newDatabase(r.gate, name, id)
	case inDocuments:
		return newDocuments(r.gate, name, id)
	case inSheet:
		return newSheet(r.gate, name, id, own)
	case inBucket:
		return newBucket(r.gate, name, id, own)
	}
	return newTopic(r.gate, name, id, own)
}

// trouble gives a system of a mixed service its troubles: less of each than an in-memory one, since a call is many.
func (r *Run) trouble(o *outside, own *rand.Rand) {
	if own.IntN(2) == 0 && o.memory != nil {
		skew := time.Duration(own.Int64N(int64(2*r.skew)+1)) - r.skew
		o.clock = func() time.Time { return time.Now().Add(skew).UTC().Truncate(time.Millisecond) }
		o.memory.SetClock(o.clock)
	}
	trouble := func(most int) int { return own.IntN(2) * own.IntN(most) }
	o.pageLimit = pick(own, 2, 7, 1000)
	o.failing, o.unheard, o.refusing, o.slow = trouble(30), trouble(40), trouble(20), trouble(60)
	o.losing, o.late, o.doubling = trouble(300), trouble(300), trouble(300)
}

// others is what people do in a mixed service's systems beside editing records.
func (r *Run) others(c *customer) {
	if c.mixed == nil || c.mixed.IntN(4) > 0 {
		return
	}
	for _, o := range c.systems {
		if p, ok := o.place.(interface{ others() string }); ok && c.mixed.IntN(3) == 0 {
			if what := p.others(); what != "" {
				r.tell("%s: %s", o.name, what)
			}
		}
	}
}

// toHeal has mixed services compared once at the end, before they are looked at. Where a system is seen by comparing it with what was
// there before, a process that dies takes with it what it had just written there: that somebody undid it at once is then found only so.
func (r *Run) toHeal() (asked bool) {
	for _, c := range r.customers {
		row := r.row(c)
		if c.mixed == nil || c.healed || row.proof == nil {
			continue
		}
		at := time.Now().Add(-r.skew) // before the comparison begins, whatever clock that is by
		c.healed, asked = true, true
		row.proof.AskedAt, row.proof.AskedBy = &at, "somebody"
		r.tell("%s: equality is to be proven", c.name)
		r.wakeAll(c.service)
	}
	return asked
}

// checkEqual: all systems hold the same, but for what the document excludes and what a person was told of.
func (c *customer) checkEqual(row *serviceRow, plan *engine.Plan, fault func(string, ...any)) {
	if c.direction == "unidirectional" {
		return // what people write into a system that is only written to stays there
	}
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		if e.DeletedAt != nil || row.excused(e) != "" || c.deletes != "propagate" && len(e.Links) < len(c.systems) {
			continue
		}
		if differs := c.differs(row, e, plan); differs != "" {
			fault("invariant 8: %s %s is not equal everywhere, and nothing says why: %s", e.MatchKey, show(e.Fields), differs)
		}
	}
}
