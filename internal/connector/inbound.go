// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"net/http"
	"time"
)

// Inbound is a message that came to a connection's address.
type Inbound struct {
	Method string
	URL    string // as the vendor called it, with scheme and host
	Header http.Header
	Body   []byte // as it came, before anything read it
	Now    time.Time
}

// Verdict is what a message means.
type Verdict struct {
	Hints  []Hint
	IDs    []string          // the events' own ids, beside Hints, "" where there are none
	Status int               // of the answer
	Header map[string]string // of the answer
	Body   string            // of the answer
}

// Hooked is a connector whose vendor tells of changes.
type Hooked interface {
	// Inbound verifies a message on its raw bytes, answers handshakes and reads what it tells of. The fault webhook.unverified is
	// for a message whose origin is not proven.
	Inbound(settings Settings, in Inbound) (Verdict, error)
}
