// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// yard is a database with services to be carried.
type yard struct {
	t     *testing.T
	db    *store.DB
	owner *pgxpool.Pool
	id    tenant.ID
	inTx  func(context.Context, func(scheduler.Tx) error) error
}

func newYard(t *testing.T) *yard {
	t.Helper()
	url := storetest.URL(t)
	y := &yard{t: t, db: storetest.Open(t, url, nil)}
	y.id = storetest.Tenant(t, y.db)
	y.inTx = store.InOperatorTx(y.db, func(tx *store.OperatorTx) scheduler.Tx { return tx })
	var err error
	if y.owner, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(y.owner.Close)
	return y
}

func (y *yard) exec(sql string, args ...any) {
	y.t.Helper()
	if _, err := y.owner.Exec(context.Background(), sql, args...); err != nil {
		y.t.Fatalf("%s: %v", sql, err)
	}
}

func (y *yard) ask(sql string, args ...any) (out []string) {
	y.t.Helper()
	rows, err := y.owner.Query(context.Background(), sql, args...)
	if err != nil {
		y.t.Fatal(err)
	}
	if out, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		y.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (y *yard) service(id tenant.ID, name string, change func(*service.Service)) service.ID {
	y.t.Helper()
	s := service.Service{ID: service.NewID(), Name: name, State: service.Active, Revision: 1, Realtime: true, Pool: "default", Priority: 2}
	err := y.db.InTenant(context.Background(), id, func(tx *store.Tx) error {
		s.CreatedAt, s.UpdatedAt = tx.Now(), tx.Now()
		if change != nil {
			change(&s)
		}
		return tx.InsertService(context.Background(), s)
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return s.ID
}

func (y *yard) run(id tenant.ID, s service.ID) service.RunID {
	y.t.Helper()
	r := service.Run{ID: service.NewRunID(), Service: s, Kind: service.ManualRun, State: service.RunQueued, Actor: "x", Revision: 1}
	err := y.db.InTenant(context.Background(), id, func(tx *store.Tx) error {
		r.CreatedAt = tx.Now()
		return tx.InsertRun(context.Background(), r)
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return r.ID
}

func (y *yard) waiting(each int) (names []string) {
	y.t.Helper()
	err := y.inTx(context.Background(), func(tx scheduler.Tx) error {
		all, err := tx.Waiting(context.Background(), each)
		for _, c := range all {
			names = append(names, y.ask(`SELECT name FROM services WHERE id = $1`, uuid.UUID(c.Service))...)
		}
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func (y *yard) grant(s service.ID) (fence int64, ok bool) {
	y.t.Helper()
	err := y.inTx(context.Background(), func(tx scheduler.Tx) (err error) {
		fence, ok, err = tx.Grant(context.Background(), scheduler.Grant{Candidate: scheduler.Candidate{Tenant: y.id, Service: s}, On: "default"}, time.Minute)
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return fence, ok
}

func TestWhoWaitsForAWorker(t *testing.T) {
	y := newYard(t)
	other := storetest.Tenant(t, y.db)
	asleep := storetest.Tenant(t, y.db)
	y.exec(`UPDATE tenants SET state = 'suspended' WHERE id = $1`, uuid.UUID(asleep))
	scheduled := func(s *service.Service) { s.Realtime = false }

	y.service(y.id, "realtime", nil)
	y.service(y.id, "idle", scheduled)
	y.run(y.id, y.service(y.id, "queued", scheduled))
	y.run(y.id, y.service(y.id, "underway", scheduled))
	y.exec(`UPDATE runs SET state = 'running' WHERE service_id = (SELECT id FROM services WHERE name = 'underway')`)
	y.run(y.id, y.service(y.id, "done", scheduled))
	y.exec(`UPDATE runs SET state = 'succeeded' WHERE service_id = (SELECT id FROM services WHERE name = 'done')`)
	y.service(y.id, "paused", func(s *service.Service) { s.State = service.Paused })
	y.service(y.id, "draft", func(s *service.Service) { s.State = service.Draft })
	y.service(other, "theirs", nil)
	y.service(asleep, "suspended", nil)
	held := y.service(y.id, "held", nil)
	if _, ok := y.grant(held); !ok {
		t.Fatal("it was not granted")
	}
	lost := y.service(y.id, "lost", nil)
	y.grant(lost)
	y.exec(`UPDATE leases SET expires_at = now() - interval '1 second' WHERE service_id = $1`, uuid.UUID(lost))
	resting := y.service(y.id, "resting", nil)
	y.grant(resting)
	y.exec(`UPDATE leases SET expires_at = now() - interval '1 second', not_before = now() + interval '1 minute' WHERE service_id = $1`, uuid.UUID(resting))

	if got, want := y.waiting(100), []string{"lost", "queued", "realtime", "theirs", "underway"}; !slices.Equal(got, want) {
		t.Errorf("waiting are %v, want %v", got, want)
	}
	// The most urgent of each tenant: critical ones first, but who waited for three turns is as urgent as these, and longer.
	y.exec(`UPDATE services SET priority = 0 WHERE name = 'realtime'`)
	if got, want := y.waiting(1), []string{"realtime", "theirs"}; !slices.Equal(got, want) {
		t.Errorf("the most urgent are %v, want %v", got, want)
	}
	y.exec(`UPDATE runs SET created_at = now() - interval '10 minutes' WHERE service_id = (SELECT id FROM services WHERE name = 'queued')`)
	if got, want := y.waiting(1), []string{"queued", "theirs"}; !slices.Equal(got, want) {
		t.Errorf("the most urgent are %v, want %v", got, want)
	}
	// Who nears its maximum delay is as urgent as these too, once half of it is over.
	y.exec(`UPDATE runs SET created_at = now() - interval '50 seconds' WHERE service_id = (SELECT id FROM services WHERE name = 'queued')`)
	y.exec(`UPDATE services SET priority = 3`)
	y.exec(`UPDATE services SET updated_at = now() - interval '30 seconds' WHERE name = 'realtime'`)
	for most, want := range map[int][]string{0: {"queued", "theirs"}, 100_000: {"queued", "theirs"}, 60_000: {"realtime", "theirs"}} {
		y.exec(`UPDATE services SET max_delay_ms = $1 WHERE name = 'realtime'`, most)
		if got := y.waiting(1); !slices.Equal(got, want) {
			t.Errorf("with a maximum delay of %d ms the most urgent are %v, want %v", most, got, want)
		}
	}
}

func TestGrantsAndFences(t *testing.T) {
	y := newYard(t)
	ctx := t.Context()
	s := y.service(y.id, "s", nil)
	leases := y.db.Leases()
	one, two := uuid.New(), uuid.New()
	hold := func(worker uuid.UUID, fence int64) scheduler.Held {
		return scheduler.Held{Tenant: y.id, Service: s, Fence: fence, Worker: worker}
	}
	take := func(h scheduler.Held) bool {
		t.Helper()
		ok, err := leases.Take(ctx, h, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	keep := func(h scheduler.Held) bool {
		t.Helper()
		ok, _, err := leases.Keep(ctx, h, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	guard := func(fence int64) error {
		return y.db.InTenant(ctx, y.id, func(tx *store.Tx) error { return tx.Guard(ctx, engine.Guard{Service: s, Fence: fence, Revision: 1}) })
	}

	if take(hold(one, 1)) {
		t.Error("a lease was taken that nobody granted")
	}
	fence, ok := y.grant(s)
	if !ok || fence != 1 {
		t.Fatalf("granted %v with fence %d", ok, fence)
	}
	if _, again := y.grant(s); again {
		t.Error("granted twice")
	}
	if !take(hold(one, 1)) {
		t.Error("the lease could not be taken")
	}
	if take(hold(two, 1)) || take(hold(one, 1)) {
		t.Error("the lease was taken twice")
	}
	if !keep(hold(one, 1)) || keep(hold(two, 1)) {
		t.Error("the lease is kept by another than the one who took it")
	}
	if err := guard(1); err != nil {
		t.Errorf("its holder may not commit: %v", err)
	}

	// The worker is lost; another one gets the next lease. What the first does from now on is refused.
	y.exec(`UPDATE leases SET expires_at = now()`)
	if !keep(hold(one, 1)) {
		t.Error("a lease that ran out but went to nobody cannot be kept")
	}
	y.exec(`UPDATE leases SET expires_at = now()`)
	if fence, ok = y.grant(s); !ok || fence != 2 {
		t.Fatalf("granted %v with fence %d", ok, fence)
	}
	if !take(hold(two, 2)) {
		t.Error("the second worker could not take it")
	}
	if keep(hold(one, 1)) || keep(hold(one, 2)) || take(hold(one, 2)) {
		t.Error("the first worker has it again")
	}
	if err := guard(1); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("a stale worker may commit: %v", err)
	}
	if err := leases.Release(ctx, hold(one, 1), false); err != nil {
		t.Error(err)
	}
	if done, err := leases.HandOver(ctx, hold(one, 1), time.Minute); done || err != nil {
		t.Errorf("a stale worker handed over: %v, %v", done, err)
	}
	if !keep(hold(two, 2)) {
		t.Error("the first worker took it from the second")
	}

	// Handing over is a grant and a job in one commit.
	if done, err := leases.HandOver(ctx, hold(two, 2), time.Minute); !done || err != nil {
		t.Fatalf("handing over: %v, %v", done, err)
	}
	if keep(hold(two, 2)) || !errors.Is(guard(2), engine.ErrFenced) {
		t.Error("who handed over still holds it")
	}
	jobs := y.ask(`SELECT args->>'fence' || ' ' || queue || ' ' || max_attempts FROM river.river_job WHERE kind = 'sync'`)
	if !slices.Equal(jobs, []string{"3 default 1"}) {
		t.Errorf("jobs %v", jobs)
	}
	if !take(hold(one, 3)) {
		t.Error("the successor could not take it")
	}

	// Asked to yield, it is not handed over.
	if err := y.inTx(ctx, func(tx scheduler.Tx) error { return tx.AskToYield(ctx, hold(one, 2)) }); err != nil {
		t.Fatal(err)
	}
	if _, yield, _ := leases.Keep(ctx, hold(one, 3), time.Minute); yield {
		t.Error("an older lease's yield reached this one")
	}
	if err := y.inTx(ctx, func(tx scheduler.Tx) error { return tx.AskToYield(ctx, hold(one, 3)) }); err != nil {
		t.Fatal(err)
	}
	if held, yield, err := leases.Keep(ctx, hold(one, 3), time.Minute); !held || !yield || err != nil {
		t.Errorf("asked to yield: %v, %v, %v", held, yield, err)
	}
	if y, err := leases.Yielding(ctx, one); err != nil || len(y) != 1 || y[0].Service != s || y[0].Fence != 3 {
		t.Errorf("yielding are %v, %v", y, err)
	}
	if done, err := leases.HandOver(ctx, hold(one, 3), time.Minute); done || err != nil {
		t.Errorf("handed over although it is to yield: %v, %v", done, err)
	}
	if err := leases.Release(ctx, hold(one, 3), false); err != nil {
		t.Fatal(err)
	}
	if fence, ok = y.grant(s); !ok || fence != 4 {
		t.Errorf("after the release granted %v with fence %d", ok, fence)
	}
	if _, yield, err := leases.Keep(ctx, hold(uuid.Nil, 4), time.Minute); yield || err != nil {
		t.Errorf("the next lease is to yield too: %v", err)
	}
}

func TestFailuresWaitLongerAndLonger(t *testing.T) {
	y := newYard(t)
	s := y.service(y.id, "s", nil)
	pause := func() string {
		return y.ask(`SELECT extract(epoch FROM not_before - expires_at)::int::text FROM leases`)[0]
	}
	var got []string
	for range 11 {
		y.exec(`UPDATE leases SET not_before = NULL`)
		fence, ok := y.grant(s)
		h := scheduler.Held{Tenant: y.id, Service: s, Fence: fence, Worker: uuid.New()}
		if taken, err := y.db.Leases().Take(t.Context(), h, time.Minute); !ok || !taken || err != nil {
			t.Fatalf("%v, %v, %v", ok, taken, err)
		}
		if err := y.db.Leases().Release(t.Context(), h, true); err != nil {
			t.Fatal(err)
		}
		got = append(got, pause())
	}
	if want := []string{"1", "2", "4", "8", "16", "32", "64", "128", "256", "300", "300"}; !slices.Equal(got, want) {
		t.Errorf("pauses of %v seconds, want %v", got, want)
	}
	if w := y.waiting(1); len(w) > 0 {
		t.Error("it waits for a worker although it is to rest")
	}
	if err := y.db.InTenant(t.Context(), y.id, func(tx *store.Tx) error { return tx.LetTryAgain(t.Context(), s) }); err != nil {
		t.Fatal(err)
	}
	if w := y.waiting(1); len(w) != 1 {
		t.Error("somebody acted, and it still rests")
	}
}

// Who is changing a service is not overtaken, and does not hold the others up.
func TestGrantSkipsWhatIsBeingChanged(t *testing.T) {
	y := newYard(t)
	s := y.service(y.id, "s", nil)
	changing, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- y.db.InTenant(context.Background(), y.id, func(tx *store.Tx) error {
			v, err := tx.LockService(context.Background(), s.Public())
			if err != nil {
				return err
			}
			close(changing)
			<-release
			v.State = service.Paused
			_, err = tx.SaveService(context.Background(), v)
			return err
		})
	}()
	<-changing
	if _, ok := y.grant(s); ok {
		t.Error("granted while it is being paused")
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, ok := y.grant(s); ok {
		t.Error("granted although it is paused")
	}
}

// Several processes hand out slots at once: no service twice, no slot twice.
func TestManySchedulersAgree(t *testing.T) {
	y := newYard(t)
	ctx := t.Context()
	other := storetest.Tenant(t, y.db)
	for i := range 30 {
		y.service(y.id, fmt.Sprintf("s%02d", i), nil)
	}
	for i := range 3 {
		y.service(other, fmt.Sprintf("o%02d", i), nil)
	}
	const slots = 12
	w := scheduler.Worker{ID: uuid.New(), Pools: []string{"default"}, Region: "r", Slots: slots, Host: "h", Version: "v", StartedAt: time.Now()}
	if err := y.db.Leases().Beat(ctx, w); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 6 {
		s := scheduler.New(y.inTx, nil, slog.New(slog.DiscardHandler))
		all.Go(func() {
			for range 10 {
				if err := s.Admit(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := y.ask(`SELECT count(*)::text FROM leases WHERE fence = 1 AND expires_at > now()`); got[0] != fmt.Sprint(slots) {
		t.Errorf("%s leases on %d slots", got[0], slots)
	}
	if got := y.ask(`SELECT count(DISTINCT args->>'serviceId')::text || ' of ' || count(*) FROM river.river_job WHERE kind = 'sync'`); got[0] != fmt.Sprintf("%d of %d", slots, slots) {
		t.Errorf("jobs for %s services", got[0])
	}
	if got := y.ask(`SELECT count(*)::text FROM leases WHERE tenant_id = $1`, uuid.UUID(other)); got[0] != "3" {
		t.Errorf("the small tenant has %s slots, want all it asked for", got[0])
	}

	// The worker falls silent: nothing more is given to it, and in the end it is forgotten.
	y.exec(`UPDATE workers SET seen_at = now() - interval '11 seconds'`)
	y.exec(`UPDATE leases SET expires_at = now()`)
	if err := scheduler.New(y.inTx, nil, slog.New(slog.DiscardHandler)).Admit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := y.ask(`SELECT count(*)::text FROM leases WHERE expires_at > now()`); got[0] != "0" {
		t.Errorf("a silent worker got %s services", got[0])
	}
	y.exec(`UPDATE workers SET seen_at = now() - interval '2 minutes'`)
	if workers, err := y.db.Operator().Workers(ctx); err != nil || len(workers) != 1 || workers[0].Slots != slots || workers[0].Host != "h" {
		t.Errorf("workers %+v, %v", workers, err)
	}
	if err := scheduler.New(y.inTx, nil, slog.New(slog.DiscardHandler)).Tick(ctx); err != nil {
		t.Fatal(err)
	}
	if workers, err := y.db.Operator().Workers(ctx); err != nil || len(workers) != 0 {
		t.Errorf("workers %+v, %v", workers, err)
	}
}

// What is asked of a service wakes the processes that listen, at the commit and not before.
func TestWakeComesWithTheCommit(t *testing.T) {
	y := newYard(t)
	l, err := y.db.Listen(t.Context(), store.WakeChannel)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := service.NewID()
	failed := fmt.Errorf("no")
	if err := y.db.InTenant(t.Context(), y.id, func(tx *store.Tx) error { _ = tx.Wake(t.Context(), service.NewID()); return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if err := y.db.InTenant(t.Context(), y.id, func(tx *store.Tx) error { return tx.Wake(t.Context(), s) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	channel, payload, err := l.Wait(ctx)
	if err != nil || channel != store.WakeChannel || payload != s.String() {
		t.Errorf("heard %s %q, %v", channel, payload, err)
	}
}
