// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Act is that a record came to meet a business rule.
type Act struct {
	ID         uuid.UUID
	Entity     record.EntityID
	Collection string
	Title      string
	Rule       string
	Action     string
	System     record.System // whose change it was; who was written to, where that made the record meet the rule
	Targets    []string      // the systems that the rule names as its target
	State      ActState
	Fields     record.Fields
	Options    map[string]any
	Other      record.EntityID // the record that this one repeats; zero for other rules
	At         time.Time
	TakenAt    *time.Time // since when somebody is at it
	TakenBy    string     // their name
	Taker      string     // their id
	DecidedAt  *time.Time
	DecidedBy  string
	Reason     string
	Reference  string     // what came of it, in the words of who did it: an invoice's number
	LapsedAt   *time.Time // since when the record no longer meets the rule; nil while it does
	Version    int64
}

// ActState is where an action stands.
type ActState string

// The states. open -> approved | rejected | lapsed; rejected -> approved. wanted -> taken | done | lapsed; taken -> wanted | done.
// done -> lapsed where the action is a mark on the record.
const (
	ActWanted   ActState = "wanted"   // waits for who takes it up
	ActTaken    ActState = "taken"    // somebody is at it, and nobody else will be
	ActDone     ActState = "done"     // noted, marked, or done by who took it up
	ActOpen     ActState = "open"     // waits for a person
	ActApproved ActState = "approved" // a person said yes
	ActRejected ActState = "rejected" // a person said no: the record is sent nowhere while it meets the rule
	ActLapsed   ActState = "lapsed"   // the record no longer meets the rule
)

// Acting is an action of a rule whose record has met the rule ever since. While there is one, the rule does not act again.
type Acting struct {
	ID     uuid.UUID
	Entity record.EntityID
	Rule   string
	Action string
}

// Lapse is that a record no longer meets a rule that acted.
type Lapse struct{ Acting }

// EndsWhenLapsed says whether an action in the state is over when its record no longer meets the rule. What a person or a program
// did stays done.
func (s ActState) EndsWhenLapsed(action string) bool {
	return s == ActOpen || s == ActWanted || s == ActDone && action == ActReconciled
}

// Seen is what a duplicate check remembers of a record.
type Seen struct {
	Act    Act // what is noted when another record has the same key within the window; without an id, nothing is
	Key    string
	At     time.Time
	Window time.Duration
}

// compileActions gives the collection the document's rules with actions and duplicate checks.
func compileActions(doc *service.Document, coll *Collection) error {
	for _, r := range doc.BusinessRules {
		if !r.On() || r.Action == "" && r.Window == "" {
			continue
		}
		holds, err := ruleCondition(r)
		if err != nil {
			return err
		}
		if err := coll.matches(r.Condition); err != nil {
			return err
		}
		a := Action{Rule: r.Name, Do: r.Action, Source: record.System(r.Source), Holds: holds, Fields: r.Fields, Options: make(map[string]any)}
		for name, v := range r.With {
			a.Options[name] = v.Value
		}
		a.Targets = slices.Clone(r.Target)
		switch {
		case r.Window != "":
			window, err := service.ParseInterval(r.Window)
			if err != nil {
				return err
			}
			a.Window = window.Duration()
			switch a.Do {
			case "":
				a.Do = ActReview
			case ActQuarantine:
				coll.Repeats = append(coll.Repeats, Repeat{Rule: r.Name, Source: a.Source, Holds: holds, Fields: slices.Clone(r.Fields), Window: a.Window})
				continue
			}
		case a.Do == ActQuarantine:
			coll.quarantine(a)
			continue
		case a.Do == ActSkip:
			admit := coll.Admit
			coll.Admit = func(f record.Fields) bool { return admit(f) && !holds(f) }
			continue
		}
		coll.Actions = append(coll.Actions, a)
	}
	return nil
}

// quarantine makes a record that meets the rule a dead letter.
func (c *Collection) quarantine(a Action) {
	check := c.Check
	c.Check = func(from *Seat, fields record.Fields) error {
		if check != nil {
			if err := check(from, fields); err != nil {
				return err
			}
		}
		if (a.Source == "" || a.Source == from.System) && a.Holds(fields) {
			return &quality.Failure{Rule: a.Rule, Reason: "the business rule keeps such records out"}
		}
		return nil
	}
}

// matches finds the fields that names such as amounts_match and customer_match ask about: amount and customerId.
func (c *Collection) matches(condition string) error {
	if condition == "" {
		return nil
	}
	p, err := expression.Compile(condition)
	if err != nil {
		return err // was found before
	}
	var fields []string
	for _, s := range c.Seats {
		fields = append(fields, s.Map.Fields()...)
	}
	slices.Sort(fields)
	for _, name := range p.Names() {
		word, ok := strings.CutSuffix(name, "_match")
		if !ok || slices.Contains(fields, name) {
			continue
		}
		word = foldWord(word)
		best := ""
		for _, f := range fields {
			switch folded := foldWord(f); {
			case folded == word, folded+"s" == word:
				best = f
			case best == "" && strings.HasPrefix(folded, strings.TrimSuffix(word, "s")):
				best = f
			}
		}
		if best == "" {
			continue
		}
		if c.Matches == nil {
			c.Matches = make(map[string]string)
		}
		c.Matches[name] = best
	}
	return nil
}

func foldWord(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// facts are the entity's fields with what rules may ask besides: <field>_match says that at least two systems hold the record,
// and that all of them that have the field hold the same.
func (b *batch) facts(e *record.Entity) record.Fields {
	coll := b.seat.Collection
	if len(coll.Matches) == 0 {
		return e.Fields
	}
	fields := e.Fields.Clone()
	for name, f := range coll.Matches {
		holders, same := 0, e.Fields[f] != nil
		for _, l := range e.Links {
			if seat := coll.Seats[l.System]; seat != nil && seat.Map.Has(f) {
				holders++
				_, behind := l.Behind[f]
				same = same && !behind
			}
		}
		fields[name] = same && holders > 1
	}
	return fields
}

// act carries out the rules that the record came to meet, and ends what rules did that it no longer meets. A rule acts once for
// as long as the record meets it: what it did is known, so it does not matter how often the record is seen, or that the
// document changed meanwhile.
func (b *batch) act(e *record.Entity, c *record.Change) {
	actions := b.seat.Collection.Actions
	if len(actions) == 0 && len(b.acting[e.ID]) == 0 && !slices.Contains(e.Held, record.Approval) {
		return
	}
	if e.DeletedAt != nil {
		b.lapse(e, func(Acting) bool { return true })
		return
	}
	waits, now := false, b.facts(e)
	b.lapse(e, func(x Acting) bool {
		a := b.seat.Collection.action(x.Rule)
		return a == nil || a.Do != x.Action || !a.Holds(now)
	})
	for i := range actions {
		a := &actions[i]
		if a.Window > 0 {
			b.seen(e, c, a)
			continue
		}
		is := a.Holds(now)
		waits = waits || is && a.Approves() && e.IsHeld(record.Approval)
		if !is || b.acts(e, a.Rule) || a.Source != "" && a.Source != b.seat.System {
			continue
		}
		if a.Approves() {
			waits = true
			b.hold(e, record.Approval)
		}
		b.begin(e, a)
	}
	if !waits && slices.Contains(e.Held, record.Approval) {
		b.release(e, record.Approval)
	}
}

// acts says whether the rule acted and the record has met it ever since.
func (b *batch) acts(e *record.Entity, rule string) bool {
	return slices.ContainsFunc(b.acting[e.ID], func(x Acting) bool { return x.Rule == rule })
}

// begin lets the rule act.
func (b *batch) begin(e *record.Entity, a *Action) {
	act := b.newAct(e, a)
	b.out.Acts = append(b.out.Acts, act)
	if b.acting == nil {
		b.acting = make(map[record.EntityID][]Acting)
	}
	b.acting[e.ID] = append(b.acting[e.ID], Acting{ID: act.ID, Entity: e.ID, Rule: a.Rule, Action: a.Do})
	if a.Do == ActReconciled {
		b.marked(e, record.Reconciled, act.ID, a.Rule)
	}
}

// lapse ends those of the record's actions that are over. One that began in this page is stored as it ended.
func (b *batch) lapse(e *record.Entity, over func(Acting) bool) {
	if len(b.acting[e.ID]) == 0 {
		return
	}
	b.acting[e.ID] = slices.DeleteFunc(b.acting[e.ID], func(x Acting) bool {
		if !over(x) {
			return false
		}
		if x.Action == ActReconciled {
			b.marked(e, record.Unreconciled, x.ID, x.Rule)
		}
		for i := range b.out.Acts {
			if a := &b.out.Acts[i]; a.ID == x.ID {
				a.LapsedAt = &b.now
				if a.State.EndsWhenLapsed(a.Action) {
					a.State, a.DecidedAt = ActLapsed, &b.now
				}
				return true
			}
		}
		b.out.Lapsed = append(b.out.Lapsed, Lapse{x})
		return true
	})
}

// marked notes in the history what a rule marks.
func (b *batch) marked(e *record.Entity, op record.JournalOp, act uuid.UUID, rule string) {
	b.out.Journal = append(b.out.Journal, record.Entry{ID: newID(), Entity: e.ID, At: b.now, Kind: record.Decided, Op: op, System: b.seat.System, Actor: ByRule(rule), Cause: act})
}

// ActsOnSettled are the rules that records came to meet, or no longer meet, because a system was written to: that two systems
// agree is true only then. Approval is not asked for what is sent already. It is a function of its arguments; the entities are
// as they are after the write, with all their links.
func ActsOnSettled(seat *Seat, entities []*record.Entity, acting []Acting, now time.Time) Outcome {
	b := newBatch(seat, Loaded{Acting: acting}, now, uuid.Nil)
	for _, e := range entities {
		if e.DeletedAt != nil {
			b.lapse(e, func(Acting) bool { return true })
			continue
		}
		now := b.facts(e)
		for i := range seat.Collection.Actions {
			a := &seat.Collection.Actions[i]
			if a.Window == 0 && a.Source == "" && !a.Approves() && !b.acts(e, a.Rule) && a.Holds(now) {
				b.begin(e, a)
			}
		}
		b.lapse(e, func(x Acting) bool {
			a := seat.Collection.action(x.Rule)
			return a != nil && !a.Approves() && !a.Holds(now)
		})
	}
	return b.out
}

// acts says whether any rule acts for as long as a record meets it.
func (c *Collection) acts() bool {
	return slices.ContainsFunc(c.Actions, func(a Action) bool { return a.Window == 0 })
}

func (c *Collection) action(rule string) *Action {
	for i := range c.Actions {
		if a := &c.Actions[i]; a.Rule == rule && a.Window == 0 {
			return a
		}
	}
	return nil
}

func (b *batch) newAct(e *record.Entity, a *Action) Act {
	act := Act{ID: newID(), Entity: e.ID, Collection: e.Collection, Title: e.MatchKey, Rule: a.Rule, Action: a.Do, System: b.seat.System, Targets: a.Targets, State: ActDone,
		Fields: e.Fields.Clone(), Options: a.Options, At: b.now, Version: 1}
	switch {
	case a.Approves(), a.Do == ActReview:
		act.State = ActOpen
	case a.Do == ActInvoice:
		act.State = ActWanted
	}
	return act
}

// seen remembers the record for a duplicate check, when it is new or one of the fields compared changed.
func (b *batch) seen(e *record.Entity, c *record.Change, a *Action) {
	if a.Source != "" && a.Source != b.seat.System || !a.Holds(e.Fields) {
		return
	}
	var parts []string
	changed := b.prior == nil
	for _, f := range a.Fields {
		v := e.Fields[f]
		if v == nil {
			return // what is not there repeats nothing
		}
		changed = changed || !record.Equal(v, b.prior[f])
		parts = append(parts, string(record.AppendJSON(nil, v)))
	}
	if !changed {
		return
	}
	b.out.Seen = append(b.out.Seen, Seen{Act: b.newAct(e, a), Key: shortKey(strings.Join(parts, "\x1f")), At: b.at(c), Window: a.Window})
}
