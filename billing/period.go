// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"fmt"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Zone loads an IANA time zone such as "Europe/Vienna". The empty name is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "Local" { // would mean the zone of whichever machine computes
		return nil, unknownZone(name, nil)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, unknownZone(name, err)
	}
	return loc, nil
}

func unknownZone(name string, err error) error {
	return fault.Wrap(err, fault.Invalid, "billing.time_zone_unknown",
		"%q is not a time zone of the IANA database; write a name such as \"Europe/Vienna\" or \"UTC\".", name)
}

// Month is a calendar month, the length of a billing period.
type Month struct {
	Year  int
	Month time.Month
}

// ParseMonth reads "2026-11".
func ParseMonth(s string) (Month, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil {
		return Month{}, fault.Wrap(err, fault.Invalid, "billing.period_malformed",
			"%q is not a billing period; write year and month, such as \"2026-11\".", s)
	}
	return Month{t.Year(), t.Month()}, nil
}

// IsZero says whether no month is named.
func (m Month) IsZero() bool { return m == Month{} }

// String writes "2026-11".
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", m.Year, int(m.Month)) }

// Next is the month after m.
func (m Month) Next() Month { return m.plus(1) }

// Previous is the month before m.
func (m Month) Previous() Month { return m.plus(-1) }

func (m Month) plus(n int) Month {
	t := time.Date(m.Year, m.Month+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	return Month{t.Year(), t.Month()}
}

// In is the month as a span of time in a zone.
func (m Month) In(zone *time.Location) Period { return Period{Month: m, Zone: zone} }

// Period is a calendar month in a tenant's time zone: all instants from Start up to, but not including, End. Periods of
// one zone lie side by side without gap or overlap, whatever clock changes do.
type Period struct {
	Month
	Zone *time.Location
}

// PeriodOf is the period that holds the instant.
func PeriodOf(t time.Time, zone *time.Location) Period {
	local := t.In(zone)
	p := Month{local.Year(), local.Month()}.In(zone)
	// Where clocks go back over midnight of the first, the wall shows the old month again although the new one began.
	if !t.Before(p.End()) {
		return p.Next().In(zone)
	}
	return p
}

// Start is the first instant of the period.
func (p Period) Start() time.Time { return dayStart(p.Year, p.Month.Month, 1, p.Zone) }

// End is the first instant after the period.
func (p Period) End() time.Time { return p.Next().In(p.Zone).Start() }

// Contains says whether the instant lies in the period.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start()) && t.Before(p.End()) }

// Day is one calendar day in a zone; it has 23 or 25 hours when clocks change.
type Day struct {
	Date       string // "2026-11-23"
	Start, End time.Time
}

// Days are the calendar days of the period in order; together they are the whole period. A day that the zone skipped
// (Samoa had no 30 December 2011) is not listed.
func (p Period) Days() []Day {
	var days []Day
	for d := 1; ; d++ {
		date := time.Date(p.Year, p.Month.Month, d, 0, 0, 0, 0, time.UTC)
		if date.Month() != p.Month.Month {
			return days
		}
		day := Day{
			Date:  date.Format(time.DateOnly),
			Start: dayStart(p.Year, p.Month.Month, d, p.Zone),
			End:   dayStart(p.Year, p.Month.Month, d+1, p.Zone),
		}
		if day.Start.Before(day.End) {
			days = append(days, day)
		}
	}
}

// dayStart is the first instant of a calendar day. That is midnight, except where clocks skip midnight (time.Date then
// answers with an instant on either side) or pass it twice (it may answer with the second).
func dayStart(year int, month time.Month, day int, zone *time.Location) time.Time {
	wall := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	from, to := t.ZoneBounds()
	shown := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	switch {
	case shown.Before(wall): // midnight is skipped, and t lies before the jump
		return to
	case shown.After(wall): // midnight is skipped, and t lies after the jump
		return from
	}
	if !from.IsZero() {
		_, before := from.Add(-time.Second).Zone()
		if first := wall.Add(-time.Duration(before) * time.Second); first.Before(from) {
			return first.In(zone)
		}
	}
	return t
}
