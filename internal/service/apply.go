// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Application is a document to be put into force.
type Application struct {
	Name    string // the service's name as the caller knows it (the address); "" takes the document's
	Source  []byte
	Format  Format
	Note    string // why, for the history
	Draft   bool   // only save it: nothing runs, and a connector that this build lacks is no error
	IfMatch *int64 // the version that was read; nil for whatever is there
	IfNew   bool   // only when there is no service of that name
	Base    *int   // the revision that must be live, 0 for no service: the plan that is carried out is about it
}

// Applied is what came of it.
type Applied struct {
	Service     Service
	Revision    Revision
	Created     bool // the service is new
	Revised     bool // there is a new revision; without one the document is what was in force already
	Differences []Difference
	Notices     []fault.Field
	Run         *Run // the first run that it needs
}

// Apply puts a document into force: a new service, or a new revision of the one of its name. A document that says the same
// as the live one changes nothing. Either all of it happens or nothing.
func (m *Manager) Apply(ctx context.Context, who auth.Principal, a Application) (out Applied, err error) {
	if err := who.May(auth.EditServices); err != nil {
		return Applied{}, err
	}
	doc, err := Parse(a.Source, a.Format)
	if err != nil {
		return Applied{}, err
	}
	if a.Name != "" && a.Name != doc.Service {
		return Applied{}, fault.New(fault.Invalid, "service.name_mismatch", "The document describes the service %s, and the address names %s. Write the same name in both; a service is not renamed.", doc.Service, a.Name).
			At(doc.place("/service", "service.name_mismatch", "This is not the name in the address.", "Write "+a.Name+"."))
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		out, err = m.accept(ctx, tx, who, acceptance{doc: doc, source: string(a.Source), format: a.Format, note: a.Note, draft: a.Draft, ifMatch: a.IfMatch, ifNew: a.IfNew, base: a.Base})
		return err
	})
	return out, err
}

// place makes a field that says where in the source the canonical pointer stands.
func (d *Document) place(canon, code, message, remedy string) fault.Field {
	v := &validation{d: d}
	return v.found(code, canon, 0, message, remedy)
}

// Rollback puts an earlier revision's document into force again, as a new revision.
func (m *Manager) Rollback(ctx context.Context, who auth.Principal, ref string, number int, note string, ifMatch *int64) (out Applied, err error) {
	if err := who.May(auth.EditServices); err != nil {
		return Applied{}, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		s, err := tx.Service(ctx, ref)
		if err != nil {
			return err
		}
		old, err := tx.Revision(ctx, s.ID, number)
		if err != nil {
			return err
		}
		if note == "" {
			note = fmt.Sprintf("Back to revision %d", number)
		}
		// From the source, so that findings name places in it.
		doc, err := Parse([]byte(old.Source), old.Format)
		if err != nil {
			return err
		}
		out, err = m.accept(ctx, tx, who, acceptance{doc: doc, source: old.Source, format: old.Format, note: note, draft: s.State == Draft, ifMatch: ifMatch, back: number})
		return err
	})
	return out, err
}

type acceptance struct {
	doc     *Document
	source  string
	format  Format
	note    string
	draft   bool
	ifMatch *int64
	ifNew   bool
	base    *int
	back    int // the revision rolled back to; 0 for none
}

func (m *Manager) accept(ctx context.Context, tx Tx, who auth.Principal, a acceptance) (Applied, error) {
	// First of all, because a rotation of the key takes its locks in this order too.
	if _, err := tx.TenantKeyToSeal(ctx); err != nil {
		return Applied{}, err
	}
	s, live, err := m.present(ctx, tx, a)
	if err != nil {
		return Applied{}, err
	}
	created := live == nil
	if a.base != nil && *a.base != s.Revision {
		return Applied{}, fault.New(fault.Stale, "plan.moved", "The service %s has revision %d by now; the plan is about %d. Nothing was done. Make a new plan and look at it.", s.Name, s.Revision, *a.base)
	}
	known, err := m.lookups(ctx, tx, nil, a.format, a.doc)
	if err != nil {
		return Applied{}, err
	}
	found := a.doc.Validate(known)
	if a.draft {
		found.Errors = slices.DeleteFunc(found.Errors, func(f fault.Field) bool { return f.Code == CodeConnectorUnavailable })
	}
	if len(found.Errors) == 0 && !a.draft {
		found = found.and(a.doc.NotInForce())
	}
	if err := refusal(found, a.draft); err != nil {
		return Applied{}, err
	}
	if !a.draft {
		if err := m.entitled(ctx, tx, s, a.doc); err != nil {
			return Applied{}, err
		}
	}
	zoneName, err := tx.TenantZone(ctx)
	if err != nil {
		return Applied{}, err
	}
	zone, err := ParseZone(zoneName)
	if err != nil {
		return Applied{}, err
	}

	out := Applied{Created: created, Notices: found.Notices}
	var before *Document
	if live != nil {
		before = live.Document
	}
	out.Differences = Diff(before, a.doc)
	out.Revised = created || len(out.Differences) > 0
	was := s
	switch {
	case a.draft && s.State != Draft:
		return Applied{}, fault.New(fault.Conflict, "service.not_a_draft", "The service %s is %s, so its document cannot be saved as a draft. Apply it, or save it under another name.", s.Name, s.State)
	case !a.draft && s.State != Active && s.State != Paused:
		if s, err = s.To(Active, "", tx.Now()); err != nil {
			return Applied{}, err
		}
	}
	if !out.Revised && s.State == was.State {
		out.Service, out.Revision = s, *live
		return out, nil
	}

	if out.Revised {
		s.Revision++
		out.Revision = Revision{Service: s.ID, Number: s.Revision, Document: a.doc, Source: a.source, Format: a.format, Author: who.Name, Note: a.note, CreatedAt: tx.Now()}
	} else {
		out.Revision = *live
	}
	s.UpdatedAt = tx.Now()
	s = s.planned(a.doc, before, zone, tx.Now())
	if created {
		err = tx.InsertService(ctx, s)
	} else {
		s.Version, err = tx.SaveService(ctx, s)
	}
	if err != nil {
		return Applied{}, err
	}
	if out.Revised {
		if err := tx.InsertRevision(ctx, out.Revision); err != nil {
			return Applied{}, err
		}
	}
	if err := m.own(ctx, tx, s, a.doc); err != nil {
		return Applied{}, err
	}
	if out.Revised && !created {
		if err := m.cleanUp(ctx, tx, s, before, a.doc, live.Number); err != nil {
			return Applied{}, err
		}
	}
	if s.State == Active && (was.State != Active || len(added(before, a.doc)) > 0) {
		if out.Run, err = firstRun(ctx, tx, s, who); err != nil {
			return Applied{}, err
		}
	}
	if err := moved(ctx, tx, s); err != nil {
		return Applied{}, err
	}
	out.Service = s
	action := "service.revised"
	switch {
	case created:
		action = "service.created"
	case a.back > 0:
		action = "service.rolled_back"
	case !out.Revised:
		action = "service.activated"
	}
	detail := map[string]any{"name": s.Name, "revision": s.Revision, "state": s.State, "differences": out.Differences}
	if a.note != "" {
		detail["note"] = a.note
	}
	if a.back > 0 {
		detail["from"] = a.back
	}
	return out, tx.Audit(ctx, who.Did(action, s.ID.Public(), detail))
}

// present locks the service of the document's name, or makes the new one; live is nil then.
func (m *Manager) present(ctx context.Context, tx Tx, a acceptance) (Service, *Revision, error) {
	s, err := tx.LockService(ctx, a.doc.Service)
	if fault.KindOf(err) == fault.NotFound {
		if a.ifMatch != nil {
			return Service{}, nil, fault.New(fault.Stale, "service.version_stale", "There is no service %s any more, or not yet. Leave the precondition out to make it.", a.doc.Service)
		}
		state := Active
		if a.draft {
			state = Draft
		}
		return Service{ID: NewID(), Name: a.doc.Service, State: state, CreatedAt: tx.Now(), Version: 1}, nil, nil
	}
	if err != nil {
		return Service{}, nil, err
	}
	if a.ifNew {
		return Service{}, nil, fault.New(fault.Stale, "service.exists", "There is a service %s already. Read it, and apply your document as a revision of it.", s.Name)
	}
	if err := stale(s, a.ifMatch); err != nil {
		return Service{}, nil, err
	}
	live, err := tx.Revision(ctx, s.ID, s.Revision)
	return s, &live, err
}

// refusal is the fault of findings. A document whose only fault is that this build lacks a connector says so by its code.
func refusal(found Findings, draft bool) error {
	err := found.Err()
	if err == nil {
		return nil
	}
	f := *fault.As(err)
	lacks := func(f fault.Field) bool { return f.Code == CodeConnectorUnavailable }
	if !draft && !slices.ContainsFunc(f.Fields, func(f fault.Field) bool { return !lacks(f) }) {
		f.Code = CodeConnectorUnavailable
		f.Message = f.Fields[0].Message + " Save the document as a draft until it is there."
	}
	return &f
}

// own brings the service's own connections in step with the document.
func (m *Manager) own(ctx context.Context, tx Tx, s Service, doc *Document) error {
	used := doc.connectables()
	types := make([]string, len(used))
	for i, system := range used {
		types[i] = system.Type
	}
	connectors, err := m.connections.Catalog().FindAll(ctx, tx, types)
	if err != nil {
		return err
	}
	var inline []connection.Inline
	for _, system := range used {
		if system.Connection.Settings == nil {
			continue
		}
		c, ok := connectors[system.Type]
		if !ok {
			continue // a draft that waits for its connector
		}
		inline = append(inline, connection.Inline{
			Name: doc.ConnectionName(system.ID), Connector: c.Spec().Type, Settings: ownSettings(c.Spec(), system.Connection.Settings),
		})
	}
	_, err = m.connections.Own(ctx, tx, uuid.UUID(s.ID), inline)
	return err
}

// ownSettings returns the settings of a connection as its connector names them: without those that name the object, and
// with today's names in the place of retired ones.
func ownSettings(spec connector.Spec, written map[string]string) connector.Settings {
	out := make(connector.Settings, len(written))
	for name, value := range written {
		if _, known := spec.Setting(name); !known {
			if slices.Contains(tableSettings, name) {
				continue
			}
			if old, has := retiredSettings[spec.Type]; has && old[0] == name {
				name = old[1]
			}
		}
		out[name] = value
	}
	return out
}

// seat is an object of a system, with what decides whether its cursor can go on.
type seat struct{ system, typ, connection, object string }

func seats(doc *Document) map[seat]bool {
	out := map[seat]bool{}
	if doc == nil {
		return out
	}
	for _, s := range doc.Systems {
		objects := doc.ObjectsOf(s.ID)
		if len(objects) == 0 {
			objects = []Object{{}}
		}
		for _, o := range objects {
			out[seat{s.ID, s.Type, doc.ConnectionName(s.ID), o.Name}] = true
		}
	}
	return out
}

// added lists the seats of b that a does not have.
func added(a, b *Document) []seat {
	has := seats(a)
	var out []seat
	for s := range seats(b) {
		if !has[s] {
			out = append(out, s)
		}
	}
	return out
}

// Joining says which objects take part in b that did not in a, or did so through another connection: their records are read
// from the beginning. A nil document has none.
func Joining(a, b *Document) func(system, object string) bool {
	list := added(a, b)
	return func(system, object string) bool {
		return slices.ContainsFunc(list, func(s seat) bool { return s.system == system && (s.object == "" || s.object == object) })
	}
}

// cleanUp sees to it that what connectors left in systems that do not take part any more goes.
func (m *Manager) cleanUp(ctx context.Context, tx Tx, s Service, before, after *Document, revision int) error {
	var systems []string
	for _, gone := range added(after, before) {
		if !slices.Contains(systems, gone.system) {
			systems = append(systems, gone.system)
		}
	}
	slices.Sort(systems)
	for _, system := range systems {
		if err := tx.Enqueue(ctx, CleanArgs{TenantID: tx.Tenant(), ServiceID: s.ID, Revision: revision, System: record.System(system)}); err != nil {
			return err
		}
	}
	return m.forgetSources(ctx, tx, s, before, after)
}

// forgetSources removes the connections of lookup services that are not in the document any more: nothing is left in those.
func (m *Manager) forgetSources(ctx context.Context, tx Tx, s Service, before, after *Document) error {
	if before == nil || before.SyncConfig.Enrichment == nil {
		return nil
	}
	for _, source := range before.SyncConfig.Enrichment.Sources {
		if source.Connection.Settings == nil || after != nil && after.ConnectionName(source.Name()) == before.ConnectionName(source.Name()) {
			continue
		}
		if err := m.connections.Disown(ctx, tx, uuid.UUID(s.ID), before.ConnectionName(source.Name())); err != nil {
			return err
		}
	}
	return nil
}

// quiet ends a paused service's part in a connection's subscription. A service that went on meanwhile opens its systems anew, which
// listens again.
func (m *Manager) quiet(ctx context.Context, a CleanArgs) (later bool, err error) {
	name, paused := "", false
	look := func(tx Tx) error {
		s, err := tx.LockService(ctx, a.ServiceID.Public())
		if err != nil {
			return err
		}
		if paused = s.State == Paused; !paused {
			return nil
		}
		if later, err = tx.Stopping(ctx, s.ID); err != nil {
			return err
		}
		r, err := tx.Revision(ctx, s.ID, a.Revision)
		if err != nil {
			return err
		}
		name = r.Document.ConnectionName(string(a.System))
		return nil
	}
	if err := m.inTx(ctx, a.TenantID, look); err != nil || later || !paused || name == "" {
		return later, err
	}
	err = m.connections.Leave(ctx, a.TenantID, name, a.ServiceID.Consumer(string(a.System)))
	if fault.IsCode(err, "connection.not_found") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return false, m.inTx(ctx, a.TenantID, func(tx Tx) error {
		if err := look(tx); err != nil || paused {
			return err
		}
		return tx.RestartServicesUsing(ctx, name)
	})
}

// CleanArgs asks a worker to remove what a connector left in a system for a service: the objects of that revision that do
// not take part any more.
type CleanArgs struct {
	TenantID  tenant.ID     `json:"tenantId"`
	ServiceID ID            `json:"serviceId"`
	Revision  int           `json:"revision"`
	System    record.System `json:"system"`
	// Paused asks for no more than that the vendor need not tell of changes while the service is paused.
	Paused bool `json:"paused,omitempty"`
}

// Kind names the job.
func (CleanArgs) Kind() string { return "clean" }

// ChoresPool is the queue of small jobs that any worker does beside its services.
const ChoresPool = "chores"

// Pool names the queue.
func (CleanArgs) Pool() string { return ChoresPool }

// Clean removes what a connector left in a system that the service does not use any more, and then the connection when no
// document holds it. later asks to be called again in a while: a worker is still about to stop. last says that it will not
// be called again if it fails.
func (m *Manager) Clean(ctx context.Context, a CleanArgs, last bool) (later bool, err error) {
	if a.Paused {
		return m.quiet(ctx, a)
	}
	var objects []record.Object
	var name string
	var owned bool
	err = m.inTx(ctx, a.TenantID, func(tx Tx) error {
		s, err := tx.Service(ctx, a.ServiceID.Public())
		if err != nil {
			return err
		}
		if later, err = tx.Stopping(ctx, s.ID); err != nil || later {
			return err
		}
		old, err := tx.Revision(ctx, s.ID, a.Revision)
		if err != nil {
			return err
		}
		live, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return err
		}
		using := seats(live.Document)
		if s.State == Archived {
			using = nil
		}
		system, _ := old.Document.System(string(a.System))
		owned = system.Connection.Settings != nil
		for one := range seats(old.Document) {
			if one.system != string(a.System) {
				continue
			}
			if using[one] { // it is back
				continue
			}
			name = one.connection
			if one.object != "" {
				objects = append(objects, record.Object(one.object))
			}
		}
		return nil
	})
	if err != nil || later || name == "" {
		return later, err
	}
	slices.Sort(objects)
	failed := m.connections.Clean(ctx, a.TenantID, name, a.ServiceID.Consumer(string(a.System)), objects)
	if fault.IsCode(failed, "connection.not_found") {
		failed = nil // nobody can reach it any more
	}
	if failed != nil && !last || !owned {
		return false, failed
	}
	err = m.inTx(ctx, a.TenantID, func(tx Tx) error {
		s, err := tx.LockService(ctx, a.ServiceID.Public())
		if err != nil {
			return err
		}
		live, err := tx.Revision(ctx, s.ID, s.Revision)
		if err != nil {
			return err
		}
		for _, system := range live.Document.connectables() {
			if live.Document.ConnectionName(system.ID) == name {
				return nil // its document, also one that is archived, still holds it
			}
		}
		return m.connections.Disown(ctx, tx, uuid.UUID(s.ID), name)
	})
	if failed != nil {
		return false, failed
	}
	return false, err
}

// firstRun queues the run that reads what is new, unless one is queued already.
func firstRun(ctx context.Context, tx Tx, s Service, who auth.Principal) (*Run, error) {
	open, err := tx.OpenRuns(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range open {
		if r.State == RunQueued && r.Kind == FirstRun {
			return &r, nil
		}
	}
	return queueRun(ctx, tx, s, FirstRun, who.Name)
}

func queueRun(ctx context.Context, tx Tx, s Service, kind RunKind, actor string) (*Run, error) {
	r := Run{ID: NewRunID(), Service: s.ID, Kind: kind, State: RunQueued, Actor: actor, Revision: s.Revision, CreatedAt: tx.Now(), Version: 1}
	if err := tx.InsertRun(ctx, r); err != nil {
		return nil, err
	}
	return &r, emitRun(ctx, tx, r)
}

func emitRun(ctx context.Context, tx Tx, r Run) error {
	return tx.Emit(ctx, "run."+string(r.State), uuid.UUID(r.Service), map[string]any{"id": r.ID.Public(), "kind": r.Kind, "state": r.State, "actor": r.Actor})
}

// moved makes the change count at once: whoever carries the service stops, and it is looked at anew.
func moved(ctx context.Context, tx Tx, s Service) error {
	if err := tx.AskToStop(ctx, s.ID); err != nil {
		return err
	}
	if s.State == Active {
		if err := tx.LetTryAgain(ctx, s.ID); err != nil {
			return err
		}
	}
	if err := emit(ctx, tx, s); err != nil {
		return err
	}
	return tx.Wake(ctx, s.ID)
}
