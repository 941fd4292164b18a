// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Now is the time that the next statement will take.
func (o *Operator) Now() time.Time { return o.d.now().UTC().Truncate(time.Microsecond) }

// CreateTenant inserts a tenant nobody belongs to yet, with its wrapped key (vault.NewTenantKey). Seeding and tests use
// it; people come by SignUp. It may see across tenants because the new one is nobody's yet.
func (o *Operator) CreateTenant(ctx context.Context, t tenant.Tenant, sealedKey []byte) error {
	return o.inTx(ctx, func(tx *OperatorTx) error { return tx.insertTenant(ctx, t, sealedKey) })
}

func (t *OperatorTx) insertTenant(ctx context.Context, n tenant.Tenant, sealedKey []byte) error {
	err := t.q.InsertTenant(ctx, db.InsertTenantParams{
		ID: uuid.UUID(n.ID), Name: n.Name, Slug: n.Slug, Region: n.Region, TimeZone: n.TimeZone, Demo: n.Demo,
		SealedKey: sealedKey, CreatedAt: t.now,
	})
	if violates(err, "tenants_slug_key") {
		return fault.New(fault.Conflict, "tenant.slug_taken", "Another tenant has the short name %q; choose another.", n.Slug)
	}
	return unavailable(err)
}

// bind makes the rest of the operator's transaction the tenant's own: from here on row-level security shows that tenant's
// rows and no others, and the operator's rights are gone. So a tenant's audit entry can be part of an operator's commit.
func (t *OperatorTx) bind(ctx context.Context, id tenant.ID) (*Tx, error) {
	// SET LOCAL takes no parameters; the text is a parsed uuid.
	if _, err := t.tx.Exec(ctx, "set local role "+appRole+"; set local syncline.tenant_id = '"+id.String()+"'"); err != nil {
		return nil, unavailable(err)
	}
	t.own = &Tx{tx: t.tx, q: t.q, jobs: t.jobs, tenant: id, now: t.now}
	return t.own, nil
}

// EachTenant calls fn with every tenant in the order of their coming, for those who run the installation.
func (o *Operator) EachTenant(ctx context.Context, fn func(tenant.Tenant) error) error {
	rows, err := o.d.operator.Query(ctx, `SELECT id, name, slug, state, region, time_zone, demo, created_at FROM tenants ORDER BY created_at, id`)
	if err != nil {
		return unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		var t tenant.Tenant
		var id uuid.UUID
		var state string
		if err := rows.Scan(&id, &t.Name, &t.Slug, &state, &t.Region, &t.TimeZone, &t.Demo, &t.CreatedAt); err != nil {
			return unavailable(err)
		}
		t.ID, t.State = tenant.ID(id), tenant.State(state)
		if err := fn(t); err != nil {
			return err
		}
	}
	return unavailable(rows.Err())
}
