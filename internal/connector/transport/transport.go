// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

const (
	maxAnswer     = 32 << 20         // bytes of an answer that are read
	callTimeout   = 60 * time.Second // for one call
	breakAfter    = 5                // failures in a row that open the breaker
	breakFirst    = time.Second
	breakMax      = time.Minute
	brakeInterval = time.Second // between calls while a quota is low
)

// Pool keeps what the clients of one vendor account share. One is enough for a process.
type Pool struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Wait sleeps; nil is a timer that ends with the context.
	Wait func(ctx context.Context, d time.Duration) error

	mu       sync.Mutex
	accounts map[string]*account
}

// NewPool makes an empty pool.
func NewPool() *Pool { return &Pool{} }

type account struct {
	buckets map[bucketKey]*bucket
	slots   map[bucketKey]chan struct{} // of limits of how many may be under way
	until   map[string]time.Time        // by operation: not before; "" is all
	quota   Quota
	last    time.Time // of the last call, for the brake
	fails   int
	opened  time.Time // when the breaker lets one through again; zero while closed
	trying  bool      // one is let through
	recent  recording
	away    time.Time // until then calls go to the second address
}

// awayFor is how long calls go to the second address before the first is tried again.
const awayFor = time.Minute

func (p *Pool) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// Sleep waits by the pool's clock.
func (p *Pool) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	if p.Wait != nil {
		return p.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (p *Pool) of(name string) *account {
	if p.accounts == nil {
		p.accounts = make(map[string]*account)
	}
	a := p.accounts[name]
	if a == nil {
		a = &account{buckets: make(map[bucketKey]*bucket), slots: make(map[bucketKey]chan struct{}), until: make(map[string]time.Time)}
		p.accounts[name] = a
	}
	return a
}

// Reset forgets an account's breaker, pauses and budgets.
func (p *Pool) Reset(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.accounts, name)
}

// Quota is what the vendor last said is left; false when it never did.
func (p *Pool) Quota(name string) (Quota, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.of(name).quota
	return q, !q.At.IsZero()
}

// Recent is the recording of the account's last exchanges, oldest first.
func (p *Pool) Recent(name string) []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(name).recent.list()
}

// Options make a Client.
type Options struct {
	Account string // whose budget it is: vendor and account
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	TLS     *tls.Config
	// Through carries the calls instead of the network, for sandboxes.
	Through http.RoundTripper
	Limits  []Limit
	Quotas  []QuotaHeader
	// Patience is how long a call waits for its budget; longer is an error of class SlowDown. 0 is 15 s.
	Patience time.Duration
	// Secrets must not appear in recordings.
	Secrets []string
	// First and Second are beginnings of URLs. While First cannot be reached, calls to it go to Second; "" where there is none.
	First, Second string
}

// Client speaks to one vendor account.
type Client struct {
	pool *Pool
	opts Options
	http *http.Client

	mu      sync.Mutex
	secrets []string
}

// Client makes one. Close frees its connections.
func (p *Pool) Client(o Options) *Client {
	if o.Patience == 0 {
		o.Patience = 15 * time.Second
	}
	through := o.Through
	if through == nil {
		t := &http.Transport{
			DialContext: o.Dial, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 8, MaxConnsPerHost: 16, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: callTimeout, MaxResponseHeaderBytes: 64 << 10,
		}
		through = t
	}
	c := &Client{pool: p, opts: o, secrets: o.Secrets}
	// A redirect would carry credentials to another place, so it is an answer like any other.
	c.http = &http.Client{Transport: through, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Hide adds secrets that were learnt later (tokens).
func (c *Client) Hide(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// Close frees idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call is one request.
type Call struct {
	Operation string // for budgets: the manifest's name of it
	Method    string
	URL       string
	Header    http.Header
	Body      []byte
	Cost      float64 // of the budget; 0 is 1
	Records   int     // how many records it is about, for budgets that count those; 0 is 1
	// Apart says by limit, in the order of Options.Limits, what its budget is kept apart by; shorter: by nothing.
	Apart []string
	// Ready is asked right before the call is made, after it waited for budgets and pauses or did not have to; it may make calls
	// of its own. An error is what the call comes to.
	Ready func(ctx context.Context, waited bool) error
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	After  time.Duration // Retry-After, where given
	At     time.Time     // the vendor's clock where it shows it (Date), else ours
}

// Do makes the call once. An answer of any status is an answer; the error is for what kept the call from being answered,
// classified.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	wait, probe, err := c.admit(call)
	if err != nil {
		return nil, err
	}
	if err := c.pool.Sleep(ctx, wait); err != nil {
		if probe {
			c.release()
		}
		return nil, err
	}
	if call.Ready != nil && probe { // what Ready calls is the probe, or it would be kept waiting for this one
		c.release()
	}
	leave, err := c.enter(ctx, call, wait > 0)
	if err != nil {
		if probe && call.Ready == nil {
			c.release()
		}
		return nil, err
	}
	defer leave()
	began := c.pool.now()
	answer, err := c.send(ctx, call)
	c.note(ctx, call, answer, err, began)
	return answer, err
}

// patience is how often a call that has a place is asked anew whether it is ready, after it waited for the place.
const patience = 3

// enter takes a place of each limit of how many may be under way, and asks the call whether it is ready. What Ready calls needs
// places too, so none is kept meanwhile; who had to wait for one afterwards is asked again.
func (c *Client) enter(ctx context.Context, call Call, waited bool) (leave func(), err error) {
	slots := c.slots(call)
	for n := 0; ; n++ {
		if call.Ready != nil && n < patience {
			if err := call.Ready(ctx, waited || n > 0); err != nil {
				return nil, err
			}
		}
		free, err := take(ctx, slots)
		if err != nil {
			return nil, err
		}
		leave = func() {
			for _, s := range slots {
				<-s
			}
		}
		if free || call.Ready == nil || n >= patience {
			return leave, nil
		}
		leave()
	}
}

// take takes one of each, in the order of the limits, so that nobody waits for somebody who waits for him. free says that it did
// not have to wait.
func take(ctx context.Context, slots []chan struct{}) (free bool, err error) {
	free = true
	for i, s := range slots {
		select {
		case s <- struct{}{}:
			continue
		default:
			free = false
		}
		select {
		case s <- struct{}{}:
		case <-ctx.Done():
			for _, taken := range slots[:i] {
				<-taken
			}
			return false, ctx.Err()
		}
	}
	return free, nil
}

func (c *Client) slots(call Call) (out []chan struct{}) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	a := c.pool.of(c.opts.Account)
	for i, l := range c.opts.Limits {
		if l.AtOnce < 1 || !l.covers(call.Operation) {
			continue
		}
		key := bucketKey{i, fmt.Sprint(l.Operations, l.AtOnce), call.apart(i)}
		if a.slots[key] == nil {
			for k, s := range a.slots {
				if len(a.slots) >= maxBuckets && len(s) == 0 {
					delete(a.slots, k)
				}
			}
			a.slots[key] = make(chan struct{}, l.AtOnce)
		}
		out = append(out, a.slots[key])
	}
	return out
}

func (c Call) apart(limit int) string {
	if limit < len(c.Apart) {
		return c.Apart[limit]
	}
	return ""
}

func (c *Client) release() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.of(c.opts.Account).trying = false
}

func (c *Client) send(ctx context.Context, call Call) (*Answer, error) {
	if rest, ours := strings.CutPrefix(call.URL, c.opts.First); ours && c.opts.Second != "" {
		if c.Away() {
			call.URL = c.opts.Second + rest
			return c.once(ctx, call)
		}
		a, err := c.once(ctx, call)
		// Only a call that never left goes elsewhere: one whose answer is lost may have been carried out.
		var dial *net.OpError
		if err == nil || ctx.Err() != nil || !errors.As(err, &dial) || dial.Op != "dial" {
			return a, err
		}
		call.URL = c.opts.Second + rest
		if a, err = c.once(ctx, call); err == nil {
			c.leave()
		}
		return a, err
	}
	return c.once(ctx, call)
}

// Away says whether calls go to the second address.
func (c *Client) Away() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.opts.Second != "" && c.pool.now().Before(c.pool.of(c.opts.Account).away)
}

func (c *Client) leave() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.of(c.opts.Account).away = c.pool.now().Add(awayFor)
}

func (c *Client) once(ctx context.Context, call Call) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, call.Method, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "http.address", Message: "The address of the system is not a URL; check the connection's settings.", Err: c.scrubbed(err)}
	}
	for k, v := range call.Header {
		req.Header[k] = v
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "Syncline")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if len(body) > maxAnswer {
		return nil, &connector.Error{Class: connector.Reject, Code: "http.answer_too_large", Message: fmt.Sprintf("The system's answer is larger than %d MB. Ask for smaller pages in the manifest.", maxAnswer>>20)}
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: body, At: c.pool.now()}
	if t, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		a.At = t
	}
	a.After = RetryAfter(res.Header.Get("Retry-After"), a.At)
	return a, nil
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var classified *connector.Error
	if errors.As(err, &classified) { // the guard's word
		return classified
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return &connector.Error{Class: connector.Reconnect, Code: "http.certificate", Message: "The system's certificate is not valid for this address. Check the address.", Err: c.scrubbed(err)}
	}
	return &connector.Error{Class: connector.Retry, Code: "http.unreachable", Message: "The system did not answer. It will be tried again.", Err: c.scrubbed(err)}
}

// scrub is an error whose text has no secrets, and whose cause can still be asked for.
type scrub struct {
	text string
	dial *net.OpError
}

func (s *scrub) Error() string { return s.text }

func (s *scrub) Unwrap() error {
	if s.dial == nil {
		return nil
	}
	return s.dial
}

// scrubbed keeps URLs with keys in them out of logs.
func (c *Client) scrubbed(err error) error {
	out := &scrub{text: c.Redact(err.Error())}
	var u *url.Error
	if errors.As(err, &u) {
		out.text = c.Redact(u.Op + " " + u.URL + ": " + u.Err.Error())
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		out.dial = op
	}
	return out
}

// admit takes what the call needs of its budgets and says how long to wait before it.
func (c *Client) admit(call Call) (wait time.Duration, probe bool, err error) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	a := p.of(c.opts.Account)
	if !a.opened.IsZero() {
		if now.Before(a.opened) || a.trying {
			return 0, false, &connector.Error{Class: connector.SlowDown, Code: "http.paused", After: max(a.opened.Sub(now), breakFirst),
				Message: "The system failed several times in a row and is left alone for a moment."}
		}
		a.trying, probe = true, true
	}
	cost := call.Cost
	if cost == 0 {
		cost = 1
	}
	for _, op := range []string{"", call.Operation} {
		if until := a.until[op]; now.Before(until) {
			wait = max(wait, until.Sub(now))
		}
	}
	if a.quota.low() && a.quota.Remaining > 0 {
		wait = max(wait, a.last.Add(brakeInterval).Sub(now))
	}
	type share struct {
		b    *bucket
		cost float64
	}
	var taken []share
	for i, l := range c.opts.Limits {
		if l.Calls <= 0 || !l.covers(call.Operation) {
			continue
		}
		key := bucketKey{i, fmt.Sprint(l.Operations), call.apart(i)}
		b := a.buckets[key]
		if b == nil {
			for k, old := range a.buckets {
				if len(a.buckets) >= maxBuckets && k.limit < len(c.opts.Limits) && old.full(c.opts.Limits[k.limit], now) {
					delete(a.buckets, k)
				}
			}
			b = &bucket{}
			a.buckets[key] = b
		}
		of := cost
		if l.Records {
			of = cost * float64(max(1, call.Records))
		}
		wait = max(wait, b.take(l, of, now))
		taken = append(taken, share{b, of})
	}
	if wait > c.opts.Patience {
		for _, t := range taken {
			t.b.give(t.cost)
		}
		a.trying = a.trying && !probe
		return 0, false, &connector.Error{Class: connector.SlowDown, Code: "http.budget", After: wait, Message: "The budget of calls to this system is used up for now; it goes on by itself."}
	}
	a.last = now.Add(wait)
	return wait, probe, nil
}

// note learns from what came back.
func (c *Client) note(ctx context.Context, call Call, answer *Answer, err error, began time.Time) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	a := p.of(c.opts.Account)
	a.recent.add(c.exchange(call, answer, err, began, now))
	if ctx.Err() != nil { // our own giving up says nothing of the system
		a.trying = false
		return
	}
	failed := err != nil && connector.Classify(err).Class == connector.Retry || answer != nil && answer.Status >= 500 && answer.After == 0
	switch {
	case failed:
		a.fails++
		if a.trying || a.fails >= breakAfter {
			a.opened = now.Add(min(breakFirst<<min(max(0, a.fails-breakAfter), 10), breakMax))
		}
	case answer != nil:
		a.fails, a.opened = 0, time.Time{}
	}
	a.trying = false
	if answer == nil {
		return
	}
	if answer.After > 0 && (answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable) {
		a.until[call.Operation] = now.Add(answer.After)
	}
	for _, h := range c.opts.Quotas {
		if q, ok := h.read(answer.Header.Get, now); ok {
			a.quota = q
		}
	}
}

// Pause keeps the operation ("" for all) from being called for a while: for vendors that say so in a body.
func (c *Client) Pause(operation string, d time.Duration) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.of(c.opts.Account).until[operation] = c.pool.now().Add(d)
}

// Told is what the vendor said is left, where it says so in an answer's body.
func (c *Client) Told(q Quota) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	q.At = c.pool.now()
	if q.Reserve == 0 {
		q.Reserve = defaultReserve
	}
	c.pool.of(c.opts.Account).quota = q
}

// Now is the pool's clock.
func (c *Client) Now() time.Time { return c.pool.now() }

// Sleep waits by the pool's clock.
func (c *Client) Sleep(ctx context.Context, d time.Duration) error { return c.pool.Sleep(ctx, d) }

// Redact replaces secrets in a text.
func (c *Client) Redact(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range c.secrets {
		if len(secret) >= 4 {
			s = strings.ReplaceAll(s, secret, "•••")
			if e := url.QueryEscape(secret); e != secret {
				s = strings.ReplaceAll(s, e, "•••")
			}
		}
	}
	return s
}
