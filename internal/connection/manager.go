// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Filter chooses connections of a list, which is in the order of names.
type Filter struct {
	States    []State // any of these; empty: all
	Connector string  // a connector's type; "": all
	After     string  // names behind this one
	Limit     int     // at most so many; 0 means all
}

// Tx is what connections need of a transaction bound to a tenant.
type Tx interface {
	Now() time.Time
	Tenant() tenant.ID
	// Connection finds a connection by its public id or its name; the fault is connection.not_found.
	Connection(ctx context.Context, ref string) (Connection, error)
	LockConnection(ctx context.Context, ref string) (Connection, error)
	Connections(ctx context.Context, f Filter) ([]Connection, error)
	// OwnedConnections locks and returns the connections that the service's document holds.
	OwnedConnections(ctx context.Context, owner uuid.UUID) ([]Connection, error)
	// InsertConnection fails with connection.name_taken.
	InsertConnection(ctx context.Context, c Connection) error
	SaveConnection(ctx context.Context, c Connection) (version int64, err error)
	// SaveHealth writes what was found out about the connection at that version, and says whether it still has it.
	SaveHealth(ctx context.Context, c Connection) (current bool, err error)
	DeleteConnection(ctx context.Context, id ID) error
	// ServicesUsing names the services whose live document names the connection.
	ServicesUsing(ctx context.Context, name string) ([]string, error)

	// TenantKey returns the wrapped key to open with; TenantKeyToSeal the one to seal with, to be read before rows are locked.
	TenantKey(ctx context.Context) ([]byte, error)
	TenantKeyToSeal(ctx context.Context) ([]byte, error)

	TokenTx
	GrantTx
	HealthTx
	HintTx
	ListenTx
	ListTx

	// OwnConnectors returns the tenant's own connectors of these types.
	OwnConnectors(ctx context.Context, types []string) ([]catalog.Own, error)
	// RestartServicesUsing makes the services that use connections of these names open them anew.
	RestartServicesUsing(ctx context.Context, names ...string) error

	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Secrets gives the values of a tenant's secrets; *vault.Secrets is one. A name it does not know is a fault.
type Secrets interface {
	Resolve(ctx context.Context, id tenant.ID, names []string) (map[string]string, error)
}

// Expand replaces the references ${NAME} in a setting by what lookup gives: service.Expand.
type Expand func(setting string, lookup func(name string) (string, bool)) (string, error)

// Manager has the operations on connections.
type Manager struct {
	inTx    func(context.Context, tenant.ID, func(Tx) error) error
	catalog *catalog.Catalog
	vault   *vault.Vault
	secrets Secrets
	expand  Expand
	guard   *Guard
	ears    ears
	// sandboxes are the simulated accounts; nil where there are none.
	sandboxes Sandboxes
	// inbound is the address by which vendors know this installation; "" where it has none.
	inbound string
}

// NewManager makes the operations. All network connections of open systems go through the guard.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error, registry *connector.Registry, v *vault.Vault, secrets Secrets, expand Expand, guard *Guard) *Manager {
	return &Manager{inTx: inTx, catalog: catalog.New(registry), vault: v, secrets: secrets, expand: expand, guard: guard}
}

// WithCatalog lets tenants use connectors of their own beside those of the registry.
func (m *Manager) WithCatalog(c *catalog.Catalog) *Manager {
	m.catalog = c
	return m
}

// Catalog is the connectors that tenants can use.
func (m *Manager) Catalog() *catalog.Catalog { return m.catalog }

// New is what a connection is made of.
type New struct {
	Name      string
	Connector string // a connector's type or alias
	Settings  connector.Settings
}

// Create makes a connection. It is not tried; see Test.
func (m *Manager) Create(ctx context.Context, who auth.Principal, n New) (Connection, error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Connection{}, err
	}
	if err := checkName(n.Name); err != nil {
		return Connection{}, err
	}
	found, err := m.catalog.Get(ctx, who.Tenant, n.Connector)
	if err != nil {
		return Connection{}, unknownHere(err)
	}
	spec, settings, err := check(found, n.Settings)
	if err != nil {
		return Connection{}, err
	}
	var c Connection
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		c = Connection{ID: newID(), Name: n.Name, Connector: spec.Type, State: Unchecked, CreatedAt: tx.Now(), UpdatedAt: tx.Now(), Version: 1}
		if c, err = m.seal(key, tx.Tenant(), c, spec, settings); err != nil {
			return err
		}
		if err := tx.InsertConnection(ctx, c); err != nil {
			return err
		}
		if err := changed(ctx, tx, c); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("connection.created", c.ID.Public(), map[string]any{
			"name": c.Name, "connector": c.Connector, "settings": c.Settings, "secretsSet": c.Secrets,
		}))
	})
	return c, err
}

func newID() ID { return ID(uuid.Must(uuid.NewV7())) }

// unknownHere turns an unknown connector into a fault of the request that names it.
func unknownHere(err error) error {
	if !fault.IsCode(err, "connector.unknown") {
		return err
	}
	return fault.Wrap(err, fault.Invalid, "connector.unknown", "%s", fault.As(err).Message).
		At(fault.Field{Pointer: "/connector", Code: "connector.unknown", Message: fault.As(err).Message})
}

func check(found connector.Connector, in connector.Settings) (connector.Spec, connector.Settings, error) {
	spec := found.Spec()
	settings, err := checkSettings(spec, in)
	if f := fault.As(err); f != nil {
		// The settings are a part of the request, not the whole of it.
		within := *f
		within.Fields = slices.Clone(f.Fields)
		for i := range within.Fields {
			within.Fields[i].Pointer = "/settings" + within.Fields[i].Pointer
		}
		return spec, nil, &within
	}
	return spec, settings, err
}

// seal puts the settings into the connection, the secret ones sealed.
func (m *Manager) seal(key []byte, id tenant.ID, c Connection, spec connector.Spec, settings connector.Settings) (Connection, error) {
	shown, secret := apart(spec, settings)
	c.Settings, c.Secrets, c.Sealed = shown, sortedNames(secret), nil
	if len(secret) == 0 {
		return c, nil
	}
	plain, err := json.Marshal(secret)
	if err != nil {
		return c, fmt.Errorf("sealing the settings of %s: %w", c.Name, err)
	}
	c.Sealed, err = m.vault.Seal(key, id, vault.ConnectionName(c.ID), plain)
	return c, err
}

func (m *Manager) unseal(key []byte, id tenant.ID, c Connection) (connector.Settings, error) {
	if c.Sealed == nil {
		return nil, nil
	}
	plain, err := m.vault.Open(key, id, vault.ConnectionName(c.ID), c.Sealed)
	if err != nil {
		return nil, err
	}
	var secret connector.Settings
	if err := json.Unmarshal(plain, &secret); err != nil {
		return nil, fmt.Errorf("reading the sealed settings of %s: %w", c.Name, err)
	}
	return secret, nil
}

// ownerOf is the service whose document holds the connection; none for one made by itself.
func ownerOf(c Connection) (owner uuid.UUID) {
	if c.Owner != nil {
		owner = *c.Owner
	}
	return owner
}

func changed(ctx context.Context, tx Tx, c Connection) error {
	return tx.Emit(ctx, "connection.changed", ownerOf(c), map[string]any{"id": c.ID.Public(), "name": c.Name, "state": c.State})
}

// List returns connections by name.
func (m *Manager) List(ctx context.Context, who auth.Principal, f Filter) (list []Connection, err error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.Connections(ctx, f)
		return err
	})
	return list, err
}

// Get returns a connection, by public id or name.
func (m *Manager) Get(ctx context.Context, who auth.Principal, ref string) (c Connection, err error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return Connection{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err = tx.Connection(ctx, ref)
		return err
	})
	return c, err
}

// UsedBy names the services that use the connection.
func (m *Manager) UsedBy(ctx context.Context, who auth.Principal, ref string) (services []string, err error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err := tx.Connection(ctx, ref)
		if err != nil {
			return err
		}
		services, err = usedBy(ctx, tx, c)
		return err
	})
	return services, err
}

func usedBy(ctx context.Context, tx Tx, c Connection) ([]string, error) {
	if c.Owner != nil {
		service, _, _ := strings.Cut(c.Name, "/")
		return []string{service}, nil
	}
	return tx.ServicesUsing(ctx, c.Name)
}

// Change is what to change of a connection; nil leaves it as it is.
type Change struct {
	Name *string
	// Settings replaces all settings that are shown. A secret one that is not mentioned stays as it is; one that is empty
	// is removed.
	Settings connector.Settings
	IfMatch  *int64 // the version that was read; nil for whatever is there
}

// Update changes a connection. It then counts as unchecked.
func (m *Manager) Update(ctx context.Context, who auth.Principal, ref string, change Change) (c Connection, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Connection{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		if c, err = tx.LockConnection(ctx, ref); err != nil {
			return err
		}
		if err := version(c, change.IfMatch); err != nil {
			return err
		}
		if c.Owner != nil {
			return owned(c, "changed")
		}
		before := c
		if change.Name != nil && *change.Name != c.Name {
			if err := m.rename(ctx, tx, &c, *change.Name); err != nil {
				return err
			}
		}
		if change.Settings != nil {
			secret, err := m.unseal(key, tx.Tenant(), c)
			if err != nil {
				return err
			}
			settings := connector.Settings{}
			maps.Copy(settings, secret)
			maps.Copy(settings, change.Settings)
			bought := maps.Clone(before.Settings)
			maps.Copy(bought, secret)
			found, err := m.catalog.Find(ctx, tx, c.Connector)
			if err != nil {
				return unknownHere(err)
			}
			spec, settings, err := check(found, settings)
			if err != nil {
				return err
			}
			if c, err = m.seal(key, tx.Tenant(), c, spec, settings); err != nil {
				return err
			}
			c.State, c.Reason, c.CheckedAt = Unchecked, "", nil
			if !maps.Equal(bought, settings) { // they were bought with the old ones, and must not go to another address
				if err := tx.DropTokens(ctx, c.ID); err != nil {
					return err
				}
			}
		}
		c.UpdatedAt = tx.Now()
		if c.Version, err = tx.SaveConnection(ctx, c); err != nil {
			return err
		}
		if err := changed(ctx, tx, c); err != nil {
			return err
		}
		if change.Settings != nil { // whoever has it open takes the new settings at its next commit
			if err := tx.RestartServicesUsing(ctx, c.Name); err != nil {
				return err
			}
		}
		var set []string
		for name := range change.Settings {
			if slices.Contains(c.Secrets, name) {
				set = append(set, name)
			}
		}
		slices.Sort(set)
		return tx.Audit(ctx, who.Did("connection.changed", c.ID.Public(), map[string]any{
			"before":     map[string]any{"name": before.Name, "settings": before.Settings},
			"after":      map[string]any{"name": c.Name, "settings": c.Settings},
			"secretsSet": set,
		}))
	})
	return c, err
}

// rename changes the name, by which documents refer to the connection.
func (m *Manager) rename(ctx context.Context, tx Tx, c *Connection, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	using, err := tx.ServicesUsing(ctx, c.Name)
	if err != nil {
		return err
	}
	if len(using) > 0 {
		return inUse(*c, using, "renamed")
	}
	c.Name = name
	return nil
}

func owned(c Connection, what string) error {
	service, system, _ := strings.Cut(c.Name, "/")
	return fault.New(fault.Conflict, "connection.owned", "The settings of %s stand in the document of the service %s, under the system %s. They are %s there.", c.Name, service, system, what)
}

func inUse(c Connection, services []string, what string) error {
	return fault.New(fault.Conflict, "connection.in_use", "The connection %s cannot be %s while services use it: %s. Take it out of their documents first.", c.Name, what, strings.Join(services, ", "))
}

// Delete removes a connection that no service uses.
func (m *Manager) Delete(ctx context.Context, who auth.Principal, ref string, ifMatch *int64) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	return m.inTx(ctx, who.Tenant, func(tx Tx) error {
		c, err := tx.LockConnection(ctx, ref)
		if err != nil {
			return err
		}
		if err := version(c, ifMatch); err != nil {
			return err
		}
		if c.Owner != nil {
			return owned(c, "removed")
		}
		using, err := tx.ServicesUsing(ctx, c.Name)
		if err != nil {
			return err
		}
		if len(using) > 0 {
			return inUse(c, using, "deleted")
		}
		if err := tx.DeleteConnection(ctx, c.ID); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "connection.deleted", uuid.Nil, map[string]any{"id": c.ID.Public(), "name": c.Name}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("connection.deleted", c.ID.Public(), map[string]any{"name": c.Name, "connector": c.Connector, "settings": c.Settings}))
	})
}
