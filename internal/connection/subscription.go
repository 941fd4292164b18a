// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// RenewSubscription asks the vendor at once to go on telling of changes: one that ends is lengthened, any other ended and made anew, as
// after somebody deleted it over there. That the vendor refuses is no error: the state says so, and it is asked again.
func (m *Manager) RenewSubscription(ctx context.Context, who auth.Principal, ref string) (*Listening, error) {
	return m.byHand(ctx, who, ref, func(ctx context.Context, a asking, l Listening, had connector.Subscription) (string, error) {
		if l.PausedAt != nil {
			return "", fault.New(fault.Conflict, "connection.subscription_paused", "The subscription of %s is paused. Resume it, which asks the vendor anew.", a.Name)
		}
		return m.askByHand(ctx, a, l, had, "subscription_renewed", had.EndsAt.IsZero())
	})
}

// PauseSubscription ends the subscription until a person resumes it; services find changes by looking meanwhile. A vendor that does not
// take the end is an error, and nothing is changed.
func (m *Manager) PauseSubscription(ctx context.Context, who auth.Principal, ref string) (*Listening, error) {
	return m.byHand(ctx, who, ref, func(ctx context.Context, a asking, l Listening, had connector.Subscription) (string, error) {
		if l.PausedAt != nil {
			return "", nil
		}
		if err := m.unsubscribe(ctx, who.Tenant, a.Connection, a.sub, a.sandboxed, had); err != nil {
			return "", asked(err)
		}
		ctx = context.WithoutCancel(ctx) // it is ended over there
		return "subscription_paused", m.inTx(ctx, who.Tenant, func(tx Tx) error {
			at := tx.Now()
			l.PausedAt, l.Sealed, l.Since, l.EndsAt, l.RenewAt, l.Reason = &at, nil, nil, nil, nil, ""
			if err := tx.SaveSubscription(ctx, a.ID, l); err != nil {
				return err
			}
			return tx.WakeHints(ctx, a.ID)
		})
	})
}

// ResumeSubscription ends the pause and asks the vendor anew, while a service would listen.
func (m *Manager) ResumeSubscription(ctx context.Context, who auth.Principal, ref string) (*Listening, error) {
	return m.byHand(ctx, who, ref, func(ctx context.Context, a asking, l Listening, had connector.Subscription) (string, error) {
		if l.PausedAt == nil {
			return "", nil
		}
		l.PausedAt = nil
		if len(l.Consumers) == 0 {
			return "subscription_resumed", m.inTx(ctx, who.Tenant, func(tx Tx) error { return tx.DropSubscription(ctx, a.ID) })
		}
		return m.askByHand(ctx, a, l, had, "subscription_resumed", false)
	})
}

// askByHand asks the vendor; that it refuses is kept with the subscription.
func (m *Manager) askByHand(ctx context.Context, a asking, l Listening, had connector.Subscription, did string, anew bool) (string, error) {
	err := m.ask(ctx, a.by.Tenant, a, l, had, anew)
	if f := fault.As(err); f != nil {
		return "", err // ours: it was not kept
	}
	return did, nil
}

// byHand does something to the subscription of a connection while nobody else asks the vendor. do says what it did, for the audit log; ""
// is nothing.
func (m *Manager) byHand(ctx context.Context, who auth.Principal, ref string, do func(context.Context, asking, Listening, connector.Subscription) (string, error)) (_ *Listening, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listenClaim-listenTimeout)
	defer cancel()
	unsubscribed := func(c Connection) error {
		return fault.New(fault.Conflict, "connection.not_subscribed", "The vendor of %s is not asked to tell of changes: no service listens through it, or its vendor is told the address by a person.", c.Name)
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err := tx.Connection(ctx, ref)
		if err != nil {
			return err
		}
		_, there, err := tx.Subscription(ctx, c.ID)
		if err == nil && !there {
			err = unsubscribed(c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	system, _, err := m.Open(ctx, who.Tenant, ref, connector.Env{Consumer: "con_subscription"})
	if err != nil {
		return nil, asked(err)
	}
	defer func() {
		if closing := system.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing: %w", closing)
		}
	}()
	c, sandboxed, err := m.sandbox(ctx, who.Tenant, ref)
	if err != nil {
		return nil, err
	}
	sub, ok := system.(connector.Subscriber)
	ok = ok && sub.Tells()
	var l Listening
	var had connector.Subscription
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		var there bool
		if l, there, err = tx.Subscription(ctx, c.ID); err != nil {
			return err
		}
		if !ok || !there {
			return unsubscribed(c)
		}
		if had, err = m.unsealSubscription(ctx, tx, c.ID, l.Sealed); err != nil {
			return err
		}
		claimed, err := tx.ClaimSubscription(ctx, c.ID, tx.Now().Add(listenClaim))
		if err == nil && !claimed {
			return fault.New(fault.Conflict, "connection.busy", "The vendor of %s is being asked just now. Try again in a minute.", c.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	did, err := do(ctx, asking{c, sub, sandboxed, who, true}, l, had)
	// The claim ends also where nothing came of it, and what a person did is noted even when they have gone.
	err = errors.Join(err, m.noteByHand(context.WithoutCancel(ctx), who, c, l, did))
	if err != nil {
		return nil, err
	}
	return m.Listening(ctx, who, ref)
}

// noteByHand notes what a person did; services open the connection anew, with or without ears.
func (m *Manager) noteByHand(ctx context.Context, who auth.Principal, c Connection, before Listening, did string) error {
	return m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if did == "" {
			return tx.SaveSubscription(ctx, c.ID, before)
		}
		now, there, err := tx.Subscription(ctx, c.ID)
		if err != nil {
			return err
		}
		detail := map[string]any{}
		if there {
			detail["state"] = now.State()
		}
		if err := noteListening(ctx, tx, who, c, did, detail); err != nil {
			return err
		}
		if err := changed(ctx, tx, c); err != nil {
			return err
		}
		return tx.RestartServicesUsing(ctx, c.Name)
	})
}
