// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

var _ connector.Subscriber = (*system)(nil)

// Tells says whether the manifest can read messages.
func (s *system) Tells() bool { return s.m.Webhook != nil }

// Subscribing says whether the manifest has a way to ask for messages.
func (s *system) Subscribing() bool {
	return s.m.Webhook != nil && s.m.Webhook.Subscribe != nil
}

// Subscribe makes the subscriptions, or renews those there are.
func (s *system) Subscribe(ctx context.Context, callback string, had connector.Subscription) (connector.Subscription, error) {
	sub := s.m.Webhook.Subscribe
	next := connector.Subscription{IDs: maps.Clone(had.IDs), Secret: had.Secret}
	if next.IDs == nil {
		next.IDs = map[string]string{}
	}
	secret := next.Secret
	if secret == "" {
		secret = rand.Text()
	}
	sc := s.scope.with(scope{"callback": callback, "secret": secret})
	if d := duration(sub.Lasts, 0); d > 0 {
		now := s.client.Now()
		next.EndsAt = now.Add(d).UTC()
		sc["expires"] = next.EndsAt.Format(time.RFC3339)
		next.RenewAt = now.Add(d * 2 / 3)
	}
	for _, native := range s.subscribed() {
		sc["native"] = native
		id, err := s.subscribe(ctx, sub, sc, next.IDs[native], &next)
		if id != "" {
			next.IDs[native] = id
		}
		if err != nil {
			return next, err
		}
	}
	if next.Secret == "" && sub.Secret == "" && sub.Reveal == nil && !(s.m.Webhook.Handshake != nil && s.m.Webhook.Handshake.Learn) {
		next.Secret = secret
	}
	return next, nil
}

// subscribed are the vendor's names of the objects that have subscriptions of their own; "" is one for all.
func (s *system) subscribed() []string {
	if !s.m.Webhook.Subscribe.PerObject {
		return []string{""}
	}
	var out []string
	for _, name := range s.m.Webhook.Objects {
		out = append(out, s.m.Objects[name].Native)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// subscribe makes or lengthens one. The id comes back even when its secret could not be learnt, so that it is not made again.
func (s *system) subscribe(ctx context.Context, sub *Subscribe, sc scope, id string, next *connector.Subscription) (string, error) {
	if id != "" && sub.Lasts == "" && (next.Secret != "" || sub.Reveal == nil) {
		return id, nil // it is there, and does not end
	}
	old := ""
	if id != "" && sub.Lasts != "" {
		if sub.Renew == nil {
			old, id = id, ""
		} else {
			switch _, _, err := s.do(ctx, "subscribe", *sub.Renew, sc.with(scope{"subscription": id})); {
			case err == nil:
				return id, nil
			case classOf(err) != "gone":
				return id, err
			}
			id = "" // it ended, or somebody deleted it
		}
	}
	if id == "" {
		answer, _, err := s.do(ctx, "subscribe", sub.Create, sc)
		if err != nil {
			return old, err
		}
		if id = digText(answer, sub.ID); id == "" {
			return old, &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: "The system took the request to tell of changes, and its answer has no id of it."}
		}
		if v := digText(answer, sub.Secret); sub.Secret != "" && v != "" {
			next.Secret = v
		}
	}
	if sub.Reveal != nil {
		answer, _, err := s.do(ctx, "subscribe", sub.Reveal.Request, sc.with(scope{"subscription": id}))
		if err != nil {
			return id, err
		}
		next.Secret = digText(answer, sub.Reveal.Record)
	}
	if old != "" && sub.Delete != nil {
		if _, _, err := s.do(ctx, "subscribe", *sub.Delete, sc.with(scope{"subscription": old})); err != nil && classOf(err) != "gone" {
			return id, err
		}
	}
	return id, nil
}

// Unsubscribe ends the subscriptions.
func (s *system) Unsubscribe(ctx context.Context, had connector.Subscription) error {
	if !s.Subscribing() || s.m.Webhook.Subscribe.Delete == nil {
		return nil
	}
	var failed []error
	for _, native := range slices.Sorted(maps.Keys(had.IDs)) {
		_, _, err := s.do(ctx, "subscribe", *s.m.Webhook.Subscribe.Delete, s.scope.with(scope{"native": native, "subscription": had.IDs[native]}))
		if err != nil && classOf(err) != "gone" {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
