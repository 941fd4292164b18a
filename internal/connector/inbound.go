// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"context"
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
	// Secrets are those of the subscription by which we asked for the messages: they count like what the settings say.
	Secrets []string
}

// Verdict is what a message means.
type Verdict struct {
	Hints  []Hint
	IDs    []string          // the events' own ids, beside Hints, "" where there are none
	Status int               // of the answer
	Header map[string]string // of the answer
	Body   string            // of the answer
	// Offered is a secret that the vendor hands over while it tries the address. It is kept only while we wait for it.
	Offered string
}

// Subscription is our request to a vendor to send changes to a connection's address.
type Subscription struct {
	IDs     map[string]string `json:"ids,omitempty"`    // the vendor's ids, by the vendor's name of an object; "" is all objects
	Secret  string            `json:"secret,omitempty"` // what the vendor signs with
	RenewAt time.Time         `json:"renewAt,omitzero"` // it ends some time after; zero is never
	EndsAt  time.Time         `json:"endsAt,omitzero"`  // when it ends unless it is renewed; zero is never
}

// Subscriber is a system whose vendor can be asked to tell of changes.
type Subscriber interface {
	// Tells says whether the vendor tells of changes at all.
	Tells() bool
	// Subscribing says whether it can be asked by program. Elsewhere a person enters the address over there.
	Subscribing() bool
	// Subscribe makes the subscription, or renews the one there is. What was made before an error comes back with it.
	Subscribe(ctx context.Context, callback string, had Subscription) (Subscription, error)
	// Unsubscribe ends it. One that is not there any more is fine.
	Unsubscribe(ctx context.Context, had Subscription) error
}

// Hooked is a connector whose vendor tells of changes.
type Hooked interface {
	// Inbound verifies a message on its raw bytes, answers handshakes and reads what it tells of. The fault webhook.unverified is
	// for a message whose origin is not proven. The vendor may be asked, through env, for the key that a message names; another
	// error says that this failed, and the message may come again.
	Inbound(ctx context.Context, settings Settings, env Env, in Inbound) (Verdict, error)
}
