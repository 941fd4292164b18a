// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// How long trying a connection, or asking a system what it has, may take.
const tryTimeout = 20 * time.Second

// Open opens a connection for use, by name or public id. It looks the secrets up, checks the settings as they then are, and
// hands the connector a network that the guard watches; of extras it uses what is set, apart from Dial. Errors are faults
// (something is missing here) or classified by the connector.
func (m *Manager) Open(ctx context.Context, id tenant.ID, ref string, extras connector.Env) (connector.System, connector.Spec, error) {
	var c Connection
	var sealed connector.Settings
	var found connector.Connector
	var told, listening, resting bool
	err := m.inTx(ctx, id, func(tx Tx) (err error) {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		if told, err = tx.Told(ctx, c.ID); err != nil {
			return err
		}
		if l, there, err := tx.Subscription(ctx, c.ID); err != nil {
			return err
		} else if l.PausedAt != nil {
			resting = true
		} else if listening = there && l.Sealed != nil && listens(extras.Detection); listening {
			had, err := m.unsealSubscription(ctx, tx, c.ID, l.Sealed)
			if err != nil {
				return err
			}
			listening = had.Secret != ""
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
		return nil, connector.Spec{}, err
	}
	extras.Credentials = m.tokensOf(id, c.ID)
	extras.Lists = lists{m, id, c.ID, extras.Consumer}
	if !resting && (told || listening || extras.Detection == "webhook") {
		extras.Hints = hints{m, id, c.ID}
	}
	return m.open(ctx, id, c, found, sealed, extras)
}

func (m *Manager) open(ctx context.Context, id tenant.ID, c Connection, found connector.Connector, sealed connector.Settings, extras connector.Env) (connector.System, connector.Spec, error) {
	spec := found.Spec()
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return nil, spec, err
	}
	if settings, err = spec.Check(settings); err != nil {
		return nil, spec, err
	}
	extras.Dial, extras.Tenant = m.guard.Dial, id.String()
	if m.sandboxes != nil {
		extras.Sandbox = m.sandboxes.Through(id, c.ID, c.Connector)
	}
	system, err := found.Open(ctx, settings, extras)
	return system, spec, err
}

// OpenInline opens a connection as a document has it that is not in force: nothing is stored. owner is the service that would
// own it.
func (m *Manager) OpenInline(ctx context.Context, id tenant.ID, owner uuid.UUID, in Inline, extras connector.Env) (connector.System, connector.Spec, error) {
	found, err := m.catalog.Get(ctx, id, in.Connector)
	if err != nil {
		return nil, connector.Spec{}, unknownHere(err)
	}
	spec, settings, err := check(found, in.Settings)
	if err != nil {
		return nil, spec, err
	}
	c := Connection{Name: in.Name, Owner: &owner, Connector: spec.Type}
	err = m.inTx(ctx, id, func(tx Tx) error {
		present, err := tx.OwnedConnections(ctx, owner)
		for _, p := range present {
			if p.Name == in.Name && p.Connector == spec.Type {
				c.ID = p.ID // it is the same place: a sandbox keeps its records by the connection
			}
		}
		return err
	})
	if err != nil {
		return nil, spec, err
	}
	shown, secret := apart(spec, settings)
	c.Settings = shown
	return m.open(ctx, id, c, found, secret, extras)
}

// resolve gives the settings with every reference replaced. What is sealed was given as it is and stays so, unless a
// document wrote it.
func (m *Manager) resolve(ctx context.Context, id tenant.ID, c Connection, sealed connector.Settings) (connector.Settings, error) {
	written := maps.Clone(c.Settings)
	if written == nil {
		written = connector.Settings{}
	}
	if c.Owner != nil {
		maps.Copy(written, sealed)
		sealed = nil
	}
	var names []string
	for _, value := range written {
		// A first pass only to learn the names. What it cannot read is said by the second.
		_, _ = m.expand(value, func(name string) (string, bool) {
			names = append(names, name)
			return "", true
		})
	}
	slices.Sort(names)
	values, err := m.secrets.Resolve(ctx, id, slices.Compact(names))
	if err != nil {
		return nil, err
	}
	for name, value := range written {
		written[name], err = m.expand(value, func(secret string) (string, bool) {
			v, ok := values[secret]
			return v, ok
		})
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "connection.reference_malformed", "The setting %s of the connection %s cannot be used: %s.", name, c.Name, err)
		}
	}
	maps.Copy(written, sealed)
	return written, nil
}

// Dial opens a network connection through the guard, for what is not a connector.
func (m *Manager) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return m.guard.Dial(ctx, network, address)
}

// Test opens the connection, checks it, and records what it found. The connection comes back with its new state; err is
// only for what kept it from being tried.
func (m *Manager) Test(ctx context.Context, who auth.Principal, ref string) (Connection, error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Connection{}, err
	}
	return m.check(ctx, who.Tenant, ref)
}

// TestSettings tries settings before a connection is made of them; nothing is kept. The error says what is wrong.
func (m *Manager) TestSettings(ctx context.Context, who auth.Principal, n New) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	found, err := m.catalog.Get(ctx, who.Tenant, n.Connector)
	if err != nil {
		return unknownHere(err)
	}
	spec, settings, err := check(found, n.Settings)
	if err != nil {
		return err
	}
	shown, secret := apart(spec, settings)
	c := Connection{Name: n.Name, Connector: spec.Type, Settings: shown}
	return m.try(ctx, func(ctx context.Context) (connector.System, error) {
		system, _, err := m.open(ctx, who.Tenant, c, found, secret, connector.Env{Consumer: "con_test"})
		return system, err
	})
}

// try opens a system, checks and closes it. A connector that does not come back in time is an error of class Retry.
func (m *Manager) try(ctx context.Context, open func(context.Context) (connector.System, error)) error {
	return m.tryAnd(ctx, open, nil)
}

// tryAnd is try that looks at the system before it is closed.
func (m *Manager) tryAnd(ctx context.Context, open func(context.Context) (connector.System, error), then func(connector.System)) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	err := func() error {
		system, err := open(ctx)
		if err != nil {
			return err
		}
		err = system.Check(ctx)
		if then != nil {
			then(system)
		}
		if closing := system.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing: %w", closing)
		}
		return err
	}()
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		return &connector.Error{Class: connector.Retry, Code: "connection.timeout",
			Message: fmt.Sprintf("The system did not answer within %s. Check its address and that it is not overloaded.", tryTimeout), Err: err}
	}
	return err
}

// Report records what using a connection said of it, for whoever uses it all the time: nil for success. It writes only what
// is new.
func (m *Manager) Report(ctx context.Context, id tenant.ID, ref string, used error) error {
	var c Connection
	err := m.inTx(ctx, id, func(tx Tx) (err error) {
		c, err = tx.Connection(ctx, ref)
		return err
	})
	if err != nil {
		return err
	}
	if state, reason := Health(used); state == c.State && reason == c.Reason {
		return nil
	}
	_, err = m.record(ctx, id, c, used, seen{})
	return err
}

func (m *Manager) record(ctx context.Context, id tenant.ID, c Connection, found error, s seen) (Connection, error) {
	err := m.inTx(ctx, id, func(tx Tx) error {
		before := c.State
		c.State, c.Reason = Health(found)
		now := tx.Now()
		c.CheckedAt = &now
		current, err := tx.SaveHealth(ctx, c)
		if err != nil {
			return err
		}
		if !current { // its settings were changed meanwhile; what was found is about the old ones
			c, err = tx.Connection(ctx, c.ID.Public())
			return err
		}
		if before != c.State {
			if err := changed(ctx, tx, c); err != nil {
				return err
			}
		}
		return m.vitals(ctx, tx, before, c, s)
	})
	return c, err
}

// Objects says what can be synced there. Names alone when the system has very many.
func (m *Manager) Objects(ctx context.Context, who auth.Principal, ref string) ([]connector.ObjectInfo, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	system, spec, err := m.Open(ctx, who.Tenant, ref, connector.Env{Consumer: "con_discover"})
	if err != nil {
		return nil, asked(err)
	}
	defer func() { _ = system.Close() }() // nothing was written through it
	d, ok := system.(connector.Discoverer)
	if !ok {
		return nil, fault.New(fault.Conflict, "connection.not_discoverable", "%s cannot say what objects it has. Write their names into the document.", spec.Title)
	}
	names, err := d.Objects(ctx)
	if err != nil {
		return nil, asked(err)
	}
	return describeObjects(ctx, d, names), nil
}

const maxDescribed = 200

// describeObjects describes what can be described: an object without a key is listed without fields.
func describeObjects(ctx context.Context, d connector.Discoverer, names []record.Object) []connector.ObjectInfo {
	out := make([]connector.ObjectInfo, len(names))
	for i, name := range names {
		out[i] = connector.ObjectInfo{Name: name, Rows: -1}
	}
	few := names[:min(len(names), maxDescribed)]
	if all, err := d.Describe(ctx, few...); err == nil {
		for _, info := range all {
			if i := slices.Index(names, info.Name); i >= 0 {
				out[i] = info
			}
		}
		return out
	}
	for i, name := range few {
		if ctx.Err() != nil {
			break
		}
		if one, err := d.Describe(ctx, name); err == nil && len(one) == 1 {
			out[i] = one[0]
		}
	}
	return out
}

// asked turns a connector's error into a fault, for somebody who waits for the answer.
func asked(err error) error {
	if err == nil || fault.As(err) != nil {
		return err
	}
	c := connector.Classify(err)
	kind := fault.Unavailable
	switch c.Class {
	case connector.Reconnect, connector.Reject, connector.Missing, connector.Drift:
		kind = fault.Conflict
	case connector.SlowDown:
		kind = fault.TooMany
	}
	return fault.Wrap(err, kind, c.Code, "%s", c.Message)
}

// Clean removes what the connector left in the system for that consumer, as far as it leaves anything.
func (m *Manager) Clean(ctx context.Context, id tenant.ID, ref, consumer string, objects []record.Object) error {
	system, _, err := m.Open(ctx, id, ref, connector.Env{Consumer: consumer})
	if err != nil {
		return err
	}
	err = m.leave(ctx, id, ref, consumer, system)
	err = errors.Join(err, m.inTx(ctx, id, func(tx Tx) error {
		c, err := tx.Connection(ctx, ref)
		if err != nil {
			return err
		}
		return tx.DropLists(ctx, c.ID, consumer)
	}))
	if c, ok := system.(connector.Cleaner); ok {
		err = errors.Join(err, c.Clean(ctx, objects))
	}
	if closing := system.Close(); err == nil && closing != nil {
		err = fmt.Errorf("closing: %w", closing)
	}
	return err
}

// Inline is a connection whose settings stand in a service's document.
type Inline struct {
	Name      string // "<service>/<system>"
	Connector string // a connector's type or alias
	Settings  connector.Settings
}

// Own brings the connections of a service in step with its document, in the transaction that accepts the document: new ones
// are made, changed ones change. It returns the names of those that the document does not hold any more; they stay until
// Disown, because what was left in their systems is still to be cleaned up.
func (m *Manager) Own(ctx context.Context, tx Tx, owner uuid.UUID, inline []Inline) (gone []string, err error) {
	key, err := tx.TenantKeyToSeal(ctx)
	if err != nil {
		return nil, err
	}
	present, err := tx.OwnedConnections(ctx, owner)
	if err != nil {
		return nil, err
	}
	byName := map[string]Connection{}
	for _, c := range present {
		byName[c.Name] = c
	}
	types := make([]string, len(inline))
	for i, in := range inline {
		types[i] = in.Connector
	}
	connectors, err := m.catalog.FindAll(ctx, tx, types)
	if err != nil {
		return nil, err
	}
	for _, in := range inline {
		found, ok := connectors[in.Connector]
		if !ok {
			_, err := m.catalog.Find(ctx, tx, in.Connector)
			return nil, unknownHere(err)
		}
		spec, settings, err := check(found, in.Settings)
		if err != nil {
			return nil, err
		}
		c, there := byName[in.Name]
		delete(byName, in.Name)
		if !there {
			c = Connection{ID: newID(), Name: in.Name, Owner: &owner, State: Unchecked, CreatedAt: tx.Now(), Version: 1}
		}
		shown, _ := apart(spec, settings)
		if there && c.Sealed == nil && c.Connector == spec.Type && maps.Equal(c.Settings, shown) && len(shown) == len(settings) {
			continue
		}
		if there {
			secret, err := m.unseal(key, tx.Tenant(), c)
			if err != nil {
				return nil, err
			}
			bought := maps.Clone(c.Settings)
			maps.Copy(bought, secret)
			if c.Connector != spec.Type || !maps.Equal(bought, settings) { // tokens must not go to another address than they came from
				if err := tx.DropTokens(ctx, c.ID); err != nil {
					return nil, err
				}
			}
		}
		c.Connector, c.UpdatedAt = spec.Type, tx.Now()
		c.State, c.Reason, c.CheckedAt = Unchecked, "", nil
		if c, err = m.seal(key, tx.Tenant(), c, spec, settings); err != nil {
			return nil, err
		}
		if there {
			_, err = tx.SaveConnection(ctx, c)
		} else {
			err = tx.InsertConnection(ctx, c)
		}
		if err != nil {
			return nil, err
		}
		if err := changed(ctx, tx, c); err != nil {
			return nil, err
		}
	}
	for name := range byName {
		gone = append(gone, name)
	}
	slices.Sort(gone)
	return gone, nil
}

// Disown removes a connection that no document holds any more; one that is gone already is fine.
func (m *Manager) Disown(ctx context.Context, tx Tx, owner uuid.UUID, name string) error {
	present, err := tx.OwnedConnections(ctx, owner)
	if err != nil {
		return err
	}
	for _, c := range present {
		if c.Name != name {
			continue
		}
		if err := tx.DeleteConnection(ctx, c.ID); err != nil {
			return err
		}
		service, _, _ := strings.Cut(c.Name, "/")
		return tx.Emit(ctx, "connection.deleted", owner, map[string]any{"id": c.ID.Public(), "name": c.Name, "service": service})
	}
	return nil
}
