// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// The process died between the effect and the answer: a repetition must not have the effect again, whenever it comes.
func TestAnEffectWithoutAnswerHappensOnce(t *testing.T) {
	t.Parallel()
	clock := newHands()
	db := storetest.NewAt(t, clock.now)
	id := storetest.Tenant(t, db)
	print := []byte("POST /v1/connections")
	effect := func(ctx context.Context) error {
		return db.InTenant(ctx, id, func(tx *store.Tx) error { return tx.Emit(ctx, "thing.made", uuid.Nil, map[string]any{}) })
	}
	claim, _, err := db.ClaimKey(t.Context(), id, "k1", print)
	if err != nil {
		t.Fatal(err)
	}
	if err := effect(idempotency.With(t.Context(), claim)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.ClaimKey(t.Context(), id, "k1", print); !fault.IsCode(err, "idempotency.running") {
		t.Errorf("right after the effect: %v", err)
	}
	clock.forward(idempotency.Lapse + time.Second)
	if _, _, err := db.ClaimKey(t.Context(), id, "k1", print); !fault.IsCode(err, "idempotency.answer_lost") {
		t.Errorf("long after the effect: %v", err)
	}
	// The first holder lived after all.
	answer := idempotency.Answer{Status: 201, Body: []byte("{}")}
	if err := db.FinishKey(t.Context(), id, claim, answer); err != nil {
		t.Fatal(err)
	}
	if _, replay, err := db.ClaimKey(t.Context(), id, "k1", print); err != nil || replay == nil || replay.Status != 201 {
		t.Errorf("the answer is %+v, %v", replay, err)
	}
}

// The work took so long that another request took the key over: what the first one does is rolled back.
func TestALostClaimHasNoEffect(t *testing.T) {
	t.Parallel()
	clock := newHands()
	db := storetest.NewAt(t, clock.now)
	id := storetest.Tenant(t, db)
	claim, _, err := db.ClaimKey(t.Context(), id, "k1", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	clock.forward(idempotency.Lapse + time.Second)
	if _, replay, err := db.ClaimKey(t.Context(), id, "k1", []byte("x")); err != nil || replay != nil {
		t.Fatalf("taking over: %v, %v", replay, err)
	}
	ctx := idempotency.With(t.Context(), claim)
	err = db.InTenant(ctx, id, func(tx *store.Tx) error { return tx.Emit(ctx, "thing.made", uuid.Nil, map[string]any{}) })
	if !fault.IsCode(err, "idempotency.lost") {
		t.Errorf("the first holder's commit: %v", err)
	}
	if err := db.InTenant(t.Context(), id, func(tx *store.Tx) error {
		events, _, err := tx.EventsAfter(t.Context(), "0-0", 10)
		if len(events) != 0 {
			return errors.New("the effect of a lost claim was committed")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// Work that failed leaves no mark, and the key can be released.
func TestAFailedEffectLeavesTheKeyFree(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	id := storetest.Tenant(t, db)
	claim, _, err := db.ClaimKey(t.Context(), id, "k1", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	ctx := idempotency.With(t.Context(), claim)
	if err := db.InTenant(ctx, id, func(*store.Tx) error { return wrong }); !errors.Is(err, wrong) {
		t.Fatal(err)
	}
	if err := db.ReleaseKey(t.Context(), id, claim); err != nil {
		t.Fatal(err)
	}
	if _, replay, err := db.ClaimKey(t.Context(), id, "k1", []byte("y")); err != nil || replay != nil {
		t.Errorf("the key is not free: %v, %v", replay, err)
	}
}
