// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/fault"
)

var _ catalog.Tx = (*Tx)(nil)

// OwnConnectors returns those of the tenant's own connectors of these types, with their sources.
func (t *Tx) OwnConnectors(ctx context.Context, types []string) ([]catalog.Own, error) {
	return t.ownConnectors(ctx, `SELECT c.type, c.title, c.version, c.created_at, c.updated_at, v.source FROM custom_connectors c
JOIN custom_connector_versions v ON v.tenant_id = c.tenant_id AND v.type = c.type AND v.number = c.version
WHERE c.tenant_id = current_tenant() AND c.type = ANY($1::text[]) ORDER BY c.type`, types)
}

// ListOwnConnectors lists all, by type, without sources.
func (t *Tx) ListOwnConnectors(ctx context.Context) ([]catalog.Own, error) {
	return t.ownConnectors(ctx, `SELECT type, title, version, created_at, updated_at, '' FROM custom_connectors WHERE tenant_id = current_tenant() ORDER BY type`)
}

func (t *Tx) ownConnectors(ctx context.Context, sql string, args ...any) ([]catalog.Own, error) {
	rows, err := t.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (o catalog.Own, err error) {
		err = r.Scan(&o.Type, &o.Title, &o.Version, &o.CreatedAt, &o.UpdatedAt, &o.Source)
		return o, err
	})
	return list, unavailable(err)
}

// LockOwnConnector reads one for changing it; the fault is connector.unknown.
func (t *Tx) LockOwnConnector(ctx context.Context, typ string) (o catalog.Own, err error) {
	err = t.tx.QueryRow(ctx, `SELECT c.type, c.title, c.version, c.created_at, c.updated_at, v.source FROM custom_connectors c
JOIN custom_connector_versions v ON v.tenant_id = c.tenant_id AND v.type = c.type AND v.number = c.version
WHERE c.tenant_id = current_tenant() AND c.type = $1 FOR UPDATE OF c`, clean(typ)).Scan(&o.Type, &o.Title, &o.Version, &o.CreatedAt, &o.UpdatedAt, &o.Source)
	return o, notFound(err, "connector.unknown", "You have no connector of type %q of your own.", typ)
}

// InsertOwnConnector writes a new one. The fault is connector.type_taken.
func (t *Tx) InsertOwnConnector(ctx context.Context, o catalog.Own) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO custom_connectors (tenant_id, type, title, version, created_at, updated_at) VALUES (current_tenant(), $1, $2, $3, $4, $5)`,
		o.Type, clean(o.Title), o.Version, o.CreatedAt, o.UpdatedAt)
	if violates(err, "custom_connectors_pkey") {
		return fault.New(fault.Conflict, "connector.type_taken", "There is a connector of the type %s already. Change it, or choose another type.", o.Type)
	}
	return unavailable(err)
}

// SaveOwnConnector writes what can change of one.
func (t *Tx) SaveOwnConnector(ctx context.Context, o catalog.Own) error {
	_, err := t.tx.Exec(ctx, `UPDATE custom_connectors SET title = $2, version = $3, updated_at = $4 WHERE tenant_id = current_tenant() AND type = $1`, o.Type, clean(o.Title), o.Version, o.UpdatedAt)
	return unavailable(err)
}

// DeleteOwnConnector removes one with its versions.
func (t *Tx) DeleteOwnConnector(ctx context.Context, typ string) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM custom_connectors WHERE tenant_id = current_tenant() AND type = $1`, typ)
	return unavailable(err)
}

// InsertConnectorVersion adds a version, and drops all but the newest keep.
func (t *Tx) InsertConnectorVersion(ctx context.Context, typ string, v catalog.Version, keep int) error {
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO custom_connector_versions (tenant_id, type, number, source, note, author, created_at) VALUES (current_tenant(), $1, $2, $3, $4, $5, $6)`,
		typ, v.Number, clean(v.Source), clean(v.Note), clean(v.Author), v.CreatedAt)
	b.Queue(`DELETE FROM custom_connector_versions WHERE tenant_id = current_tenant() AND type = $1 AND number <= $2`, typ, v.Number-keep)
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// ConnectorVersions lists the newest first.
func (t *Tx) ConnectorVersions(ctx context.Context, typ string) ([]catalog.Version, error) {
	rows, err := t.tx.Query(ctx, `SELECT number, source, note, author, created_at FROM custom_connector_versions WHERE tenant_id = current_tenant() AND type = $1 ORDER BY number DESC`, clean(typ))
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (v catalog.Version, err error) {
		err = r.Scan(&v.Number, &v.Source, &v.Note, &v.Author, &v.CreatedAt)
		return v, err
	})
	return list, unavailable(err)
}

// ConnectionsOfType names the connections of a type.
func (t *Tx) ConnectionsOfType(ctx context.Context, typ string) ([]string, error) {
	rows, err := t.tx.Query(ctx, `SELECT name FROM connections WHERE tenant_id = current_tenant() AND connector = $1 ORDER BY name`, clean(typ))
	if err != nil {
		return nil, unavailable(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, unavailable(err)
}

// usersOf are the services whose live document uses connections of these names; those that a document holds itself belong to it.
const usersOf = `SELECT DISTINCT s.id FROM services s
JOIN revisions r ON r.tenant_id = s.tenant_id AND r.service_id = s.id AND r.number = s.revision
CROSS JOIN LATERAL jsonb_array_elements(r.document -> 'systems') AS system
WHERE s.tenant_id = current_tenant() AND s.state <> 'archived'
  AND (system ->> 'connection' = ANY($1::text[]) OR (NOT system ? 'connection' AND system ->> 'id' = ANY($1::text[])) OR s.name || '/' || (system ->> 'id') = ANY($1::text[]))`

// RestartServicesUsing makes the services that use connections of these names open them anew: who carries one stops at its next
// commit, and the pause after a failure ends.
func (t *Tx) RestartServicesUsing(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE leases SET yield = true WHERE tenant_id = current_tenant() AND service_id IN (`+usersOf+`)
  AND expires_at > now() AND worker_id <> '00000000-0000-0000-0000-000000000000'`, names)
	b.Queue(`UPDATE leases SET not_before = NULL, failures = 0 WHERE tenant_id = current_tenant() AND failures > 0 AND service_id IN (`+usersOf+`)`, names)
	b.Queue(`SELECT pg_notify($2, id::text) FROM (`+usersOf+`) AS users`, names, WakeChannel)
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// RestartServicesOfType does it for all connections of a type.
func (t *Tx) RestartServicesOfType(ctx context.Context, typ string) error {
	names, err := t.ConnectionsOfType(ctx, typ)
	if err != nil {
		return err
	}
	return t.RestartServicesUsing(ctx, names...)
}
