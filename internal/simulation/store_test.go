// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// twins are the same service in the in-memory store and in PostgreSQL; whatever is done is done to both, and the answers
// must be the same.
type twins struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	memory  *Store
	line    *line
	real    *store.DB
	owner   *pgx.Conn
	tenant  tenant.ID
	service service.ID
	guard   engine.Guard
	plan    *engine.Plan
	systems map[record.System]*outside
	cursors map[record.System]record.Cursor
	open    []engine.Attempt
	did     []string
	asked   *engine.Lookup
}

// TestStoreIsTheStore holds the in-memory store to internal/store: the engine's own steps, made up, on both.
func TestStoreIsTheStore(t *testing.T) {
	for _, deletes := range []string{"propagate", "ignore"} {
		t.Run(deletes, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, deletes)
			for range 400 {
				w.now = w.now.Add(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
				w.step()
				w.compare()
			}
		})
	}
}

func newTwins(t *testing.T, deletes string) *twins {
	w := &twins{t: t, rng: rand.New(rand.NewPCG(3, uint64(len(deletes)))), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), line: newLine("p"),
		systems: make(map[record.System]*outside), cursors: make(map[record.System]record.Cursor)}
	url := storetest.URL(t)
	w.real = storetest.Open(t, url, func() time.Time { return w.now })
	w.tenant = storetest.Tenant(t, w.real)
	var err error
	if w.owner, err = pgx.Connect(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.owner.Close(context.Background()) })
	text := "service: stock\ndirection: multi-directional\nsystems:\n"
	for _, id := range []string{"crm", "shop", "erp"} {
		o := newOutside(nil, id, record.System(id), products)
		o.memory.SetClock(func() time.Time { return w.now })
		w.systems[record.System(id)] = o
		text += "  - {id: " + id + ", type: memory, objects: [products]}\n"
	}
	text += "syncConfig: {frequency: realtime, deletes: " + deletes + ", conflictResolution: manual}\n"
	doc, err := service.Parse([]byte(text), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	w.service = service.NewID()
	w.guard = engine.Guard{Service: w.service, Fence: 1, Revision: 1}
	w.memory = NewStore(nil)
	w.memory.now = func() time.Time { return w.now }
	w.memory.AddService(w.tenant, w.service, doc, w.now, "")
	w.memory.tenants[w.tenant].services[w.service].lease = &leaseRow{fence: 1}
	canonical, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.sql(`INSERT INTO services (tenant_id, id, name, state, revision, realtime, created_at, updated_at) VALUES ($1, $2, $3, 'active', 1, true, now(), now())`, uuid.UUID(w.tenant), uuid.UUID(w.service), doc.Service)
	w.sql(`INSERT INTO revisions (tenant_id, service_id, number, document, source, format, author, created_at) VALUES ($1, $2, 1, $3, $4, 'yaml', 'test', now())`, uuid.UUID(w.tenant), uuid.UUID(w.service), canonical, text)
	w.sql(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, 1, now() + interval '1 hour')`, uuid.UUID(w.tenant), uuid.UUID(w.service), uuid.New())
	opened := make(map[record.System]engine.Opened)
	for id, o := range w.systems {
		s, err := o.memory.Open(context.Background(), connector.Settings{}, connector.Env{Consumer: "twins"})
		if err != nil {
			t.Fatal(err)
		}
		opened[id] = engine.Opened{System: s, Spec: o.memory.Spec(), Objects: []connector.ObjectInfo{products}}
	}
	if w.plan, err = engine.Compile(doc, opened); err != nil {
		t.Fatal(err)
	}
	w.asked = &engine.Lookup{Source: &engine.Source{Name: "register", Per: "hour"}, Seat: w.plan.Seats[0]}
	return w
}

func (w *twins) sql(q string, args ...any) {
	w.t.Helper()
	if _, err := w.owner.Exec(context.Background(), q, args...); err != nil {
		w.t.Fatalf("%v\n%s", err, q)
	}
}

// both runs fn in a transaction of each store; what it returns must be the same.
func (w *twins) both(what string, fn func(tx engine.Tx, first bool) (any, error)) {
	w.t.Helper()
	w.did = append(w.did, what)
	run := func(first bool, in func(func(engine.Tx) error) error) string {
		var out any
		err := in(func(tx engine.Tx) (err error) {
			out, err = fn(tx, first)
			return err
		})
		switch {
		case err == nil:
		case errors.Is(err, engine.ErrLinkTaken):
			return "link taken"
		case strings.Contains(err.Error(), "is there already"), strings.Contains(err.Error(), "duplicate key"):
			return "duplicate"
		default:
			return err.Error()
		}
		return canonical(out)
	}
	ctx := context.Background()
	a := run(true, func(f func(engine.Tx) error) error {
		return w.memory.In(ctx, w.line, w.tenant, what, func(tx *Tx) error { return f(tx) })
	})
	b := run(false, func(f func(engine.Tx) error) error {
		return w.real.InTenant(ctx, w.tenant, func(tx *store.Tx) error { return f(tx) })
	})
	if a != b {
		w.t.Fatalf("%s\nin memory:  %s\nPostgreSQL: %s\nafter %s", what, a, b, strings.Join(w.did[max(0, len(w.did)-12):], ", "))
	}
}

// canonical is a value as text, whatever the order of maps and the zone of times.
func canonical(v any) string {
	if list, ok := v.([]*record.Entity); ok {
		var b strings.Builder
		for _, e := range list {
			fmt.Fprintf(&b, "%s %s %q %s %v %q %s %d %s %s %v\n", e.ID, e.Collection, e.MatchKey, show(e.Fields), stamps(e.Stamps), e.Held, e.Origin, e.Version, clock(e.CreatedAt), clock(e.ChangedAt), e.DeletedAt != nil)
			for _, s := range slices.Sorted(maps.Keys(e.Links)) {
				l := e.Links[s]
				fmt.Fprintf(&b, "  %s %s %s %s %q %s %s %s\n", s, l.Object, l.Key, l.State, l.Version, show(cloneFields(l.Behind)), show(cloneFields(l.OwnForm)), clock(l.SyncedAt))
			}
		}
		return b.String()
	}
	j, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(j)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000000") }

func stamps(m map[string]record.Stamp) string {
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s@%s ", f, m[f].System, clock(m[f].At))
	}
	return b.String()
}

func (w *twins) seat() *engine.Seat { return pick(w.rng, w.plan.Seats...) }

// step does one thing of those that the engine does.
func (w *twins) step() {
	ctx := context.Background()
	seat := w.seat()
	o := w.systems[seat.System]
	switch n := w.rng.IntN(16); {
	case n < 4:
		key := record.Key(fmt.Sprintf("P%d", w.rng.IntN(12)))
		if w.rng.IntN(5) == 0 {
			o.user.Delete(key)
		} else {
			o.user.Put(key, record.Fields{pick(w.rng, "name", "price"): number(fmt.Sprint(w.rng.IntN(5)))})
		}
	case n < 8:
		page, err := seat.Open.(connector.Reader).Read(ctx, connector.ReadRequest{Object: seat.Object, Fields: seat.Map.Natives(), Cursor: w.cursors[seat.System], Limit: 1 + w.rng.IntN(5)})
		if err != nil {
			w.t.Fatal(err)
		}
		w.intake(seat, page)
	case n < 10:
		id, limit := uuid.Must(uuid.NewV7()), 1+w.rng.IntN(4)
		var got engine.Attempt
		w.both("claim", func(tx engine.Tx, first bool) (any, error) {
			a, err := tx.Claim(ctx, w.guard, seat, id, limit)
			slices.SortFunc(a.Entities, compareIDs)
			if first {
				got = a
			}
			return a, err
		})
		if len(got.Entities) > 0 {
			w.open = append(w.open, got)
		}
	case n < 12 && len(w.open) > 0:
		w.attempt()
	case n == 12:
		w.both("recover", func(tx engine.Tx, _ bool) (any, error) {
			seats, err := tx.Recover(ctx, w.guard)
			slices.SortFunc(seats, func(a, b engine.SeatID) int { return strings.Compare(string(a.System), string(b.System)) })
			return len(seats), err
		})
	case n > 13:
		w.lookups()
	default:
		w.questions(seat)
	}
}

func (w *twins) intake(seat *engine.Seat, page connector.Page) {
	ctx := context.Background()
	mapped := engine.MapAll(seat, page.Changes)
	var keys []record.Key
	var matchKeys []string
	for _, m := range mapped {
		keys = append(keys, m.Key)
		matchKeys = append(matchKeys, m.MatchKey)
	}
	move := &engine.Move{Position: engine.Position{System: seat.System, Object: seat.Object, Cursor: page.Cursor, Phase: page.Phase, Done: int64(len(page.Changes))},
		Changed: len(page.Changes) > 0, Complete: w.cursors[seat.System] == nil && page.Phase == connector.Stream}
	var in engine.Intake
	w.both("intake", func(tx engine.Tx, first bool) (any, error) {
		loaded, err := tx.Load(ctx, w.guard, seat, keys, matchKeys)
		if err != nil {
			return nil, err
		}
		before := canonical(loaded.Entities) + fmt.Sprint(len(loaded.Conflicts))
		if first {
			out := engine.Apply(seat, mapped, loaded, tx.Now(), uuid.UUID{})
			in = engine.Intake{Seat: seat, Outcome: out, Move: move, Settle: true, Owed: out.Owed, Complete: move.Complete, Inquire: w.inquiry(out)}
		}
		return before, tx.SaveIntake(ctx, w.guard, in)
	})
	w.cursors[seat.System] = page.Cursor
}

// inquiry is what the register is to be asked about a page.
func (w *twins) inquiry(o engine.Outcome) []engine.Inquiry {
	q := engine.Inquiry{Source: w.asked.Name, Collection: w.asked.Seat.Collection.Name}
	for _, e := range append(slices.Clone(o.New), o.Changed...) {
		q.Entities, q.Questions = append(q.Entities, e.ID), append(q.Questions, pick(w.rng, "", e.MatchKey))
	}
	if len(q.Entities) == 0 {
		return nil
	}
	return []engine.Inquiry{q}
}

// lookups asks the register what is due, or fails to.
func (w *twins) lookups() {
	ctx := context.Background()
	var due []engine.Inquired
	limit := 1 + w.rng.IntN(5)
	w.both("pending lookups", func(tx engine.Tx, first bool) (any, error) {
		p, err := tx.PendingLookups(ctx, w.service, w.asked, nil, limit)
		if first {
			due = p.List
		}
		var b strings.Builder
		fmt.Fprint(&b, p.Asked)
		if p.Next != nil {
			fmt.Fprint(&b, " then ", clock(*p.Next))
		}
		for _, q := range p.List {
			fmt.Fprint(&b, " ", q.Entity, q.Question, q.Outcome)
			if q.AskedAt != nil {
				fmt.Fprint(&b, clock(*q.AskedAt))
			}
		}
		return b.String(), err
	})
	count := engine.LookupCount{Asked: w.rng.Int64N(4) - 1, Known: w.rng.Int64N(2), Filled: w.rng.Int64N(2)}
	if w.rng.IntN(4) == 0 {
		w.both("a register that fails", func(tx engine.Tx, _ bool) (any, error) {
			return nil, tx.NoteSource(ctx, w.guard, w.asked.Source, count, "test.failing", "No.")
		})
		return
	}
	ids, rows := make([]record.EntityID, len(due)), make([]engine.LookupRow, len(due))
	for i, q := range due {
		ids[i] = q.Entity
		rows[i] = engine.LookupRow{Entity: q.Entity, Question: fmt.Sprint("P", w.rng.IntN(12)), Outcome: pick(w.rng, engine.LookupFilled, engine.LookupUnasked), Asked: w.rng.IntN(2) == 0}
		if w.rng.IntN(2) == 0 {
			at := w.now.Add(time.Duration(w.rng.IntN(20)) * time.Second)
			rows[i].Due = &at
		}
	}
	w.both("lookups", func(tx engine.Tx, _ bool) (any, error) {
		locked, err := tx.LockLookups(ctx, w.guard, w.asked, ids)
		if err != nil {
			return nil, err
		}
		return len(locked), tx.SaveLookups(ctx, w.guard, w.asked.Source, rows, count)
	})
}

// attempt carries one out, gives it back, or loses it.
func (w *twins) attempt() {
	ctx := context.Background()
	i := w.rng.IntN(len(w.open))
	a := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	seat := w.plan.Collections[0].Seats[a.System]
	if n := w.rng.IntN(6); n < 2 {
		w.both("postpone", func(tx engine.Tx, _ bool) (any, error) {
			return nil, tx.Postpone(ctx, w.guard, a, tx.Now().Add(time.Second), n == 0)
		})
		return
	}
	var sent []engine.Sent
	var dead []engine.DeadLetter
	w.both("load for an attempt", func(tx engine.Tx, first bool) (any, error) {
		list, err := tx.LoadEntities(ctx, w.guard, a.Entities, false)
		if first {
			sent, dead = engine.Writes(seat, a.ID, list, nil)
		}
		return list, err
	})
	writes := make([]connector.Write, len(sent))
	for i := range sent {
		writes[i] = sent[i].Write
	}
	if len(writes) > 0 {
		receipts, err := seat.Open.(connector.Writer).Write(ctx, seat.Object, writes)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range receipts {
			sent[i].Receipt = receipts[i]
			if w.rng.IntN(8) == 0 {
				sent[i].Receipt = connector.Receipt{Outcome: connector.Refused, Key: receipts[i].Key, Err: fmt.Errorf("no")}
			}
		}
	}
	var s engine.Settling
	w.both("settle", func(tx engine.Tx, first bool) (any, error) {
		list, err := tx.LoadEntities(ctx, w.guard, a.Entities, true)
		if err != nil {
			return nil, err
		}
		before := canonical(list)
		if first {
			st := engine.Settle(seat, a, list, sent, tx.Now())
			st.Dead = append(st.Dead, dead...)
			st.Waiting = append(st.Waiting, st.Again...)
			s = engine.Settling{Seat: seat, Attempt: a, Settlement: st, RetryAt: tx.Now()}
		}
		return before, tx.SaveSettling(ctx, w.guard, s)
	})
}

// questions asks what only reads.
func (w *twins) questions(seat *engine.Seat) {
	ctx := context.Background()
	w.both("owing", func(tx engine.Tx, _ bool) (any, error) {
		owing, err := tx.Owing(ctx, w.service)
		var list []string
		for k, o := range owing {
			list = append(list, fmt.Sprintf("%s %d %s", k.System, o.Count, clock(o.DueAt)))
		}
		slices.Sort(list)
		return list, err
	})
	w.both("doubt", func(tx engine.Tx, _ bool) (any, error) {
		a, found, err := tx.Doubt(ctx, w.guard, seat)
		if !found {
			return found, err
		}
		slices.SortFunc(a.Entities, compareIDs)
		return fmt.Sprint(a.ID, a.Entities, clock(a.StartedAt)), err
	})
	w.both("positions", func(tx engine.Tx, _ bool) (any, error) {
		list, err := tx.Positions(ctx, w.service)
		slices.SortFunc(list, func(a, b engine.Position) int { return strings.Compare(string(a.System), string(b.System)) })
		return list, err
	})
	w.both("link keys", func(tx engine.Tx, _ bool) (any, error) {
		keys, err := tx.LinkKeys(ctx, w.service, seat, w.now.Add(-5*time.Second), "P2", 4)
		return fmt.Sprint(keys), err
	})
	w.both("owed by", func(tx engine.Tx, _ bool) (any, error) {
		due, later, err := tx.OwedBy(ctx, w.service, w.now.Add(-time.Second), time.Time{})
		return fmt.Sprint(due > 0, later > 0), err
	})
	w.both("compared", func(tx engine.Tx, _ bool) (any, error) {
		p := tx.(engine.ProofTx)
		all, err := p.NextCompared(ctx, w.service, seat.Collection.Name, record.EntityID{}, 4)
		if err != nil {
			return nil, err
		}
		some, err := p.CompareKeys(ctx, w.service, seat, []record.Key{"P1", "P3", "none"})
		if err != nil {
			return nil, err
		}
		n, err := p.CountSeat(ctx, w.service, seat)
		if err != nil {
			return nil, err
		}
		m, err := p.CountEntities(ctx, w.service)
		return fmt.Sprint(n, m, compared(all), compared(some)), err
	})
	w.both("dead letters", func(tx engine.Tx, _ bool) (any, error) {
		in, out, err := tx.HasDeadLetters(ctx, w.service)
		return []bool{in, out}, err
	})
	guard := w.guard
	guard.Fence += w.rng.Int64N(2)
	guard.Revision += w.rng.IntN(2)
	w.both("guard", func(tx engine.Tx, _ bool) (any, error) {
		return nil, tx.Guard(ctx, guard)
	})
}

func compared(c engine.Compared) string {
	return fmt.Sprint(canonical(c.Entities), c.Owed, c.DeadOut, c.DeadIn, c.Held)
}

// compare looks at everything.
func (w *twins) compare() {
	w.t.Helper()
	ctx := context.Background()
	row := w.memory.tenants[w.tenant].services[w.service]
	ids := sortedIDs(row.entities)
	w.both("all entities", func(tx engine.Tx, _ bool) (any, error) { return tx.LoadEntities(ctx, w.guard, ids, false) })
	w.both("the past", func(tx engine.Tx, _ bool) (any, error) {
		past, err := tx.Past(ctx, w.service, ids, w.now.Add(-time.Minute))
		var b strings.Builder
		for _, id := range ids {
			for _, e := range past[id] {
				fmt.Fprintf(&b, "%s %s %s %s\n", id, clock(e.At), show(e.Before), show(e.After))
			}
		}
		return b.String(), err
	})
	open, dead := 0, 0
	for _, c := range row.conflicts {
		if c.Open {
			open++
		}
	}
	for _, d := range row.dead {
		if d.state == "open" {
			dead++
		}
	}
	var got [6]int
	err := w.owner.QueryRow(ctx, `SELECT (SELECT count(*) FROM entities), (SELECT count(*) FROM attempts), (SELECT count(*) FROM deliveries), (SELECT count(*) FROM journal),
(SELECT count(*) FROM conflicts WHERE state = 'open'), (SELECT count(*) FROM dead_letters WHERE state = 'open')`).Scan(&got[0], &got[1], &got[2], &got[3], &got[4], &got[5])
	if err != nil {
		w.t.Fatal(err)
	}
	if want := [6]int{len(row.entities), len(row.attempts), len(row.deliveries), len(row.journal), open, dead}; got != want {
		w.t.Fatalf("after %s PostgreSQL has %v entities, attempts, deliveries, journal entries, conflicts and dead letters, the memory %v", strings.Join(w.did[max(0, len(w.did)-12):], ", "), got, want)
	}
}
