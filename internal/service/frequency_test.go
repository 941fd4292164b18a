// SPDX-License-Identifier: Apache-2.0

package service

import (
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestParseSchedule(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	tests := []struct {
		in   Frequency
		want Schedule
	}{
		{Frequency{When: "realtime"}, Schedule{Kind: Realtime}},
		{Frequency{When: "15m"}, Schedule{Kind: ByInterval, Every: Interval{Clock: 15 * time.Minute}}},
		{Frequency{When: "every 1h30m"}, Schedule{Kind: ByInterval, Every: Interval{Clock: 90 * time.Minute}}},
		{Frequency{When: "2w1d"}, Schedule{Kind: ByInterval, Every: Interval{Days: 15}}},
		{Frequency{When: "1s"}, Schedule{Kind: ByInterval, Every: Interval{Clock: time.Second}}},
		{Frequency{When: "hourly"}, Schedule{Kind: ByCron, Cron: "0 * * * *"}},
		{Frequency{When: "@daily", TimeZone: "Europe/Berlin"}, Schedule{Kind: ByCron, Cron: "0 0 * * *", Zone: berlin}},
		{Frequency{When: "weekly"}, Schedule{Kind: ByCron, Cron: "0 0 * * 1"}},
		{Frequency{When: " 0  6 * *  MON-FRI "}, Schedule{Kind: ByCron, Cron: "0 6 * * MON-FRI"}},
		{Frequency{When: "CRON_TZ=Europe/Berlin 0 6 * * *"}, Schedule{Kind: ByCron, Cron: "0 6 * * *", Zone: berlin}},
		{Frequency{When: "TZ=Europe/Berlin daily"}, Schedule{Kind: ByCron, Cron: "0 0 * * *", Zone: berlin}},
		{Frequency{When: "0 0 29 2 *"}, Schedule{Kind: ByCron, Cron: "0 0 29 2 *"}},
	}
	for _, tt := range tests {
		got, err := ParseSchedule(tt.in)
		if err != nil || got.Kind != tt.want.Kind || got.Every != tt.want.Every || got.Cron != tt.want.Cron || got.Zone.String() != tt.want.Zone.String() {
			t.Errorf("%+v: %+v, %v", tt.in, got, err)
		}
	}
	wrong := []struct {
		in         Frequency
		code, says string
	}{
		{Frequency{When: "sometimes"}, codeScheduleInvalid, "is not a schedule"},
		{Frequency{When: "dayly"}, codeScheduleInvalid, "Did you mean daily?"},
		{Frequency{When: "real-time"}, codeScheduleInvalid, "Did you mean realtime?"},
		{Frequency{When: "0s"}, codeScheduleInvalid, "out of range"},
		{Frequency{When: "500d"}, codeScheduleInvalid, "out of range"},
		{Frequency{When: "15 m"}, codeScheduleInvalid, "is not a schedule"},
		{Frequency{When: "61 * * * *"}, codeScheduleInvalid, "The minute, 61, is not valid; it is 0 to 59"},
		{Frequency{When: "0 25 * * *"}, codeScheduleInvalid, "The hour, 25"},
		{Frequency{When: "0 0 * * NOD"}, codeScheduleInvalid, "The day of the week, NOD"},
		{Frequency{When: "0 0 31 2 *"}, codeScheduleInvalid, "never comes due"},
		{Frequency{When: "0 0 * * * *"}, codeScheduleInvalid, "five fields"},
		{Frequency{When: ""}, codeScheduleInvalid, "is not a schedule"},
		{Frequency{When: "daily", TimeZone: "Berlin"}, codeTimeZoneUnknown, "Europe/Berlin"},
		{Frequency{When: "daily", TimeZone: "Local"}, codeTimeZoneUnknown, ""},
		{Frequency{When: "TZ=Mars/Base 0 0 * * *"}, codeTimeZoneUnknown, "Mars/Base"},
		{Frequency{When: "TZ=UTC 0 0 * * *", TimeZone: "Europe/Berlin"}, codeScheduleInvalid, "Two time zones"},
	}
	for _, tt := range wrong {
		_, err := ParseSchedule(tt.in)
		if !fault.IsCode(err, tt.code) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.in, err)
		}
	}
}

// Berlin changes its clocks on 29 March 2026 at 02:00 (to 03:00) and on 25 October 2026 at 03:00 (to 02:00).
func TestNext(t *testing.T) {
	tests := []struct {
		name, when, zone string
		after            string
		want             []string
	}{
		{"interval", "15m", "UTC", "2026-11-23T10:07:00Z", []string{"2026-11-23T10:22:00Z", "2026-11-23T10:37:00Z"}},
		{"cron", "0 6 * * MON-FRI", "UTC", "2026-11-20T06:00:00Z", []string{"2026-11-23T06:00:00Z", "2026-11-24T06:00:00Z"}},
		{"cron in its zone", "0 6 * * *", "Europe/Berlin", "2026-11-23T04:59:59Z", []string{"2026-11-23T06:00:00+01:00", "2026-11-24T06:00:00+01:00"}},
		{"seconds do not matter", "* * * * *", "UTC", "2026-11-23T10:00:30Z", []string{"2026-11-23T10:01:00Z", "2026-11-23T10:02:00Z"}},
		{"half an hour's offset", "0 9 * * *", "Asia/Kolkata", "2026-11-23T00:00:00Z", []string{"2026-11-23T09:00:00+05:30"}},
		{"leap day", "0 0 29 2 *", "UTC", "2026-11-23T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"last day of the month", "30 23 L * *", "Europe/Berlin", "2026-10-01T00:00:00Z", []string{"2026-10-31T23:30:00+01:00", "2026-11-30T23:30:00+01:00"}},

		{"spring: a skipped time comes right after the gap, once", "30 2 * * *", "Europe/Berlin", "2026-03-28T03:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"spring: two skipped times come once", "15,45 2 * * *", "Europe/Berlin", "2026-03-28T03:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"}},
		{"spring: a time after the gap keeps its hour", "30 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T03:30:00+02:00"}},
		{"spring: the gap's end is not doubled", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"spring: every half hour goes on", "*/30 * * * *", "Europe/Berlin", "2026-03-29T01:15:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"}},
		{"autumn: a repeated time comes the first time only", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"autumn: also from within the repeated hour", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"autumn: the hour after the repeated one", "0 3 * * *", "Europe/Berlin", "2026-10-25T02:45:00+02:00",
			[]string{"2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00"}},
		{"autumn: every half hour runs through both", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:15:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"hourly through autumn", "hourly", "Europe/Berlin", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"midnight that does not exist (Beirut)", "daily", "Asia/Beirut", "2026-03-28T12:00:00+02:00", []string{"2026-03-29T01:00:00+03:00", "2026-03-30T00:00:00+03:00"}},
		{"half an hour's change (Lord Howe)", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"intervals are elapsed time through spring", "1h", "Europe/Berlin", "2026-03-29T01:30:00+01:00", []string{"2026-03-29T03:30:00+02:00"}},
		{"intervals are elapsed time through autumn", "1h", "Europe/Berlin", "2026-10-25T02:30:00+02:00", []string{"2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"days keep the time of day in spring", "1d", "Europe/Berlin", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T12:00:00+02:00"}},
		{"days keep the time of day in autumn", "1d", "Europe/Berlin", "2026-10-24T12:00:00+02:00", []string{"2026-10-25T12:00:00+01:00"}},
		{"a day onto a skipped time", "1d", "Europe/Berlin", "2026-03-28T02:30:00+01:00", []string{"2026-03-29T03:00:00+02:00"}},
		{"New York in spring", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00", []string{"2026-03-08T03:00:00-04:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSchedule(Frequency{When: tt.when})
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				next := s.Next(at, zone(t, tt.zone)) // the tenant's zone
				own := s
				own.Zone = zone(t, tt.zone)
				if other := own.Next(at, time.UTC); !other.Equal(next) { // the schedule's own zone goes before
					t.Errorf("own zone: %v", other)
				}
				if got := next.Format(time.RFC3339); got != want {
					t.Fatalf("after %s comes %s, want %s", at.Format(time.RFC3339), got, want)
				}
				at = next
			}
		})
	}
}

// Over years and zones: due times only go forward, and cron's are where the local clock shows them or right after a gap.
func TestNextGoesForward(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Sao_Paulo", "UTC"} {
		for _, when := range []string{"30 2 * * *", "0 0 * * *", "50 * * * *", "0 */3 * * *", "15 1,2,3 * * SUN", "1d", "5h"} {
			s, err := ParseSchedule(Frequency{When: when})
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)
			days := map[string]int{}
			for at.Year() < 2027 {
				next := s.Next(at, zone(t, name))
				if !next.After(at) {
					t.Fatalf("%s in %s: after %v comes %v", when, name, at, next)
				}
				days[next.Format("2006-01-02")]++
				at = next
			}
			if when == "30 2 * * *" {
				for day, n := range days {
					if n != 1 {
						t.Errorf("%s in %s runs %d times on %s", when, name, n, day)
					}
				}
				if len(days) < 365 {
					t.Errorf("%s in %s runs on %d days", when, name, len(days))
				}
			}
		}
	}
}

func TestDocumentSchedule(t *testing.T) {
	tests := map[string]ScheduleKind{
		"":                                     ByInterval,
		"syncConfig: {frequency: realtime}":    Realtime,
		"syncConfig: {frequency: hourly}":      ByCron,
		"syncConfig: {frequency: {every: 5m}}": ByInterval,
		"syncConfig: {frequency: sometimes}":   "",
		"syncConfig: {frequency: {cron: 0 6 * * *, timeZone: Europe/Berlin}}": ByCron,
	}
	for config, want := range tests {
		if got := mustParse(t, twoSystems+config+"\n").Schedule(); got.Kind != want {
			t.Errorf("%q: %+v", config, got)
		}
	}
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	if next := mustParse(t, twoSystems).Schedule().Next(now, nil); next.Sub(now) != 15*time.Minute {
		t.Errorf("by default: %v", next)
	}
	if next := (Schedule{Kind: Realtime}).Next(now, nil); !next.IsZero() {
		t.Errorf("realtime: %v", next)
	}
	if next := (Schedule{}).Next(now, nil); !next.IsZero() {
		t.Errorf("never: %v", next)
	}
	financial := example(t, "financial-sync.yaml")
	if next := financial.SyncConfig.Reconciliation.When().Next(now, zone(t, "Europe/Berlin")); next.Format(time.RFC3339) != "2026-11-24T00:00:00+01:00" {
		t.Errorf("reconciliation: %v", next)
	}
	if when := (*Reconciliation)(nil).When(); when.Kind != "" {
		t.Errorf("no reconciliation: %+v", when)
	}
}
