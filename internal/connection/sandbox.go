// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"net/http"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Sandboxes are the simulated accounts of connections.
type Sandboxes interface {
	// Through carries calls to the connection's account; nil when there is no simulator of that connector.
	Through(id tenant.ID, c ID, connector string) http.RoundTripper
	// Look shows what the account holds.
	Look(ctx context.Context, id tenant.ID, c ID, connector string) ([]SandboxTable, error)
	// Edit changes a record as a person would in the vendor's own screens: a new one without a key, a deletion without fields.
	Edit(ctx context.Context, id tenant.ID, c ID, connector string, e SandboxEdit) error
	// Reset makes the account as new.
	Reset(ctx context.Context, id tenant.ID, c ID, connector string) error
}

// SandboxTable is a set of records at a simulated vendor.
type SandboxTable struct {
	Name    string // as edits name it
	Title   string
	Columns []string
	Rows    []SandboxRow
	Total   int
}

// SandboxRow is one of them.
type SandboxRow struct {
	Key    string
	Values []string // of the columns
}

// SandboxEdit is a change of a record.
type SandboxEdit struct {
	Table  string
	Key    string            // "": a new record
	Fields map[string]string // nil: delete it
}

// WithSandboxes lets connections use simulators.
func (m *Manager) WithSandboxes(s Sandboxes) *Manager {
	m.sandboxes = s
	return m
}

// sandboxed is a connector that knows from its settings whether a connection belongs to the sandbox.
type sandboxed interface {
	Sandboxed(settings map[string]string) bool
}

// Sandboxed says whether the connection speaks to a simulator.
func (m *Manager) Sandboxed(ctx context.Context, who auth.Principal, ref string) (bool, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return false, err
	}
	_, yes, err := m.sandbox(ctx, who.Tenant, ref)
	return yes, err
}

// sandbox finds the connection and whether it speaks to a simulator.
func (m *Manager) sandbox(ctx context.Context, id tenant.ID, ref string) (c Connection, yes bool, err error) {
	var sealed map[string]string
	var found connector.Connector
	err = m.inTx(ctx, id, func(tx Tx) (err error) {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		found, err = m.catalog.Find(ctx, tx, c.Connector)
		if fault.IsCode(err, "connector.unknown") || fault.IsCode(err, "connector.outdated") {
			return nil // a connector that is not here has no sandbox
		}
		if err != nil || c.Sealed == nil {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		sealed, err = m.unseal(key, id, c)
		return err
	})
	if err != nil || m.sandboxes == nil || m.sandboxes.Through(id, c.ID, c.Connector) == nil {
		return c, false, err
	}
	s, ok := found.(sandboxed)
	if !ok {
		return c, false, nil
	}
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return c, false, nil //nolint:nilerr // a secret is missing: the connection says so itself
	}
	return c, s.Sandboxed(settings), nil
}

func (m *Manager) mustSandbox(ctx context.Context, id tenant.ID, ref string) (Connection, error) {
	c, yes, err := m.sandbox(ctx, id, ref)
	if err == nil && !yes {
		err = fault.New(fault.Conflict, "connection.not_sandboxed", "The connection %s does not speak to a sandbox. Set its environment to sandbox.", c.Name)
	}
	return c, err
}

// LookIntoSandbox shows the records of a simulated account.
func (m *Manager) LookIntoSandbox(ctx context.Context, who auth.Principal, ref string) (Connection, []SandboxTable, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return Connection{}, nil, err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return c, nil, err
	}
	tables, err := m.sandboxes.Look(ctx, who.Tenant, c.ID, c.Connector)
	return c, tables, err
}

// EditSandbox changes a record there, as somebody at the vendor would.
func (m *Manager) EditSandbox(ctx context.Context, who auth.Principal, ref string, e SandboxEdit) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return err
	}
	return m.sandboxes.Edit(ctx, who.Tenant, c.ID, c.Connector, e)
}

// ResetSandbox makes the account as new.
func (m *Manager) ResetSandbox(ctx context.Context, who auth.Principal, ref string) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return err
	}
	if err := m.sandboxes.Reset(ctx, who.Tenant, c.ID, c.Connector); err != nil {
		return err
	}
	return m.inTx(ctx, who.Tenant, func(tx Tx) error {
		return tx.Audit(ctx, who.Did("connection.sandbox_reset", c.ID.Public(), map[string]any{"name": c.Name}))
	})
}
