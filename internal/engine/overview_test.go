// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
)

func TestHealthAgainstTheSchedule(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	due := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	realtime := service.Service{State: service.Active, Realtime: true}
	planned := func(d time.Duration) service.Service {
		return service.Service{State: service.Active, NextRunAt: due(d)}
	}
	read := Overview{ReadAt: now.Add(-time.Hour), LastRun: service.RunSucceeded}
	with := func(change func(*Overview)) Overview { o := read; change(&o); return o }
	tests := []struct {
		name string
		o    Overview
		s    service.Service
		want Health
	}{
		{"all is well", read, realtime, OnTime},
		{"a quiet night is no delay", with(func(o *Overview) { o.ReadAt = now.Add(-9 * time.Hour) }), realtime, OnTime},
		{"just made", Overview{}, realtime, NeverRun},
		{"the first read", Overview{Reading: true, RunOpen: true, LastRun: service.RunRunning}, realtime, OnTrack},
		{"a delivery that just began", with(func(o *Overview) { o.Owed, o.OwedSince = 1, now.Add(-time.Second) }), realtime, OnTime},
		{"a delivery that waits", with(func(o *Overview) { o.Owed, o.OwedSince = 1, now.Add(-2*time.Minute) }), realtime, Delayed},
		{"a system that stutters", with(func(o *Overview) { o.Failing = []Trouble{{Since: now.Add(-time.Minute)}} }), realtime, Delayed},
		{"a system that is gone", with(func(o *Overview) { o.Failing = []Trouble{{Since: now.Add(-time.Hour)}} }), realtime, ActionRequired},
		{"waits for its time", read, planned(time.Minute), OnTime},
		{"is just due", read, planned(-time.Minute), OnTime},
		{"was not taken", read, planned(-time.Hour), Delayed},
		{"is at it", with(func(o *Overview) { o.RunOpen = true }), planned(time.Minute), OnTrack},
		{"left something over", with(func(o *Overview) { o.LastRun = service.RunPartial }), planned(time.Minute), OnTrack},
		{"failed", with(func(o *Overview) { o.LastRun = service.RunFailed }), planned(time.Minute), Delayed},
		{"tries again after a failure", with(func(o *Overview) { o.LastRun, o.RunOpen = service.RunFailed, true }), planned(time.Minute), OnTrack},
		{"paused", read, service.Service{State: service.Paused}, PausedHealth},
		{"stopped", read, service.Service{State: service.ActionRequired}, ActionRequired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.o.Health(tt.s, now); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
