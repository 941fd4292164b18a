// SPDX-License-Identifier: Apache-2.0

package mapping

import (
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// zones say what times without a zone mean on both sides of a conversion: a nil one is UTC.
type zones struct{ from, to *time.Location }

func (z zones) differ() bool { return orUTC(z.from) != orUTC(z.to) }

func orUTC(l *time.Location) *time.Location {
	if l == nil {
		return time.UTC
	}
	return l
}

// wall is what the clock on a wall shows: a time as if in UTC. zoned says that it is a point in time, so that the wall is one in UTC.
type wall struct {
	time.Time
	zoned bool
}

// timeLayouts are the forms that parseWall does not know.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// parseTime reads a date, or a date with a time of day, with or without a zone.
func parseTime(s string) (w wall, ok bool) {
	if t, zoned, ok := parseWall(s); ok {
		return wall{t, zoned}, true
	}
	for i, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return wall{t.UTC(), i < 2}, true
		}
	}
	return w, false
}

// parseWall is the short way for the canonical forms 2006-01-02T15:04:05.999999 and the same with Z behind it.
func parseWall(s string) (t time.Time, zoned, ok bool) {
	if len(s) < len("2006-01-02T15:04:05") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return t, false, false
	}
	year, month, day := digits(s[:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	rest := s[19:]
	if n := len(rest); n > 0 && rest[n-1] == 'Z' {
		zoned, rest = true, rest[:n-1]
	}
	nano := 0
	if rest != "" {
		if rest[0] != '.' || len(rest) < 2 || len(rest) > 10 {
			return t, false, false
		}
		nano = digits(rest[1:])
		for range 10 - len(rest) {
			nano *= 10
		}
	}
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || nano < 0 {
		return t, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nano, time.UTC)
	return t, zoned, t.Day() == day // the 30th of February is none
}

// digits is the number that s consists of, negative when it is none.
func digits(s string) (n int) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// moment brings a date or time to another type of times. Without a zone it is one of z.from, or of z.to afterwards. Between the
// same clocks nothing is shifted.
func moment(v record.Value, to connector.Type, z zones) (record.Value, error) {
	s, ok := v.(string)
	if !ok {
		return nil, wrong(v, "a date or time")
	}
	if s == "infinity" || s == "-infinity" {
		return s, nil // what some systems say for never; it is everywhere the same
	}
	w, ok := parseTime(s)
	if !ok {
		return nil, wrong(v, "a date or time")
	}
	if to == connector.TypeTimestamp {
		if !w.zoned {
			w.Time = Instant(w.Time, orUTC(z.from))
		}
		return record.Time(w.Time), nil
	}
	if w.zoned || z.differ() {
		t := w.Time
		if !w.zoned {
			t = Instant(t, orUTC(z.from))
		}
		w.Time = Local(t, orUTC(z.to))
	}
	switch to {
	case connector.TypeDate:
		return w.Format("2006-01-02"), nil
	case connector.TypeTime:
		return w.Format("15:04:05.999999"), nil
	}
	return w.Format("2006-01-02T15:04:05.999999"), nil
}

// Instant is the point in time at which clocks of the zone show what w shows in UTC. Of a time that occurs twice, because clocks were set
// back, it is the first; one that is skipped, because they were set forward, is counted on from before the change. At the ends of the
// calendar, which systems use for "always" and "never", a time that would fall out of the years 1 to 9999 is not shifted.
func Instant(w time.Time, zone *time.Location) time.Time {
	if zone == time.UTC {
		return w
	}
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), zone)
	_, offset := t.Zone()
	// Where a change is near, t may be one of two times, or none of what the clock shows.
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		earlier := w.Add(-time.Duration(before) * time.Second)
		// Either it was shown before the change too, or the change skipped it.
		if earlier.Before(start) || w.Add(-time.Duration(offset)*time.Second).Before(start) {
			return inCalendar(earlier, w)
		}
	}
	if !end.IsZero() && !w.Add(-time.Duration(offset)*time.Second).Before(end) {
		return inCalendar(w.Add(-time.Duration(offset)*time.Second), w)
	}
	return inCalendar(t.UTC(), w)
}

// Local is what clocks of the zone show at t, as a time in UTC.
func Local(t time.Time, zone *time.Location) time.Time {
	if zone == time.UTC {
		return t.UTC()
	}
	_, offset := t.In(zone).Zone()
	return inCalendar(t.UTC().Add(time.Duration(offset)*time.Second), t.UTC())
}

func inCalendar(t, otherwise time.Time) time.Time {
	if y := t.Year(); y < 1 || y > 9999 {
		return otherwise
	}
	return t
}
