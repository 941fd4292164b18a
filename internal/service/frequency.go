// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"github.com/syncline-dev/syncline/internal/fault"
)

// DefaultFrequency is how often a service runs that does not say: real time costs more, so it is asked for by name.
const DefaultFrequency = "15m"

// minInterval is the shortest interval of a schedule; what is to be faster is realtime.
const minInterval = time.Second

// ScheduleKind says what a schedule goes by.
type ScheduleKind string

// The kinds.
const (
	Realtime   ScheduleKind = "realtime" // as changes happen
	ByInterval ScheduleKind = "interval"
	ByCron     ScheduleKind = "cron"
)

// Schedule says when runs are due. The zero value is never due.
type Schedule struct {
	Kind  ScheduleKind
	Every Interval       // for ByInterval
	Cron  string         // for ByCron: five fields
	Zone  *time.Location // nil: the tenant's
}

// Interval is a span of time: days keep the time of day where clocks change, Clock is elapsed time.
type Interval struct {
	Days  int
	Clock time.Duration
}

// ParseInterval reads intervals such as 90s, 15m, 1h30m, 7d, 2w.
func ParseInterval(s string) (Interval, error) {
	var out Interval
	if s == "" || len(s) > 40 {
		return out, fmt.Errorf("%q is not an interval", shorten(s))
	}
	for rest := s; rest != ""; {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 1 || end > 6 {
			return Interval{}, fmt.Errorf("%q is not an interval", s)
		}
		n, _ := strconv.Atoi(rest[:end])
		switch rest[end] {
		case 's':
			out.Clock += time.Duration(n) * time.Second
		case 'm':
			out.Clock += time.Duration(n) * time.Minute
		case 'h':
			out.Clock += time.Duration(n) * time.Hour
		case 'd':
			out.Days += n
		case 'w':
			out.Days += 7 * n
		default:
			return Interval{}, fmt.Errorf("%q is not an interval", s)
		}
		rest = rest[end+1:]
	}
	return out, nil
}

// After returns the time one interval after t, days counted in zone.
func (i Interval) After(t time.Time, zone *time.Location) time.Time {
	if i.Days != 0 {
		local := t.In(zone)
		t = wallTime(local.Year(), local.Month(), local.Day()+i.Days, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), zone)
	}
	return t.Add(i.Clock)
}

// Duration is the interval's length where no clock changes.
func (i Interval) Duration() time.Duration { return time.Duration(i.Days)*24*time.Hour + i.Clock }

// wallTime is time.Date, but a time of day that a clock change skips is the moment after the gap.
func wallTime(year int, month time.Month, day, hour, minute, second, nano int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, hour, minute, second, nano, zone)
	if t.Hour() == hour && t.Minute() == minute {
		return t
	}
	if start, end := t.ZoneBounds(); !start.IsZero() && t.Sub(start) < 3*time.Hour {
		return start
	} else if !end.IsZero() && end.Sub(t) < 3*time.Hour {
		return end
	}
	return t
}

// scheduleWords are the words for common schedules. Days begin at midnight, weeks on Monday.
var scheduleWords = map[string]string{
	"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *", "yearly": "0 0 1 1 *",
}

// scheduleExamples are shown by completion and remedies.
var scheduleExamples = []string{"realtime", "1m", "15m", "1h", "1d", "hourly", "daily", "weekly", "monthly", "yearly"}

// ParseSchedule reads a frequency. The fault service.schedule_invalid or service.time_zone_unknown says what to write.
func ParseSchedule(f Frequency) (Schedule, error) {
	when := strings.Join(strings.Fields(f.When), " ")
	zoneName := f.TimeZone
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		if rest, ok := strings.CutPrefix(when, prefix); ok {
			inner, cron, _ := strings.Cut(rest, " ")
			if zoneName != "" && zoneName != inner {
				return Schedule{}, fault.New(fault.Invalid, codeScheduleInvalid, "Two time zones are given. Keep timeZone.")
			}
			zoneName, when = inner, cron
		}
	}
	var zone *time.Location
	if zoneName != "" {
		z, err := ParseZone(zoneName)
		if err != nil {
			return Schedule{}, err
		}
		zone = z
	}
	word := strings.TrimPrefix(strings.ToLower(when), "@")
	if word == string(Realtime) {
		return Schedule{Kind: Realtime, Zone: zone}, nil
	}
	if cron, ok := scheduleWords[word]; ok {
		return Schedule{Kind: ByCron, Cron: cron, Zone: zone}, nil
	}
	spec := strings.TrimPrefix(word, "every ")
	if every, err := ParseInterval(spec); err == nil {
		if every.Duration() < minInterval || every.Duration() > 366*24*time.Hour {
			return Schedule{}, fault.New(fault.Invalid, codeScheduleInvalid, "The interval %s is out of range. Intervals are from 1s to 366d; for less write realtime.", spec)
		}
		return Schedule{Kind: ByInterval, Every: every, Zone: zone}, nil
	}
	if fields := strings.Fields(when); len(fields) != 5 {
		return Schedule{}, fault.New(fault.Invalid, codeScheduleInvalid,
			"%q is not a schedule. Write realtime, an interval such as 15m, a word (hourly, daily, weekly, monthly, yearly), or cron of five fields.%s", shorten(when), scheduleHint(word))
	}
	if !gronx.New().IsValid(when) {
		return Schedule{}, fault.New(fault.Invalid, codeScheduleInvalid, "%q is not a cron expression. %s.", shorten(when), cronReason(when))
	}
	if _, err := gronx.NextTickAfter(when, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), true); err != nil {
		return Schedule{}, fault.New(fault.Invalid, codeScheduleInvalid, "The cron expression %q never comes due. Check day and month.", shorten(when))
	}
	return Schedule{Kind: ByCron, Cron: when, Zone: zone}, nil
}

func scheduleHint(word string) string {
	if near := nearest(word, scheduleExamples); near != "" {
		return " Did you mean " + near + "?"
	}
	return ""
}

// cronReason says which field of a cron expression is wrong.
func cronReason(when string) string {
	names := []string{"minute", "hour", "day of the month", "month", "day of the week"}
	ranges := []string{"0 to 59", "0 to 23", "1 to 31", "1 to 12 or JAN to DEC", "0 to 7 or SUN to SAT"}
	fields := strings.Fields(when)
	for i, name := range names {
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = fields[i]
		if !gronx.New().IsValid(strings.Join(alone, " ")) {
			return fmt.Sprintf("The %s, %s, is not valid; it is %s, with * , - and /", name, shorten(fields[i]), ranges[i])
		}
	}
	return "Its fields are minute, hour, day of the month, month, day of the week"
}

// ParseZone finds an IANA time zone by name. The fault service.time_zone_unknown names the remedy.
func ParseZone(name string) (*time.Location, error) {
	if name != "" && name != "Local" && len(name) < 64 {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, fault.New(fault.Invalid, codeTimeZoneUnknown, "There is no time zone %q. Write an IANA name such as Europe/Berlin, America/New_York or UTC.", shorten(name))
}

// Schedule returns when the service's runs are due; DefaultFrequency where the document does not say. A frequency that
// Validate would refuse is never due.
func (d *Document) Schedule() Schedule {
	f := Frequency{When: DefaultFrequency}
	if d.SyncConfig.Frequency != nil {
		f = *d.SyncConfig.Frequency
	}
	s, err := ParseSchedule(f)
	if err != nil {
		return Schedule{}
	}
	return s
}

// When returns when reconciliations are due; daily where the block does not say.
func (r *Reconciliation) When() Schedule {
	if !r.On() {
		return Schedule{}
	}
	f := Frequency{When: "daily"}
	if r.Schedule != nil {
		f = *r.Schedule
	}
	s, err := ParseSchedule(f)
	if err != nil {
		return Schedule{}
	}
	return s
}

// Next returns the first time after `after` at which a run is due, in the schedule's zone or else the tenant's (UTC when
// that is nil). It is the zero time for Realtime and for a schedule that is never due.
//
// Where clocks change, a cron schedule with a fixed hour runs once: a time that is skipped comes due right after the gap,
// a time that occurs twice comes due the first time. One whose hour has a * follows the clock as it shows. Intervals of
// hours and less are elapsed time, days keep the time of day.
func (s Schedule) Next(after time.Time, tenantZone *time.Location) time.Time {
	zone := s.Zone
	if zone == nil {
		zone = tenantZone
	}
	if zone == nil {
		zone = time.UTC
	}
	switch s.Kind {
	case ByInterval:
		return s.Every.After(after, zone).In(zone)
	case ByCron:
		return nextCron(s.Cron, after.In(zone))
	}
	return time.Time{}
}

// nextCron walks the spans of constant offset, in each of which cron is plain arithmetic.
func nextCron(cron string, after time.Time) time.Time {
	hour := strings.Fields(cron)[1]
	fixed := !strings.Contains(hour, "*")
	zone := after.Location()
	from, inclusive := after, false
	for range 16 { // spans; two a year, and the next due time is at most some years away
		_, offset := from.Zone()
		start, end := from.ZoneBounds()
		if fixed && !start.IsZero() {
			_, before := start.Add(-time.Second).Zone()
			if repeated := start.Add(time.Duration(before-offset) * time.Second); before > offset && from.Before(repeated) {
				from, inclusive = repeated, true // this time of day has been already, on the other side of the change
			}
		}
		next, ok := matchWithin(cron, from, offset, inclusive)
		if end.IsZero() || (ok && next.Before(end)) {
			if !ok {
				return time.Time{}
			}
			return next.In(zone)
		}
		_, then := end.Zone()
		if gap := time.Duration(then-offset) * time.Second; fixed && gap > 0 && ok && next.Before(end.Add(gap)) {
			return end.In(zone) // skipped by the change
		}
		from, inclusive = end.In(zone), true
	}
	return time.Time{}
}

// matchWithin finds the next match as if the offset, in seconds, held for ever.
func matchWithin(cron string, from time.Time, offset int, inclusive bool) (time.Time, bool) {
	shift := time.Duration(offset) * time.Second
	wall := from.UTC().Add(shift)
	if minute := wall.Truncate(time.Minute); !inclusive || !minute.Equal(wall) { // cron knows minutes
		wall = minute.Add(time.Minute)
	}
	next, err := gronx.NextTickAfter(cron, wall, true)
	if err != nil {
		return time.Time{}, false
	}
	return next.Add(-shift), true
}
