// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Subscription is a tenant's agreement from a time on: a version of a plan, what was added to it, and what is taken off. It holds
// until the next one begins, and is never changed: other terms are another subscription. So what a past period costs is always
// known, whatever the price list says today.
type Subscription struct {
	ID         uuid.UUID
	Plan       Plan // as agreed, prices included
	AddOns     []Feature
	Coupons    []Coupon
	From       time.Time
	TrialUntil time.Time // free until then; zero without a trial
	CreatedAt  time.Time
	CreatedBy  string
	Note       string
	Recurring  Money // what a whole month costs without any usage, before coupons
}

// Has says whether the feature may be used under the subscription.
func (s Subscription) Has(f Feature) bool { return s.Plan.Has(f, s.AddOns) }

// DefaultSubscription is what holds for a tenant who has agreed to nothing yet.
func DefaultSubscription() Subscription { return Subscription{Plan: DefaultPlan()} }

// SubscriptionAt is the one that holds at the time.
func SubscriptionAt(list []Subscription, at time.Time) Subscription {
	held := DefaultSubscription()
	for _, s := range inOrder(list) {
		if !s.From.After(at) {
			held = s
		}
	}
	return held
}

func inOrder(list []Subscription) []Subscription {
	return slices.SortedStableFunc(slices.Values(list), func(a, b Subscription) int {
		return cmp.Or(a.From.Compare(b.From), a.CreatedAt.Compare(b.CreatedAt))
	})
}

// An Agreement is a span of time in which the terms stay the same.
type Agreement struct {
	Subscription
	Start, End time.Time
	Trial      bool
}

// Agreements divides a span of time by the subscriptions that hold in it, and by the ends of their trials. Together they are the
// whole span.
func Agreements(list []Subscription, from, to time.Time) []Agreement {
	list = inOrder(list)
	cuts := []time.Time{from}
	for _, s := range list {
		for _, t := range []time.Time{s.From, s.TrialUntil} {
			if t.After(from) && t.Before(to) {
				cuts = append(cuts, t)
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	var out []Agreement
	for i, start := range cuts {
		end := to
		if i+1 < len(cuts) {
			end = cuts[i+1]
		}
		s := SubscriptionAt(list, start)
		a := Agreement{Subscription: s, Start: start, End: end, Trial: start.Before(s.TrialUntil)}
		// The end of a trial that a later subscription has overtaken changes nothing, and neither does one that differs in its
		// coupons alone: those are for the month as a whole.
		if n := len(out); n > 0 && out[n-1].sameTerms(a) {
			out[n-1].End, out[n-1].Subscription = end, s
			continue
		}
		out = append(out, a)
	}
	return out
}

func (a Agreement) sameTerms(b Agreement) bool {
	return a.Trial == b.Trial && a.Plan.Name() == b.Plan.Name() && a.Plan.Card.Version == b.Plan.Card.Version && slices.Equal(a.AddOns, b.AddOns)
}
