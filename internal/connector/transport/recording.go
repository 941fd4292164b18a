// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"time"
	"unicode/utf8"
)

// Exchange is one call as it may be shown: no headers, secrets replaced, bodies cut short.
type Exchange struct {
	At        time.Time     `json:"at"`
	Operation string        `json:"operation"`
	Method    string        `json:"method"`
	URL       string        `json:"url"`
	Sent      string        `json:"sent,omitempty"`
	Status    int           `json:"status,omitempty"`
	Received  string        `json:"received,omitempty"`
	Error     string        `json:"error,omitempty"`
	Took      time.Duration `json:"took"`
}

// Token is the operation that gets credentials; what is said in it is not recorded at all.
const Token = "token"

const (
	recorded = 40      // exchanges kept for each account
	maxShown = 4 << 10 // bytes of a body that are kept
)

type recording struct {
	ring []Exchange
	next int
}

func (r *recording) add(e Exchange) {
	if len(r.ring) < recorded {
		r.ring = append(r.ring, e)
		return
	}
	r.ring[r.next] = e
	r.next = (r.next + 1) % recorded
}

func (r *recording) list() []Exchange {
	return append(append([]Exchange(nil), r.ring[r.next:]...), r.ring[:r.next]...)
}

func (c *Client) exchange(call Call, a *Answer, err error, began, ended time.Time) Exchange {
	e := Exchange{At: began, Operation: call.Operation, Method: call.Method, URL: c.Redact(call.URL), Took: ended.Sub(began)}
	if a != nil {
		e.Status = a.Status
	}
	if call.Operation != Token {
		e.Sent = c.shown(call.Body)
		if a != nil {
			e.Received = c.shown(a.Body)
		}
	}
	if err != nil {
		e.Error = c.Redact(err.Error())
	}
	return e
}

func (c *Client) shown(body []byte) string {
	// Redacted before it is cut, so that no half of a secret is left at the end.
	s := c.Redact(string(body[:min(len(body), 16*maxShown)]))
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	if !utf8.ValidString(s) {
		return "(binary)"
	}
	return s
}
