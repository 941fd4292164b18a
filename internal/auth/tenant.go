// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tenant returns the principal's tenant.
func (m *Manager) Tenant(ctx context.Context, who Principal) (t tenant.Tenant, err error) {
	err = m.do(ctx, who, ViewTenant, func(tx Tx) error {
		t, err = tx.ReadTenant(ctx)
		return err
	})
	return t, err
}

// ReviseTenant changes the tenant's name and time zone; empty means as it is. version is the one read, or 0.
func (m *Manager) ReviseTenant(ctx context.Context, who Principal, name, timeZone string, version int64) (revised tenant.Tenant, err error) {
	err = m.do(ctx, who, EditTenant, func(tx Tx) error {
		before, err := tx.LockTenant(ctx)
		if err != nil {
			return err
		}
		if err := stale(version, before.Version, "the tenant"); err != nil {
			return err
		}
		revised = before
		var badName, badZone []fault.Field
		if name != "" {
			revised.Name, badName = tidyName(name, "/name")
		}
		if timeZone != "" {
			revised.TimeZone, badZone = tidyZone(timeZone)
		}
		if err := invalid(badName, badZone); err != nil {
			return err
		}
		if revised == before {
			return nil
		}
		revised.Version++
		if err := tx.SaveTenant(ctx, revised); err != nil {
			return err
		}
		type shown struct {
			Name     string `json:"name"`
			TimeZone string `json:"timeZone"`
		}
		return tx.Audit(ctx, who.Did("tenant.revised", ident.Format(ident.Tenant, who.Tenant), map[string]any{
			"before": shown{before.Name, before.TimeZone}, "after": shown{revised.Name, revised.TimeZone},
		}))
	})
	return revised, err
}

// AuditTrail returns entries of the tenant's audit log, newest first. To go on, set Before to the Seq of the last one.
func (m *Manager) AuditTrail(ctx context.Context, who Principal, f audit.Filter) (entries []audit.Entry, err error) {
	err = m.do(ctx, who, ViewAudit, func(tx Tx) error {
		entries, err = tx.AuditEntries(ctx, f)
		return err
	})
	return entries, err
}

// VerifyAudit reads the tenant's whole audit log and says whether any entry was changed, dropped, added or moved.
func (m *Manager) VerifyAudit(ctx context.Context, who Principal) (r audit.Report, err error) {
	err = m.do(ctx, who, ViewAudit, func(tx Tx) error {
		r, err = tx.VerifyAudit(ctx)
		return err
	})
	return r, err
}
