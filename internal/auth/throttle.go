// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// throttle slows guessing down: so many failures of one name within a window, and further attempts are refused unread.
//
// It is kept in memory, by each process for itself. With n processes behind a balancer a guesser therefore has up to n times
// the failures, which stays far below what guessing needs; in exchange an attack writes nothing to the database, and a
// restart forgives. Its size is bounded: the name that was quiet longest is forgotten first.
type throttle struct {
	failures int
	window   time.Duration
	size     int
	now      func() time.Time

	mu    sync.Mutex
	names map[string]*list.Element
	order *list.List // of *tries, the most recently used first
}

type tries struct {
	name string
	at   []time.Time // of the failures, and of attempts not decided yet; the oldest first
}

func newThrottle(failures int, window time.Duration, size int, now func() time.Time) *throttle {
	return &throttle{failures: failures, window: window, size: size, now: now, names: map[string]*list.Element{}, order: list.New()}
}

// attempt books an attempt as a failure before it is known to be one, so that attempts at the same time count too. The fault
// auth.too_many_attempts says when to come back. Call forget when it succeeded, undo when it could not be tried at all.
func (t *throttle) attempt(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	e := t.names[name]
	if e == nil {
		if t.order.Len() >= t.size {
			oldest := t.order.Back()
			delete(t.names, oldest.Value.(*tries).name)
			t.order.Remove(oldest)
		}
		e = t.order.PushFront(&tries{name: name})
		t.names[name] = e
	}
	t.order.MoveToFront(e)
	tr := e.Value.(*tries)
	for len(tr.at) > 0 && !tr.at[0].After(now.Add(-t.window)) {
		tr.at = tr.at[1:]
	}
	if len(tr.at) >= t.failures {
		wait := tr.at[0].Add(t.window).Sub(now)
		minutes := int((wait + time.Minute - 1) / time.Minute)
		return fault.New(fault.TooMany, "auth.too_many_attempts", "Too many attempts failed. Try again in %d min.", minutes)
	}
	tr.at = append(tr.at, now)
	return nil
}

// forget clears a name after a success.
func (t *throttle) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.names[name]; e != nil {
		delete(t.names, name)
		t.order.Remove(e)
	}
}

// undo takes the latest attempt back.
func (t *throttle) undo(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.names[name]; e != nil {
		if tr := e.Value.(*tries); len(tr.at) > 0 {
			tr.at = tr.at[:len(tr.at)-1]
		}
	}
}

// guesses are the throttles of passwords.
type guesses struct {
	person *throttle // per e-mail address and IP
	place  *throttle // per IP, whatever the address: lists of stolen passwords are tried once per person
}

func (g guesses) names(email string, from Caller) (person, place string) {
	return strings.ToLower(email) + "\x00" + from.IP, from.IP
}

func (g guesses) attempt(email string, from Caller) error {
	person, place := g.names(email, from)
	if err := g.person.attempt(person); err != nil {
		return err
	}
	if place == "" {
		return nil
	}
	if err := g.place.attempt(place); err != nil {
		g.person.undo(person)
		return err
	}
	return nil
}

// right books the attempt as a success. The place keeps its other failures: one good password does not excuse a list.
func (g guesses) right(email string, from Caller) {
	person, place := g.names(email, from)
	g.person.forget(person)
	g.place.undo(place)
}

// untried takes the attempt back: we could not check the password.
func (g guesses) untried(email string, from Caller) {
	person, place := g.names(email, from)
	g.person.undo(person)
	g.place.undo(place)
}
