// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
)

// EndpointState says whether an endpoint is sent anything.
type EndpointState string

// The states.
const (
	Active   EndpointState = "active"
	Paused   EndpointState = "paused"   // by a person; events of the meantime are not sent later
	Disabled EndpointState = "disabled" // by us: nothing got through for long, or it said 410; Reason says which
)

// Endpoint is where a tenant wants to be told of events.
type Endpoint struct {
	ID           uuid.UUID
	Name         string
	URL          string
	Types        []string // see Wanted; none for all but the frequent ones
	State        EndpointState
	Reason       string    // why it is disabled
	OldUntil     time.Time // until then the secret before the present one signs, too; zero without one
	FailingSince time.Time // zero: the last attempt worked, or there was none
	DeliveredAt  time.Time // when something last got through; zero for never
	CreatedAt    time.Time
	CreatedBy    string
	Version      int64

	Sealed    []byte // the secret
	OldSealed []byte // nil without one
}

// wants says whether the endpoint is to be sent an event of the type. Test messages are made for one endpoint.
func (e Endpoint) wants(typ string) bool {
	if len(e.Types) == 0 {
		return usual(typ)
	}
	return Wanted(e.Types, typ)
}

// Limits of endpoints.
const (
	MaxEndpoints = 20 // of a tenant
	maxURL       = 2000
	maxTypes     = 100
	maxOverlap   = 7 * 24 * time.Hour
)

// DefaultOverlap is how long an exchanged secret goes on signing.
const DefaultOverlap = 24 * time.Hour

// check says what is wrong with the endpoint. Plain http is for development.
func (e Endpoint) check(plainHTTP bool) error {
	var bad []fault.Field
	if n := len([]rune(strings.TrimSpace(e.Name))); n < 1 || n > 100 {
		bad = append(bad, fault.Field{Pointer: "/name", Code: "webhook.invalid", Message: "The name has 1 to 100 characters.", Remedy: "Say what it tells: \"Billing back end\"."})
	}
	if why := badURL(e.URL, plainHTTP); why != "" {
		bad = append(bad, fault.Field{Pointer: "/url", Code: "webhook.invalid", Message: why, Remedy: "Write the full address, such as https://example.com/webhooks/syncline."})
	}
	if len(e.Types) > maxTypes {
		bad = append(bad, fault.Field{Pointer: "/types", Code: "webhook.invalid", Message: fmt.Sprintf("There are at most %d types.", maxTypes), Remedy: "Use a * for all that begin alike: invoice.*"})
	}
	for i, f := range e.Types {
		if !slices.ContainsFunc(Types, func(t Type) bool { return Wanted([]string{f}, t.Name) }) {
			bad = append(bad, fault.Field{Pointer: fmt.Sprintf("/types/%d", i), Code: "webhook.invalid", Message: fmt.Sprintf("No event is called %q.", f), Remedy: "Take a type from the table in the documentation of events, or a beginning with a * after it: run.*"})
		}
	}
	if len(bad) > 0 {
		return fault.New(fault.Invalid, "webhook.invalid", "The webhook endpoint cannot be used as written: %s", bad[0].Message).At(bad...)
	}
	return nil
}

func badURL(s string, plainHTTP bool) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || len(s) > maxURL:
		return "This is not the address of a server."
	case u.Scheme != "https" && (u.Scheme != "http" || !plainHTTP):
		return "The address begins with https://, so that nobody on the way reads what is sent."
	case u.User != nil:
		return "The address holds a name or password; messages are signed instead."
	case u.Fragment != "":
		return "The address has a part behind a #, which is never sent."
	}
	return ""
}

// DeliveryState says where a delivery stands.
type DeliveryState string

// The states.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Failed    DeliveryState = "failed" // given up; a person may have it sent again
)

// Delivery is an event to be sent to an endpoint.
type Delivery struct {
	ID           uuid.UUID
	Endpoint     uuid.UUID
	EndpointName string
	Event        string // the event's id, and that of the message
	Type         string
	At           time.Time // of the event
	Body         string
	State        DeliveryState
	Attempts     int       // how often it was sent
	DueAt        time.Time // when it is sent next
	CreatedAt    time.Time
	SettledAt    time.Time // zero while it is pending
	Status       int       // of the last answer; 0: none
	Problem      string    // why the last attempt failed
	Tried        []Attempt // the latest first; only of a single delivery
}

// Attempt is one sending of a delivery.
type Attempt struct {
	Number  int
	At      time.Time
	Took    time.Duration
	Status  int
	Problem string
	Excerpt string // the beginning of the answer
}

// DeliveryQuery selects deliveries, the newest first.
type DeliveryQuery struct {
	Endpoint uuid.UUID // zero for all
	State    DeliveryState
	Type     string // a type, or a beginning with a * after it
	Before   uuid.UUID
	Limit    int
}

// pauses are how long a delivery waits after each failure: three days in all, as Standard Webhooks proposes.
var pauses = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// Tries is how often a delivery is sent before it is given up.
func Tries() int { return len(pauses) + 1 }

// disableAfter is for how long nothing may get through before an endpoint is disabled.
const disableAfter = 5 * 24 * time.Hour

// longestPause bounds what an answer may ask for by Retry-After.
const longestPause = 24 * time.Hour

// next says when to try again after so many tries, chance being from 0 to 1: up to a fifth later than planned, so that what failed
// together does not come back together. ok is false when no try is left.
func next(tries int, now time.Time, asked time.Duration, chance float64) (due time.Time, ok bool) {
	if tries > len(pauses) {
		return time.Time{}, false
	}
	pause := pauses[tries-1]
	pause += time.Duration(float64(pause) * 0.2 * chance)
	return now.Add(max(pause, min(asked, longestPause))), true
}
