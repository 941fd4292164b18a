// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// Customers with a lookup service that knows who made their products, and what some of them cost. It says "slow down", fails,
// answers and is not heard, is late, refuses questions, does not know, and changes its mind.

const registerName = "register"

var registered = connector.ObjectInfo{
	Name: "register",
	Fields: []connector.FieldInfo{
		{Name: "code", Type: connector.TypeText},
		{Name: "maker", Type: connector.TypeText, Nullable: true},
		{Name: "price", Type: connector.TypeNumber, Nullable: true, Scale: -1},
	},
	Key: []string{"code"},
}

// withMaker is the object with a field that only the register fills.
func withMaker(info connector.ObjectInfo) connector.ObjectInfo {
	info.Fields = append(info.Fields[:len(info.Fields):len(info.Fields)], connector.FieldInfo{Name: "maker", Type: connector.TypeText, Nullable: true})
	return info
}

// register is a customer's lookup service.
type register struct {
	gate   *Gate
	name   string // unique in the run
	memory *connectortest.Memory
	user   connectortest.User
	rng    *rand.Rand
	said   map[string]bool // by code and value, what it ever knew
	maxAge time.Duration   // how long an answer holds; 0 for ever
	limit  int64           // lookups in an hour; 0 for any number
	prices bool            // it fills prices, too
	every  bool            // it is asked about changed records, too

	// Of thousand calls.
	failing, refusing, unheard, slow int
	answered                         int64 // questions that it gave an answer to
	lost                             int64 // and of which it was not heard
	filled                           int64 // records, as the store was told
	broken                           error
}

// refused says whether it will not take questions about the code.
func refused(code string) bool { return len(code) > 0 && code[len(code)-1] == '4' }

// addRegister gives the customer a lookup service and says what its document says of it.
func (r *Run) addRegister(c *customer, own *rand.Rand, at int) string {
	m := connectortest.NewMemory(registered)
	s := &register{gate: r.gate, name: fmt.Sprintf("%s%d/%s", c.name, at, registerName), memory: m, user: m.User(registered.Name), rng: own, said: make(map[string]bool), prices: !c.apart, every: own.IntN(2) == 0}
	for n := range 40 {
		if n%7 != 3 { // the others it does not know
			s.learn(fmt.Sprintf("%sP%d", c.name, n))
		}
	}
	trouble := func(most int) int { return own.IntN(2) * own.IntN(most) }
	s.failing, s.refusing, s.unheard, s.slow = trouble(100), trouble(150), trouble(150), trouble(300)
	rest, fill := "", "maker: maker"
	switch own.IntN(3) {
	case 0:
		s.maxAge = 3 * time.Minute
		rest += ", maxAge: 3m"
	case 1:
		s.limit = 1 + own.Int64N(12)
		rest += fmt.Sprintf(", limit: %d, per: hour", s.limit)
	}
	if s.prices {
		fill += ", price: price"
	}
	c.register = s
	return fmt.Sprintf(", enrichment: {onNewContact: true, onUpdate: %v, sources: [{id: %s, type: memory, object: %s, ask: {code: sku}, fill: {%s}%s}]}", s.every, registerName, registered.Name, fill, rest)
}

// learn makes it know something, or something else.
func (s *register) learn(code string) {
	maker, price := fmt.Sprintf("maker %d of %s", s.rng.IntN(5), code), record.Int(1000+s.rng.Int64N(50))
	s.said[code+" "+maker], s.said[code+" "+string(price)] = true, true
	s.user.Put(record.Key(code), record.Fields{"code": code, "maker": maker, "price": price})
}

// change is what happens to what it knows, now and then.
func (s *register) change() {
	if s.rng.IntN(6) == 0 {
		s.learn(string(pick(s.rng, sortedRecordKeys(s.user.All())...)))
	}
}

// askedSystem is it as a process sees it.
type askedSystem struct {
	connector.System
	of   *register
	line *line
}

func (s *register) open(ctx context.Context, l *line, consumer string) (connector.System, connector.Spec, error) {
	if l.killed() {
		return nil, connector.Spec{}, context.Canceled
	}
	inner, err := s.memory.Open(ctx, connector.Settings{}, connector.Env{Consumer: consumer})
	return askedSystem{inner, s, l}, s.memory.Spec(), err
}

func (a askedSystem) Objects(ctx context.Context) ([]record.Object, error) {
	return a.System.(connector.Discoverer).Objects(ctx)
}

func (a askedSystem) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	return a.System.(connector.Discoverer).Describe(ctx, objects...)
}

// Find answers questions.
func (a askedSystem) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	s, who := a.of, a.line.name+" "+a.of.name
	trouble := func(class connector.Class, after time.Duration) error {
		return &connector.Error{Class: class, Code: "memory.planted", Message: "The register does not want to.", After: after}
	}
	s.gate.Step(who, "ask")
	late := s.gate.chance(s.slow)
	if late && s.gate.chance(500) {
		s.gate.sleep(ctx, who, time.Duration(1+s.gate.intN(3000))*time.Millisecond)
		late = false
	}
	switch {
	case a.line.killed():
		return nil, context.Canceled
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.gate.chance(s.refusing):
		return nil, trouble(connector.SlowDown, time.Duration(1+s.gate.intN(20))*time.Second)
	case s.gate.chance(s.failing):
		return nil, trouble(connector.Retry, 0)
	}
	for _, q := range queries {
		if refused(record.Text(q["code"])) {
			return nil, &connector.Error{Class: connector.Reject, Code: "memory.refused", Message: "It does not say anything about these."}
		}
	}
	found, err := a.System.(connector.Finder).Find(ctx, object, fields, queries)
	if err != nil {
		return nil, err
	}
	s.answered += int64(len(queries))
	s.gate.Note("%s answers %d questions", s.name, len(queries))
	if late { // the answer is on its way for some time
		s.gate.sleep(ctx, who, time.Duration(1+s.gate.intN(5000))*time.Millisecond)
	}
	s.gate.Step(who, "has answered")
	switch {
	case a.line.killed():
		err = context.Canceled
	case ctx.Err() != nil:
		err = ctx.Err()
	case s.gate.chance(s.unheard):
		err = trouble(connector.Retry, 0)
	}
	if err != nil {
		s.lost += int64(len(queries))
		return nil, err
	}
	return found, nil
}

// heard is told of each answer that is kept: while one holds, the same is not asked, and paid for, again.
func (s *register) heard(r engine.LookupRow, before *lookupRow, now time.Time) {
	if r.Outcome == engine.LookupFilled {
		s.filled++
	}
	if before.askedAt == nil || before.question != r.Question {
		return
	}
	if s.maxAge == 0 || now.Before(before.askedAt.Add(s.maxAge)) {
		s.broken = fmt.Errorf("invariant 6: %s is asked the same of %s at %v and at %v", s.name, r.Entity, before.askedAt, now)
	}
}

// due says whether something was never asked that may be, whatever clock looks: what is frozen is looked at an hour later.
func (s *register) due(row *serviceRow, now time.Time) bool {
	if s.limit > 0 { // then it may be next hour's
		return false
	}
	for _, q := range row.lookups {
		if q.due != nil && q.outcome == "" && q.due.Before(now.Add(20*time.Minute)) {
			return true
		}
	}
	return false
}

// checkLookups: what was charged is what was filled; what is counted is what was asked, but for what nobody heard of; what stands in
// a record was said by somebody; and what is known of a record that lacks it was asked for.
func (r *Run) checkLookups(c *customer, row *serviceRow, dead map[deliveryKey]bool, open map[record.EntityID]map[string]bool, fault func(string, ...any)) {
	s := c.register
	if s.broken != nil {
		fault("%w", s.broken)
	}
	var charged, counted, filled, said int64
	for _, u := range r.store.tenants[c.tenant].usage {
		if u.Service == [16]byte(c.service) && u.Meter == billing.Enrichments {
			charged += u.Quantity
		}
	}
	for k, p := range row.periods {
		if counted, filled = counted+p.Asked, filled+p.Filled; s.limit > 0 && p.Asked > s.limit {
			fault("%s was asked %d times in the hour from %v, %d are allowed", s.name, p.Asked, k.since, s.limit)
		}
	}
	for _, e := range row.journal {
		if e.System == registerName {
			said++
		}
	}
	if charged != s.filled || filled != s.filled || said != s.filled {
		fault("invariant 6: %s filled %d records, %d are charged, %d counted, %d in the journal", s.name, s.filled, charged, filled, said)
	}
	if counted < s.answered-s.lost {
		fault("invariant 6: %s gave %d answers, of which %d were not heard, and %d are counted", s.name, s.answered, s.lost, counted)
	}
	known := s.user.All()
	for _, id := range sortedIDs(row.entities) {
		e := row.entities[id]
		code := skuOf(e.Fields)
		for _, f := range []string{"maker", "price"} {
			v := record.Text(e.Fields[f])
			people := f == "price" && (len(v) < 4 || strings.Contains(v, ".")) // they write less than 50
			if v != "" && !people && !s.said[code+" "+v] {
				fault("%s.%s is %v, which %s never said", code, f, v, s.name)
			}
		}
		q := row.lookups[lookupKey{registerName, id}]
		if e.DeletedAt != nil || e.IsMerged() || e.IsFrozen() || s.limit > 0 || e.Fields["maker"] != nil || code == "" || known[record.Key(code)] == nil || refused(code) || open[id] != nil {
			continue
		}
		switch {
		case q != nil && q.outcome == "" && q.due != nil: // it was frozen when it should be asked about
		case q == nil:
			fault("%s was to be asked about %s, and was not", s.name, code)
		case q.outcome == engine.LookupUnasked && !s.every && row.wasDeleted(id): // it was gone when its turn came, and is not new since
		case q.outcome != engine.LookupFilled && q.outcome != engine.LookupNothing:
			fault("%s knows %s, and what came of asking is %q", s.name, code, q.outcome)
		case row.lastOfJournal(id, "maker") != nil: // what a system said later, nothing too, goes before an answer
			fault("%s said who makes %s, and the record does not", s.name, code)
		}
	}
}

// wasDeleted says whether the record was ever deleted.
func (row *serviceRow) wasDeleted(id record.EntityID) bool {
	return slices.ContainsFunc(row.journal, func(e record.Entry) bool { return e.Entity == id && e.Op == record.Deleted })
}

// lastOfJournal is what the history says that the field became last.
func (row *serviceRow) lastOfJournal(id record.EntityID, field string) (last record.Value) {
	for _, e := range row.journal {
		if v, there := e.After[field]; e.Entity == id && (there || e.Op == record.Created) {
			last = v
		}
	}
	return last
}
