// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// How asking vendors to tell of changes goes about it.
const (
	listenClaim        = 2 * time.Minute
	listenTimeout      = 30 * time.Second
	listenAgain        = 10 * time.Minute // after it failed; until then changes are found by looking
	subscriptionSealed = "/subscription"
	offerSealed        = "/offer"
)

// Listening is our request to the vendor of a connection to tell of changes, as it is kept.
type Listening struct {
	Callback  string
	Consumers []string // the services that listen
	Sealed    []byte   // a connector.Subscription
	Offered   []byte   // a secret that came to the address while we asked
	RenewAt   *time.Time
	Claimed   bool       // somebody asks the vendor just now
	PausedAt  *time.Time // since when a person wants it to rest; nil while it does not
	Since     *time.Time // since when the vendor tells; nil until it first agreed
	EndsAt    *time.Time // when that ends unless it is renewed; nil is never
	Reason    string     // why asking last failed, for people
}

// Telling is how it stands with a subscription.
type Telling string

// The states of a subscription.
const (
	Asking  Telling = "asking"  // the vendor has not answered yet
	Active  Telling = "active"  // the vendor tells of changes
	Failing Telling = "failing" // asking, or asking to go on, failed; it is asked again
	Paused  Telling = "paused"  // a person ended it for now; changes are found by looking
)

// State says how it stands.
func (l Listening) State() Telling {
	switch {
	case l.PausedAt != nil:
		return Paused
	case l.Reason != "":
		return Failing
	case l.Since == nil:
		return Asking
	}
	return Active
}

// Listening says how it stands with the connection's subscription; nil when there is none.
func (m *Manager) Listening(ctx context.Context, who auth.Principal, ref string) (*Listening, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return nil, err
	}
	var l Listening
	var there bool
	err := m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err := tx.Connection(ctx, ref)
		if err != nil {
			return err
		}
		l, there, err = tx.Subscription(ctx, c.ID)
		return err
	})
	if err != nil || !there {
		return nil, err
	}
	l.Sealed, l.Offered = nil, nil
	return &l, nil
}

// noteListening writes what became of a subscription into the audit log.
func noteListening(ctx context.Context, tx Tx, by auth.Principal, c Connection, action string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	detail["name"] = c.Name
	return tx.Audit(ctx, by.Did("connection."+action, c.ID.Public(), detail))
}

// ourselves acts where nobody asked for it.
func ourselves(id tenant.ID) auth.Principal { return auth.System(id, "subscriptions") }

// ListenTx is what keeping subscriptions needs of a transaction.
type ListenTx interface {
	// Subscription returns what is kept; false when there is none.
	Subscription(ctx context.Context, id ID) (Listening, bool, error)
	// ClaimSubscription says whether nobody else asks the vendor just now.
	ClaimSubscription(ctx context.Context, id ID, until time.Time) (bool, error)
	// SaveSubscription keeps what came of it and ends the claim.
	SaveSubscription(ctx context.Context, id ID, l Listening) error
	// OfferSecret keeps a secret that came to the address, while somebody waits for it and none came before.
	OfferSecret(ctx context.Context, id ID, sealed []byte) error
	DropSubscription(ctx context.Context, id ID) error
}

// WithInbound says by which address vendors know this installation.
func (m *Manager) WithInbound(publicURL string) *Manager {
	m.inbound = strings.TrimRight(publicURL, "/")
	return m
}

// callback is where the vendor of a connection sends its messages. A sandbox sends them without a network, so any name does.
func (m *Manager) callback(id tenant.ID, c ID) string {
	base := m.inbound
	if base == "" {
		base = "http://syncline.localhost"
	}
	return base + "/hooks/" + ident.Format(ident.Tenant, id) + "/" + c.Public()
}

// OpenToListen is Open for a service that carries changes: where the vendor can tell of them, it is asked to. That it cannot be asked
// keeps nothing from going on: changes are then found by looking, and it is asked again after a while.
func (m *Manager) OpenToListen(ctx context.Context, id tenant.ID, ref string, extras connector.Env) (connector.System, connector.Spec, error) {
	system, spec, err := m.Open(ctx, id, ref, extras)
	if err != nil || !listens(extras.Detection) {
		return system, spec, err
	}
	asked, err := m.listen(ctx, id, ref, extras.Consumer, system)
	if ctx.Err() != nil || !asked || err != nil {
		return system, spec, nil //nolint:nilerr // kept with the subscription: it is asked again
	}
	if closing := system.Close(); closing != nil {
		return nil, spec, fmt.Errorf("closing: %w", closing)
	}
	return m.Open(ctx, id, ref, extras) // now with ears
}

func listens(detection string) bool {
	return detection == "" || detection == "auto" || detection == "webhook"
}

// listen brings the subscription of a connection in step; asked says that the vendor was asked just now. consumer is the service that
// begins to listen, "" for none.
func (m *Manager) listen(ctx context.Context, id tenant.ID, ref, consumer string, system connector.System) (asked bool, err error) {
	sub, ok := system.(connector.Subscriber)
	if !ok || !sub.Tells() {
		return false, nil
	}
	c, sandboxed, err := m.sandbox(ctx, id, ref)
	if err != nil {
		return false, err
	}
	callback := m.callback(id, c.ID)
	if !sandboxed && (!sub.Subscribing() || !strings.HasPrefix(callback, "https://")) {
		return false, nil // no vendor sends to us
	}
	var l Listening
	var had connector.Subscription
	claimed := false
	err = m.inTx(ctx, id, func(tx Tx) error {
		var there bool
		if l, there, err = tx.Subscription(ctx, c.ID); err != nil || l.Claimed {
			return err
		}
		if consumer == "" && !there {
			return nil // nobody listens
		}
		known := consumer == "" || slices.Contains(l.Consumers, consumer)
		if known && (l.PausedAt != nil || l.Callback == callback && (l.RenewAt == nil || tx.Now().Before(*l.RenewAt))) {
			return nil
		}
		if had, err = m.unsealSubscription(ctx, tx, c.ID, l.Sealed); err != nil {
			return err
		}
		claimed, err = tx.ClaimSubscription(ctx, c.ID, tx.Now().Add(listenClaim))
		return err
	})
	if err != nil || !claimed {
		return false, err
	}
	if consumer != "" && !slices.Contains(l.Consumers, consumer) {
		l.Consumers = append(l.Consumers, consumer)
	}
	if l.PausedAt != nil { // somebody joins those that would listen
		return false, m.inTx(ctx, id, func(tx Tx) error { return tx.SaveSubscription(ctx, c.ID, l) })
	}
	err = m.ask(ctx, id, asking{c, sub, sandboxed, ourselves(id), false}, l, had, false)
	return err == nil, err
}

// asking is a connection whose vendor is asked, in whose name.
type asking struct {
	Connection
	sub       connector.Subscriber
	sandboxed bool
	by        auth.Principal
	noted     bool // whoever asks writes the audit log
}

// ask asks the vendor to tell, or to go on; the claim is the caller's and ends here. anew ends what there was first, which is done anyway
// where this installation has another address now.
func (m *Manager) ask(ctx context.Context, id tenant.ID, a asking, l Listening, had connector.Subscription, anew bool) (err error) {
	callback := m.callback(id, a.ID)
	moved := l.Callback != "" && l.Callback != callback
	next := had
	if anew || moved {
		if err = m.unsubscribe(ctx, id, a.Connection, a.sub, a.sandboxed, had); err == nil {
			next = connector.Subscription{}
		}
	}
	if err == nil {
		next, err = m.subscribe(ctx, id, a.Connection, a.sub, a.sandboxed, callback, next)
	}
	// What was answered is kept even when nobody waits for it any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, m.keepSubscription(ctx, id, a, l, callback, moved, had, next, err))
}

// keepSubscription keeps what came of asking: had is what there was before, failed why it did not come about.
func (m *Manager) keepSubscription(ctx context.Context, id tenant.ID, c asking, l Listening, callback string, moved bool, had, next connector.Subscription, failed error) error {
	return m.inTx(ctx, id, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		now, _, err := tx.Subscription(ctx, c.ID)
		if err != nil {
			return err
		}
		if now.Offered != nil {
			secret, err := m.vault.Open(key, id, vault.ConnectionName(c.ID)+offerSealed, now.Offered)
			if err != nil {
				return err
			}
			next.Secret = string(secret)
		}
		plain, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if l.Sealed, err = m.vault.Seal(key, id, vault.ConnectionName(c.ID)+subscriptionSealed, plain); err != nil {
			return err
		}
		if moved && l.Since != nil {
			if err := noteListening(ctx, tx, c.by, c.Connection, "unsubscribed", map[string]any{"callback": l.Callback}); err != nil {
				return err
			}
			l.Since, l.EndsAt = nil, nil
		}
		l.Callback, l.RenewAt = callback, nil
		if failed != nil {
			at := tx.Now().Add(listenAgain)
			l.RenewAt = &at
			_, l.Reason = Health(failed)
		} else if err := m.agreed(ctx, tx, c, &l, had, next); err != nil {
			return err
		}
		if l.Consumers == nil {
			l.Consumers = []string{}
		}
		return tx.SaveSubscription(ctx, c.ID, l)
	})
}

// agreed notes that the vendor tells, and until when. That another service listens to what there was is nothing new.
func (m *Manager) agreed(ctx context.Context, tx Tx, c asking, l *Listening, had, next connector.Subscription) error {
	l.Reason, l.EndsAt = "", nil
	detail := map[string]any{"callback": l.Callback}
	if !next.RenewAt.IsZero() {
		l.RenewAt = &next.RenewAt
	}
	if !next.EndsAt.IsZero() {
		l.EndsAt = &next.EndsAt
		detail["until"] = next.EndsAt.UTC()
	}
	if l.Since == nil {
		at := tx.Now()
		l.Since = &at
		if c.noted {
			return nil
		}
		return noteListening(ctx, tx, c.by, c.Connection, "subscribed", detail)
	}
	if c.noted || had.EndsAt.Equal(next.EndsAt) && maps.Equal(had.IDs, next.IDs) {
		return nil
	}
	return noteListening(ctx, tx, c.by, c.Connection, "subscription_renewed", detail)
}

func (m *Manager) unsealSubscription(ctx context.Context, tx Tx, c ID, sealed []byte) (s connector.Subscription, err error) {
	if sealed == nil {
		return s, nil
	}
	key, err := tx.TenantKey(ctx)
	if err != nil {
		return s, err
	}
	plain, err := m.vault.Open(key, tx.Tenant(), vault.ConnectionName(c)+subscriptionSealed, sealed)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(plain, &s)
}

// subscribe asks the vendor. In a sandbox whose vendor is not asked by program, it is as if a person had entered the address there.
func (m *Manager) subscribe(ctx context.Context, id tenant.ID, c Connection, sub connector.Subscriber, sandboxed bool, callback string, had connector.Subscription) (connector.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	if sub.Subscribing() {
		return sub.Subscribe(ctx, callback, had)
	}
	if had.Secret == "" {
		had.Secret = rand.Text()
	}
	return had, m.sandboxes.Tell(ctx, id, c.ID, c.Connector, callback, had.Secret)
}

func (m *Manager) unsubscribe(ctx context.Context, id tenant.ID, c Connection, sub connector.Subscriber, sandboxed bool, had connector.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	if sub.Subscribing() {
		return sub.Unsubscribe(ctx, had)
	}
	if !sandboxed {
		return nil
	}
	return m.sandboxes.Tell(ctx, id, c.ID, c.Connector, "", "")
}

// leave ends the listening of a service; the last one that goes ends the subscription.
func (m *Manager) leave(ctx context.Context, id tenant.ID, ref, consumer string, system connector.System) error {
	sub, ok := system.(connector.Subscriber)
	if !ok || !sub.Tells() {
		return nil
	}
	c, sandboxed, err := m.sandbox(ctx, id, ref)
	if err != nil {
		return err
	}
	var had connector.Subscription
	callback, last := "", false
	err = m.inTx(ctx, id, func(tx Tx) error {
		l, there, err := tx.Subscription(ctx, c.ID)
		if err != nil || !there || !slices.Contains(l.Consumers, consumer) {
			return err
		}
		claimed, err := tx.ClaimSubscription(ctx, c.ID, tx.Now().Add(listenClaim))
		if err != nil {
			return err
		}
		if !claimed {
			return &connector.Error{Class: connector.Retry, Code: "connection.busy", Message: "The connection's vendor is being asked to tell of changes just now. It is tried again."}
		}
		callback = l.Callback
		l.Consumers = slices.DeleteFunc(l.Consumers, func(s string) bool { return s == consumer })
		// A pause is remembered until a person ends it.
		if last = len(l.Consumers) == 0 && l.PausedAt == nil; !last {
			return tx.SaveSubscription(ctx, c.ID, l)
		}
		had, err = m.unsealSubscription(ctx, tx, c.ID, l.Sealed)
		return err
	})
	if err != nil || !last {
		return err
	}
	if err := m.unsubscribe(ctx, id, c, sub, sandboxed, had); err != nil {
		return err // the claim runs out, and it is tried again
	}
	return m.inTx(ctx, id, func(tx Tx) error {
		if err := tx.DropSubscription(ctx, c.ID); err != nil {
			return err
		}
		return noteListening(ctx, tx, ourselves(id), c, "unsubscribed", map[string]any{"callback": callback})
	})
}

// Leave ends the listening of a service that rests: nothing else that a connector left there goes.
func (m *Manager) Leave(ctx context.Context, id tenant.ID, ref, consumer string) error {
	listens := false
	err := m.inTx(ctx, id, func(tx Tx) error {
		c, err := tx.Connection(ctx, ref)
		if err != nil {
			return err
		}
		l, _, err := tx.Subscription(ctx, c.ID)
		listens = slices.Contains(l.Consumers, consumer)
		return err
	})
	if err != nil || !listens {
		return err
	}
	system, _, err := m.Open(ctx, id, ref, connector.Env{Consumer: consumer})
	if err != nil {
		return err
	}
	err = m.leave(ctx, id, ref, consumer, system)
	if closing := system.Close(); err == nil && closing != nil {
		err = fmt.Errorf("closing: %w", closing)
	}
	return err
}
