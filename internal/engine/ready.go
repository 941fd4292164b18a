// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// What a flow knows without asking the database: that a collection was empty when one system's reading began, and how an
// attempt's entities are while it waits for its turn.

// wanted are the keys by which a page's records are looked up. While the first system is read into an empty collection there
// is nothing to be found: a reading that shows no record twice needs no look at all. The collection's commit lock is held.
func (l *lane) wanted(mapped []Mapped, anew bool) (keys []record.Key, matchKeys []string) {
	if len(mapped) == 0 {
		return nil, nil
	}
	once, ok := l.Open.(connector.OnceReader)
	fresh := anew && ok && l.alone() && once.ReadsOnce(l.Object)
	for i := range mapped {
		if !fresh {
			break
		}
		m := &mapped[i]
		// Where the match key is the record's own key no other record of the system can have the same.
		fresh = m.Op == record.Upsert && m.Err == nil && (m.MatchKey == "" || m.MatchKey == string(m.Key))
	}
	if fresh {
		return nil, nil
	}
	l.flow.sole[l.Collection.Name] = mixed
	keys, matchKeys = make([]record.Key, len(mapped)), make([]string, len(mapped))
	for i := range mapped {
		keys[i], matchKeys[i] = mapped[i].Key, mapped[i].MatchKey
	}
	return keys, matchKeys
}

// alone says whether no other system has part in the collection, as far as is known. What two systems have part in stays so,
// whoever brings the next new record. The collection's commit lock is held.
func (l *lane) alone() bool {
	sole := l.flow.sole[l.Collection.Name]
	return sole == "" || sole == l.System
}

// line puts an attempt's entities, as the commit left them, beside it. Where an entity is in an attempt that waits already,
// what is known here will be old when this one's turn comes. The receiver is the target's lane; its mu is held.
func (l *lane) line(a *Attempt, o Outcome) {
	l.turn++
	a.ready = &ready{entities: make([]*record.Entity, len(a.Entities)), turn: l.turn}
	for i, id := range a.Entities {
		_, waits := l.turns[id]
		_, now := l.settling[id]
		_, since := l.settled[id]
		a.ready.stale = a.ready.stale || waits || now || since
		l.turns[id] = l.turn
		e := *o.Owners[id]
		e.Links = make(map[record.System]*record.Link, 1)
		if link := o.Owners[id].Links[l.System]; link != nil {
			e.Links[l.System] = link
		}
		a.ready.entities[i] = &e
	}
}

// follow makes the lanes of the collection note what they settle while a page is taken in.
func (l *lane) follow(on bool) {
	for _, other := range l.flow.lanes {
		if other.Collection != l.Collection {
			continue
		}
		other.mu.Lock()
		other.settled = nil
		if on {
			other.settled = make(map[record.EntityID]struct{})
		}
		other.mu.Unlock()
	}
}

// settles notes which entities are being settled, until the function it returns is called: attempts that wait for their turn
// know them as they were before.
func (l *lane) settles(a Attempt) (done func()) {
	turn := int64(0)
	if a.ready != nil {
		turn = a.ready.turn
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settling = make(map[record.EntityID]struct{}, len(a.Entities))
	for _, id := range a.Entities {
		l.settling[id] = struct{}{}
		if t, waits := l.turns[id]; waits && t != turn {
			l.turns[id] = 0
		}
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.settled != nil {
			maps.Copy(l.settled, l.settling)
		}
		l.settling = nil
	}
}

// outdate makes the attempts that wait load what a page has changed since they were lined up. Above all, a record that was
// linked meanwhile must not be made again.
func (l *lane) outdate(o Outcome) {
	for _, other := range l.flow.lanes {
		if other.Collection != l.Collection {
			continue
		}
		other.mu.Lock()
		if len(other.turns) > 0 {
			old := func(id record.EntityID) {
				if _, waits := other.turns[id]; waits {
					other.turns[id] = 0
				}
			}
			for _, e := range o.Changed {
				old(e.ID)
			}
			for _, rows := range [][]LinkRow{o.NewLinks, o.Links, o.Unlinked} {
				for _, r := range rows {
					old(r.Entity)
				}
			}
		}
		other.mu.Unlock()
	}
}

// take says what is known of the attempt's entities, and ends its turn; nil when they are to be loaded.
func (l *lane) take(a Attempt) []*record.Entity {
	if a.ready == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stale := a.ready.stale
	for _, id := range a.Entities {
		if l.turns[id] != a.ready.turn {
			stale = true
		}
	}
	if stale {
		return nil
	}
	return a.ready.entities
}

// leave ends the attempt's turn.
func (l *lane) leave(a Attempt) {
	if a.ready == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range a.Entities {
		if l.turns[id] <= a.ready.turn {
			delete(l.turns, id)
		}
	}
}
