// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 12408: "12,408", 1234567: "1,234,567", -1234: "−1,234", 1<<63 - 1: "9,223,372,036,854,775,807"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 380 * time.Millisecond: "380 ms", 4200 * time.Millisecond: "4.2 s", 4 * time.Second: "4 s", 59 * time.Second: "59 s",
		72 * time.Second: "1 min 12 s", 12 * time.Minute: "12 min", 125 * time.Minute: "2 h 5 min", 3 * time.Hour: "3 h", 76 * time.Hour: "3 d 4 h", -5 * time.Second: "5 s",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for perSecond, want := range map[float64]string{0: "0/min", -1: "0/min", 0.02: "1.2/min", 0.7: "42/min", 1.99: "119/min", 4.25: "4.2/s", 3120.4: "3,120/s"} {
		if got := Rate(perSecond); got != want {
			t.Errorf("Rate(%v) = %q, want %q", perSecond, got, want)
		}
	}
}

func TestPercentNeverHidesWhatIsThere(t *testing.T) {
	tests := []struct {
		part, whole int64
		want        string
	}{
		{12, 400, "12 of 400 (3%)"}, {0, 400, "0 of 400 (0%)"}, {1, 100_000, "1 of 100,000 (under 0.1%)"},
		{99_999, 100_000, "99,999 of 100,000 (99.9%)"}, {100_000, 100_000, "100,000 of 100,000 (100%)"}, {5, 0, "5"},
	}
	for _, tt := range tests {
		if got := Percent(tt.part, tt.whole); got != tt.want {
			t.Errorf("Percent(%d, %d) = %q, want %q", tt.part, tt.whole, got, tt.want)
		}
	}
}

func TestMoney(t *testing.T) {
	tests := []struct {
		amount, currency, want string
	}{
		{"1204.5", "USD", "$1,204.50"}, {"0", "USD", "$0.00"}, {"0.0005", "USD", "$0.0005"}, {"-12", "EUR", "−€12.00"}, {"1234567.891", "GBP", "£1,234,567.891"},
		{"1204", "CHF", "CHF 1,204.00"}, {"1204", "JPY", "JPY 1,204"}, {".5", "USD", "$0.50"}, {"99999999999999999999.99", "USD", "$99,999,999,999,999,999,999.99"},
	}
	for _, tt := range tests {
		if got := (Money{Amount: tt.amount, Currency: tt.currency}).String(); got != tt.want {
			t.Errorf("%s %s is written %q, want %q", tt.amount, tt.currency, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 2, 11, 0, time.UTC)
	stockholm := time.FixedZone("CET", 3600)
	for d, want := range map[time.Duration]string{
		0: "now", 41 * time.Second: "41 s ago", 90 * time.Minute: "1 h ago", 26 * time.Hour: "1 d ago", -12 * time.Minute: "in 12 min",
		40 * 24 * time.Hour: "14 Oct 2026",
	} {
		if got := Ago(now.Add(-d), now, stockholm); got != want {
			t.Errorf("%v before: %q, want %q", d, got, want)
		}
	}
	if got, want := Exact(now, stockholm), "23 Nov 2026, 15:02:11.000 CET"; got != want {
		t.Errorf("exact: %q, want %q", got, want)
	}
}

func TestBytesAndInitialsAndLists(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 12_400: "12.4 KB", 3_100_000: "3.1 MB", 2_000_000_000_000: "2 TB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for name, want := range map[string]string{"Ada Lindqvist": "AL", "ada": "AD", "": "?", "Ångström von Öst": "ÅÖ", "x": "X"} {
		if got := initials(name); got != want {
			t.Errorf("initials(%q) = %q, want %q", name, got, want)
		}
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := Join(words); got != want {
			t.Errorf("Join(%v) = %q, want %q", words, got, want)
		}
	}
}
