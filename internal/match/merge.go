// SPDX-License-Identifier: Apache-2.0

package match

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// Strategy says which of several records of one thing stays, and whose values it gets.
type Strategy string

// The strategies. Whichever record stays, what it lacks is completed from the others.
const (
	MostComplete   Strategy = "most-complete"                // the one with the most values
	MostRecent     Strategy = "most-recent"                  // the one changed last; of each field the value written last
	RecentComplete Strategy = "most-recent-with-most-fields" // the one with the most values, of these the one changed last
	Oldest         Strategy = "oldest"                       // the one made first
	Primary        Strategy = "primary"                      // the one of the primary system, else of the others in the document's order
	ByHand         Strategy = "manual"                       // a person chooses; otherwise as most-complete
)

// Strategies are all of them.
var Strategies = []Strategy{MostComplete, MostRecent, RecentComplete, Oldest, Primary, ByHand}

// Choice is how records of one thing become one.
type Choice struct {
	Strategy Strategy
	Fields   map[string]Strategy // of single fields, where another one decides
	Rank     func(record.System) int
	Survivor record.EntityID // a person's choice; zero to let the strategy choose
}

// Merged is the one record that is made of several.
type Merged struct {
	Survivor *record.Entity
	Losers   []*record.Entity           // by id
	Fields   record.Fields              // what the survivor holds then
	From     map[string]record.EntityID // who gave each of its values
}

// Merge makes one record of several. It invents no value: each is one of theirs. It is the same in whichever order they come.
func Merge(list []*record.Entity, c Choice) Merged {
	order := c.order(list, c.Strategy)
	m := Merged{Survivor: order[0], Fields: make(record.Fields), From: make(map[string]record.EntityID)}
	for _, e := range list {
		if e.ID == c.Survivor {
			m.Survivor = e
		}
	}
	for _, e := range list {
		if e != m.Survivor {
			m.Losers = append(m.Losers, e)
		}
	}
	slices.SortFunc(m.Losers, func(a, b *record.Entity) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	names := make(map[string]bool)
	for _, e := range list {
		for f := range e.Fields {
			names[f] = true
		}
	}
	// Who stays says first what it is, then the others in the strategy's order.
	usual := append([]*record.Entity{m.Survivor}, slices.DeleteFunc(slices.Clone(order), func(e *record.Entity) bool { return e == m.Survivor })...)
	for f := range names {
		givers := usual
		own, named := c.Fields[f]
		switch {
		case named && own == MostRecent, !named && c.Strategy == MostRecent && c.Survivor.IsZero():
			givers = byStamp(list, f)
		case named:
			givers = c.order(list, own)
		}
		var from *record.Entity
		for _, e := range givers {
			if v, has := e.Fields[f]; has && (from == nil || !empty(v)) {
				if from == nil || empty(from.Fields[f]) {
					from = e
				}
				if !empty(v) {
					break
				}
			}
		}
		m.Fields[f], m.From[f] = from.Fields[f], from.ID
	}
	return m
}

// order puts the records in the strategy's order, the best first. Ids decide where nothing else does.
func (c *Choice) order(list []*record.Entity, s Strategy) []*record.Entity {
	values := func(e *record.Entity) (n int) {
		for _, v := range e.Fields {
			if !empty(v) {
				n++
			}
		}
		return n
	}
	rank := func(e *record.Entity) int {
		best := 1 << 30
		if c.Rank == nil {
			return best
		}
		for system := range e.Links {
			best = min(best, c.Rank(system))
		}
		return best
	}
	return slices.SortedFunc(slices.Values(list), func(a, b *record.Entity) int {
		complete, recent, older := cmp.Compare(values(b), values(a)), b.ChangedAt.Compare(a.ChangedAt), a.CreatedAt.Compare(b.CreatedAt)
		id := bytes.Compare(a.ID[:], b.ID[:])
		switch s {
		case MostRecent:
			return cmp.Or(recent, complete, older, id)
		case RecentComplete:
			return cmp.Or(complete, recent, older, id)
		case Oldest:
			return cmp.Or(older, complete, recent, id)
		case Primary:
			return cmp.Or(cmp.Compare(rank(a), rank(b)), complete, recent, id)
		}
		return cmp.Or(complete, older, recent, id)
	})
}

// byStamp puts the records in the order in which the field was written, the latest first.
func byStamp(list []*record.Entity, field string) []*record.Entity {
	at := func(e *record.Entity) time.Time { return e.StampOf(field).At }
	return slices.SortedFunc(slices.Values(list), func(a, b *record.Entity) int {
		return cmp.Or(at(b).Compare(at(a)), bytes.Compare(a.ID[:], b.ID[:]))
	})
}
