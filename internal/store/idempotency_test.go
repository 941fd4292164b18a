// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// hands is a clock that a test moves.
type hands struct{ at atomic.Int64 }

func newHands() *hands {
	h := &hands{}
	h.at.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixMicro())
	return h
}
func (h *hands) now() time.Time          { return time.UnixMicro(h.at.Load()) }
func (h *hands) forward(d time.Duration) { h.at.Add(d.Microseconds()) }

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	clock := newHands()
	db := storetest.NewAt(t, clock.now)
	id, other := storetest.Tenant(t, db), storetest.Tenant(t, db)
	ctx, print := t.Context(), []byte("POST /v1/services {}")
	answer := idempotency.Answer{Status: 201, Header: map[string][]string{"Location": {"/v1/services/x"}}, Body: []byte(`{"id":"x"}`)}

	claim, replay, err := db.ClaimKey(ctx, id, "k1", print)
	if err != nil || replay != nil {
		t.Fatalf("the first claim: %v, %v", replay, err)
	}
	if _, _, err := db.ClaimKey(ctx, id, "k1", print); !fault.IsCode(err, "idempotency.running") {
		t.Errorf("a second request while the first runs: %v", err)
	}
	if _, _, err := db.ClaimKey(ctx, id, "k1", []byte("another")); !fault.IsCode(err, "idempotency.mismatch") {
		t.Errorf("another request with the key: %v", err)
	}
	if _, replay, err := db.ClaimKey(ctx, other, "k1", []byte("another")); err != nil || replay != nil {
		t.Errorf("another tenant's request with the same key: %v, %v", replay, err)
	}
	if err := db.FinishKey(ctx, id, claim, answer); err != nil {
		t.Fatal(err)
	}
	clock.forward(23 * time.Hour)
	if _, replay, err := db.ClaimKey(ctx, id, "k1", print); err != nil || !reflect.DeepEqual(replay, &answer) {
		t.Errorf("the answer came back as %+v, %v", replay, err)
	}
	if err := db.FinishKey(ctx, id, claim, answer); !fault.IsCode(err, "idempotency.lost") {
		t.Errorf("finishing twice: %v", err)
	}

	// Released: the request was invalid, and the next one with the key is a first one.
	claim, _, err = db.ClaimKey(ctx, id, "k2", print)
	if err == nil {
		err = db.ReleaseKey(ctx, id, claim)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, replay, err := db.ClaimKey(ctx, id, "k2", []byte("corrected")); err != nil || replay != nil {
		t.Errorf("after a release: %v, %v", replay, err)
	}

	// Kept for a day, then dropped.
	clock.forward(2 * time.Hour)
	if _, replay, err := db.ClaimKey(ctx, id, "k1", []byte("a day later")); err != nil || replay != nil {
		t.Errorf("after a day the key is not free: %v, %v", replay, err)
	}
	if n, err := db.Operator().DropKeys(ctx); err != nil || n != 1 { // the other tenant's
		t.Errorf("%d keys were dropped, %v; want 1", n, err)
	}
}

// The process that worked on the key died, or seems to have: the next request takes over, and the first can do nothing more.
func TestIdempotencyKeyIsTakenOver(t *testing.T) {
	t.Parallel()
	clock := newHands()
	db := storetest.NewAt(t, clock.now)
	id := storetest.Tenant(t, db)
	ctx := t.Context()
	first, _, err := db.ClaimKey(ctx, id, "k", []byte("r"))
	if err != nil {
		t.Fatal(err)
	}
	clock.forward(idempotency.Lapse)
	second, replay, err := db.ClaimKey(ctx, id, "k", []byte("r"))
	if err != nil || replay != nil {
		t.Fatalf("after the lapse: %v, %v", replay, err)
	}
	err = db.InTenant(ctx, id, func(tx *store.Tx) error { // the effect of the first one, late
		return errors.Join(tx.Audit(ctx, audit.Entry{Action: "late"}), tx.FinishKey(ctx, first, idempotency.Answer{Status: 201}))
	})
	if !fault.IsCode(err, "idempotency.lost") {
		t.Errorf("the first request could still finish: %v", err)
	}
	if r := verify(t, db, id); r.Entries != 0 {
		t.Error("the first request had an effect although it was not the one to answer")
	}
	if err := db.ReleaseKey(ctx, id, first); err != nil {
		t.Fatal(err)
	}
	if err := db.FinishKey(ctx, id, second, idempotency.Answer{Status: 201}); err != nil {
		t.Errorf("the second request could not finish: %v", err)
	}
	if _, replay, err := db.ClaimKey(ctx, id, "k", []byte("r")); err != nil || replay == nil || replay.Status != 201 || len(replay.Body) != 0 {
		t.Errorf("the answer came back as %+v, %v", replay, err)
	}
}

// A hundred equal requests at once: one effect, and one answer for all.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	ctx := t.Context()
	var all sync.WaitGroup
	var answers [100]string
	answered, first := make(chan struct{}), sync.Once{}
	for i := range answers {
		all.Go(func() {
			for {
				claim, replay, err := db.ClaimKey(ctx, id, "k", []byte("r"))
				switch {
				case fault.IsCode(err, "idempotency.running"):
					select { // asking on and on would keep the one from being answered
					case <-answered:
						continue
					case <-time.After(2 * time.Minute):
						t.Error("no answer within two minutes")
						return
					}
				case err != nil:
					t.Error(err)
					return
				case replay != nil:
					answers[i] = string(replay.Body)
					return
				}
				answers[i] = "the one answer"
				err = db.InTenant(ctx, id, func(tx *store.Tx) error {
					if err := tx.Audit(ctx, audit.Entry{Action: "effect"}); err != nil {
						return err
					}
					return tx.FinishKey(ctx, claim, idempotency.Answer{Status: 201, Body: []byte(answers[i])})
				})
				if err != nil {
					t.Error(err)
					return
				}
				first.Do(func() { close(answered) })
				return
			}
		})
	}
	all.Wait()
	for i, a := range answers {
		if a != "the one answer" {
			t.Errorf("request %d was answered %q", i, a)
		}
	}
	if r := verify(t, db, id); r.Entries != 1 {
		t.Errorf("there were %d effects, want 1", r.Entries)
	}
}

func TestCheckKey(t *testing.T) {
	for key, ok := range map[string]bool{
		"6f1f1c1e-8f4e-4d57-9a52-0c5a3f6b8d11": true, "": false, "with space": false, "new\nline": false, "ümlaut": false,
	} {
		if err := idempotency.CheckKey(key); (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
	}
}
