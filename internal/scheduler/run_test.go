// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// book is a Tx that only counts, for what the shell does in which order and when; what the statements do is tested on the
// real database.
type book struct {
	mu       sync.Mutex
	start    time.Time
	admitted []time.Duration
	looked   []time.Duration
	dropped  []time.Duration
	fail     error
	due      []Due
	load     Load
	waiting  []Candidate
	jobs     []service.SyncArgs
	queued   map[tenant.ID][]service.ID
	told     []string
	refuse   bool
}

func (b *book) inTx(ctx context.Context, fn func(Tx) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	return fn(b)
}

func (b *book) DueServices(context.Context, int) ([]Due, error) {
	b.looked = append(b.looked, time.Since(b.start))
	return b.due, nil
}

func (b *book) TryAdmission(context.Context) (bool, error) {
	b.admitted = append(b.admitted, time.Since(b.start))
	return !b.refuse, nil
}

func (b *book) LoadWorkers(context.Context, time.Duration) (Load, error) { return b.load, nil }

func (b *book) Waiting(context.Context, int) ([]Candidate, error) { return b.waiting, nil }

func (b *book) Grant(_ context.Context, g Grant, _ time.Duration) (int64, bool, error) {
	return 7, short(g.Service) != "busy", nil
}

func (b *book) AskToYield(context.Context, Held) error { return nil }

func (b *book) Wake(context.Context, service.ID) error { return nil }

func (b *book) DropWorkers(context.Context, time.Duration) (int64, error) {
	b.dropped = append(b.dropped, time.Since(b.start))
	return 1, nil
}

func (b *book) Enqueue(_ context.Context, args interface{ Kind() string }) error {
	b.jobs = append(b.jobs, args.(service.SyncArgs))
	return nil
}

func (b *book) QueueDue(_ context.Context, id tenant.ID, services []service.ID) error {
	if b.queued == nil {
		b.queued = map[tenant.ID][]service.ID{}
	}
	b.queued[id] = append(b.queued[id], services...)
	if short(id) == "broken" {
		return errors.New("broken document")
	}
	return nil
}

func (b *book) NotePool(_ context.Context, _ tenant.ID, s service.ID, own, used string) error {
	b.told = append(b.told, short(s)+": "+own+" > "+used)
	return nil
}

func TestRunTicksAndWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{start: time.Now()}
		s := New(b.inTx, b, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()

		time.Sleep(1500 * time.Millisecond)
		// Woken: at once. Woken a hundred times: once more, a little later.
		for range 100 {
			s.Wake()
		}
		synctest.Wait()
		for range 100 {
			s.Wake()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		b.mu.Lock()
		got := append([]time.Duration(nil), b.admitted...)
		looked := len(b.looked)
		b.mu.Unlock()
		want := []time.Duration{time.Second, 1500 * time.Millisecond, 1520 * time.Millisecond, 2 * time.Second}
		if len(got) != len(want) {
			t.Fatalf("admitted at %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("admitted at %v, want %v", got, want)
			}
		}
		if looked != 2 {
			t.Errorf("looked %d times for due runs, want once a second", looked)
		}
		time.Sleep(30 * time.Second)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if n := len(b.dropped); n != 4 {
			t.Errorf("looked %d times for dead workers in half a minute", n)
		}
	})
}

func TestTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &book{start: time.Now(), fail: errors.New("the database is away")}
		s := New(b.inTx, b, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(10 * time.Second)
		b.mu.Lock()
		b.fail = nil
		b.mu.Unlock()
		time.Sleep(5 * time.Second)
		stop()
		<-ended
		if n := strings.Count(log.String(), "the database is away"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "works again") || len(b.admitted) < 4 {
			t.Errorf("it did not go on:\n%s", log.String())
		}
	})
}

func TestTickQueuesByTenant(t *testing.T) {
	b := &book{due: []Due{{ten("a"), svc("a1")}, {ten("broken"), svc("x")}, {ten("b"), svc("b1")}, {ten("a"), svc("a2")}}}
	s := New(b.inTx, b, slog.New(slog.DiscardHandler))
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.queued) != 3 || len(b.queued[ten("a")]) != 2 || len(b.queued[ten("b")]) != 1 {
		t.Errorf("queued %v", b.queued)
	}
	if len(b.admitted) != 1 {
		t.Error("one tenant's trouble kept slots from being handed out")
	}
}

func TestAdmit(t *testing.T) {
	b := &book{
		load: Load{Now: noon, Workers: []Worker{works("w", 4, DefaultPool)}},
		waiting: []Candidate{
			waits("a", "a1", DefaultPool, 2, 1), waits("b", "busy", DefaultPool, 2, 1), waits("c", "c1", "eu", 2, 1), waits("c", "c2", "us", 2, 1),
		},
	}
	s := New(b.inTx, b, slog.New(slog.DiscardHandler))
	b.refuse = true
	if err := s.Admit(t.Context()); err != nil || len(b.jobs) > 0 {
		t.Fatalf("while another process decides: %v, %v", b.jobs, err)
	}
	b.refuse = false
	for range 2 {
		if err := s.Admit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.jobs) != 6 {
		t.Fatalf("enqueued %v", b.jobs)
	}
	for _, j := range b.jobs[:3] {
		if j.Fence != 7 || j.Queue != DefaultPool || short(j.ServiceID) == "busy" || j.TenantID == (tenant.ID{}) {
			t.Errorf("enqueued %+v", j)
		}
	}
	if want := "c1: eu > default, c2: us > default"; strings.Join(b.told, ", ") != want {
		t.Errorf("told %v, want %s, once", b.told, want)
	}
	// The pool is back, and then gone again: that is news.
	b.load.Workers = append(b.load.Workers, works("x", 4, "eu"))
	if err := s.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.load.Workers = b.load.Workers[:1]
	if err := s.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "c1: eu > default, c2: us > default, c1: eu > default"; strings.Join(b.told, ", ") != want {
		t.Errorf("told %v, want %s", b.told, want)
	}
}
