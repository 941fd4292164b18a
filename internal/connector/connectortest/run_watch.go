// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

func testWatch(t *testing.T, s *suite) {
	if !s.Can.Watches {
		return
	}
	sys, o := s.object(t, items)
	r := newReplica(sys, o, 10)
	r.drain(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wakes, ended := make(chan record.Object, 1000), make(chan error, 1)
	go func() {
		ended <- sys.(connector.Watcher).Watch(ctx, []record.Object{o}, func(o record.Object) { wakes <- o })
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case got := <-wakes:
			if got != o {
				t.Errorf("woken for %q, want %q", got, o)
			}
		case err := <-ended:
			t.Fatalf("watching ended before it told of %s: %v", what, err)
		case <-time.After(patience):
			t.Fatalf("watching does not tell of %s", what)
		}
	}
	wait("its beginning")
	want := rows{}
	for i := 1; i <= 5; i++ {
		s.Users.Insert(t, o, item(i, 1))
		want[id(i)] = item(i, 1)
		for deadline := time.Now().Add(patience); r.rows[id(i)] == nil; { // a wake may be of something older
			if time.Now().After(deadline) {
				t.Fatalf("insert %d was never seen after a wake", i)
			}
			wait("an insert")
			r.drain(t)
		}
	}
	r.catchUp(t, want)
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("watching ended with %v, want nil when its context ends", err)
		}
	case <-time.After(patience):
		t.Error("watching does not end with its context")
	}
}

func testClean(t *testing.T, s *suite) {
	if s.Leftovers == nil {
		return
	}
	o, c := s.Create(t, items), consumer()
	sys := s.open(t, c)
	want := s.stocked(t, o, 1, 3)
	r := newReplica(sys, o, 10)
	r.drain(t)
	s.write(t, sys, o, create(item(4, 1)))
	want["4"] = item(4, 1)
	s.Users.Insert(t, o, item(5, 1))
	want["5"] = item(5, 1)
	r.untilTrue(t, "a change", func() bool { return r.rows["5"] != nil })
	for range 2 { // cleaning what is clean is fine
		if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{o}); err != nil {
			t.Fatalf("clean: %v", err)
		}
		if left := s.Leftovers(t, o, c); len(left) > 0 {
			t.Errorf("after Clean there are still %v", left)
		}
	}
	s.Users.Insert(t, o, item(6, 1)) // users go on undisturbed
	want["6"] = item(6, 1)
	again := newReplica(sys, o, 10) // and a new beginning is possible
	again.drain(t)
	again.catchUp(t, want)
	if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{o}); err != nil {
		t.Fatalf("clean: %v", err)
	}
	if left := s.Leftovers(t, o, c); len(left) > 0 {
		t.Errorf("after the second Clean there are still %v", left)
	}
}
