// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// pattern is a form of times: what Go calls it, and the smallest difference it can say.
type pattern struct {
	layout string
	step   time.Duration
}

// Letters of patterns, longest first, as Unicode's date field symbols have them.
var symbols = []struct {
	letters, layout string
	step            time.Duration
}{
	{"yyyy", "2006", 0}, {"yy", "06", 0}, {"MM", "01", 0}, {"dd", "02", 0}, {"HH", "15", time.Hour}, {"hh", "03", time.Hour}, {"mm", "04", time.Minute},
	{"ss", "05", time.Second}, {"SSSSSS", "000000", time.Microsecond}, {"SSS", "000", time.Millisecond}, {"a", "PM", 0}, {"XXX", "Z07:00", 0}, {"Z", "-0700", 0},
}

var patterns sync.Map // by text: pattern or error

// patternOf reads a pattern.
func patternOf(text string) (pattern, error) {
	if p, known := patterns.Load(text); known {
		return p.(pattern), nil
	}
	p := pattern{step: 24 * time.Hour}
	rest := text
next:
	for rest != "" {
		if quoted, is := strings.CutPrefix(rest, "'"); is {
			inner, after, ends := strings.Cut(quoted, "'")
			if !ends {
				return p, fmt.Errorf("a quote in the form %q does not end", text)
			}
			if strings.ContainsAny(inner, "0123456789") {
				return p, fmt.Errorf("the form %q has digits in quotes", text) // they would be read as a part of the time
			}
			p.layout, rest = p.layout+inner, after
			continue
		}
		for _, s := range symbols {
			if after, is := strings.CutPrefix(rest, s.letters); is {
				if strings.HasPrefix(s.letters, "SSS") && !strings.HasSuffix(p.layout, ".") && !strings.HasSuffix(p.layout, ",") {
					return p, fmt.Errorf("in the form %q a point or comma stands before SSS", text)
				}
				p.layout, rest = p.layout+s.layout, after
				if s.step > 0 && s.step < p.step {
					p.step = s.step
				}
				continue next
			}
		}
		c := rest[0]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' && c != 'T' || c >= '0' && c <= '9' {
			return p, fmt.Errorf("the form %q has %q, which means nothing", text, string(c))
		}
		p.layout, rest = p.layout+rest[:1], rest[1:]
	}
	patterns.Store(text, p)
	return p, nil
}

// zone is a time zone by its name; UTC without one.
func zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	l, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.setting_malformed", Message: fmt.Sprintf("There is no time zone %q; they are called like Europe/Berlin.", name), Err: err}
	}
	return l, nil
}

// inZone is a time in a query that is written by the clock of a zone. When that clock is set back an hour occurs twice, and nothing
// in the text tells which is meant: then the earlier time counts, since what is read twice does no harm.
func inZone(t time.Time, p pattern, l *time.Location) string {
	local := t.In(l)
	_, before := t.Add(-90 * time.Minute).In(l).Zone()
	_, after := t.Add(90 * time.Minute).In(l).Zone()
	if before > after && !strings.ContainsAny(p.layout, "Z-") {
		local = t.Add(-time.Duration(before-after) * time.Second).In(l)
	}
	return local.Format(p.layout)
}

var odataDate = regexp.MustCompile(`^/?Date\((-?\d+)(?:[+-]\d{4})?\)/?$`)

// spreadsheets count days from here.
var dayZero = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)

// moment reads a time as the field writes it.
func (f *Field) moment(v any) (time.Time, error) {
	text := strings.TrimSpace(record.Text(v))
	l, err := zone(f.Zone)
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case f.Format != "":
		p, err := patternOf(f.Format)
		if err != nil {
			return time.Time{}, err
		}
		t, err := time.ParseInLocation(p.layout, text, l)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is not a time of the form %s", text, f.Format)
		}
		return t, nil
	case f.Codec == "msDate":
		m := odataDate.FindStringSubmatch(text)
		if m == nil {
			break // some mix them
		}
		ms, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is not a time", text)
		}
		return time.UnixMilli(ms).UTC(), nil
	case f.Codec == "serialDate":
		days, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(days) > 3e6 {
			return time.Time{}, fmt.Errorf("%q is not a number of days", text)
		}
		// To the millisecond: a day's fraction has no more in it.
		wall := dayZero.AddDate(0, 0, int(math.Floor(days))).Add(time.Duration(math.Round((days-math.Floor(days))*86_400_000)) * time.Millisecond)
		return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), l), nil
	}
	t, err := parseTime(v, f.Codec)
	if err != nil || f.Zone == "" || saysZone(text) {
		return t, err
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), l), nil
}

var offset = regexp.MustCompile(`([zZ]|GMT|UTC|[+-]\d{2}:?\d{2})$`)

// saysZone tells whether the text says itself in which zone it is; a number does.
func saysZone(text string) bool {
	if len(text) == len(time.DateOnly) && text[4] == '-' {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil || offset.MatchString(text)
}

// onWire writes a time as the field has it; false when it is written as it is.
func (f *Field) onWire(t time.Time) (any, bool) {
	l, err := zone(f.Zone)
	if err != nil {
		l = time.UTC
	}
	switch {
	case f.Format != "":
		p, err := patternOf(f.Format)
		if err != nil {
			return nil, false
		}
		return t.In(l).Format(p.layout), true
	case f.Codec == "epoch":
		return record.Int(t.Unix()), true
	case f.Codec == "epochMillis":
		return record.Int(t.UnixMilli()), true
	case f.Codec == "msDate":
		return fmt.Sprintf("/Date(%d)/", t.UnixMilli()), true
	case f.Codec == "serialDate":
		wall := t.In(l)
		day := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC)
		n, err := record.ParseNumber(strconv.FormatFloat(float64(day.Sub(dayZero).Milliseconds())/86_400_000, 'f', -1, 64))
		return n, err == nil
	case f.Codec == "offsetTime":
		return t.In(l).Format("2006-01-02T15:04:05.000-0700"), true
	case f.Zone != "" && connector.Type(f.Type) == connector.TypeTimestamp:
		return t.In(l).Format("2006-01-02T15:04:05.999999"), true
	}
	return nil, false
}

var span = regexp.MustCompile(`^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?$`)

// joined puts a date and a time of day that stand apart together, as text.
func (f *Field) joined(date, clock any) (any, error) {
	if date == nil {
		return nil, nil
	}
	day := *f
	day.Zone, day.TimeAt = "", ""
	d, err := day.moment(date)
	if err != nil {
		return nil, err
	}
	seconds := 0
	if text := strings.TrimSpace(record.Text(clock)); clock != nil && text != "" {
		if m := span.FindStringSubmatch(text); m != nil {
			for i, unit := range []int{3600, 60, 1} {
				n, _ := strconv.Atoi("0" + m[i+1])
				seconds += n * unit
			}
		} else {
			found := false
			for _, layout := range []string{"15:04:05", "15:04", "150405", "1504"} {
				if c, err := time.Parse(layout, text); err == nil {
					seconds, found = c.Hour()*3600+c.Minute()*60+c.Second(), true
					break
				}
			}
			if !found {
				return nil, fmt.Errorf("%q is not a time of day", text)
			}
		}
	}
	l, err := zone(f.Zone)
	if err != nil {
		return nil, err
	}
	return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, seconds, 0, l).UTC().Format("2006-01-02T15:04:05Z"), nil
}

// apart is the contrary: the date as the codec writes it, and the time of day.
func (f *Field) apart(v record.Value) (date, clock any) {
	t, err := parseTime(v, "x")
	if v == nil || err != nil {
		return nil, nil
	}
	l, err := zone(f.Zone)
	if err != nil {
		l = time.UTC
	}
	wall := t.In(l)
	day := time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
	clock = wall.Format(time.TimeOnly)
	if f.Codec == "msDate" { // who writes dates so writes times of day as a length
		clock = fmt.Sprintf("PT%02dH%02dM%02dS", wall.Hour(), wall.Minute(), wall.Second())
	}
	plain := *f
	plain.Zone = ""
	if d, ok := plain.onWire(day); ok {
		return d, clock
	}
	return day.Format(time.DateOnly), clock
}
