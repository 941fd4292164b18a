// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Put is a manifest to keep.
type Put struct {
	Type    string // the type it must have; "": whatever the manifest says
	Source  string
	Note    string // why, for the history
	IfNew   bool   // only when there is no connector of that type
	IfMatch *int   // only when this is its newest version
}

// Save keeps a manifest: a new connector, or a new version of one. A manifest that says what is there already changes nothing.
func (c *Catalog) Save(ctx context.Context, who auth.Principal, p Put) (o Own, created bool, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Own{}, false, err
	}
	made, err := c.accept(who.Tenant, []byte(p.Source))
	if err != nil {
		return Own{}, false, err
	}
	spec := made.Spec()
	if p.Type != "" && p.Type != spec.Type {
		return Own{}, false, fault.New(fault.Invalid, "manifest.invalid", "The manifest's type is %s, not %s.", spec.Type, p.Type).
			At(fault.Field{Pointer: "/type", Line: lineOf([]byte(p.Source), "type"), Column: 1, Code: "connector.type_fixed", Message: "The type is " + spec.Type + ", not " + p.Type + ".", Remedy: "A connector keeps its type, because documents name it. Upload it as a new one to change the type."})
	}
	err = c.inTx(ctx, who.Tenant, func(tx Tx) error {
		o, err = tx.LockOwnConnector(ctx, spec.Type)
		switch {
		case fault.IsCode(err, "connector.unknown"):
			if p.IfMatch != nil {
				return err
			}
			created = true
			return c.insert(ctx, tx, who, p, spec, &o)
		case err != nil:
			return err
		case p.IfNew:
			return fault.New(fault.Conflict, "connector.type_taken", "There is a connector of the type %s already. Change it, or choose another type.", spec.Type)
		case p.IfMatch != nil && *p.IfMatch != o.Version:
			return fault.New(fault.Stale, "connector.version_stale", "Somebody changed the connector %s meanwhile: it is at version %d. Read it again and repeat your change.", o.Type, o.Version)
		case o.Source == p.Source:
			return nil
		}
		o.Title, o.Source, o.UpdatedAt = spec.Title, p.Source, tx.Now()
		o.Version++
		if err := tx.SaveOwnConnector(ctx, o); err != nil {
			return err
		}
		if err := tx.RestartServicesOfType(ctx, o.Type); err != nil {
			return err
		}
		return c.noted(ctx, tx, who, p, o, "connector.changed")
	})
	return o, created, err
}

func (c *Catalog) insert(ctx context.Context, tx Tx, who auth.Principal, p Put, spec connector.Spec, o *Own) error {
	present, err := tx.ListOwnConnectors(ctx)
	if err != nil {
		return err
	}
	if len(present) >= maxOwn {
		return fault.New(fault.Conflict, "connector.too_many", "A tenant may have %d connectors of its own. Delete one that is not used.", maxOwn)
	}
	*o = Own{Type: spec.Type, Title: spec.Title, Version: 1, Source: p.Source, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}
	if err := tx.InsertOwnConnector(ctx, *o); err != nil {
		return err
	}
	return c.noted(ctx, tx, who, p, *o, "connector.created")
}

func (c *Catalog) noted(ctx context.Context, tx Tx, who auth.Principal, p Put, o Own, what string) error {
	v := Version{Number: o.Version, Source: o.Source, Note: p.Note, Author: who.Name, CreatedAt: tx.Now()}
	if err := tx.InsertConnectorVersion(ctx, o.Type, v, maxVersions); err != nil {
		return err
	}
	return tx.Audit(ctx, who.Did(what, o.Type, map[string]any{"title": o.Title, "version": o.Version, "note": p.Note, "bytes": len(o.Source)}))
}

// List lists the tenant's own connectors, by type, without sources.
func (c *Catalog) List(ctx context.Context, who auth.Principal) (list []Own, err error) {
	if err := who.May(auth.ViewConnections); err != nil || c.inTx == nil {
		return nil, err
	}
	err = c.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.ListOwnConnectors(ctx)
		return err
	})
	return list, err
}

// Read returns one of the tenant's own connectors, its versions, and the connections that use it.
func (c *Catalog) Read(ctx context.Context, who auth.Principal, typ string) (o Own, versions []Version, using []string, err error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return o, nil, nil, err
	}
	if c.inTx == nil {
		return o, nil, nil, notOwn(typ)
	}
	err = c.inTx(ctx, who.Tenant, func(tx Tx) error {
		found, err := tx.OwnConnectors(ctx, []string{typ})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return notOwn(typ)
		}
		o = found[0]
		if versions, err = tx.ConnectorVersions(ctx, typ); err != nil {
			return err
		}
		using, err = tx.ConnectionsOfType(ctx, typ)
		return err
	})
	return o, versions, using, err
}

func notOwn(typ string) error {
	return fault.New(fault.NotFound, "connector.unknown", "You have no connector of type %q of your own.", typ)
}

// Delete removes one of the tenant's own connectors that no connection uses.
func (c *Catalog) Delete(ctx context.Context, who auth.Principal, typ string, ifMatch *int) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	if c.inTx == nil {
		return notOwn(typ)
	}
	return c.inTx(ctx, who.Tenant, func(tx Tx) error {
		o, err := tx.LockOwnConnector(ctx, typ)
		if err != nil {
			return err
		}
		if ifMatch != nil && *ifMatch != o.Version {
			return fault.New(fault.Stale, "connector.version_stale", "Somebody changed the connector %s meanwhile: it is at version %d. Read it again and repeat your change.", o.Type, o.Version)
		}
		using, err := tx.ConnectionsOfType(ctx, typ)
		if err != nil {
			return err
		}
		if len(using) > 0 {
			return fault.New(fault.Conflict, "connector.in_use", "The connector %s cannot be deleted while connections use it: %s. Delete them first.", typ, strings.Join(using, ", "))
		}
		if err := tx.DeleteOwnConnector(ctx, typ); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("connector.deleted", o.Type, map[string]any{"title": o.Title, "version": o.Version}))
	})
}
