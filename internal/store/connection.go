// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

var _ connection.Tx = (*Tx)(nil)

// Connection reads a connection by its public id or its name. The fault is connection.not_found.
func (t *Tx) Connection(ctx context.Context, ref string) (connection.Connection, error) {
	return t.connection(ctx, ref, t.q.ConnectionByID, t.q.ConnectionByName)
}

// LockConnection reads a connection for changing it.
func (t *Tx) LockConnection(ctx context.Context, ref string) (connection.Connection, error) {
	return t.connection(ctx, ref, t.q.LockConnectionByID, t.q.LockConnectionByName)
}

func (t *Tx) connection(ctx context.Context, ref string, byID func(context.Context, uuid.UUID) (db.Connection, error), byName func(context.Context, string) (db.Connection, error)) (connection.Connection, error) {
	var row db.Connection
	var err error
	if id, bad := ident.Parse(ident.Connection, ref); bad == nil {
		row, err = byID(ctx, id)
	} else {
		row, err = byName(ctx, clean(ref))
	}
	if err != nil {
		return connection.Connection{}, notFound(err, "connection.not_found", "There is no connection %q.", ref)
	}
	return toConnection(row)
}

// Settings are stored with null in the place of each that is sealed.
func toConnection(r db.Connection) (connection.Connection, error) {
	c := connection.Connection{
		ID: connection.ID(r.ID), Name: r.Name, Connector: r.Connector, Settings: connector.Settings{}, Owner: r.OwnerID, State: connection.State(r.State),
		Reason: r.Reason, CheckedAt: r.CheckedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version, Sealed: r.Sealed,
	}
	var stored map[string]*string
	if err := json.Unmarshal(r.Settings, &stored); err != nil {
		return c, fmt.Errorf("reading the settings of %s: %w", r.Name, err)
	}
	for name, value := range stored {
		if value == nil {
			c.Secrets = append(c.Secrets, name)
		} else {
			c.Settings[name] = *value
		}
	}
	slices.Sort(c.Secrets)
	return c, nil
}

func storedSettings(c connection.Connection) (json.RawMessage, error) {
	stored := make(map[string]*string, len(c.Settings)+len(c.Secrets))
	for name, value := range c.Settings {
		value = clean(value)
		stored[name] = &value
	}
	for _, name := range c.Secrets {
		stored[name] = nil
	}
	b, err := json.Marshal(stored)
	if err != nil {
		return nil, fmt.Errorf("writing the settings of %s: %w", c.Name, err)
	}
	return b, nil
}

// Connections lists connections by name.
func (t *Tx) Connections(ctx context.Context, f connection.Filter) ([]connection.Connection, error) {
	rows, err := t.q.Connections(ctx, db.ConnectionsParams{After: clean(f.After), States: texts(f.States), Connector: clean(f.Connector), Page: page(f.Limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	return toConnections(rows)
}

// OwnedConnections locks and returns the connections that a service's document holds.
func (t *Tx) OwnedConnections(ctx context.Context, owner uuid.UUID) ([]connection.Connection, error) {
	rows, err := t.q.OwnedConnections(ctx, &owner)
	if err != nil {
		return nil, unavailable(err)
	}
	return toConnections(rows)
}

func toConnections(rows []db.Connection) ([]connection.Connection, error) {
	out := make([]connection.Connection, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = toConnection(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ConnectionTypes returns the connector types of those of the names that documents can refer to, and keeps these
// connections from going until the commit.
func (t *Tx) ConnectionTypes(ctx context.Context, names []string) (map[string]string, error) {
	rows, err := t.q.ConnectionTypes(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	types := make(map[string]string, len(rows))
	for _, r := range rows {
		types[r.Name] = r.Connector
	}
	return types, nil
}

// InsertConnection writes a new connection. The fault is connection.name_taken.
func (t *Tx) InsertConnection(ctx context.Context, c connection.Connection) error {
	settings, err := storedSettings(c)
	if err != nil {
		return err
	}
	err = connectionWritten(c, t.q.InsertConnection(ctx, db.InsertConnectionParams{
		ID: uuid.UUID(c.ID), Name: c.Name, Connector: c.Connector, Settings: settings, Sealed: c.Sealed, OwnerID: c.Owner,
		State: string(c.State), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}))
	if err != nil {
		return err
	}
	// It is looked at soon, by when whoever made it has mostly tried it.
	return t.SaveVitals(ctx, c.ID, connection.Vitals{NextCheckAt: t.now.Add(2 * time.Minute)})
}

// SaveConnection writes what can change of a connection and returns its new version.
func (t *Tx) SaveConnection(ctx context.Context, c connection.Connection) (version int64, err error) {
	settings, err := storedSettings(c)
	if err != nil {
		return 0, err
	}
	version, err = t.q.SaveConnection(ctx, db.SaveConnectionParams{
		ID: uuid.UUID(c.ID), Name: c.Name, Connector: c.Connector, Settings: settings, Sealed: c.Sealed,
		State: string(c.State), Reason: clean(c.Reason), CheckedAt: c.CheckedAt, UpdatedAt: c.UpdatedAt,
	})
	return version, connectionWritten(c, err)
}

func connectionWritten(c connection.Connection, err error) error {
	if violates(err, "connections_name") {
		return fault.New(fault.Conflict, "connection.name_taken", "There is a connection named %s already; choose another name.", c.Name).
			At(fault.Field{Pointer: "/name", Code: "connection.name_taken", Message: "This name is taken."})
	}
	return notFound(err, "connection.not_found", "There is no connection %q.", c.Name)
}

// SaveHealth writes what was found out about the connection, if it still is at the version that was tried.
func (t *Tx) SaveHealth(ctx context.Context, c connection.Connection) (current bool, err error) {
	_, err = t.q.SaveConnectionHealth(ctx, db.SaveConnectionHealthParams{
		ID: uuid.UUID(c.ID), State: string(c.State), Reason: clean(c.Reason), CheckedAt: c.CheckedAt, Version: c.Version,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, unavailable(err)
}

// DeleteConnection removes a connection.
func (t *Tx) DeleteConnection(ctx context.Context, id connection.ID) error {
	return unavailable(t.q.DeleteConnection(ctx, uuid.UUID(id)))
}

// ServicesUsing names the services whose live document names the connection.
func (t *Tx) ServicesUsing(ctx context.Context, name string) ([]string, error) {
	names, err := t.q.ServicesUsing(ctx, name)
	return names, unavailable(err)
}
