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
	System     record.System // whose change it was
	State      ActState
	Fields     record.Fields
	Options    map[string]any
	Other      record.EntityID // the record that this one repeats; zero for other rules
	At         time.Time
	DecidedAt  *time.Time
	DecidedBy  string
	Reason     string
	Version    int64
}

// ActState is where an action stands.
type ActState string

// The states. open -> approved | rejected | lapsed; rejected -> approved.
const (
	ActDone     ActState = "done"     // noted, for people and for what takes it up
	ActOpen     ActState = "open"     // waits for a person
	ActApproved ActState = "approved" // a person said yes
	ActRejected ActState = "rejected" // a person said no: the record is sent nowhere while it meets the rule
	ActLapsed   ActState = "lapsed"   // the record no longer meets the rule
)

// Lapse is that a record no longer meets a rule that made it wait.
type Lapse struct {
	Entity record.EntityID
	Rule   string
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

// act carries out the rules that the record came to meet, or no longer meets, since it was as prior; nil for a new one.
func (b *batch) act(e *record.Entity, c *record.Change) {
	actions := b.seat.Collection.Actions
	if len(actions) == 0 || e.DeletedAt != nil {
		return
	}
	waits, now := false, b.facts(e)
	for i := range actions {
		a := &actions[i]
		if a.Window > 0 {
			b.seen(e, c, a)
			continue
		}
		is, was := a.Holds(now), b.prior != nil && a.Holds(b.prior)
		waits = waits || is && a.Approves() && e.IsHeld(record.Approval)
		switch {
		case is && !was && (a.Source == "" || a.Source == b.seat.System):
			act := b.newAct(e, a)
			if a.Approves() {
				waits = true
				b.hold(e, record.Approval)
			}
			b.out.Acts = append(b.out.Acts, act)
		case was && !is:
			b.out.Lapsed = append(b.out.Lapsed, Lapse{e.ID, a.Rule})
		}
	}
	if !waits && slices.Contains(e.Held, record.Approval) {
		b.release(e, record.Approval)
	}
}

func (b *batch) newAct(e *record.Entity, a *Action) Act {
	act := Act{ID: newID(), Entity: e.ID, Collection: e.Collection, Title: e.MatchKey, Rule: a.Rule, Action: a.Do, System: b.seat.System, State: ActDone,
		Fields: e.Fields.Clone(), Options: a.Options, At: b.now, Version: 1}
	if a.Approves() || a.Do == ActReview {
		act.State = ActOpen
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
