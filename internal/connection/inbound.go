// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Receive takes a message that came to a connection's address: verified on its raw bytes, handshakes answered, what it tells of
// kept in one commit that wakes whoever reads. A message that comes again changes nothing.
func (m *Manager) Receive(ctx context.Context, id tenant.ID, ref string, in connector.Inbound) (connector.Verdict, error) {
	var c Connection
	var found connector.Connector
	var sealed connector.Settings
	err := m.inTx(ctx, id, func(tx Tx) (err error) {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		l, _, err := tx.Subscription(ctx, c.ID)
		if err != nil {
			return err
		}
		had, err := m.unsealSubscription(ctx, tx, c.ID, l.Sealed)
		if err != nil {
			return err
		}
		if in.Secrets = nil; had.Secret != "" {
			in.Secrets = []string{had.Secret}
		}
		if found, err = m.catalog.Find(ctx, tx, c.Connector); err != nil || c.Sealed == nil {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		sealed, err = m.unseal(key, id, c)
		return err
	})
	if err != nil {
		return connector.Verdict{}, err
	}
	hooked, ok := found.(connector.Hooked)
	if !ok {
		return connector.Verdict{}, fault.New(fault.NotFound, "webhook.unknown", "%s does not tell of changes.", found.Spec().Title)
	}
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return connector.Verdict{}, err
	}
	env := connector.Env{Dial: m.guard.Dial, Tenant: id.String(), Consumer: c.ID.Public(), Credentials: m.tokensOf(id, c.ID)}
	if m.sandboxes != nil {
		env.Sandbox = m.sandboxes.Through(id, c.ID, c.Connector)
	}
	verdict, err := hooked.Inbound(ctx, settings, env, in)
	if err == nil && verdict.Offered != "" {
		return verdict, m.inTx(ctx, id, func(tx Tx) error {
			key, err := tx.TenantKeyToSeal(ctx)
			if err != nil {
				return err
			}
			offer, err := m.vault.Seal(key, id, vault.ConnectionName(c.ID)+offerSealed, []byte(verdict.Offered))
			if err != nil {
				return err
			}
			return tx.OfferSecret(ctx, c.ID, offer)
		})
	}
	if err != nil || len(verdict.Hints) == 0 {
		return verdict, err
	}
	return verdict, m.inTx(ctx, id, func(tx Tx) error {
		_, err := tx.AddHints(ctx, c.ID, verdict.Hints, verdict.IDs)
		return err
	})
}
