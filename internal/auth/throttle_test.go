// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

func TestThrottle(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	th := newThrottle(3, 15*time.Minute, 100, func() time.Time { return now })
	try := func(name string) bool { return th.attempt(name) == nil }
	for range 3 {
		if !try("ada") {
			t.Fatal("refused before the limit")
		}
		now = now.Add(time.Minute)
	}
	err := th.attempt("ada")
	if !fault.IsCode(err, "auth.too_many_attempts") || !strings.Contains(err.Error(), "in 12 min") {
		t.Errorf("the fourth attempt: %v; want to be told to come back in 12 min", err)
	}
	if !try("grace") {
		t.Error("somebody else was refused")
	}
	now = now.Add(12 * time.Minute) // the first failure is 15 min old
	if !try("ada") || try("ada") {
		t.Error("after the oldest failure went out of the window, one attempt is free, not none and not two")
	}
	th.undo("ada")
	if !try("ada") {
		t.Error("an attempt that was taken back still counts")
	}
	th.forget("ada")
	for range 3 {
		if !try("ada") {
			t.Error("after a success old failures still count")
		}
	}
}

func TestThrottleIsBounded(t *testing.T) {
	th := newThrottle(1, time.Hour, 10, time.Now)
	for i := range 1000 {
		if err := th.attempt(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if i < 5 {
			continue
		}
		_ = th.attempt("5") // still refused, and so stays known
	}
	if len(th.names) != 10 || th.order.Len() != 10 {
		t.Errorf("it remembers %d names, want 10", len(th.names))
	}
	if th.attempt("5") == nil {
		t.Error("the name that was used all the time was forgotten")
	}
}

// A list of stolen passwords is tried once per person, from one place.
func TestPlaceIsThrottled(t *testing.T) {
	g := guesses{newThrottle(10, time.Hour, 1000, time.Now), newThrottle(100, time.Hour, 1000, time.Now)}
	from := Caller{IP: "192.0.2.1"}
	refused := 0
	for i := range 120 {
		if g.attempt(fmt.Sprintf("person%d@example.com", i), from) != nil {
			refused++
		}
	}
	if refused != 20 {
		t.Errorf("%d of 120 were refused, want 20", refused)
	}
	if g.attempt("ada@example.com", Caller{IP: "192.0.2.2"}) != nil {
		t.Error("another place was refused")
	}
	if g.attempt("ada@example.com", Caller{}) != nil {
		t.Error("a call from inside was refused")
	}
}
