// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// RateLimit is how many requests one key or member may send within a window. It is counted by each process for itself.
type RateLimit struct {
	Requests int
	Window   time.Duration
}

// DefaultRateLimit lets bursts through that no person and no careful program makes.
var DefaultRateLimit = RateLimit{Requests: 2000, Window: 10 * time.Second}

// wrongGuesses limits failed authentication per address.
var wrongGuesses = RateLimit{Requests: 100, Window: 10 * time.Second}

// limiter is a token bucket per name. Its size is bounded: who was quiet longest is forgotten, and starts full again.
type limiter struct {
	limit RateLimit
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*list.Element
	order   *list.List // of *bucket, the most recently used first
}

type bucket struct {
	name string
	left float64
	at   time.Time
}

const bucketsKept = 50_000

func newLimiter(limit RateLimit) *limiter {
	return &limiter{limit: limit, now: time.Now, buckets: map[string]*list.Element{}, order: list.New()}
}

// take uses up one token and says how many are left, and in how long the bucket is full again; ok is false when there was none.
func (l *limiter) take(name string, limit RateLimit) (left int, full time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(name, limit)
	if ok = b.left >= 1; ok {
		b.left--
	}
	perToken := float64(limit.Window) / float64(limit.Requests)
	return int(b.left), time.Duration((float64(limit.Requests) - b.left) * perToken), ok
}

func (l *limiter) bucket(name string, limit RateLimit) *bucket {
	now := l.now()
	e := l.buckets[name]
	if e == nil {
		if l.order.Len() >= bucketsKept {
			oldest := l.order.Back()
			delete(l.buckets, oldest.Value.(*bucket).name)
			l.order.Remove(oldest)
		}
		e = l.order.PushFront(&bucket{name: name, left: float64(limit.Requests), at: now})
		l.buckets[name] = e
	}
	l.order.MoveToFront(e)
	b := e.Value.(*bucket)
	b.left = min(float64(limit.Requests), b.left+float64(limit.Requests)*now.Sub(b.at).Seconds()/limit.Window.Seconds())
	b.at = now
	return b
}

// limit counts a request of a principal, and says in the answer's header how many are left. The two header fields are those
// of draft-ietf-httpapi-ratelimit-headers-11.
func (s *server) limit(w http.ResponseWriter, name string) error {
	left, full, ok := s.limits.take(name, s.RateLimit)
	seconds := int(math.Ceil(full.Seconds()))
	w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"burst";q=%d;w=%d`, s.RateLimit.Requests, int(math.Ceil(s.RateLimit.Window.Seconds()))))
	w.Header().Set("RateLimit", fmt.Sprintf(`"burst";r=%d;t=%d`, left, seconds))
	if ok {
		return nil
	}
	return tooMany()
}

func tooMany() error {
	return &httpError{retryAfter: 1, cause: fault.New(fault.TooMany, "request.rate_exceeded", "Too many requests. Wait as long as Retry-After says, and send fewer at once.")}
}
