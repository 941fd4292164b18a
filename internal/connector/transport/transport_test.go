// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// clock stands still unless somebody waits.
type clock struct {
	mu     sync.Mutex
	t      time.Time
	waited time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t, c.waited = c.t.Add(d), c.waited+d
	return ctx.Err()
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, headers ...string) trip {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func newPool() (*transport.Pool, *clock) {
	c := &clock{t: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	return &transport.Pool{Now: c.now, Wait: c.wait}, c
}

func get(t *testing.T, c *transport.Client, op string) (*transport.Answer, error) {
	t.Helper()
	return c.Do(t.Context(), transport.Call{Operation: op, Method: http.MethodGet, URL: "https://vendor.example/x", Header: http.Header{}})
}

// Two connections of one account share its budget; another account has its own.
func TestBudgetsAreShared(t *testing.T) {
	pool, clock := newPool()
	limits := []transport.Limit{{Calls: 10, Per: 10 * time.Second}, {Operations: []string{"search"}, Calls: 1, Per: time.Second}}
	a := pool.Client(transport.Options{Account: "acme", Through: answer(200, "{}"), Limits: limits})
	b := pool.Client(transport.Options{Account: "acme", Through: answer(200, "{}"), Limits: limits})
	for range 5 {
		for _, c := range []*transport.Client{a, b} {
			if _, err := get(t, c, "list"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if clock.waited != 0 {
		t.Errorf("ten calls waited %s", clock.waited)
	}
	if _, err := get(t, b, "list"); err != nil || clock.waited < 900*time.Millisecond || clock.waited > 1100*time.Millisecond {
		t.Errorf("the eleventh waited %s, %v; want a second", clock.waited, err)
	}
	other := pool.Client(transport.Options{Account: "other", Through: answer(200, "{}"), Limits: limits})
	before := clock.waited
	if _, err := get(t, other, "search"); err != nil || clock.waited != before {
		t.Errorf("another account waited %s, %v", clock.waited-before, err)
	}
	if _, err := get(t, other, "search"); err != nil || clock.waited-before < 900*time.Millisecond {
		t.Errorf("its second search waited %s, %v", clock.waited-before, err)
	}
}

// What would wait longer than it has patience is told instead, and takes nothing of the budget.
func TestPatience(t *testing.T) {
	pool, clock := newPool()
	c := pool.Client(transport.Options{Account: "a", Through: answer(200, "{}"), Limits: []transport.Limit{{Calls: 1, Per: time.Minute}}, Patience: 5 * time.Second})
	if _, err := get(t, c, "list"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := get(t, c, "list")
		if e := connector.Classify(err); e.Class != connector.SlowDown || e.After < 59*time.Second || e.After > time.Minute {
			t.Fatalf("got %v after %s", err, e.After)
		}
	}
	_ = clock.wait(t.Context(), 56*time.Second)
	if _, err := get(t, c, "list"); err != nil {
		t.Errorf("after the time: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	pool, clock := newPool()
	c := pool.Client(transport.Options{Account: "a", Through: answer(429, "{}", "Retry-After", "3")})
	a, err := get(t, c, "list")
	if err != nil || a.After != 3*time.Second {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := get(t, c, "write"); err != nil || clock.waited != 0 {
		t.Errorf("another operation waited %s", clock.waited)
	}
	if _, err := get(t, c, "list"); err != nil || clock.waited != 3*time.Second {
		t.Errorf("the same operation waited %s", clock.waited)
	}
	for value, want := range map[string]time.Duration{"": 0, "1.5": 1500 * time.Millisecond, "-4": 0, "Mon, 23 Nov 2026 09:01:00 GMT": time.Minute, "Mon, 23 Nov 2026 08:00:00 GMT": 0, "soon": 0, "NaN": 0, "1e300": 1e9 * time.Second} {
		if got := transport.RetryAfter(value, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}

// The brake spaces calls out while little is left, and lets go when there is enough again.
func TestBrake(t *testing.T) {
	pool, clock := newPool()
	left := "api-usage=950/1000"
	c := pool.Client(transport.Options{Account: "a", Through: trip(func(r *http.Request) (*http.Response, error) { return answer(200, "{}", "Limit-Info", left)(r) }),
		Quotas: []transport.QuotaHeader{{Header: "Limit-Info", Pattern: regexp.MustCompile(`api-usage=(?P<used>\d+)/(?P<of>\d+)`)}}})
	for range 3 {
		if _, err := get(t, c, "list"); err != nil {
			t.Fatal(err)
		}
	}
	if clock.waited != 2*time.Second {
		t.Errorf("three calls with 5%% left waited %s, want a second between them", clock.waited)
	}
	if q, ok := pool.Quota("a"); !ok || q.Remaining != 50 || q.Of != 1000 {
		t.Errorf("the quota is %+v", q)
	}
	left = "api-usage=10/1000"
	if _, err := get(t, c, "list"); err != nil {
		t.Fatal(err)
	}
	before := clock.waited
	if _, err := get(t, c, "list"); err != nil || clock.waited != before {
		t.Errorf("with plenty left it waited %s", clock.waited-before)
	}
}

// The breaker opens after five failures, lets one through after a pause, and closes when that succeeds.
func TestBreaker(t *testing.T) {
	pool, clock := newPool()
	calls, broken := 0, true
	c := pool.Client(transport.Options{Account: "a", Through: trip(func(r *http.Request) (*http.Response, error) {
		calls++
		if broken {
			return nil, errors.New("connection refused")
		}
		return answer(200, "{}")(r)
	})})
	for range 5 {
		if _, err := get(t, c, "list"); connector.Classify(err).Code != "http.unreachable" {
			t.Fatalf("got %v", err)
		}
	}
	for range 10 {
		if _, err := get(t, c, "list"); connector.Classify(err).Code != "http.paused" {
			t.Fatalf("got %v", err)
		}
	}
	if calls != 5 {
		t.Errorf("%d calls were made, want 5", calls)
	}
	_ = clock.wait(t.Context(), 2*time.Second)
	if _, err := get(t, c, "list"); connector.Classify(err).Code != "http.unreachable" || calls != 6 {
		t.Errorf("the one let through: %v, %d calls", err, calls)
	}
	if _, err := get(t, c, "list"); connector.Classify(err).Code != "http.paused" {
		t.Errorf("behind it: %v", err)
	}
	broken = false
	_ = clock.wait(t.Context(), time.Minute)
	for range 3 {
		if _, err := get(t, c, "list"); err != nil {
			t.Errorf("mended: %v", err)
		}
	}
}

// A call that looks before it is made is not kept waiting by the look that it makes: the look is what the breaker lets through.
func TestBreakerLetsLooksThrough(t *testing.T) {
	pool, clock := newPool()
	broken := true
	c := pool.Client(transport.Options{Account: "a", Through: trip(func(r *http.Request) (*http.Response, error) {
		if broken {
			return nil, errors.New("connection refused")
		}
		return answer(200, "{}")(r)
	})})
	for range 5 {
		_, _ = get(t, c, "list")
	}
	broken = false
	_ = clock.wait(t.Context(), 2*time.Second)
	looked := false
	call := transport.Call{Operation: "update", Method: http.MethodPatch, URL: "https://vendor.example/", Ready: func(context.Context, bool) error {
		looked = true
		_, err := get(t, c, "get")
		return err
	}}
	if a, err := c.Do(t.Context(), call); err != nil || a.Status != http.StatusOK || !looked {
		t.Fatalf("the write came to %v, %v", a, err)
	}
}

// Nothing secret is recorded, wherever it stands; what is said about tokens is not recorded at all.
func TestRecording(t *testing.T) {
	const secret = "s3cr3t+canary/="
	pool, _ := newPool()
	c := pool.Client(transport.Options{Account: "a", Secrets: []string{secret}, Through: answer(200, `{"echo":"`+secret+`","access_token":"fresh-token-9"}`)})
	for _, op := range []string{"list", transport.Token} {
		if _, err := c.Do(t.Context(), transport.Call{Operation: op, Method: http.MethodPost, URL: "https://vendor.example/x?key=s3cr3t%2Bcanary%2F%3D", Header: http.Header{"Authorization": {"Bearer " + secret}},
			Body: []byte(strings.Repeat("x", 4090) + secret)}); err != nil {
			t.Fatal(err)
		}
	}
	c.Hide("fresh-token-9")
	recent := pool.Recent("a")
	if len(recent) != 2 || recent[0].Status != 200 || recent[0].Sent == "" || recent[1].Sent != "" || recent[1].Received != "" {
		t.Fatalf("recorded %+v", recent)
	}
	for _, e := range recent {
		for _, text := range []string{e.URL, e.Sent, e.Received, e.Error} {
			if strings.Contains(text, "s3cr3t") || strings.Contains(text, "canary") {
				t.Errorf("the recording shows the secret: %.200s", text)
			}
		}
	}
	for range 100 {
		_, _ = get(t, c, "list")
	}
	if n := len(pool.Recent("a")); n != 40 {
		t.Errorf("%d exchanges are kept", n)
	}
}

// A redirect is not followed, and the guard's word is passed on as it is.
func TestGuards(t *testing.T) {
	t.Parallel()
	hits := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }))
	defer server.Close()
	pool := transport.NewPool()
	c := pool.Client(transport.Options{Account: "a", Dial: (&net.Dialer{}).DialContext})
	a, err := c.Do(t.Context(), transport.Call{Method: http.MethodGet, URL: server.URL, Header: http.Header{"Authorization": {"Bearer x"}}})
	if err != nil || a.Status != http.StatusFound || hits != 0 {
		t.Errorf("%+v, %v, %d hits elsewhere", a, err, hits)
	}
	c.Close()
	refused := &connector.Error{Class: connector.Reconnect, Code: "connection.address_refused", Message: "no"}
	c = pool.Client(transport.Options{Account: "b", Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }})
	if _, err := c.Do(t.Context(), transport.Call{Method: http.MethodGet, URL: server.URL, Header: http.Header{}}); connector.Classify(err).Code != "connection.address_refused" {
		t.Errorf("got %v", err)
	}
}

// At most so many calls of an account are under way at any time, however many clients there are; what a call asks beforehand needs
// places too and gets them.
func TestSoManyAtOnce(t *testing.T) {
	pool := transport.NewPool()
	var mu sync.Mutex
	running, most, all := 0, 0, 0
	arrived, goOn := make(chan struct{}, 100), make(chan struct{})
	through := trip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		running, all = running+1, all+1
		most = max(most, running)
		mu.Unlock()
		arrived <- struct{}{}
		<-goOn
		mu.Lock()
		running--
		mu.Unlock()
		return answer(200, "{}")(r)
	})
	limits := []transport.Limit{{AtOnce: 3}, {Operations: []string{"update"}, AtOnce: 1}}
	var wait sync.WaitGroup
	for i := range 12 {
		c := pool.Client(transport.Options{Account: "acme", Through: through, Limits: limits})
		wait.Go(func() {
			call := transport.Call{Operation: "list", Method: http.MethodGet, URL: "https://vendor.example/x", Header: http.Header{}}
			if i%3 == 0 {
				call.Operation = "update"
				call.Ready = func(ctx context.Context, _ bool) error {
					_, err := c.Do(ctx, transport.Call{Operation: "get", Method: http.MethodGet, URL: "https://vendor.example/x", Header: http.Header{}})
					return err
				}
			}
			if _, err := c.Do(t.Context(), call); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		<-arrived // the first three are in
	}
	close(goOn)
	wait.Wait()
	if most != 3 || all < 16 {
		t.Errorf("of %d calls %d were under way at once", all, most)
	}
	// Who gives up waiting leaves nothing taken.
	stuck := make(chan struct{})
	slow := pool.Client(transport.Options{Account: "other", Limits: []transport.Limit{{AtOnce: 1}}, Through: trip(func(r *http.Request) (*http.Response, error) {
		<-stuck
		return answer(200, "{}")(r)
	})})
	first := make(chan error, 1)
	go func() {
		_, err := slow.Do(t.Context(), transport.Call{Method: http.MethodGet, URL: "https://vendor.example/x"})
		first <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		_, _ = slow.Do(ctx, transport.Call{Method: http.MethodGet, URL: "https://vendor.example/x"})
	}
	close(stuck)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := get(t, slow, ""); err != nil {
		t.Error(err)
	}
}

// A budget of records counts them, and what is kept apart has budgets of its own.
func TestBudgetsOfRecords(t *testing.T) {
	pool, clock := newPool()
	c := pool.Client(transport.Options{Account: "acme", Through: answer(200, "{}"), Limits: []transport.Limit{{Calls: 100, Per: 10 * time.Second, Records: true}, {Calls: 1, Per: time.Second}}})
	call := func(records int, apart string) time.Duration {
		before := clock.now()
		if _, err := c.Do(t.Context(), transport.Call{Operation: "create", Method: http.MethodPost, URL: "https://vendor.example/x", Records: records, Apart: []string{"", apart}}); err != nil {
			t.Fatal(err)
		}
		return clock.now().Sub(before)
	}
	for i, want := range []time.Duration{0, 0, time.Second, 4 * time.Second} {
		if got := call([]int{40, 40, 20, 50}[i], []string{"a", "b", "b", "b"}[i]); got < want-100*time.Millisecond || got > want+100*time.Millisecond {
			t.Errorf("call %d waited %s, not %s", i, got, want)
		}
	}
}

// What a body says is left brakes as what headers say does.
func TestQuotaOfBody(t *testing.T) {
	pool, clock := newPool()
	c := pool.Client(transport.Options{Account: "acme", Through: answer(200, "{}")})
	if _, err := get(t, c, "list"); err != nil {
		t.Fatal(err)
	}
	c.Told(transport.Quota{Remaining: 5, Of: 1000})
	if _, err := get(t, c, "list"); err != nil || clock.waited == 0 {
		t.Errorf("it did not wait: %v", err)
	}
	if q, ok := pool.Quota("acme"); !ok || q.Remaining != 5 || q.At.IsZero() {
		t.Errorf("the quota is %+v", q)
	}
}
