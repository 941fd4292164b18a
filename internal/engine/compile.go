// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Opened is a system of a document, connected.
type Opened struct {
	System  connector.System
	Spec    connector.Spec
	Objects []connector.ObjectInfo            // those that the document names, as discovered
	Held    map[record.Object]map[string]bool // fields that are left alone because of a schema change
}

// openAll connects the systems, discovers their objects and compiles the plan. What it opened is returned in any case, to
// be closed.
func (f *flow) openAll(ctx context.Context, doc *service.Document) (closers []connector.System, err error) {
	opened := make(map[record.System]Opened)
	wanted := objectNames(doc)
	f.objects = wanted
	for _, id := range doc.SystemIDs() {
		system := record.System(id)
		sys, spec, err := f.engine.open.OpenSystem(ctx, f.tenant, f.guard.Service, doc, id, f.guard.Service.Consumer(id))
		if err != nil {
			return closers, f.trouble(ctx, system, err)
		}
		closers = append(closers, sys)
		o := Opened{System: sys, Spec: spec}
		d, ok := sys.(connector.Discoverer)
		if !ok {
			return closers, f.trouble(ctx, system, fmt.Errorf("connector %s cannot describe its objects", spec.Type))
		}
		if len(wanted[system]) > 0 {
			if o.Objects, err = d.Describe(ctx, wanted[system]...); err != nil {
				return closers, f.trouble(ctx, system, err)
			}
		}
		opened[system] = o
	}
	if err := f.reshape(ctx, doc, opened); err != nil {
		return closers, err
	}
	f.plan, err = Compile(doc, opened)
	if err != nil {
		return closers, f.trouble(ctx, record.System(doc.Primary().ID), asConnectorError(err))
	}
	f.plan.Service, f.plan.Revision = f.guard.Service, f.guard.Revision
	return closers, nil
}

// asConnectorError lets a fault of the document reach people as it is.
func asConnectorError(err error) error {
	if ft := fault.As(err); ft != nil {
		return &connector.Error{Class: connector.Drift, Code: ft.Code, Message: ft.Message, Err: err}
	}
	return err
}

// objectNames lists the objects that each system takes part with. A system that names none takes the name that the others
// of its collection have.
func objectNames(doc *service.Document) map[record.System][]record.Object {
	out := make(map[record.System][]record.Object)
	for _, c := range doc.Collections() {
		if !c.Shared() {
			continue
		}
		for _, m := range c.Members {
			if name := memberObject(c, m); name != "" {
				out[record.System(m.System)] = append(out[record.System(m.System)], name)
			}
		}
	}
	return out
}

func memberObject(c service.Collection, m service.Member) record.Object {
	if m.Object != "" {
		return record.Object(m.Object)
	}
	for _, other := range c.Members {
		if other.Object != "" {
			return record.Object(other.Object)
		}
	}
	return ""
}

// Compile joins a document with its systems as they are.
func Compile(doc *service.Document, opened map[record.System]Opened) (_ *Plan, err error) {
	p := &Plan{Name: doc.Service, Realtime: doc.Schedule().Kind == service.Realtime, Quiet: doc.Quiet(), Transactional: doc.ConsistencyLevel() == service.Transactional, MaxDelay: doc.MaxDelay(), BatchSize: doc.SyncConfig.BatchSize, Proof: doc.ProofEvery()}
	if p.BatchSize == 0 {
		p.BatchSize = defaultBatch
	}
	if p.Alerts, err = alertRules(doc); err != nil {
		return nil, err
	}
	for _, c := range doc.Collections() {
		if !c.Shared() {
			continue
		}
		coll, err := compileCollection(doc, c, opened)
		if err != nil {
			return nil, err
		}
		p.Collections = append(p.Collections, coll)
	}
	if err := p.refer(doc); err != nil {
		return nil, err
	}
	p.Sources = sources(doc)
	for _, id := range doc.SystemIDs() {
		for _, c := range p.Collections {
			if s := c.Seats[record.System(id)]; s != nil {
				p.Seats = append(p.Seats, s)
			}
		}
	}
	if len(p.Seats) == 0 {
		return nil, fault.New(fault.Invalid, "service.nothing_shared", "No object is held by two systems of this service, so there is nothing to sync. Name the objects of each system, and give those that belong together one mapping.")
	}
	return p, archivable(doc, p)
}

// archivable refuses a document whose duplicates are to be archived where no system can be given the field. Where only some cannot, these
// keep theirs: one that is left alone does less harm than a service that does not work.
func archivable(doc *service.Document, p *Plan) error {
	if doc.LoserFate() != service.LoserArchive || doc.Likeness() == nil {
		return nil
	}
	field := doc.SyncConfig.Deletes.ArchiveField
	for _, s := range p.Seats {
		if s.Writes && s.Map.Writable(field) {
			return nil
		}
	}
	return fault.New(fault.Invalid, "service.archive_field_missing", "Duplicates are to be archived, but no system of this service can be given the archive field %s. Map it to a field that can be written, or write `losers: keep`.", field)
}

func compileCollection(doc *service.Document, c service.Collection, opened map[record.System]Opened) (*Collection, error) {
	referring := referringFields(doc, c.Name)
	coll := &Collection{Name: c.Name, Class: c.Model, Complex: doc.Complex(), Seats: make(map[record.System]*Seat), Deletes: DeletePolicy(doc.DeletePolicy()), Likeness: doc.Likeness()}
	if d := doc.SyncConfig.Deletes; d != nil {
		coll.ArchiveField = d.ArchiveField
		coll.ArchiveValue = true
		if d.ArchiveValue.Given {
			coll.ArchiveValue = d.ArchiveValue.Value
		}
	}
	// The primary comes first: it names the entity's types.
	members := slices.Clone(c.Members)
	primary := doc.Primary().ID
	slices.SortStableFunc(members, func(a, b service.Member) int {
		switch {
		case a.System == primary && b.System != primary:
			return -1
		case b.System == primary && a.System != primary:
			return 1
		}
		return 0
	})
	types := make(map[string]mapping.Kind)
	for _, m := range members {
		system := record.System(m.System)
		if coll.Seats[system] != nil {
			return nil, fault.New(fault.Invalid, "service.object_twice", "System %s takes part in %s with two objects. An entity has one record per system: give the objects mappings of their own.", m.System, c.Name)
		}
		name := memberObject(c, m)
		o := opened[system]
		i := slices.IndexFunc(o.Objects, func(info connector.ObjectInfo) bool { return info.Name == name })
		if i < 0 {
			return nil, fault.New(fault.Invalid, "service.object_missing", "System %s names no object for %s. Add objects to the system, or a table to its connection.", m.System, c.Name)
		}
		info := o.Objects[i]
		info, fields, withheld := withhold(info, fieldsIn(doc, m, name, info), o.Held[name])
		info, refs, err := referring.of(info, fields)
		if err != nil {
			return nil, fault.New(fault.Invalid, "mapping.invalid", "The mapping of %s in %s does not fit: %v.", name, m.System, err)
		}
		zone, err := doc.ZoneOf(m.System)
		if err != nil {
			return nil, err
		}
		plan, err := mapping.Compile(info, fields, types, zone)
		if err != nil {
			return nil, fault.New(fault.Invalid, "mapping.invalid", "The mapping of %s in %s does not fit: %v.", name, m.System, err)
		}
		coll.Seats[system] = &Seat{System: system, Object: name, Collection: coll, Info: info, Map: plan, Open: o.System, Premium: o.Spec.Class == "premium", Refs: refs, Withheld: withheld}
	}
	coll.types = types
	if e := doc.SyncConfig.Enrichment; e != nil {
		coll.sources = make(map[record.System]bool)
		for _, s := range e.Sources {
			coll.sources[record.System(s.Name())] = true
		}
	}
	coll.Flows = flows(doc, coll)
	for _, s := range coll.Seats {
		_, canWrite := s.Open.(connector.Writer)
		for _, other := range coll.Seats {
			if other == s {
				continue
			}
			s.Reads = s.Reads || coll.flowsAny(s.System, other)
			s.Writes = s.Writes || canWrite && coll.flowsAny(other.System, s)
		}
	}
	if err := matchFields(doc, c, coll, primary); err != nil {
		return nil, err
	}
	conditions := slices.Clone(doc.SyncConfig.FilterConditions)
	for _, s := range coll.Seats {
		for _, o := range doc.ObjectsOf(string(s.System)) {
			if o.Name == string(s.Object) {
				conditions = append(conditions, o.Filter...)
			}
		}
	}
	var err error
	if coll.Admit, err = filter(conditions); err != nil {
		return nil, fault.New(fault.Invalid, "service.filter_invalid", "A filter condition cannot be used: %v.", err)
	}
	if coll.Brake, err = NewBrake(doc.SyncConfig.SafetyThreshold); err != nil {
		return nil, err
	}
	if coll.Rule, err = rules(doc); err != nil {
		return nil, err
	}
	if err := compileQuality(doc, coll); err != nil {
		return nil, err
	}
	if err := compileRoutes(doc, coll); err != nil {
		return nil, err
	}
	return coll, compileActions(doc, coll)
}

// fieldsIn are the candidates for the fields of a member's object; nil when fields of equal name are one.
func fieldsIn(doc *service.Document, m service.Member, name record.Object, info connector.ObjectInfo) []mapping.Field {
	return withBindings(info, withRuleFields(doc, m.System, fieldsOf(doc, m.System, string(name))), doc.SyncConfig.FilterConditions)
}

// fieldsOf turns the document's mapping into candidates for package mapping; nil when the document says nothing, so that
// fields of equal name are one.
func fieldsOf(doc *service.Document, system, object string) []mapping.Field {
	named := doc.FieldMapOf(system, object)
	if named == nil {
		return nil
	}
	out := []mapping.Field{}
	for _, m := range named {
		switch {
		case m.External != "":
			// Shows the link's key; nothing to map.
		case m.PerSystem:
			out = append(out, mapping.Field{Entity: m.Field, Names: []string{m.Alias}, Must: true})
		default:
			out = append(out, mapping.Field{Entity: m.Field, Names: []string{m.Field, m.Alias}})
		}
	}
	return out
}

// flows asks the document once for every pair and field, so that asking again costs a look-up.
func flows(doc *service.Document, coll *Collection) func(from, to record.System, field string) bool {
	type way struct {
		from, to record.System
		field    string
	}
	known := make(map[way]bool)
	fields := map[string]bool{record.WholeRecord: true}
	for _, s := range coll.Seats {
		for _, f := range s.Map.Fields() {
			fields[f] = true
		}
	}
	for from := range coll.Seats {
		for f := range fields {
			for _, to := range doc.SystemsReceivingIn(coll.Name, string(from), f) {
				known[way{from, record.System(to), f}] = true
			}
		}
	}
	return func(from, to record.System, field string) bool {
		return from == record.Person || known[way{from, to, field}]
	}
}

// matchFields takes the document's, else the fields of the primary's key where every system has them, else those of
// another system's key. Without any, records could not be recognised again after a crash, so there must be some.
func matchFields(doc *service.Document, c service.Collection, coll *Collection, primary string) error {
	if fields := doc.MatchFieldsOf(c); len(fields) > 0 {
		for _, s := range coll.Seats {
			for _, f := range fields {
				if !s.Map.Has(f) {
					return fault.New(fault.Invalid, "service.match_field_missing", "The match field %s is not a field of %s in %s. Map it there, or match by other fields.", f, s.Object, s.System)
				}
			}
		}
		coll.MatchFields = fields
		return nil
	}
	order := []*Seat{coll.Seats[record.System(primary)]}
	for _, id := range doc.SystemIDs() {
		if id != primary {
			order = append(order, coll.Seats[record.System(id)])
		}
	}
	for _, s := range order {
		if s == nil || len(s.Map.Key()) == 0 {
			continue
		}
		shared := true
		for _, other := range coll.Seats {
			for _, f := range s.Map.Key() {
				shared = shared && other.Map.Has(f)
			}
		}
		if shared {
			coll.MatchFields = s.Map.Key()
			return nil
		}
	}
	if fields := modelIdentity(coll); len(fields) > 0 {
		coll.MatchFields = fields
		return nil
	}
	return fault.New(fault.Invalid, "service.match_fields_missing", "Nothing says which records of %s are the same in two systems: no system's key is a field of the others. Name such fields in syncConfig.matchFields.", coll.Name)
}

// rules compiles the conflict strategies.
func rules(doc *service.Document) (func(string) conflict.Rule, error) {
	ids := doc.SystemIDs()
	rank := service.Rank(ids)
	of := func(field string) (conflict.Rule, error) {
		st := doc.StrategyFor(field)
		r := conflict.Rule{Source: record.System(doc.Primary().ID), System: record.System(st.System), Rank: rank, Weights: make(map[record.System]int)}
		for id, w := range st.Weights {
			r.Weights[record.System(id)] = w
		}
		for _, id := range st.Priority {
			r.Priority = append(r.Priority, record.System(id))
		}
		strategy, ok := strategies[st.Kind]
		if !ok {
			return r, fault.New(fault.Invalid, "service.strategy_unavailable", "The conflict strategy %q is not available yet.", st.Kind)
		}
		r.Strategy, r.Arrays, r.Key = strategy, conflict.Arrays(st.Arrays), st.ArrayKey
		if strategy == conflict.Custom {
			var err error
			if r.Custom, err = custom(doc, st.Expression); err != nil {
				return r, err
			}
		}
		return r, nil
	}
	byField := make(map[string]conflict.Rule)
	if c := doc.SyncConfig.ConflictResolution; c != nil {
		for field := range c.Fields {
			r, err := of(field)
			if err != nil {
				return nil, err
			}
			byField[field] = r
		}
	}
	general, err := of("")
	if err != nil {
		return nil, err
	}
	return func(field string) conflict.Rule {
		if r, ok := byField[field]; ok {
			return r
		}
		return general
	}, nil
}

var strategies = map[service.StrategyKind]conflict.Strategy{
	service.LastWriteWins:  conflict.LastWriteWins,
	service.FirstWriteWins: conflict.FirstWriteWins,
	service.SourceWins:     conflict.SourceWins,
	service.TargetWins:     conflict.TargetWins,
	service.SystemWins:     conflict.SystemWins,
	service.Weighted:       conflict.Weighted,
	service.FieldPriority:  conflict.FieldPriority,
	service.Merge:          conflict.Merge,
	service.Average:        conflict.Average,
	service.Custom:         conflict.Custom,
	service.Manual:         conflict.Manual,
}
