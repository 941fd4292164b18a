// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Filter chooses services of a list, which is in the order of names.
type Filter struct {
	States     []State // any of these; empty: all
	Containing string  // a part of the name
	After      string  // names behind this one
	Limit      int     // at most so many; 0 means all
}

// RunFilter chooses runs of a list, newest first.
type RunFilter struct {
	Service ID         // zero: of all services
	States  []RunState // any of these; empty: all
	Kinds   []RunKind  // any of these; empty: all
	Before  RunID      // older than this one; zero: from the newest
	Limit   int        // at most so many; 0 means all
}

// Tx is what services need of a transaction bound to a tenant.
type Tx interface {
	connection.Tx

	// Service finds a service by its public id or its name; the fault is service.not_found.
	Service(ctx context.Context, ref string) (Service, error)
	LockService(ctx context.Context, ref string) (Service, error)
	Services(ctx context.Context, f Filter) ([]Service, error)
	// InsertService fails with service.name_taken when somebody else made it just now.
	InsertService(ctx context.Context, s Service) error
	SaveService(ctx context.Context, s Service) (version int64, err error)
	// LockDue locks those of the services that are active and whose run is due by Now, leaving out those that somebody else
	// has locked.
	LockDue(ctx context.Context, services []ID) ([]Service, error)
	SetNextRun(ctx context.Context, id ID, at *time.Time) error

	InsertRevision(ctx context.Context, r Revision) error
	Revision(ctx context.Context, id ID, number int) (Revision, error)
	// Revisions lists newest first, those older than before; 0 begins with the newest.
	Revisions(ctx context.Context, id ID, before, limit int) ([]Revision, error)

	// What documents refer to. ConnectionTypes keeps what it returns from going until the commit.
	TenantZone(ctx context.Context) (string, error)
	SecretsAmong(ctx context.Context, names []string) ([]string, error)
	ConnectionTypes(ctx context.Context, names []string) (map[string]string, error)

	// What the tenant agreed to, and how many systems its other services have in use.
	SubscriptionNow(ctx context.Context) (billing.Subscription, error)
	IntegrationsBeside(ctx context.Context, id ID) (int64, error)

	InsertRun(ctx context.Context, r Run) error
	// CopySelection gives a run what another one reads, with where that one stood; false when there is nothing of it.
	CopySelection(ctx context.Context, from, to RunID) (bool, error)
	// Selections returns what runs read, of those that read records again.
	Selections(ctx context.Context, ids []RunID) (map[RunID]*Selection, error)
	Run(ctx context.Context, id RunID) (Run, error)
	LockRun(ctx context.Context, id RunID) (Run, error)
	SaveRun(ctx context.Context, r Run) error
	Runs(ctx context.Context, f RunFilter) ([]Run, error)
	// OpenRuns returns those that are not over, the oldest first.
	OpenRuns(ctx context.Context, id ID) ([]Run, error)

	// AskToStop asks the worker that carries the service to stop at its next commit; Stopping says whether it may still be
	// at it. LetTryAgain ends the pause after a failure. Wake tells all processes at commit to look at the service.
	AskToStop(ctx context.Context, id ID) error
	Stopping(ctx context.Context, id ID) (bool, error)
	LetTryAgain(ctx context.Context, id ID) error
	Wake(ctx context.Context, id ID) error

	Enqueue(ctx context.Context, args interface{ Kind() string }) error
}

// Manager has the operations on services and their runs.
type Manager struct {
	inTx        func(context.Context, tenant.ID, func(Tx) error) error
	connections *connection.Manager

	mu        sync.Mutex
	schedules map[revisionKey]Schedule // of live revisions, read each time a run is due
}

type revisionKey struct {
	service  ID
	revision int
}

const schedulesKept = 10_000

// NewManager makes the operations.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error, connections *connection.Manager) *Manager {
	return &Manager{inTx: inTx, connections: connections, schedules: map[revisionKey]Schedule{}}
}

// lookups tells the validator what the tenant and this build have of what the document refers to.
func (m *Manager) lookups(ctx context.Context, tx Tx, source []byte, format Format, doc *Document) (Lookups, error) {
	var named, secrets, typeNames []string
	if doc == nil { // it cannot be read as a whole; look at what can be
		doc, _ = read(source, format)
	}
	if doc != nil {
		secrets = doc.SecretNames()
		for _, s := range doc.Systems {
			typeNames = append(typeNames, s.Type)
			if s.Connection.Settings == nil {
				named = append(named, doc.ConnectionName(s.ID))
			}
		}
		if e := doc.SyncConfig.Enrichment; e != nil {
			for _, source := range e.Sources {
				named, typeNames = append(named, source.Connection.Name, source.Type), append(typeNames, source.Type)
			}
		}
	}
	types, err := tx.ConnectionTypes(ctx, named)
	if err != nil {
		return Lookups{}, err
	}
	known, err := tx.SecretsAmong(ctx, secrets)
	if err != nil {
		return Lookups{}, err
	}
	for _, typ := range types {
		typeNames = append(typeNames, typ)
	}
	connectors, err := m.connections.Catalog().FindAll(ctx, tx, typeNames)
	if err != nil {
		return Lookups{}, err
	}
	return Lookups{
		Connector: func(typ string) (connector.Spec, bool) {
			if c, ok := connectors[typ]; ok {
				return c.Spec(), true
			}
			c, err := m.connections.Catalog().Builtin().Get(typ) // a document that cannot be read as a whole is still checked in parts
			if err != nil {
				return connector.Spec{}, false
			}
			return c.Spec(), true
		},
		Secret:     func(name string) bool { return slices.Contains(known, name) },
		Connection: func(name string) (string, bool) { typ, ok := types[name]; return typ, ok },
	}, nil
}

// Validate says what is wrong with a document, without keeping anything. The document is nil when there are errors.
func (m *Manager) Validate(ctx context.Context, who auth.Principal, source []byte, format Format) (doc *Document, found Findings, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, Findings{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		known, err := m.lookups(ctx, tx, source, format, nil)
		if err != nil {
			return err
		}
		if doc, found = Check(source, format, known); doc != nil {
			found = found.and(doc.NotInForce())
		}
		return nil
	})
	return doc, found, err
}

// Preview is what applying a document would do.
type Preview struct {
	Findings    Findings
	Service     *Service // the one there is of that name; nil when it would be made
	Differences []Difference
}

// DiffAgainst says how a document differs from the live revision of the service it names, and what is wrong with it. A
// document with errors has no differences yet.
func (m *Manager) DiffAgainst(ctx context.Context, who auth.Principal, source []byte, format Format) (p Preview, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return Preview{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		known, err := m.lookups(ctx, tx, source, format, nil)
		if err != nil {
			return err
		}
		doc, found := Check(source, format, known)
		if doc != nil {
			found = found.and(doc.NotInForce())
		}
		p = Preview{Findings: found}
		if doc == nil || len(found.Errors) > 0 {
			return nil
		}
		s, err := tx.Service(ctx, doc.Service)
		if fault.KindOf(err) == fault.NotFound {
			p.Differences = Diff(nil, doc)
			return nil
		}
		if err != nil {
			return err
		}
		live, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return err
		}
		p.Service, p.Differences = &s, Diff(live.Document, doc)
		return nil
	})
	return p, err
}

// Get returns a service and its live revision, by public id or name.
func (m *Manager) Get(ctx context.Context, who auth.Principal, ref string) (s Service, r Revision, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return Service{}, Revision{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if s, err = tx.Service(ctx, ref); err != nil {
			return err
		}
		r, err = tx.Revision(ctx, s.ID, s.Revision)
		return err
	})
	return s, r, err
}

// List returns services by name.
func (m *Manager) List(ctx context.Context, who auth.Principal, f Filter) (list []Service, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.Services(ctx, f)
		return err
	})
	return list, err
}

// Revisions lists a service's revisions, newest first, those older than before; 0 begins with the newest.
func (m *Manager) Revisions(ctx context.Context, who auth.Principal, ref string, before, limit int) (list []Revision, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		s, err := tx.Service(ctx, ref)
		if err != nil {
			return err
		}
		list, err = tx.Revisions(ctx, s.ID, before, limit)
		return err
	})
	return list, err
}

// Revision returns one revision of a service.
func (m *Manager) Revision(ctx context.Context, who auth.Principal, ref string, number int) (r Revision, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return Revision{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		s, err := tx.Service(ctx, ref)
		if err != nil {
			return err
		}
		r, err = tx.Revision(ctx, s.ID, number)
		return err
	})
	return r, err
}

// OpenSystem opens the system of that id in the document, for the service's use, and notes what that says of the
// connection's health. detection is the document's wish as far as the connector can.
func (m *Manager) OpenSystem(ctx context.Context, id tenant.ID, _ ID, doc *Document, system, consumer string) (connector.System, connector.Spec, error) {
	name := doc.ConnectionName(system)
	if name == "" {
		return nil, connector.Spec{}, fault.New(fault.Invalid, codeSystemUnknown, "There is no system %q in this document.", system)
	}
	env := connector.Env{Consumer: consumer}
	if s, ok := doc.connectable(system); ok {
		if c, err := m.connections.Catalog().Get(ctx, id, s.Type); err == nil {
			env.Detection = doc.DetectionFor(system, c.Spec().Detections)
		}
	}
	open, spec, err := m.connections.OpenToListen(ctx, id, name, env)
	if ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable {
		return open, spec, err
	}
	// A note only: whether it can be written decides nothing here.
	_ = m.connections.Report(ctx, id, name, err)
	return open, spec, err
}

// OpenToLook opens a system of a document that need not be in force, for reading only. Nothing is noted of it.
func (m *Manager) OpenToLook(ctx context.Context, id tenant.ID, s ID, doc *Document, system, consumer string) (connector.System, connector.Spec, error) {
	in, ok := doc.connectable(system)
	if !ok {
		return nil, connector.Spec{}, fault.New(fault.Invalid, codeSystemUnknown, "There is no system %q in this document.", system)
	}
	c, err := m.connections.Catalog().Get(ctx, id, in.Type)
	if err != nil {
		return nil, connector.Spec{}, err
	}
	env := connector.Env{Consumer: consumer, Detection: doc.DetectionFor(system, c.Spec().Detections)}
	if in.Connection.Settings == nil {
		return m.connections.Open(ctx, id, doc.ConnectionName(system), env)
	}
	return m.connections.OpenInline(ctx, id, uuid.UUID(s), connection.Inline{
		Name: doc.ConnectionName(system), Connector: c.Spec().Type, Settings: ownSettings(c.Spec(), in.Connection.Settings),
	}, env)
}

// emit tells browsers and programs that the service is not what it was.
func emit(ctx context.Context, tx Tx, s Service) error {
	return tx.Emit(ctx, "service.changed", uuid.UUID(s.ID), map[string]any{
		"id": s.ID.Public(), "name": s.Name, "state": s.State, "reason": s.Reason, "revision": s.Revision,
	})
}

func stale(s Service, ifMatch *int64) error {
	if ifMatch == nil || *ifMatch == s.Version {
		return nil
	}
	return fault.New(fault.Stale, "service.version_stale", "Somebody changed the service %s meanwhile. Read it again and repeat your change.", s.Name)
}
