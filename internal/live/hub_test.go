// SPDX-License-Identifier: Apache-2.0

package live_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

const soon = time.Minute

var silent = slog.New(slog.DiscardHandler)

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

func run(t *testing.T, h *live.Hub) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := within(t, ended, "end of the hub"); !errors.Is(err, context.Canceled) {
			t.Errorf("the hub ended with %v", err)
		}
	})
}

func listening(db *store.DB) live.Listen {
	return func(ctx context.Context, channels ...string) (live.Listener, error) {
		return db.Listen(ctx, channels...)
	}
}

func emit(t *testing.T, db *store.DB, id tenant.ID) {
	t.Helper()
	err := db.InTenant(context.Background(), id, func(tx *store.Tx) error {
		return tx.Emit(context.Background(), "test.happened", uuid.Nil, map[string]any{})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewsReachTheirTenantAlone(t *testing.T) {
	db := storetest.New(t)
	ours, theirs := storetest.Tenant(t, db), storetest.Tenant(t, db)
	hub := live.NewHub(listening(db), store.LiveChannel, silent)
	one, other, foreign := hub.Subscribe(ours), hub.Subscribe(ours), hub.Subscribe(theirs)
	run(t, hub)
	for _, s := range []*live.Subscription{one, other, foreign} {
		within(t, s.News(), "first look when listening begins")
	}

	emit(t, db, ours)
	within(t, one.News(), "news for the first reader")
	within(t, other.News(), "news for the second reader")

	// Notifications of one connection come in order, so once this one is here none of the earlier was for the other tenant.
	emit(t, db, theirs)
	within(t, foreign.News(), "news for the other tenant")
	select {
	case <-foreign.News():
		t.Error("the other tenant was told twice")
	case <-one.News():
		t.Error("the first tenant was told of the other's news")
	default:
	}

	other.Close()
	other.Close()
	emit(t, db, ours)
	within(t, one.News(), "news")
	select {
	case <-other.News():
		t.Error("a closed subscription was told")
	default:
	}
}

func TestSlowReaderLooksOnce(t *testing.T) {
	db := storetest.New(t)
	id, marker := storetest.Tenant(t, db), storetest.Tenant(t, db)
	hub := live.NewHub(listening(db), store.LiveChannel, silent)
	slow, end := hub.Subscribe(id), hub.Subscribe(marker)
	run(t, hub)
	within(t, slow.News(), "first look")
	within(t, end.News(), "first look")
	for range 50 {
		emit(t, db, id)
	}
	emit(t, db, marker)
	within(t, end.News(), "the news sent last")
	within(t, slow.News(), "news")
	select {
	case <-slow.News():
		t.Error("the reader was told more than once")
	default:
	}
}

func TestKilledConnectionIsReplaced(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	id := storetest.Tenant(t, db)
	hub := live.NewHub(listening(db), store.LiveChannel, silent)
	woken := make(chan string, 100)
	hub.Handle(store.WakeChannel, func(payload string) { woken <- payload })
	reader := hub.Subscribe(id)
	run(t, hub)
	within(t, reader.News(), "first look")
	if p := within(t, woken, "first wake"); p != "" {
		t.Errorf("the first wake has the payload %q, want none", p)
	}

	admin, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	for range 3 {
		// What is sent between the end of one connection and the beginning of the next is lost; the look afterwards makes
		// up for it.
		var killed bool
		err = admin.QueryRow(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'syncline listen' AND datname = current_database()`).Scan(&killed)
		if err != nil || !killed {
			t.Fatalf("killing the listening connection: %v, %v", killed, err)
		}
		within(t, reader.News(), "look after the connection was replaced")
		if p := within(t, woken, "wake after the connection was replaced"); p != "" {
			t.Errorf("the wake has the payload %q, want none", p)
		}
		if !hub.Listening() {
			t.Error("the hub says that it does not listen")
		}
	}
	emit(t, db, id)
	within(t, reader.News(), "news over the new connection")
	if _, err := admin.Exec(context.Background(), `SELECT pg_notify('syncline_wake', 'some service')`); err != nil {
		t.Fatal(err)
	}
	if p := within(t, woken, "wake over the new connection"); p != "some service" {
		t.Errorf("the wake has the payload %q", p)
	}
}

// deaf is a source whose first connections fail.
type deaf struct {
	mu    sync.Mutex
	fails int
	at    []time.Time
}

func (d *deaf) listen(ctx context.Context, _ ...string) (live.Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Now())
	if len(d.at) <= d.fails {
		return nil, errors.New("no route")
	}
	return d, nil
}

func (d *deaf) Wait(ctx context.Context) (string, string, error) {
	<-ctx.Done()
	return "", "", ctx.Err()
}

func (d *deaf) Close() {}

func TestConnectingIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{fails: 12}
		hub := live.NewHub(d.listen, store.LiveChannel, silent)
		reader := hub.Subscribe(tenant.ID(uuid.New()))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- hub.Run(ctx) }()
		<-reader.News()
		longest := time.Duration(0)
		for i := 1; i < len(d.at); i++ {
			pause, limit := d.at[i].Sub(d.at[i-1]), min(100*time.Millisecond<<(i-1), 10*time.Second)
			if pause < limit/2 || pause > limit {
				t.Errorf("pause %d is %s, want %s to %s", i, pause, limit/2, limit)
			}
			longest = max(longest, pause)
		}
		if len(d.at) != 13 || longest < 5*time.Second {
			t.Errorf("tried %d times, longest pause %s", len(d.at), longest)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the hub ended with %v", err)
		}
	})
}
