// SPDX-License-Identifier: Apache-2.0

// Package push is what connectors listen with: streams of server-sent events and WebSockets over the connections that the process
// lends, with bounds, and with errors classified.
package push

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// MaxMessage bounds an event or a message.
const MaxMessage = 4 << 20

// answerTimeout is how long a server may take to begin its answer; a stream may then last for as long as it likes.
const answerTimeout = 30 * time.Second

// Client opens streams.
type Client struct {
	http    *http.Client
	secrets []string
}

// New makes a client that connects by env.Dial alone. Secrets must not appear in errors.
func New(env connector.Env, secrets ...string) *Client {
	through := env.Sandbox
	if through == nil {
		dial := env.Dial
		if dial == nil {
			dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
		}
		through = &http.Transport{DialContext: dial, TLSClientConfig: env.TLS, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true}
	}
	// A redirect would carry credentials to another place.
	return &Client{secrets: secrets, http: &http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Close frees idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Redact replaces secrets in a text.
func (c *Client) Redact(s string) string {
	for _, secret := range c.secrets {
		if len(secret) >= 4 {
			s = strings.ReplaceAll(strings.ReplaceAll(s, secret, "•••"), url.QueryEscape(secret), "•••")
		}
	}
	return s
}

// fail classifies what kept a stream from being opened or broke it.
func (c *Client) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *connector.Error
	if errors.As(err, &known) { // the guard's word
		return known
	}
	says := errors.New(c.Redact(err.Error()))
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return &connector.Error{Class: connector.Reconnect, Code: "http.certificate", Message: "The system's certificate is not valid for this address. Check the address.", Err: says}
	}
	return &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The stream was interrupted; it is opened again where it stood.", Err: says}
}

// refused classifies an answer that is no stream.
func (c *Client) refused(res *http.Response) error {
	begin, _ := io.ReadAll(io.LimitReader(res.Body, 500))
	says := fmt.Errorf("status %d: %s", res.StatusCode, c.Redact(strings.ToValidUTF8(string(begin), "")))
	now := time.Now()
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		now = at
	}
	after := transport.RetryAfter(res.Header.Get("Retry-After"), now)
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized:
		return &connector.Error{Class: connector.Reconnect, Code: "http.unauthorized", Message: "The system does not accept the credentials. Check them in the connection.", Err: says}
	case s == http.StatusForbidden:
		return &connector.Error{Class: connector.Reconnect, Code: "http.forbidden", Message: "The credentials do not allow this. Give them the rights that the connector's page lists.", Err: says}
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && after > 0:
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(after, time.Second), Message: "The system asks to slow down.", Err: says}
	case s == http.StatusRequestTimeout, s >= 500:
		return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: says}
	}
	return &connector.Error{Class: connector.Reconnect, Code: "push.no_stream", Message: fmt.Sprintf("The address does not answer with a stream (status %d). Check it in the connection.", res.StatusCode), Err: says}
}

// Event is a server-sent event.
type Event struct {
	ID   string // the last id that was given, which need not be by this event
	Own  bool   // the id was given by this event
	Type string // "message" where none is given
	Data []byte
}

// Events is an open stream of server-sent events.
type Events struct {
	c     *Client
	ctx   context.Context
	stop  context.CancelFunc
	body  io.ReadCloser
	lines *lines
	idle  time.Duration
	timer *time.Timer
	last  string
	// Retry is how long the server wants to be left alone before it is asked again; 0 when it did not say.
	Retry time.Duration
}

// ErrIdle is the cause of a stream that said nothing for too long.
var ErrIdle = errors.New("nothing came for too long")

// Events asks for a stream; lastID is where it is to go on, "" from wherever the server begins. A stream that says nothing, not even a
// comment, for longer than idle is taken for dead; 0 is for ever. ErrNoContent says that the server has no more to say.
func (c *Client) Events(ctx context.Context, method, address string, header http.Header, body string, lastID string, idle time.Duration) (*Events, error) {
	inner, stop := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(inner, method, address, strings.NewReader(body))
	if err != nil {
		stop()
		return nil, &connector.Error{Class: connector.Reconnect, Code: "http.address", Message: "The address of the system is not a URL; check the connection's settings.", Err: errors.New(c.Redact(err.Error()))}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	req.Header.Set("User-Agent", "Syncline")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := c.http.Do(req)
	if err != nil {
		stop()
		return nil, c.fail(ctx, err)
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if res.StatusCode == http.StatusNoContent {
		_ = res.Body.Close()
		stop()
		return nil, ErrNoContent
	}
	if res.StatusCode != http.StatusOK || strings.TrimSpace(kind) != "text/event-stream" {
		err := c.refused(res)
		_ = res.Body.Close()
		stop()
		return nil, err
	}
	e := &Events{c: c, ctx: ctx, stop: stop, body: res.Body, idle: idle, last: lastID, lines: &lines{r: res.Body}}
	if idle > 0 {
		e.timer = time.AfterFunc(idle, stop)
	}
	return e, nil
}

// ErrNoContent is a server's word that it has no more to say (status 204).
var ErrNoContent = &connector.Error{Class: connector.Retry, Code: "push.no_content", Message: "The system has nothing to say at this address for now; it is asked again later."}

// Close ends the stream.
func (e *Events) Close() {
	if e.timer != nil {
		e.timer.Stop()
	}
	e.stop()
	_ = e.body.Close()
}

// Next waits for the next event. What a stream ends with is an error of class Retry.
func (e *Events) Next() (Event, error) {
	ev := Event{Type: "message"}
	var data strings.Builder
	some := false
	for {
		line, err := e.lines.next()
		if err != nil {
			if e.timer != nil && e.ctx.Err() == nil && !e.timer.Stop() {
				err = ErrIdle
			}
			return Event{}, e.c.fail(e.ctx, err)
		}
		if e.timer != nil {
			e.timer.Reset(e.idle)
		}
		if line == "" { // an event ends; without data it is none, but its id counts
			if !some {
				ev = Event{Type: "message"}
				continue
			}
			ev.ID, ev.Data = e.last, []byte(strings.TrimSuffix(data.String(), "\n"))
			return ev, nil
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "": // a comment
		case "data":
			some = true
			if data.Len()+len(value) > MaxMessage {
				return Event{}, &connector.Error{Class: connector.Reject, Code: "push.too_large", Message: fmt.Sprintf("The system sends an event of more than %d MB.", MaxMessage>>20)}
			}
			data.WriteString(value)
			data.WriteByte('\n')
		case "event":
			if ev.Type = value; value == "" {
				ev.Type = "message"
			}
		case "id":
			if !strings.ContainsRune(value, 0) {
				e.last, ev.Own = value, true
			}
		case "retry":
			if ms, err := strconv.ParseInt(value, 10, 32); err == nil && ms >= 0 {
				e.Retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// lines splits a stream at line ends of any kind.
type lines struct {
	r      io.Reader
	buf    []byte
	skipLF bool
	first  bool
}

func (l *lines) next() (string, error) {
	searched := 0
	for {
		if l.skipLF && len(l.buf) > 0 { // the second half of a CRLF
			if l.buf[0] == '\n' {
				l.buf = l.buf[1:]
			}
			l.skipLF = false
		}
		for i := searched; i < len(l.buf); i++ {
			if c := l.buf[i]; c == '\n' || c == '\r' {
				line := string(l.buf[:i])
				l.buf, l.skipLF = l.buf[i+1:], c == '\r'
				if !l.first {
					l.first, line = true, strings.TrimPrefix(line, "\ufeff")
				}
				return line, nil
			}
		}
		searched = len(l.buf)
		if searched > MaxMessage {
			return "", &connector.Error{Class: connector.Reject, Code: "push.too_large", Message: fmt.Sprintf("The system sends an event of more than %d MB.", MaxMessage>>20)}
		}
		part := make([]byte, 16<<10)
		n, err := l.r.Read(part)
		l.buf = append(l.buf, part[:n]...)
		if n == 0 && err != nil {
			return "", err
		}
	}
}
