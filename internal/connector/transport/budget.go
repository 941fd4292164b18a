// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limit is a budget: at most Calls in each window of length Per, for the operations it names, and at most AtOnce under way at any
// time.
type Limit struct {
	Operations []string // empty: all operations together
	Calls      float64  // 0: as many as one likes
	Per        time.Duration
	Burst      float64 // how many may be used at once; 0 is Calls
	Records    bool    // Calls counts the records of calls
	AtOnce     int     // 0: as many as one likes
}

func (l Limit) covers(operation string) bool {
	if len(l.Operations) == 0 {
		return true
	}
	for _, o := range l.Operations {
		if o == operation {
			return true
		}
	}
	return false
}

// bucket fills continuously; taking may put it in debt, which is the time to wait.
type bucket struct {
	level float64
	at    time.Time
}

func (b *bucket) take(l Limit, cost float64, now time.Time) time.Duration {
	size := l.size()
	rate := l.Calls / l.Per.Seconds()
	if b.at.IsZero() {
		b.level, b.at = size, now
	}
	if now.After(b.at) {
		b.level = math.Min(size, b.level+now.Sub(b.at).Seconds()*rate)
		b.at = now
	}
	b.level -= cost
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / rate * float64(time.Second))
}

func (l Limit) size() float64 {
	if l.Burst == 0 {
		return l.Calls
	}
	return l.Burst
}

func (b *bucket) give(cost float64) { b.level += cost }

// full says whether forgetting the bucket changes nothing.
func (b *bucket) full(l Limit, now time.Time) bool {
	return b.level+now.Sub(b.at).Seconds()*l.Calls/l.Per.Seconds() >= l.size()
}

// bucketKey names a budget of an account: the limit, and what it is kept apart by.
type bucketKey struct {
	limit int
	of    string
	apart string
}

// maxBuckets is when budgets that are whole again are forgotten.
const maxBuckets = 1000

// QuotaHeader says where an answer tells what is left. Either Used and Of are read from one header by Pattern, with the named
// groups used, remaining and of; or Remaining and Of name headers.
type QuotaHeader struct {
	Header    string
	Pattern   *regexp.Regexp
	Remaining string
	Of        string
	Resets    string  // the header that says when it is whole again: seconds from now, a Unix time or a date
	Reserve   float64 // below this part of the whole, calls are spaced out; 0 is 0.1
}

// defaultReserve is the part of a quota below which calls are spaced out.
const defaultReserve = 0.1

// Quota is what a vendor says is left.
type Quota struct {
	Remaining float64
	Of        float64
	Reserve   float64
	At        time.Time
	Resets    time.Time // zero when it does not say
}

// low says whether the brake is on.
func (q Quota) low() bool { return q.Of > 0 && q.Remaining < q.Of*q.Reserve }

func (h QuotaHeader) read(get func(string) string, now time.Time) (Quota, bool) {
	q := Quota{Reserve: h.Reserve, At: now, Resets: ResetAt(get(h.Resets), now)}
	if q.Reserve == 0 {
		q.Reserve = defaultReserve
	}
	number := func(s string) (float64, bool) {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return f, err == nil
	}
	if h.Pattern != nil {
		m := h.Pattern.FindStringSubmatch(get(h.Header))
		if m == nil {
			return q, false
		}
		used, remaining := -1.0, -1.0
		for i, name := range h.Pattern.SubexpNames() {
			if i == 0 {
				continue
			}
			v, ok := number(m[i])
			if !ok {
				return q, false
			}
			switch name {
			case "used":
				used = v
			case "remaining":
				remaining = v
			case "of":
				q.Of = v
			}
		}
		if remaining < 0 {
			remaining = q.Of - used
		}
		q.Remaining = remaining
		return q, q.Of > 0
	}
	remaining, ok1 := number(get(h.Remaining))
	of, ok2 := number(get(h.Of))
	q.Remaining, q.Of = remaining, of
	return q, ok1 && ok2 && of > 0
}

// ResetAt reads a time of reset: seconds from now, a Unix time, or a date; zero when there is none.
func ResetAt(value string, now time.Time) time.Time {
	if s, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && s > 1e8 && s < 1e11 {
		return time.Unix(int64(s), 0)
	}
	if d := RetryAfter(value, now); d > 0 && d < 366*24*time.Hour {
		return now.Add(d)
	}
	return time.Time{}
}

// RetryAfter reads the header's seconds or date; 0 when there is none.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(s) {
		return time.Duration(min(max(0, s), 1e9) * float64(time.Second)) // past thirty years a duration overflows
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, value); err == nil {
			return max(0, t.Sub(now))
		}
	}
	return 0
}
