// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// check is what *testing.T and *rapid.T have in common.
type check interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// world is one service without database, clock or goroutines: the pure functions of the engine joined by hand, step by
// step, between in-memory systems. What the store would keep is in its maps.
type world struct {
	t         check
	plan      *engine.Plan
	memory    map[record.System]*connectortest.Memory
	seats     map[record.System]*engine.Seat
	cursors   map[record.System]record.Cursor
	entities  map[record.EntityID]*record.Entity
	conflicts map[uuid.UUID]*engine.Conflict                          // open ones
	owed      map[record.System]map[record.EntityID]bool              // deliveries
	deadIn    map[record.System]map[record.Key]engine.DeadLetter      // open ones
	deadOut   map[record.System]map[record.EntityID]engine.DeadLetter // open ones
	journal   []record.Entry
	now       time.Time
	moved     map[record.System]map[record.EntityID]int // found otherwise than expected by the last delivery
	last      engine.Outcome
	settled   engine.Settlement

	acting      []engine.Acting               // what rules did with records that meet them still
	acts        []engine.Act                  // what rules did, in its order
	said        []engine.Seen                 // what duplicate checks remember
	corrections map[record.Key]engine.Redrive // what people wrote in quarantine of the records being read again
	unstamped   bool                          // systems do not say which version of a record they hold
}

// newWorld compiles the document against systems that have these objects.
func newWorld(t check, document string, objects map[record.System]connector.ObjectInfo) *world {
	t.Helper()
	doc, err := service.Parse([]byte(document), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, moved: make(map[record.System]map[record.EntityID]int), memory: make(map[record.System]*connectortest.Memory), seats: make(map[record.System]*engine.Seat), cursors: make(map[record.System]record.Cursor),
		entities: make(map[record.EntityID]*record.Entity), conflicts: make(map[uuid.UUID]*engine.Conflict), owed: make(map[record.System]map[record.EntityID]bool),
		deadIn: make(map[record.System]map[record.Key]engine.DeadLetter), deadOut: make(map[record.System]map[record.EntityID]engine.DeadLetter),
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	opened := make(map[record.System]engine.Opened)
	for id, info := range objects {
		m := connectortest.NewMemory(info)
		m.SetClock(func() time.Time { return w.now })
		system, err := m.Open(context.Background(), connector.Settings{}, connector.Env{Consumer: "world"})
		if err != nil {
			t.Fatal(err)
		}
		opened[id] = engine.Opened{System: system, Spec: m.Spec(), Objects: []connector.ObjectInfo{info}}
		w.memory[id], w.owed[id] = m, make(map[record.EntityID]bool)
		w.deadIn[id], w.deadOut[id] = make(map[record.Key]engine.DeadLetter), make(map[record.EntityID]engine.DeadLetter)
	}
	if w.plan, err = engine.Compile(doc, opened); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.plan.Seats {
		w.seats[s.System] = s
	}
	return w
}

// twin is a world whose systems hold the same object.
func twin(t check, document string, systems ...record.System) *world {
	t.Helper()
	objects := make(map[record.System]connector.ObjectInfo)
	for _, s := range systems {
		objects[s] = products
	}
	return newWorld(t, document, objects)
}

// document is a service between systems that all hold products; rest is its syncConfig and more.
func document(direction, rest string, systems ...string) string {
	d := "service: stock\ndirection: " + direction + "\nsystems:\n"
	for _, s := range systems {
		d += "  - {id: " + s + ", type: memory, objects: [products]}\n"
	}
	return d + rest
}

// tick lets a second pass, so that what follows is later than what went before.
func (w *world) tick() { w.now = w.now.Add(time.Second) }

func (w *world) user(s record.System) connectortest.User {
	return w.memory[s].User(w.seats[s].Object)
}

// put edits a record as its system's users do.
func (w *world) put(s record.System, key record.Key, fields record.Fields) {
	w.tick()
	w.user(s).Put(key, fields)
}

func (w *world) remove(s record.System, key record.Key) {
	w.tick()
	w.user(s).Delete(key)
}

// pull reads a system to its end.
func (w *world) pull(s record.System) {
	w.t.Helper()
	w.tick()
	seat := w.seats[s]
	for more := true; more; {
		page, err := seat.Open.(connector.Reader).Read(context.Background(), connector.ReadRequest{Object: seat.Object, Fields: seat.Map.Natives(), Cursor: w.cursors[s], Limit: 100})
		if err != nil {
			w.t.Fatal(err)
		}
		w.intake(seat, page.Changes)
		w.cursors[s], more = page.Cursor, page.More
	}
}

// intake is the commit of a page.
func (w *world) intake(seat *engine.Seat, changes []record.Change) {
	w.t.Helper()
	if len(changes) == 0 {
		return
	}
	if w.unstamped {
		for i := range changes {
			changes[i].Version = ""
		}
	}
	loaded := engine.Loaded{Entities: slices.Collect(maps.Values(w.entities)), Conflicts: slices.Collect(maps.Values(w.conflicts))}
	slices.SortFunc(loaded.Entities, func(a, b *record.Entity) int { return strings.Compare(string(a.ID[:]), string(b.ID[:])) })
	loaded.Acting = slices.Clone(w.acting)
	mapped := engine.MapAll(seat, changes)
	for i := range mapped {
		if r, ok := w.corrections[mapped[i].Key]; ok {
			mapped[i].Correct(seat, r)
		}
	}
	for _, s := range w.said {
		if e := w.entities[s.Act.Entity]; e != nil && e.DeletedAt == nil {
			loaded.Repeated = append(loaded.Repeated, engine.Repeated{RepeatKey: engine.RepeatKey{Rule: s.Act.Rule, Key: s.Key}, Entity: e.ID, Title: e.MatchKey, At: s.At})
		}
	}
	out := engine.Apply(seat, mapped, loaded, w.now, uuid.UUID{})
	w.last = out
	w.act(out)
	w.said = append(w.said, out.Seen...)
	for _, e := range out.New {
		w.entities[e.ID] = e
	}
	for _, c := range out.Conflicts {
		if c.Open {
			// As it is read from the store the next time.
			w.conflicts[c.ID] = &engine.Conflict{ID: c.ID, Entity: c.Entity, Collection: c.Collection, Field: c.Field, Base: c.Base, Sides: c.Sides, Open: true,
				Strategy: c.Strategy, OpenedAt: c.OpenedAt, Version: c.Version}
		} else {
			delete(w.conflicts, c.ID)
		}
	}
	for _, k := range out.Settled {
		delete(w.deadIn[seat.System], k)
	}
	for _, d := range out.Dead {
		w.deadIn[seat.System][d.Key] = d
	}
	for s, ids := range out.Owed {
		for _, id := range ids {
			w.owed[s][id] = true
		}
	}
	w.journal = append(w.journal, out.Journal...)
	w.accounts(out, changes)
}

// act keeps what rules did, as the store does.
func (w *world) act(out engine.Outcome) {
	w.acting = slices.DeleteFunc(w.acting, func(a engine.Acting) bool {
		return slices.ContainsFunc(out.Lapsed, func(l engine.Lapse) bool { return l.ID == a.ID })
	})
	for i := range out.Acts {
		a := &out.Acts[i]
		w.acts = append(w.acts, *a)
		if a.LapsedAt == nil {
			w.acting = append(w.acting, engine.Acting{ID: a.ID, Entity: a.Entity, Rule: a.Rule, Action: a.Action})
		}
	}
}

// accounts checks invariant 2 on a page: each change was applied (its record is linked, or its deletion is known), equal, or
// is a dead letter.
func (w *world) accounts(out engine.Outcome, changes []record.Change) {
	w.t.Helper()
	if out.Counts.Read != int64(len(changes)) {
		w.t.Fatalf("%d changes were counted, %d were read", out.Counts.Read, len(changes))
	}
	if n := int64(len(out.Dead)); n != out.Counts.Rejected {
		w.t.Fatalf("%d dead letters, %d rejected", n, out.Counts.Rejected)
	}
	if len(out.Settled)+len(out.Dead) != len(changes) {
		w.t.Fatalf("of %d changes %d were settled and %d are dead letters", len(changes), len(out.Settled), len(out.Dead))
	}
}

// deliver carries out what the system is owed, once its own records are known. meanwhile happens between writing and
// settling.
func (w *world) deliver(s record.System, meanwhile ...func()) {
	w.t.Helper()
	w.tick()
	if w.cursors[s] == nil {
		return
	}
	seat := w.seats[s]
	attempt := engine.Attempt{ID: uuid.Must(uuid.NewV7()), System: s, Collection: seat.Collection.Name, OwedAt: make(map[record.EntityID]time.Time)}
	var entities []*record.Entity
	for _, e := range w.sorted() {
		if w.owed[s][e.ID] {
			attempt.Entities = append(attempt.Entities, e.ID)
			attempt.OwedAt[e.ID] = w.now.Add(-time.Second)
			entities = append(entities, e)
		}
	}
	w.owed[s] = make(map[record.EntityID]bool)
	present := make(map[record.EntityID]record.Fields)
	if look := engine.ToLookAt(seat, entities, w.moved[s]); len(look) > 0 {
		changes, err := seat.Open.(connector.KeyReader).ReadKeys(context.Background(), seat.Object, seat.Map.Natives(), slices.Sorted(maps.Keys(look)))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range changes {
			present[look[c.Key]] = c.Fields
		}
	}
	sent, dead := engine.Writes(seat, attempt.ID, entities, present)
	if len(sent) > 0 {
		writes := make([]connector.Write, len(sent))
		for i := range sent {
			writes[i] = sent[i].Write
		}
		receipts, err := seat.Open.(connector.Writer).Write(context.Background(), seat.Object, writes)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range receipts {
			sent[i].Receipt = receipts[i]
		}
	}
	for _, f := range meanwhile {
		f()
	}
	st := engine.Settle(seat, attempt, entities, sent, w.now)
	st.Dead = append(st.Dead, dead...)
	w.settled = st
	for _, id := range st.Done {
		delete(w.deadOut[s], id)
	}
	for _, d := range st.Dead {
		w.deadOut[s][d.Entity] = d
	}
	w.moved[s] = make(map[record.EntityID]int)
	for _, id := range st.Waiting {
		w.moved[s][id]++
	}
	for _, id := range slices.Concat(st.Again, st.Waiting) {
		w.owed[s][id] = true
	}
	w.journal = append(w.journal, st.Journal...)
	on := engine.ActsOnSettled(seat, entities, slices.DeleteFunc(slices.Clone(w.acting), func(a engine.Acting) bool {
		return !slices.ContainsFunc(entities, func(e *record.Entity) bool { return e.ID == a.Entity })
	}), w.now)
	w.act(on)
	w.journal = append(w.journal, on.Journal...)
	if len(st.Reread) > 0 {
		changes, err := seat.Open.(connector.KeyReader).ReadKeys(context.Background(), seat.Object, seat.Map.Natives(), st.Reread)
		if err != nil {
			w.t.Fatal(err)
		}
		w.intake(seat, changes)
	}
}

func (w *world) systems() []record.System { return slices.Sorted(maps.Keys(w.memory)) }

func (w *world) sorted() []*record.Entity {
	return slices.SortedFunc(maps.Values(w.entities), func(a, b *record.Entity) int { return strings.Compare(string(a.ID[:]), string(b.ID[:])) })
}

// settle reads and writes until nothing more is to do, and says after how many rounds that was. Invariant 8 bounds them.
func (w *world) settle() (rounds int) {
	w.t.Helper()
	const bound = 12
	for rounds = 1; rounds <= bound; rounds++ {
		before := w.writes()
		for _, s := range w.systems() {
			w.pull(s)
		}
		owing := 0
		for _, s := range w.systems() {
			owing += len(w.owed[s])
			w.deliver(s)
		}
		if owing == 0 && w.writes() == before {
			return rounds
		}
	}
	w.t.Fatalf("after %d rounds the systems are still written to\n%s", bound, w.describe())
	return rounds
}

func (w *world) writes() (n int64) {
	for _, s := range w.systems() {
		n += w.user(s).Writes()
	}
	return n
}

// one is the only entity there is.
func (w *world) one() *record.Entity {
	w.t.Helper()
	if len(w.entities) != 1 {
		w.t.Fatalf("there are %d entities, want 1\n%s", len(w.entities), w.describe())
	}
	return w.sorted()[0]
}

// open is the only open conflict.
func (w *world) open() *engine.Conflict {
	w.t.Helper()
	if len(w.conflicts) != 1 {
		w.t.Fatalf("there are %d open conflicts, want 1\n%s", len(w.conflicts), w.describe())
	}
	for _, c := range w.conflicts {
		return c
	}
	return nil
}

// holds expects a field of a record in a system.
func (w *world) holds(s record.System, key record.Key, field string, want record.Value) {
	w.t.Helper()
	if got := w.user(s).Get(key)[field]; !record.Equal(got, want) {
		w.t.Errorf("%s holds %s.%s = %v, want %v\n%s", s, key, field, got, want, w.describe())
	}
}

// owes expects what systems are owed, as "shop" or "crm shop".
func (w *world) owes(want string) {
	w.t.Helper()
	var got []string
	for _, s := range w.systems() {
		if len(w.owed[s]) > 0 {
			got = append(got, string(s))
		}
	}
	if strings.Join(got, " ") != want {
		w.t.Errorf("owed to %v, want %q\n%s", got, want, w.describe())
	}
}

// quiet expects no conflict, open or just settled, and no dead letter.
func (w *world) quiet() {
	w.t.Helper()
	if w.last.Counts.Conflicts > 0 || len(w.conflicts) > 0 {
		w.t.Errorf("there was a conflict\n%s", w.describe())
	}
	for _, s := range w.systems() {
		if len(w.deadIn[s])+len(w.deadOut[s]) > 0 {
			w.t.Errorf("there are dead letters of %s: %v %v", s, w.deadIn[s], w.deadOut[s])
		}
	}
}

// describe is the whole world for a failure's message.
func (w *world) describe() string {
	var b strings.Builder
	show := func(f record.Fields) string { return string(record.AppendJSON(nil, map[string]any(f))) }
	for _, e := range w.sorted() {
		fmt.Fprintf(&b, "entity %s %s deleted %v held %q\n", e.MatchKey, show(e.Fields), e.DeletedAt != nil, e.Held)
		for _, s := range slices.Sorted(maps.Keys(e.Links)) {
			l := e.Links[s]
			fmt.Fprintf(&b, "  link %s %s %s behind %s own form %s\n", s, l.Key, l.State, show(l.Behind), show(l.OwnForm))
		}
	}
	for _, s := range w.systems() {
		all := w.user(s).All()
		for _, k := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintf(&b, "%s %s %s\n", s, k, show(all[k]))
		}
		fmt.Fprintf(&b, "%s is owed %d\n", s, len(w.owed[s]))
		for _, k := range slices.Sorted(maps.Keys(w.deadIn[s])) {
			fmt.Fprintf(&b, "dead letter in %s %s %s\n", s, k, w.deadIn[s][k].Message)
		}
		for _, d := range w.deadOut[s] {
			fmt.Fprintf(&b, "dead letter out %s %s %s\n", s, d.Key, d.Message)
		}
	}
	for _, c := range w.conflicts {
		fmt.Fprintf(&b, "conflict %q %v\n", c.Field, c.Sides)
	}
	return b.String()
}

var _ check = (*testing.T)(nil)
