// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"strconv"
	"strings"
	"time"
)

// Number writes n with thousands separated by commas: 12,408.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "−", s[1:]
	}
	return sign + group(s)
}

func group(digits string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Count writes n and the noun that fits: "1 record", "12,408 records". plural is the noun for all but one.
func Count(n int64, one, plural string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + plural
}

// Rate writes a count per second or minute, whichever reads better; perSecond below zero is taken as zero.
func Rate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "0/min"
	case perSecond < 2:
		perMinute := perSecond * 60
		if perMinute < 10 {
			return trim(perMinute, 1) + "/min"
		}
		return Number(int64(perMinute+0.5)) + "/min"
	case perSecond < 10:
		return trim(perSecond, 1) + "/s"
	default:
		return Number(int64(perSecond+0.5)) + "/s"
	}
}

// Decimal writes f with at most the given decimals and no trailing zeros.
func Decimal(f float64, decimals int) string { return trim(f, decimals) }

func trim(f float64, decimals int) string {
	s := strconv.FormatFloat(f, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Span writes a duration with at most two units: 320 ms, 0.4 s counts as 400 ms, 4.2 s, 12 min, 2 h 5 min, 3 d 4 h.
func Span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	two := func(big time.Duration, bigName string, small time.Duration, smallName string) string {
		s := strconv.FormatInt(int64(d/big), 10) + " " + bigName
		if rest := int64(d % big / small); rest > 0 {
			s += " " + strconv.FormatInt(rest, 10) + " " + smallName
		}
		return s
	}
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return trim(d.Seconds(), 1) + " s"
	case d < time.Minute:
		return strconv.FormatInt(int64(d.Seconds()), 10) + " s"
	case d < time.Hour:
		if d < 10*time.Minute {
			return two(time.Minute, "min", time.Second, "s")
		}
		return strconv.FormatInt(int64(d.Minutes()), 10) + " min"
	case d < 24*time.Hour:
		return two(time.Hour, "h", time.Minute, "min")
	default:
		return two(24*time.Hour, "d", time.Hour, "h")
	}
}

// Ago writes how long before or after now a moment lies, in one unit; after 30 days it is the date. js/70-values.js
// takes the same steps to keep the text true while the page is open.
func Ago(at, now time.Time, zone *time.Location) string {
	d := now.Sub(at).Round(time.Second)
	ahead := d < 0
	if ahead {
		d = -d
	}
	var text string
	switch {
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		text = strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		text = strconv.Itoa(int(d.Minutes())) + " min"
	case d < 24*time.Hour:
		text = strconv.Itoa(int(d.Hours())) + " h"
	case d < 30*24*time.Hour:
		text = strconv.Itoa(int(d.Hours()/24)) + " d"
	default:
		return at.In(zone).Format("2 Jan 2006")
	}
	if ahead {
		return "in " + text
	}
	return text + " ago"
}

// Exact writes a moment in full, to the millisecond, with its zone: what a relative time shows on hover.
func Exact(at time.Time, zone *time.Location) string {
	return at.In(zone).Format("2 Jan 2006, 15:04:05.000 MST")
}

// Bytes writes a size: 640 B, 12.4 KB, 3.1 MB.
func Bytes(n int64) string {
	const k = 1000
	if n < k {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	for _, unit := range []string{"KB", "MB", "GB"} {
		f /= k
		if f < k {
			return trim(f, 1) + " " + unit
		}
	}
	return trim(f/k, 1) + " TB"
}

// Percent writes part of whole with its count, never alone: "12 of 400 (3%)". A part above zero is never shown as 0%.
func Percent(part, whole int64) string {
	if whole <= 0 {
		return Number(part)
	}
	p := float64(part) / float64(whole) * 100
	text := trim(p, 1)
	switch {
	case part > 0 && p < 0.1:
		text = "under 0.1"
	case part < whole && text == "100":
		text = "99.9"
	}
	return Number(part) + " of " + Number(whole) + " (" + text + "%)"
}

// initials are the first letters of the first and the last word: "Ada Lovelace" is AL.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 {
		return "?"
	}
	first := []rune(words[0])
	out := []rune{first[0]}
	if len(words) > 1 {
		out = append(out, []rune(words[len(words)-1])[0])
	} else if len(first) > 1 {
		out = append(out, first[1])
	}
	return strings.ToUpper(string(out))
}

// Join writes a list: "a", "a and b", "a, b and c".
func Join(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
