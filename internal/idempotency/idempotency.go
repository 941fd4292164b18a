// SPDX-License-Identifier: Apache-2.0

// Package idempotency holds the words of repeated requests: a client that sends the same request twice with one
// Idempotency-Key gets the first answer twice, and one effect.
//
// The way through: Claim the key before the work. A new claim is finished with the answer, either in the transaction of
// the effect (tx.FinishKey, which makes effect and answer one) or right after it (db.FinishKey), or released when the
// request turned out to be invalid and had no effect. A claim whose holder died is given to the next request after Lapse;
// the first holder, should it still live, can then no longer finish, and its transaction fails.
//
// A context made by With carries the claim to the transactions of the work: each of them marks the key as it commits, or
// fails when the claim was lost. So a crash between the effect and FinishKey costs the answer, never a second effect.
package idempotency

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Keep is how long an answer is kept, and Lapse how long a request may work on a key before the next may take it over. No
// request of ours is allowed to last that long.
const (
	Keep  = 24 * time.Hour
	Lapse = 5 * time.Minute
)

// MaxKey is the longest key, in bytes.
const MaxKey = 255

// Claim is the right to do the work for a key.
type Claim struct {
	Tenant uuid.UUID // whose key it is; an operator's work may be for another tenant
	Key    string
	At     time.Time // when it was claimed; it tells this claim from a later one of the same key
}

// Answer is what the first request was answered.
type Answer struct {
	Status int
	Header map[string][]string // those worth repeating: Content-Type, Location, ETag
	Body   []byte
}

// Unanswered is the status of a key whose work was committed and whose answer is not kept yet.
const Unanswered = 0

type claimKey struct{}

// With gives the claim to the transactions that run with the context.
func With(ctx context.Context, c Claim) context.Context { return context.WithValue(ctx, claimKey{}, c) }

// From returns the claim that With gave to the context.
func From(ctx context.Context) (Claim, bool) {
	c, ok := ctx.Value(claimKey{}).(Claim)
	return c, ok
}

// CheckKey says whether a key may be used: 1 to MaxKey printable ASCII characters.
func CheckKey(key string) error {
	ok := key != "" && len(key) <= MaxKey
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] < 0x7f
	}
	if !ok {
		return fault.New(fault.Malformed, "idempotency.key_malformed",
			"An Idempotency-Key is 1 to %d printable characters without spaces; a random UUID is a good one.", MaxKey)
	}
	return nil
}

// Running is the fault that the first request with this key is not answered yet.
func Running() error {
	return fault.New(fault.Conflict, "idempotency.running",
		"A request with this Idempotency-Key is still being worked on. Send it again in a few seconds to get its answer.")
}

// Mismatch is the fault that the key was used for another request.
func Mismatch() error {
	return fault.New(fault.Invalid, "idempotency.mismatch",
		"This Idempotency-Key was used for a request with another method, address or body. Use a new key for a new request.")
}

// Lost is the fault that another request took the key over because this one lasted too long; nothing was changed.
func Lost() error {
	return fault.New(fault.Conflict, "idempotency.lost",
		"The request lasted too long and another one with the same Idempotency-Key took over. Nothing was changed here; send it again to get the other one's answer.")
}

// AnswerLost is the fault that the first request was carried out, but its answer was lost with the process that made it.
func AnswerLost() error {
	return fault.New(fault.Conflict, "idempotency.answer_lost",
		"The first request with this Idempotency-Key was carried out, but its answer was lost. Look the result up; send a new request, with a new key, only if it is not what you want.")
}
