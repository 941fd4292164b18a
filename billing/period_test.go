// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/fault"
)

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := billing.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPeriodBounds(t *testing.T) {
	tests := []struct {
		name, zone, month, start, end string
		hours                         float64
		days                          int
	}{
		{"plain", "UTC", "2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 720, 30},
		{"over the year", "UTC", "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", 744, 31},
		{"leap February", "UTC", "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", 696, 29},
		{"clocks go forward: an hour less", "Europe/Vienna", "2026-03", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", 743, 31},
		{"clocks go back: an hour more", "Europe/Vienna", "2026-10", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", 745, 31},
		{"clocks go back on the first itself", "America/New_York", "2026-11", "2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00", 721, 30},
		{"half an hour of summer time", "Australia/Lord_Howe", "2026-04", "2026-04-01T00:00:00+11:00", "2026-05-01T00:00:00+10:30", 720.5, 30},
		{"quarter hour offset", "Asia/Kathmandu", "2026-11", "2026-11-01T00:00:00+05:45", "2026-12-01T00:00:00+05:45", 720, 30},
		// Paraguay's clocks went forward at midnight, here on the first of a month: the month begins at 01:00.
		{"the first has no midnight", "America/Asuncion", "2017-10", "2017-10-01T01:00:00-03:00", "2017-11-01T00:00:00-03:00", 743, 31},
		// Cuba's clocks go back at 01:00, here on the first of a month: midnight passes twice, the first one counts.
		{"the first has two midnights", "America/Havana", "2015-11", "2015-11-01T00:00:00-04:00", "2015-12-01T00:00:00-05:00", 721, 30},
		{"the first has two midnights, in the east", "Asia/Gaza", "2004-10", "2004-10-01T00:00:00+03:00", "2004-11-01T00:00:00+02:00", 745, 31},
		{"the first has no midnight, in the east", "Africa/Cairo", "2014-08", "2014-08-01T01:00:00+03:00", "2014-09-01T00:00:00+03:00", 743, 31},
		// Newfoundland went back at one minute past midnight: the month began, and a minute later the wall showed October again.
		{"back over midnight of the first", "America/St_Johns", "2009-11", "2009-11-01T00:00:00-02:30", "2009-12-01T00:00:00-03:30", 721, 30},
		{"a day that never was", "Pacific/Apia", "2011-12", "2011-12-01T00:00:00-10:00", "2012-01-01T00:00:00+14:00", 720, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			month, err := billing.ParseMonth(tt.month)
			if err != nil {
				t.Fatal(err)
			}
			p := month.In(zone(t, tt.zone))
			if !p.Start().Equal(at(tt.start)) || !p.End().Equal(at(tt.end)) {
				t.Errorf("%s in %s is %s to %s, want %s to %s", tt.month, tt.zone,
					p.Start().Format(time.RFC3339), p.End().Format(time.RFC3339), tt.start, tt.end)
			}
			if got := p.End().Sub(p.Start()).Hours(); got != tt.hours {
				t.Errorf("it is %v hours long, want %v", got, tt.hours)
			}
			if got := len(p.Days()); got != tt.days {
				t.Errorf("it has %d days, want %d", got, tt.days)
			}
			if p.String() != tt.month {
				t.Errorf("it is called %s, want %s", p, tt.month)
			}
		})
	}
}

func TestPeriodOfATimeThatIsShownTwice(t *testing.T) {
	loc := zone(t, "America/St_Johns")
	for when, want := range map[string]string{
		"2009-10-31T23:30:00-02:30": "2009-10", // the first time the wall shows 23:30
		"2009-11-01T00:00:30-02:30": "2009-11",
		"2009-10-31T23:30:00-03:30": "2009-11", // the second time
		"2009-11-01T00:00:00-03:30": "2009-11",
	} {
		if got := billing.PeriodOf(at(when), loc); got.String() != want {
			t.Errorf("%s is in %s, want %s", when, got, want)
		}
	}
}

// In 1919 Toronto's clocks went from 23:30 on 30 March to 00:30 on the 31st, which therefore began at 00:30.
func TestADayThatBeginsLate(t *testing.T) {
	days := billing.Month{Year: 1919, Month: time.March}.In(zone(t, "America/Toronto")).Days()
	if got, want := days[30].Start, at("1919-03-31T00:30:00-04:00"); !got.Equal(want) {
		t.Errorf("the 31st begins at %s, want %s", got, want)
	}
}

// oddZones change clocks at, before or after midnight, by odd amounts, or moved over the date line.
var oddZones = []string{
	"UTC", "Europe/Vienna", "America/New_York", "America/Asuncion", "America/Havana", "America/Sao_Paulo", "America/Scoresbysund",
	"Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran", "Africa/Cairo", "Africa/Casablanca", "Atlantic/Azores",
	"Australia/Lord_Howe", "Australia/Eucla", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "America/St_Johns", "Antarctica/Troll",
}

func TestPeriodsCoverAllTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := zone(t, rapid.SampledFrom(oddZones).Draw(t, "zone"))
		instant := time.Unix(rapid.Int64Range(at("1980-01-01T00:00:00Z").Unix(), at("2037-12-31T00:00:00Z").Unix()).Draw(t, "seconds"), 0)
		p := billing.PeriodOf(instant, loc)
		if !p.Contains(instant) {
			t.Fatalf("%s is not in its own period %s", instant.In(loc), p)
		}
		if p.Next().In(loc).Contains(instant) || p.Previous().In(loc).Contains(instant) {
			t.Fatalf("%s is in two periods", instant.In(loc))
		}
		if !p.Previous().In(loc).End().Equal(p.Start()) || !p.Next().In(loc).Start().Equal(p.End()) {
			t.Fatalf("%s does not touch its neighbours", p)
		}
		from := p.Start()
		for _, d := range p.Days() {
			if !d.Start.Equal(from) || !d.Start.Before(d.End) {
				t.Fatalf("day %s of %s in %s begins at %s, want %s", d.Date, p, loc, d.Start, from)
			}
			if got := d.Start.In(loc).Format(time.DateOnly); got != d.Date {
				t.Fatalf("day %s begins on %s", d.Date, got)
			}
			if before := d.Start.Add(-time.Second).In(loc).Format(time.DateOnly); before >= d.Date {
				t.Fatalf("day %s in %s had begun before %s", d.Date, loc, d.Start.In(loc))
			}
			from = d.End
		}
		if !from.Equal(p.End()) {
			t.Fatalf("the days of %s in %s end at %s, want %s", p, loc, from, p.End())
		}
	})
}

func TestWrongZonesAndMonthsAreFaults(t *testing.T) {
	for _, name := range []string{"Mars/Olympus", "Local", "../etc/passwd"} {
		if _, err := billing.Zone(name); !fault.IsCode(err, "billing.time_zone_unknown") {
			t.Errorf("Zone(%q) = %v", name, err)
		}
	}
	for _, s := range []string{"", "2026", "2026-13", "2026-1", "november", "2026-11-01"} {
		if _, err := billing.ParseMonth(s); !fault.IsCode(err, "billing.period_malformed") {
			t.Errorf("ParseMonth(%q) = %v", s, err)
		}
	}
}
