// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
)

func TestAgreements(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, time.November, n, 0, 0, 0, 0, time.UTC) }
	sub := func(plan string, from time.Time, trial ...time.Time) billing.Subscription {
		s := billing.Subscription{ID: uuid.New(), From: from, CreatedAt: from, Plan: billing.Plan{Card: billing.RateCard{Name: plan}}}
		if len(trial) > 0 {
			s.TrialUntil = trial[0]
		}
		return s
	}
	again := sub("b", day(10))
	again.CreatedAt = again.CreatedAt.Add(time.Minute)
	tests := []struct {
		name string
		list []billing.Subscription
		want string
	}{
		{"none", nil, "1-31 per-sync"},
		{"since long", []billing.Subscription{sub("a", day(1).AddDate(-1, 0, 0))}, "1-31 a"},
		{"from the first instant", []billing.Subscription{sub("a", day(1))}, "1-31 a"},
		{"begins after the month", []billing.Subscription{sub("a", day(31))}, "1-31 per-sync"},
		{"the first one", []billing.Subscription{sub("a", day(10))}, "1-10 per-sync, 10-31 a"},
		{"a change", []billing.Subscription{sub("b", day(20)), sub("a", day(1))}, "1-20 a, 20-31 b"},
		{"two at the same time: the later made one", []billing.Subscription{again, sub("a", day(10))}, "1-10 per-sync, 10-31 b"},
		{"a trial within", []billing.Subscription{sub("a", day(5), day(19))}, "1-5 per-sync, 5-19 a free, 19-31 a"},
		{"a trial over the end", []billing.Subscription{sub("a", day(20), day(34))}, "1-20 per-sync, 20-31 a free"},
		{"a trial overtaken", []billing.Subscription{sub("a", day(5), day(25)), sub("b", day(12))}, "1-5 per-sync, 5-12 a free, 12-31 b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			last := day(1)
			for _, a := range billing.Agreements(tt.list, day(1), day(31)) {
				if !a.Start.Equal(last) {
					t.Errorf("a part begins at %s, the one before it ended at %s", a.Start, last)
				}
				last = a.End
				text := fmt.Sprintf("%d-%d %s", a.Start.Day(), int(a.End.Sub(day(1)).Hours()/24)+1, a.Plan.Name())
				if a.Trial {
					text += " free"
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != tt.want || !last.Equal(day(31)) {
				t.Errorf("got %s until %s, want %s", strings.Join(got, ", "), last, tt.want)
			}
		})
	}
}
