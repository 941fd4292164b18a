// SPDX-License-Identifier: Apache-2.0

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	neturl "net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/worker"
)

const soon = time.Minute

// within fails the test when nothing is received in time.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatalf("no %s within %s", what, soon)
		panic("unreachable")
	}
}

// carried is one call of a carrier.
type carried struct {
	service service.ID
	fence   int64
	at      time.Time
	ctx     context.Context
	end     chan<- ended // how it is to end; unanswered, it ends with ctx
}

type ended struct {
	again bool
	err   error
	panic any
}

// carrier tells the test what it is asked to carry.
type carrier struct {
	begun   chan carried
	stopped chan carried
	nudged  chan service.ID
}

func newCarrier() *carrier {
	return &carrier{begun: make(chan carried, 100), stopped: make(chan carried, 100), nudged: make(chan service.ID, 100)}
}

func (c *carrier) Carry(ctx context.Context, _ tenant.ID, s service.ID, fence int64) (bool, error) {
	end := make(chan ended, 1)
	call := carried{s, fence, time.Now(), ctx, end}
	c.begun <- call
	select {
	case <-ctx.Done():
		call.at = time.Now()
		c.stopped <- call
		return false, nil
	case e := <-end:
		if e.panic != nil {
			panic(e.panic)
		}
		return e.again, e.err
	}
}

func (c *carrier) Nudge(s service.ID) {
	select {
	case c.nudged <- s:
	default:
	}
}

// cleaner answers the clean-up jobs.
type cleaner struct{ asked chan service.CleanArgs }

func (c cleaner) Clean(_ context.Context, a service.CleanArgs, _ bool) (bool, error) {
	c.asked <- a
	return a.Revision == 1, nil
}

// shouts keeps what is logged at warn and above.
type shouts struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shouts) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shouts) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// yard is a database with a scheduler and any number of workers.
type yard struct {
	t      *testing.T
	url    string
	db     *store.DB
	owner  *pgxpool.Pool
	tenant tenant.ID
	log    *shouts
}

func newYard(t *testing.T) *yard {
	t.Helper()
	url := storetest.URL(t)
	y := &yard{t: t, url: url, db: storetest.Open(t, url, nil), log: &shouts{}}
	y.tenant = storetest.Tenant(t, y.db)
	var err error
	if y.owner, err = pgxpool.New(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(y.owner.Close)
	return y
}

func (y *yard) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(y.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (y *yard) exec(sql string, args ...any) {
	y.t.Helper()
	if _, err := y.owner.Exec(context.Background(), sql, args...); err != nil {
		y.t.Fatalf("%s: %v", sql, err)
	}
}

func (y *yard) one(sql string, args ...any) (s string) {
	y.t.Helper()
	if err := y.owner.QueryRow(context.Background(), sql, args...).Scan(&s); err != nil {
		y.t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// until polls until the query gives what is wanted.
func (y *yard) until(want, sql string, args ...any) {
	y.t.Helper()
	got := ""
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = y.one(sql, args...); got == want {
			return
		}
	}
	y.t.Fatalf("%s gives %q, want %q", sql, got, want)
}

// schedule runs a scheduler that is woken as in production.
func (y *yard) schedule() {
	y.t.Helper()
	s := scheduler.New(store.InOperatorTx(y.db, func(tx *store.OperatorTx) scheduler.Tx { return tx }), nil, y.logger())
	y.process(y.db, s.Run, func(string) { s.Wake() })
}

// process runs a part of the program until the test ends, woken over a listening connection of its own.
func (y *yard) process(db *store.DB, run func(context.Context) error, wake func(string)) (stop func()) {
	y.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	hub := live.NewHub(func(ctx context.Context, channels ...string) (live.Listener, error) {
		return db.Listen(ctx, channels...)
	}, store.LiveChannel, slog.New(slog.DiscardHandler))
	hub.Handle(store.WakeChannel, wake)
	var all sync.WaitGroup
	all.Go(func() {
		if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) && db == y.db {
			y.t.Errorf("a process ended with %v", err)
		}
	})
	all.Go(func() { _ = hub.Run(ctx) })
	stop = func() { cancel(); all.Wait() }
	y.t.Cleanup(stop)
	return stop
}

var short = worker.Options{Slots: 4, Beat: 300 * time.Millisecond, TTL: 3 * time.Second, Schema: store.JobSchema, Host: "test", Version: "test"}

// work runs a worker; stop ends it as a signal would.
func (y *yard) work(db *store.DB, c worker.Carrier, o worker.Options) (w *worker.Worker, stop func()) {
	y.t.Helper()
	o.Log = y.logger()
	w, err := worker.New(riverpgxv5.New(db.Pool()), db.Leases(), c, cleaner{make(chan service.CleanArgs, 10)}, o)
	if err != nil {
		y.t.Fatal(err)
	}
	stop = y.process(db, w.Run, func(payload string) {
		var s service.ID
		_ = s.UnmarshalText([]byte(payload))
		w.Wake(s)
	})
	y.until("1", `SELECT count(*)::text FROM workers WHERE id = $1`, w.ID())
	return w, stop
}

// service makes a realtime service, and wakes the scheduler.
func (y *yard) service(name string) service.ID {
	y.t.Helper()
	s := service.Service{ID: service.NewID(), Name: name, State: service.Active, Revision: 1, Realtime: true, Pool: "default", Priority: 2}
	y.tx(func(ctx context.Context, tx *store.Tx) error {
		s.CreatedAt, s.UpdatedAt = tx.Now(), tx.Now()
		if err := tx.InsertService(ctx, s); err != nil {
			return err
		}
		return tx.Wake(ctx, s.ID)
	})
	return s.ID
}

func (y *yard) tx(fn func(context.Context, *store.Tx) error) {
	y.t.Helper()
	ctx := context.Background()
	if err := y.db.InTenant(ctx, y.tenant, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		y.t.Fatal(err)
	}
}

// quiet fails the test when something was logged that a person would have to look at.
func (y *yard) quiet() {
	y.t.Helper()
	if s := y.log.String(); s != "" {
		y.t.Errorf("logged:\n%s", s)
	}
}

func TestServiceIsCarriedUntilTheWorkerStops(t *testing.T) {
	y := newYard(t)
	y.schedule()
	first := newCarrier()
	a, stop := y.work(y.db, first, short)
	s := y.service("stock")
	c := within(t, first.begun, "carrying")
	if c.service != s || c.fence != 1 || a.Carrying() != 1 {
		t.Errorf("carries %v with fence %d", c.service, c.fence)
	}
	if got := y.one(`SELECT worker_id::text FROM leases`); got != a.ID().String() {
		t.Errorf("the lease is %s's", got)
	}
	// It is kept: after twice its time it is still the same.
	kept := y.one(`SELECT expires_at::text FROM leases`)
	y.until("true", `SELECT (expires_at > $1::timestamptz + interval '3 seconds')::text FROM leases`, kept)
	if c.ctx.Err() != nil || y.one(`SELECT fence::text FROM leases`) != "1" {
		t.Error("it was stopped meanwhile")
	}

	// Another worker stands by and takes over as soon as the first one stops.
	second := newCarrier()
	b, _ := y.work(y.db, second, short)
	stopping := time.Now()
	go stop()
	within(t, first.stopped, "end of carrying")
	c = within(t, second.begun, "carrying by the other worker")
	t.Logf("taken over %s after the signal", c.at.Sub(stopping).Round(time.Millisecond))
	if c.fence != 2 || c.service != s || y.one(`SELECT worker_id::text FROM leases`) != b.ID().String() {
		t.Errorf("carried with fence %d", c.fence)
	}
	y.until("0", `SELECT count(*)::text FROM workers WHERE id = $1`, a.ID())
	if got := y.one(`SELECT failures::text FROM leases`); got != "0" {
		t.Errorf("stopping counts as %s failures", got)
	}
	y.quiet()
}

// A worker that is cut off from the database stops by itself, another one takes over, and what the first still tries to
// write is refused.
func TestLostWorkerIsReplaced(t *testing.T) {
	y := newYard(t)
	y.schedule()
	line := newLine(t, y.url)
	far := storetest.Open(t, line.url, nil)
	first, second := newCarrier(), newCarrier()
	a, _ := y.work(far, first, short)
	s := y.service("stock")
	was := within(t, first.begun, "carrying")

	b, _ := y.work(y.db, second, short)
	line.cut()
	cut := time.Now()
	gone := within(t, first.stopped, "end of carrying by the worker that was cut off")
	now := within(t, second.begun, "carrying by the other worker")
	t.Logf("stopped %s, taken over %s after the cut; leases last %s", gone.at.Sub(cut).Round(time.Millisecond), now.at.Sub(cut).Round(time.Millisecond), short.TTL)
	if now.fence != was.fence+1 || now.service != s {
		t.Errorf("carried on with fence %d after %d", now.fence, was.fence)
	}
	if late := now.at.Sub(cut); late > 30*time.Second {
		t.Errorf("taken over after %s", late)
	}

	// The line is back, and the first worker with it. Its fence is not.
	line.mend()
	for _, fence := range []int64{was.fence, now.fence} {
		h := scheduler.Held{Tenant: y.tenant, Service: s, Fence: fence, Worker: a.ID()}
		if held, _, err := y.db.Leases().Keep(t.Context(), h, time.Minute); held || err != nil {
			t.Errorf("it has the lease with fence %d again: %v", fence, err)
		}
	}
	err := y.db.InTenant(t.Context(), y.tenant, func(tx *store.Tx) error {
		return tx.Guard(t.Context(), engine.Guard{Service: s, Fence: was.fence, Revision: 1})
	})
	if !errors.Is(err, engine.ErrFenced) {
		t.Errorf("its commit is not refused: %v", err)
	}
	err = y.db.InTenant(t.Context(), y.tenant, func(tx *store.Tx) error {
		return tx.Guard(t.Context(), engine.Guard{Service: s, Fence: now.fence, Revision: 1})
	})
	if err != nil || b.Carrying() != 1 {
		t.Errorf("the commit of the one that took over: %v", err)
	}
	// It lives again, and gets work.
	y.until("true", `SELECT (seen_at > now() - interval '2 seconds')::text FROM workers WHERE id = $1`, a.ID())
}

func TestTurnsAreHandedOver(t *testing.T) {
	y := newYard(t)
	o := short
	o.Turn = 200 * time.Millisecond
	c := newCarrier()
	y.work(y.db, c, o)
	s := y.service("stock")
	// No scheduler runs: what goes on does so from hand to hand.
	y.grant(s)
	for fence := int64(1); fence <= 4; fence++ {
		if call := within(t, c.begun, "carrying"); call.fence != fence || call.service != s {
			t.Fatalf("carried with fence %d, want %d", call.fence, fence)
		}
	}
	y.quiet()
}

// grant hands the service a slot as the scheduler would.
func (y *yard) grant(s service.ID) {
	y.t.Helper()
	err := store.InOperatorTx(y.db, func(tx *store.OperatorTx) *store.OperatorTx { return tx })(context.Background(), func(tx *store.OperatorTx) error {
		fence, ok, err := tx.Grant(context.Background(), scheduler.Grant{Candidate: scheduler.Candidate{Tenant: y.tenant, Service: s}, On: "default"}, scheduler.GrantTTL)
		if err != nil || !ok {
			return fmt.Errorf("granting: %v, %w", ok, err)
		}
		return tx.Enqueue(context.Background(), service.SyncArgs{TenantID: y.tenant, ServiceID: s, Fence: fence, Queue: "default"})
	})
	if err != nil {
		y.t.Fatal(err)
	}
}

func TestEndings(t *testing.T) {
	tests := []struct {
		name     string
		end      ended
		next     bool // it is carried again at once, without a scheduler
		failures string
		logged   string
	}{
		{name: "done", end: ended{}, failures: "0"},
		{name: "to be carried again at once", end: ended{again: true}, next: true, failures: "0"},
		{name: "failed", end: ended{err: errors.New("no connection can be opened")}, failures: "1", logged: "no connection can be opened"},
		{name: "failed, though it wants to go on", end: ended{again: true, err: errors.New("odd")}, failures: "1", logged: "odd"},
		{name: "panicked", end: ended{panic: "index out of range"}, failures: "1", logged: "index out of range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			y := newYard(t)
			c := newCarrier()
			w, _ := y.work(y.db, c, short)
			s := y.service("stock")
			y.grant(s)
			within(t, c.begun, "carrying").end <- tt.end
			if tt.next {
				if again := within(t, c.begun, "carrying again"); again.fence != 2 {
					t.Errorf("carried again with fence %d", again.fence)
				}
			} else {
				y.until("true", `SELECT (expires_at <= now())::text FROM leases`)
				if n := w.Carrying(); n != 0 {
					t.Errorf("it carries %d services", n)
				}
			}
			if got := y.one(`SELECT failures::text FROM leases`); got != tt.failures {
				t.Errorf("%s failures, want %s", got, tt.failures)
			}
			if got := y.one(`SELECT (not_before IS NOT NULL)::text FROM leases`); got != fmt.Sprint(tt.failures != "0") {
				t.Errorf("it rests: %s", got)
			}
			switch logged := y.log.String(); {
			case tt.logged == "":
				y.quiet()
			case !strings.Contains(logged, tt.logged) || !strings.Contains(logged, y.tenant.String()) || !strings.Contains(logged, s.String()):
				t.Errorf("logged:\n%s", logged)
			}
		})
	}
}

func TestYieldIsHeardAtOnce(t *testing.T) {
	y := newYard(t)
	y.schedule()
	c := newCarrier()
	o := short
	o.Beat, o.TTL = 5*time.Minute, 15*time.Minute // so that only the wake can be in time
	y.work(y.db, c, o)
	s := y.service("stock")
	call := within(t, c.begun, "carrying")
	// A revision, a pause: whoever carries the service is asked to stop.
	y.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.AskToStop(ctx, s); err != nil {
			return err
		}
		return tx.Wake(ctx, s)
	})
	asked := time.Now()
	within(t, c.stopped, "end of carrying")
	t.Logf("stopped %s after it was asked", time.Since(asked).Round(time.Millisecond))
	again := within(t, c.begun, "carrying again")
	if again.fence != call.fence+1 {
		t.Errorf("carried again with fence %d", again.fence)
	}
	// And without the wake, by the next beat.
	y.quiet()
}

func TestYieldIsSeenByTheBeat(t *testing.T) {
	y := newYard(t)
	c := newCarrier()
	y.work(y.db, c, short)
	s := y.service("stock")
	y.grant(s)
	within(t, c.begun, "carrying")
	y.exec(`UPDATE leases SET yield = true`)
	within(t, c.stopped, "end of carrying")
	y.until("true", `SELECT (expires_at <= now())::text FROM leases`)
	y.quiet()
}

func TestOlderJobsDoNothing(t *testing.T) {
	y := newYard(t)
	s := y.service("stock")
	y.grant(s)
	y.exec(`UPDATE leases SET expires_at = now()`)
	y.grant(s)
	c := newCarrier()
	y.work(y.db, c, short)
	if call := within(t, c.begun, "carrying"); call.fence != 2 {
		t.Errorf("carried with fence %d", call.fence)
	}
	y.until("1", `SELECT count(*)::text FROM river.river_job WHERE state = 'completed'`)
	select {
	case call := <-c.begun:
		t.Errorf("carried with fence %d too", call.fence)
	default:
	}
	y.quiet()
}

func TestNudges(t *testing.T) {
	y := newYard(t)
	c := newCarrier()
	w, _ := y.work(y.db, c, short)
	s := y.service("stock")
	y.grant(s)
	within(t, c.begun, "carrying")
	for len(c.nudged) > 0 {
		<-c.nudged
	}
	w.Wake(service.NewID()) // another service
	y.tx(func(ctx context.Context, tx *store.Tx) error { return tx.Wake(ctx, s) })
	if got := within(t, c.nudged, "nudge"); got != s {
		t.Errorf("nudged for %s", got)
	}
}

// A run that somebody asks for begins at once, not with the next tick.
func TestRunNowBeginsAtOnce(t *testing.T) {
	y := newYard(t)
	y.schedule()
	c := newCarrier()
	y.work(y.db, c, short)
	s := y.service("stock")
	within(t, c.begun, "carrying").end <- ended{}
	y.exec(`UPDATE services SET realtime = false`)
	var waits []time.Duration
	for range 9 {
		// The grant that was under way may still come.
		y.until("true", `SELECT (expires_at <= now())::text FROM leases`)
		for len(c.begun) > 0 {
			(<-c.begun).end <- ended{}
		}
		asked := time.Now()
		y.tx(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.InsertRun(ctx, service.Run{ID: service.NewRunID(), Service: s, Kind: service.ManualRun, State: service.RunQueued, Actor: "x", Revision: 1, CreatedAt: tx.Now()}); err != nil {
				return err
			}
			return tx.Wake(ctx, s)
		})
		call := within(t, c.begun, "carrying")
		waits = append(waits, call.at.Sub(asked))
		y.exec(`UPDATE runs SET state = 'succeeded', finished_at = now()`)
		call.end <- ended{}
	}
	slices.Sort(waits)
	t.Logf("from asking to carrying: median %s, longest %s", waits[4].Round(time.Millisecond), waits[8].Round(time.Millisecond))
	if waits[4] > 400*time.Millisecond { // with the next tick it would be half a second, and the queue's poll comes on top
		t.Errorf("it takes %s", waits[4])
	}
}

func TestSlotsAreKept(t *testing.T) {
	y := newYard(t)
	y.schedule()
	c := newCarrier()
	o := short
	o.Slots = 2
	w, _ := y.work(y.db, c, o)
	for i := range 5 {
		y.service(fmt.Sprint("s", i))
	}
	first := within(t, c.begun, "carrying")
	within(t, c.begun, "carrying")
	if n := w.Carrying(); n != 2 {
		t.Errorf("it carries %d services on 2 slots", n)
	}
	// One ends; its slot goes to one that waits.
	y.exec(`UPDATE services SET state = 'paused' WHERE id = $1`, uuid.UUID(first.service))
	first.end <- ended{}
	if next := within(t, c.begun, "carrying the next"); next.service == first.service {
		t.Error("the same was carried again")
	}
	select {
	case call := <-c.begun:
		t.Errorf("%s is carried on a third slot", call.service)
	default:
	}
}

func TestPoolsAndFallback(t *testing.T) {
	y := newYard(t)
	own, other := newCarrier(), newCarrier()
	told := make(chan string, 10)
	s := scheduler.New(store.InOperatorTx(y.db, func(tx *store.OperatorTx) scheduler.Tx { return tx }), notes{told}, y.logger())
	y.process(y.db, s.Run, func(string) { s.Wake() })
	_, stop := y.work(y.db, own, func() worker.Options { o := short; o.Pools = []string{"eu", "us"}; return o }())
	y.work(y.db, other, short)
	id := y.service("stock")
	within(t, other.begun, "carrying on the default pool").end <- ended{}
	y.exec(`UPDATE services SET pool = 'eu' WHERE id = $1`, uuid.UUID(id))
	for { // the grant that was under way may still be for the default pool
		call := within(t, merge(own.begun, other.begun), "carrying")
		if y.one(`SELECT pool FROM leases`) == "eu" {
			break
		}
		call.end <- ended{}
	}
	go stop()
	within(t, own.stopped, "end of carrying on its own pool")
	within(t, other.begun, "carrying on the pool that stands in")
	if got := within(t, told, "notice"); got != "eu > default" {
		t.Errorf("told %q", got)
	}
}

func merge(a, b <-chan carried) <-chan carried {
	out := make(chan carried, 1)
	go func() {
		select {
		case c := <-a:
			out <- c
		case c := <-b:
			out <- c
		}
	}()
	return out
}

type notes struct{ told chan string }

func (notes) QueueDue(context.Context, tenant.ID, []service.ID) error { return nil }

func (n notes) NotePool(_ context.Context, _ tenant.ID, _ service.ID, own, used string) error {
	n.told <- own + " > " + used
	return nil
}

func TestCleaningUp(t *testing.T) {
	y := newYard(t)
	asked := make(chan service.CleanArgs, 10)
	o := short
	o.Log = y.logger()
	w, err := worker.New(riverpgxv5.New(y.db.Pool()), y.db.Leases(), newCarrier(), cleaner{asked}, o)
	if err != nil {
		t.Fatal(err)
	}
	y.process(y.db, w.Run, func(string) {})
	s := y.service("stock")
	for revision := 1; revision <= 2; revision++ {
		y.tx(func(ctx context.Context, tx *store.Tx) error {
			return tx.Enqueue(ctx, service.CleanArgs{TenantID: y.tenant, ServiceID: s, Revision: revision, System: "shop"})
		})
		if a := within(t, asked, "clean-up"); a.TenantID != y.tenant || a.ServiceID != s || a.Revision != revision || a.System != "shop" {
			t.Errorf("asked to clean %+v", a)
		}
	}
	y.until("completed", `SELECT state::text FROM river.river_job WHERE args->>'revision' = '2'`)
	if got := y.one(`SELECT state::text FROM river.river_job WHERE args->>'revision' = '1'`); got == "completed" {
		t.Error("what was to be done later counts as done")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	y := newYard(t)
	for name, o := range map[string]worker.Options{
		"a pool's name":        {Pools: []string{"Default Pool"}},
		"the queue of chores":  {Pools: []string{service.ChoresPool}},
		"slots":                {Slots: -1},
		"too many slots":       {Slots: 20_000},
		"a lease too short":    {Beat: 3 * time.Second, TTL: 5 * time.Second},
		"a lease by its usual": {Beat: 6 * time.Second},
	} {
		if _, err := worker.New(riverpgxv5.New(y.db.Pool()), y.db.Leases(), newCarrier(), cleaner{}, o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// line is the network between a worker and the database; it can be cut.
type line struct {
	url string

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func newLine(t *testing.T, url string) *line {
	t.Helper()
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	n := &line{url: u.String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil || !n.add(in, out) {
				_ = in.Close()
				continue
			}
			go n.pass(in, out)
			go n.pass(out, in)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.conns {
			_ = c.Close()
		}
	})
	return n
}

func (n *line) add(conns ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isCut {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	n.conns = append(n.conns, conns...)
	return true
}

// pass copies until either end closes. While the line is cut nothing arrives, and nothing says so: the worst case.
func (n *line) pass(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buffer := make([]byte, 32*1024)
	for {
		k, err := from.Read(buffer)
		for n.silent() {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:k]); err != nil && !errors.Is(err, io.ErrShortWrite) {
			return
		}
	}
}

func (n *line) silent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.isCut
}

func (n *line) cut()  { n.mu.Lock(); n.isCut = true; n.mu.Unlock() }
func (n *line) mend() { n.mu.Lock(); n.isCut = false; n.mu.Unlock() }
