// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

var (
	_ vault.Tx        = (*Tx)(nil)
	_ vault.Directory = (*Operator)(nil)
)

const noTenant, noTenantText = "tenant.not_found", "The tenant does not exist any more."

// TenantKey returns the tenant's wrapped key, to open what is sealed with it.
func (t *Tx) TenantKey(ctx context.Context) ([]byte, error) {
	key, err := t.q.TenantKey(ctx)
	return key, notFound(err, noTenant, noTenantText)
}

// TenantKeyToSeal returns the tenant's wrapped key, to seal with it, and keeps a rotation of it waiting until the commit.
// Take it before locking rows, as the rotation does.
func (t *Tx) TenantKeyToSeal(ctx context.Context) ([]byte, error) {
	key, err := t.q.TenantKeyToSeal(ctx)
	return key, notFound(err, noTenant, noTenantText)
}

// TenantKeyToRotate returns the tenant's wrapped key once nobody is sealing with it, and keeps others from it.
func (t *Tx) TenantKeyToRotate(ctx context.Context) ([]byte, error) {
	key, err := t.q.TenantKeyToRotate(ctx)
	return key, notFound(err, noTenant, noTenantText)
}

// SetTenantKey replaces the tenant's wrapped key.
func (t *Tx) SetTenantKey(ctx context.Context, wrapped []byte) error {
	return unavailable(t.q.SetTenantKey(ctx, wrapped))
}

// SaveSecret keeps a sealed value under a name, in place of the one there may be.
func (t *Tx) SaveSecret(ctx context.Context, name string, sealed []byte, by string) (vault.Secret, error) {
	r, err := t.q.SaveSecret(ctx, db.SaveSecretParams{Name: name, Sealed: sealed, By: by, Now: t.now})
	return secret(db.SecretsRow(r)), unavailable(err)
}

func secret(r db.SecretsRow) vault.Secret {
	return vault.Secret{Name: r.Name, SetBy: r.CreatedBy, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version}
}

// Secrets lists the tenant's secrets, without values.
func (t *Tx) Secrets(ctx context.Context, after string, limit int) ([]vault.Secret, error) {
	rows, err := t.q.Secrets(ctx, db.SecretsParams{After: after, Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]vault.Secret, len(rows))
	for i, r := range rows {
		all[i] = secret(r)
	}
	return all, nil
}

const noSecret, noSecretText = "vault.secret_not_found", "There is no secret %s in this tenant."

// Secret returns one secret, without its value, or the fault vault.secret_not_found.
func (t *Tx) Secret(ctx context.Context, name string) (vault.Secret, error) {
	r, err := t.q.Secret(ctx, clean(name))
	return secret(db.SecretsRow(r)), notFound(err, noSecret, noSecretText, name)
}

// LockSecret returns one secret for changing it.
func (t *Tx) LockSecret(ctx context.Context, name string) (vault.Secret, error) {
	r, err := t.q.LockSecret(ctx, clean(name))
	return secret(db.SecretsRow(r)), notFound(err, noSecret, noSecretText, name)
}

// DeleteSecret removes a secret.
func (t *Tx) DeleteSecret(ctx context.Context, name string) error {
	return unavailable(t.q.DeleteSecret(ctx, name))
}

// SealedSecrets returns the sealed values of those of the names that exist, with the key that opens them.
func (t *Tx) SealedSecrets(ctx context.Context, names []string) ([]vault.SealedValue, error) {
	rows, err := t.q.SealedSecrets(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]vault.SealedValue, len(rows))
	for i, r := range rows {
		all[i] = vault.SealedValue{Name: r.Name, Sealed: r.Sealed, Key: r.SealedKey}
	}
	return all, nil
}

// EachSealed walks over everything of the tenant's that is sealed: secrets, the secret settings of connections, the secrets of webhook endpoints.
func (t *Tx) EachSealed(ctx context.Context, fn func(name string, sealed []byte) ([]byte, bool, error)) error {
	connections, err := t.q.ConnectionsToReseal(ctx)
	if err != nil {
		return unavailable(err)
	}
	for _, r := range connections {
		again, changed, err := fn(vault.ConnectionName(r.ID), r.Sealed)
		if err != nil {
			return err
		}
		if changed {
			if err := t.q.ResealConnection(ctx, db.ResealConnectionParams{ID: r.ID, Sealed: again}); err != nil {
				return unavailable(err)
			}
		}
	}
	if err := t.resealWebhooks(ctx, fn); err != nil {
		return err
	}
	secrets, err := t.q.SecretsToReseal(ctx)
	if err != nil {
		return unavailable(err)
	}
	for _, r := range secrets {
		again, changed, err := fn(vault.SecretName(r.Name), r.Sealed)
		if err != nil {
			return err
		}
		if changed {
			if err := t.q.ResealSecret(ctx, db.ResealSecretParams{Name: r.Name, Sealed: again}); err != nil {
				return unavailable(err)
			}
		}
	}
	return nil
}

// KeysNotWrappedBy lists tenants whose wrapped key does not begin with prefix. A new master key concerns all tenants; wrapped
// keys are all it sees.
func (o *Operator) KeysNotWrappedBy(ctx context.Context, prefix []byte, after tenant.ID, limit int) ([]vault.WrappedKey, error) {
	rows, err := db.New(o.d.operator).TenantKeysNotWrappedBy(ctx, db.TenantKeysNotWrappedByParams{Prefix: prefix, After: uuid.UUID(after), Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]vault.WrappedKey, len(rows))
	for i, r := range rows {
		all[i] = vault.WrappedKey{Tenant: tenant.ID(r.ID), Key: r.SealedKey}
	}
	return all, nil
}

// CountKeysNotWrappedBy counts them; of all tenants, for the progress of a new master key.
func (o *Operator) CountKeysNotWrappedBy(ctx context.Context, prefix []byte) (int64, error) {
	n, err := db.New(o.d.operator).CountTenantKeysNotWrappedBy(ctx, prefix)
	return n, unavailable(err)
}

// SwapTenantKey replaces a tenant's wrapped key unless it was replaced meanwhile. Of any tenant, for a new master key.
func (o *Operator) SwapTenantKey(ctx context.Context, id tenant.ID, old, fresh []byte, e audit.Entry) (swapped bool, err error) {
	err = o.inTx(ctx, func(tx *OperatorTx) error {
		n, err := tx.q.SwapTenantKey(ctx, db.SwapTenantKeyParams{ID: uuid.UUID(id), Old: old, Fresh: fresh})
		if err != nil || n == 0 {
			return unavailable(err)
		}
		swapped = true
		return tx.audit(ctx, id, e)
	})
	return swapped && err == nil, err
}
