// SPDX-License-Identifier: Apache-2.0

// Package webhook sends signed messages to customers' servers: once, without following redirects, within 15 seconds, through a
// network that a guard watches.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/notify"
)

// Timeout is how long a server may take to answer.
const Timeout = 15 * time.Second

// excerpt is how much of an answer is kept, in bytes.
const excerpt = 1000

// Client sends messages.
type Client struct {
	http    *http.Client
	timeout time.Duration
}

// New makes a client whose connections dial opens, and thereby permits: connection.Guard.Dial.
func New(dial func(ctx context.Context, network, address string) (net.Conn, error), timeout time.Duration) *Client {
	return &Client{
		timeout: timeout,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: dial, ForceAttemptHTTP2: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
				TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true, // an answer that unpacks to more than it is shall not
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Post sends the message. Every outcome is an answer.
func (c *Client) Post(ctx context.Context, m notify.Message) (a notify.Answer) {
	began := time.Now()
	defer func() { a.Took = time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return notify.Answer{Problem: "The address cannot be used."}
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "Syncline-Webhooks/1")
	req.Header.Set("webhook-id", m.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(m.At.Unix(), 10))
	req.Header.Set("webhook-signature", m.Signature)
	res, err := c.http.Do(req)
	if err != nil {
		return notify.Answer{Problem: c.why(ctx, err)}
	}
	defer func() { _ = res.Body.Close() }() // what it says after the excerpt is of no interest
	body, _ := io.ReadAll(io.LimitReader(res.Body, excerpt))
	a = notify.Answer{Status: res.StatusCode, Excerpt: shown(body)}
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
	case res.StatusCode >= 300 && res.StatusCode < 400:
		a.Problem = fmt.Sprintf("It answered %d. Redirects are not followed; write the address that it leads to.", res.StatusCode)
	default:
		a.Problem = fmt.Sprintf("It answered %d %s.", res.StatusCode, http.StatusText(res.StatusCode))
		a.RetryAfter = transport.RetryAfter(res.Header.Get("Retry-After"), began)
	}
	return a
}

// why says what went wrong without an answer.
func (c *Client) why(ctx context.Context, err error) string {
	var ours *connector.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("No answer within %s.", c.timeout)
	case errors.As(err, &ours):
		return ours.Message
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "It closed the connection without an answer."
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return "Its certificate is not trusted: " + certificate.Err.Error()
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner // without the address, which is shown beside it
	}
	return "No connection: " + err.Error()
}

// shown makes text of an answer that can be shown anywhere.
func shown(body []byte) string {
	for len(body) > 0 && !utf8.Valid(body) {
		if r, n := utf8.DecodeLastRune(body); r == utf8.RuneError && n == 1 && len(body) == excerpt {
			body = body[:len(body)-1] // a letter that was cut
			continue
		}
		break
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(body), "\uFFFD")))
}
