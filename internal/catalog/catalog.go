// SPDX-License-Identifier: Apache-2.0

// Package catalog is the connectors that a tenant can use: the program's, and its own, which it describes by manifests.
package catalog

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Own is a connector that a tenant describes itself.
type Own struct {
	Type      string // the word that documents use; unique in the tenant, and no word of the program's
	Title     string
	Version   int // the newest; connections use it
	CreatedAt time.Time
	UpdatedAt time.Time
	Source    string // the manifest of Version; "" in lists
}

// Version is one manifest that was accepted; it never changes.
type Version struct {
	Number    int
	Source    string
	Note      string
	Author    string // as the audit log names them
	CreatedAt time.Time
}

// Bounds on what a tenant may describe.
const (
	MaxSource   = 256 << 10 // bytes of a manifest
	maxOwn      = 100       // connectors of a tenant
	maxVersions = 200       // kept of one; older ones go
)

// Lookup is what finding a connector needs of a transaction bound to a tenant.
type Lookup interface {
	Tenant() tenant.ID
	// OwnConnectors returns those of the tenant's own of these types, with their sources.
	OwnConnectors(ctx context.Context, types []string) ([]Own, error)
}

// Tx is what the operations on a tenant's own connectors need.
type Tx interface {
	Lookup
	Now() time.Time
	// ListOwnConnectors lists all, by type, without sources.
	ListOwnConnectors(ctx context.Context) ([]Own, error)
	// LockOwnConnector reads one for changing it; the fault is connector.unknown.
	LockOwnConnector(ctx context.Context, typ string) (Own, error)
	// InsertOwnConnector fails with connector.type_taken.
	InsertOwnConnector(ctx context.Context, o Own) error
	SaveOwnConnector(ctx context.Context, o Own) error
	DeleteOwnConnector(ctx context.Context, typ string) error
	// InsertConnectorVersion adds a version, and drops all but the newest keep.
	InsertConnectorVersion(ctx context.Context, typ string, v Version, keep int) error
	// ConnectorVersions lists the newest first.
	ConnectorVersions(ctx context.Context, typ string) ([]Version, error)
	// ConnectionsOfType names the connections of a type. RestartServicesOfType makes what is open of it be opened anew.
	ConnectionsOfType(ctx context.Context, typ string) ([]string, error)
	RestartServicesOfType(ctx context.Context, typ string) error
	Audit(ctx context.Context, e audit.Entry) error
}

// Compile makes a connector of a manifest; the fault names each problem with line, column and remedy.
type Compile func(id tenant.ID, source []byte) (connector.Connector, error)

// Catalog finds connectors, and has the operations on a tenant's own.
type Catalog struct {
	builtin *connector.Registry
	inTx    func(context.Context, tenant.ID, func(Tx) error) error
	compile Compile

	mu       sync.Mutex
	compiled map[compiledKey]connector.Connector
}

type compiledKey struct {
	tenant  tenant.ID
	typ     string
	version int
	made    int64 // when the connector was made: one may be deleted and another made under its name
}

// How many compiled manifests are kept; a compiled one is a few tens of kilobytes.
const mostCompiled = 500

// New makes a catalog of the program's connectors alone.
func New(builtin *connector.Registry) *Catalog {
	return &Catalog{builtin: builtin, compiled: map[compiledKey]connector.Connector{}}
}

// WithOwn lets tenants describe connectors of their own.
func (c *Catalog) WithOwn(inTx func(context.Context, tenant.ID, func(Tx) error) error, compile Compile) *Catalog {
	c.inTx, c.compile = inTx, compile
	return c
}

// Builtin are the program's connectors.
func (c *Catalog) Builtin() *connector.Registry { return c.builtin }

// Find returns the connector of a type or alias, in the caller's transaction. The fault is connector.unknown.
func (c *Catalog) Find(ctx context.Context, tx Lookup, typ string) (connector.Connector, error) {
	found, err := c.FindAll(ctx, tx, []string{typ})
	if err != nil {
		return nil, err
	}
	if f, ok := found[typ]; ok {
		return f, nil
	}
	return c.builtin.Get(typ) // says what there is
}

// FindAll returns the connectors of those of the types and aliases that there are.
func (c *Catalog) FindAll(ctx context.Context, tx Lookup, types []string) (map[string]connector.Connector, error) {
	out := make(map[string]connector.Connector, len(types))
	var rest []string
	for _, typ := range types {
		if found, err := c.builtin.Get(typ); err == nil {
			out[typ] = found
		} else if !slices.Contains(rest, typ) && typ != "" {
			rest = append(rest, typ)
		}
	}
	if len(rest) == 0 || c.compile == nil {
		return out, nil
	}
	own, err := tx.OwnConnectors(ctx, rest)
	if err != nil {
		return nil, err
	}
	for _, o := range own {
		made, err := c.compiledOf(tx.Tenant(), o)
		if err != nil {
			return nil, err
		}
		out[o.Type] = made
	}
	return out, nil
}

func (c *Catalog) compiledOf(id tenant.ID, o Own) (connector.Connector, error) {
	key := compiledKey{id, o.Type, o.Version, o.CreatedAt.UnixMicro()}
	c.mu.Lock()
	made := c.compiled[key]
	c.mu.Unlock()
	if made != nil {
		return made, nil
	}
	made, err := c.compile(id, []byte(o.Source))
	if err != nil {
		return nil, fault.Wrap(err, fault.Conflict, "connector.outdated", "The manifest of %s, which was accepted once, is not understood any more: %s Open it in the editor, mend it and save it.", o.Type, message(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.compiled) >= mostCompiled {
		clear(c.compiled)
	}
	c.compiled[key] = made
	return made, nil
}

func message(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return err.Error()
}

// Get returns the connector of a type or alias for a tenant. The fault is connector.unknown.
func (c *Catalog) Get(ctx context.Context, id tenant.ID, typ string) (found connector.Connector, err error) {
	if found, err = c.builtin.Get(typ); err == nil || c.inTx == nil {
		return found, err
	}
	err = c.inTx(ctx, id, func(tx Tx) error {
		found, err = c.Find(ctx, tx, typ)
		return err
	})
	return found, err
}

// Specs lists what the tenant's connectors say of themselves, by type: the program's and its own. Of its own that are not
// understood any more only type and title are known.
func (c *Catalog) Specs(ctx context.Context, id tenant.ID) ([]connector.Spec, error) {
	specs := slices.Clone(c.builtin.Specs())
	if c.inTx == nil {
		return specs, nil
	}
	err := c.inTx(ctx, id, func(tx Tx) error {
		own, err := tx.ListOwnConnectors(ctx)
		if err != nil || len(own) == 0 {
			return err
		}
		types := make([]string, len(own))
		for i, o := range own {
			types[i] = o.Type
		}
		if own, err = tx.OwnConnectors(ctx, types); err != nil {
			return err
		}
		for _, o := range own {
			made, err := c.compiledOf(id, o)
			if err != nil {
				specs = append(specs, connector.Spec{Type: o.Type, Title: o.Title, Class: "standard", Summary: message(err), Own: o.Version})
				continue
			}
			spec := made.Spec()
			spec.Own = o.Version
			specs = append(specs, spec)
		}
		return nil
	})
	slices.SortStableFunc(specs, func(a, b connector.Spec) int { return strings.Compare(a.Type, b.Type) })
	return specs, err
}

// Check says what a manifest comes to, without keeping it.
func (c *Catalog) Check(who auth.Principal, source []byte) (connector.Connector, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return nil, err
	}
	return c.accept(who.Tenant, source)
}

// accept compiles a manifest that a tenant wrote.
func (c *Catalog) accept(id tenant.ID, source []byte) (connector.Connector, error) {
	if len(source) > MaxSource {
		return nil, fault.New(fault.Invalid, "manifest.invalid", "The manifest is larger than %d KiB.", MaxSource>>10).
			At(fault.Field{Line: 1, Column: 1, Code: "manifest.too_large", Message: "The manifest is larger than 256 KiB.", Remedy: "Describe fewer objects, or discover fields instead of listing them."})
	}
	if c.compile == nil {
		return nil, fault.New(fault.Unavailable, "connector.unknown", "This program cannot take manifests.")
	}
	made, err := c.compile(id, source)
	if err != nil {
		return nil, err
	}
	typ := made.Spec().Type
	if typ == "new" {
		return nil, fault.New(fault.Invalid, "manifest.invalid", "No connector can have the type new.").
			At(fault.Field{Pointer: "/type", Line: lineOf(source, "type"), Column: 1, Code: "connector.type_taken", Message: "No connector can have the type new.", Remedy: "Choose the system's name."})
	}
	if taken, err := c.builtin.Get(typ); err == nil {
		return nil, fault.New(fault.Invalid, "manifest.invalid", "The type %s is that of %s, which comes with the program.", typ, taken.Spec().Title).
			At(fault.Field{Pointer: "/type", Line: lineOf(source, "type"), Column: 1, Code: "connector.type_taken", Message: "The type " + typ + " is that of a connector of the program.", Remedy: "Choose another word, like my-" + typ + "."})
	}
	return made, nil
}

// lineOf is the line of a name at the beginning of a line; 1 when there is none.
func lineOf(source []byte, name string) int {
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " {\""), name) {
			return i + 1
		}
	}
	return 1
}
