// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Source is a lookup service of the document: it is asked about records and never holds one.
type Source struct {
	Name    record.System
	New     bool // about new records
	Changed bool // about those that systems changed
	MaxAge  service.Interval
	Limit   int64 // lookups in a period; 0 for any number
	Per     string

	said    service.EnrichmentSource
	allowed []string // entity fields that may be filled; empty for all
}

// Period is when the source's period at a time began.
func (s *Source) Period(now time.Time) time.Time { return periodOf(s.Per, now) }

func periodOf(per string, now time.Time) time.Time {
	now = now.UTC()
	switch per {
	case "hour":
		return now.Truncate(time.Hour)
	case "day":
		return now.Truncate(24 * time.Hour)
	}
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// next is when the period after that one begins.
func (s *Source) next(period time.Time) time.Time {
	switch s.Per {
	case "hour":
		return period.Add(time.Hour)
	case "day":
		return period.AddDate(0, 0, 1)
	}
	return period.AddDate(0, 1, 0)
}

// again is when an answer of now is too old; nil for never.
func (s *Source) again(now time.Time) *time.Time {
	if s.MaxAge == (service.Interval{}) {
		return nil
	}
	at := now.AddDate(0, 0, s.MaxAge.Days).Add(s.MaxAge.Clock)
	return &at
}

// sources reads the document's lookup services.
func sources(doc *service.Document) []*Source {
	e := doc.SyncConfig.Enrichment
	var out []*Source
	for _, said := range doc.Sources() {
		s := &Source{Name: record.System(said.Name()), New: e.OnNewContact || !e.OnUpdate, Changed: e.OnUpdate,
			Limit: said.Limit, Per: said.Per, said: said, allowed: e.Fields}
		s.MaxAge, _ = service.ParseInterval(said.MaxAge) // its form was checked; none holds for ever
		out = append(out, s)
	}
	return out
}

// Lookup is a source compiled against a collection: which question is asked of a record, and what an answer fills.
type Lookup struct {
	*Source
	Seat *Seat // reads answers; the collection does not have it
	Ask  []Asked
	Fill []string // the entity's fields, sorted

	finder connector.Finder
}

// Asked is a part of a question: the entity's field, and what the source calls it.
type Asked struct {
	Native string
	Field  string
	Type   connector.Type
}

const lookupInvalid = "service.enrichment_invalid"

// compile finds the collections that an opened source completes.
func (s *Source) compile(doc *service.Document, p *Plan, o Opened) ([]*Lookup, error) {
	finder, ok := o.System.(connector.Finder)
	if !ok {
		return nil, fault.New(fault.Invalid, lookupInvalid, "%s cannot be asked for single records, so it is no source of enrichment.", o.Spec.Title)
	}
	var out []*Lookup
	var why error
	for _, c := range p.Collections {
		if s.said.Collection != "" && s.said.Collection != c.Name {
			continue
		}
		l, err := s.compileFor(doc, c, o)
		if err != nil {
			why = err
			continue
		}
		l.finder = finder
		out = append(out, l)
	}
	switch {
	case len(out) > 0 && (why == nil || s.said.Collection == ""):
		return out, nil
	case why != nil:
		return nil, why
	}
	return nil, fault.New(fault.Invalid, lookupInvalid, "There is no collection %q for %s to complete.", s.said.Collection, s.Name)
}

func (s *Source) compileFor(doc *service.Document, c *Collection, o Opened) (*Lookup, error) {
	info, err := s.object(c, o)
	if err != nil {
		return nil, err
	}
	plan, err := mapping.Compile(info, s.fields(doc, c, info), maps.Clone(c.types), nil)
	if err != nil {
		return nil, fault.New(fault.Invalid, lookupInvalid, "What is asked of %s does not fit its %s: %v.", s.Name, info.Name, err)
	}
	l := &Lookup{Source: s, Seat: &Seat{System: s.Name, Object: info.Name, Collection: c, Info: info, Map: plan, Open: o.System}}
	for _, native := range s.question(info, plan) {
		f, known := info.Field(native)
		if !known && !info.Open {
			return nil, fault.New(fault.Invalid, lookupInvalid, "%s has no field %s to ask by.", s.Name, native)
		}
		field := s.said.Ask[native]
		if field == "" {
			field = entityOf(plan, native)
		}
		if field == "" || !c.has(field) {
			return nil, fault.New(fault.Invalid, lookupInvalid, "The records of %s have no field %s, which %s is asked by. Name it in `ask`.", c.Name, or(field, native), s.Name)
		}
		l.Ask = append(l.Ask, Asked{Native: native, Field: field, Type: f.Type})
	}
	if len(l.Ask) == 0 {
		return nil, fault.New(fault.Invalid, lookupInvalid, "Nothing says which fields of %s are asked by. Name them in `ask`.", s.Name)
	}
	for _, f := range plan.Fields() {
		if l.fills(f) {
			l.Fill = append(l.Fill, f)
		}
	}
	if len(l.Fill) == 0 {
		return nil, fault.New(fault.Invalid, lookupInvalid, "Answers of %s would fill no field of %s. Name some in `fill`.", s.Name, c.Name)
	}
	slices.Sort(l.Fill)
	return l, nil
}

// object is what the source is asked for: what the document names, what is of the collection's model, or the only one there is.
func (s *Source) object(c *Collection, o Opened) (connector.ObjectInfo, error) {
	for _, info := range o.Objects {
		if s.said.Object == string(info.Name) || s.said.Object == "" && info.Model != "" && c.models(info.Model) {
			return info, nil
		}
	}
	if s.said.Object == "" && len(o.Objects) == 1 {
		return o.Objects[0], nil
	}
	return connector.ObjectInfo{}, fault.New(fault.Invalid, lookupInvalid, "What is asked of %s about %s? Name it in `object`.", s.Name, c.Name)
}

// fields are the pairs of the entity's and the source's fields: what the document says, then fields of equal name and the
// bindings of a model. A field of the source is taken once.
func (s *Source) fields(doc *service.Document, c *Collection, info connector.ObjectInfo) []mapping.Field {
	var out []mapping.Field
	named, taken := map[string]bool{}, map[string]bool{}
	for _, said := range []map[string]string{s.said.Ask, s.said.Fill} {
		for _, native := range sortedKeys(said) {
			if field := said[native]; !named[field] {
				out = append(out, mapping.Field{Entity: field, Names: []string{native}, Must: true})
				named[field], taken[mapping.Column(native)] = true, true
			}
		}
	}
	usual := fieldsOf(doc, string(s.Name), string(info.Name))
	if usual == nil {
		for _, f := range c.fields() {
			usual = append(usual, mapping.Field{Entity: f, Names: []string{f}})
		}
	}
	for _, f := range withBindings(info, usual, nil) {
		if named[f.Entity] || len(s.said.Fill) > 0 && len(s.said.Ask) > 0 {
			continue
		}
		i := slices.IndexFunc(f.Names, func(n string) bool {
			return slices.ContainsFunc(info.Fields, func(x connector.FieldInfo) bool { return plainName(x.Name) == plainName(mapping.Column(n)) })
		})
		if i < 0 || taken[f.Names[i]] || !strings.ContainsAny(f.Names[i], ".[") && taken[mapping.Column(f.Names[i])] {
			continue
		}
		f.Names = f.Names[i : i+1]
		out = append(out, f)
		named[f.Entity], taken[f.Names[0]] = true, true
	}
	return out
}

// models says whether the collection's records are of the model.
func (c *Collection) models(model string) bool {
	for _, s := range c.Seats {
		if s.Info.Model == model {
			return true
		}
	}
	return c.Class == model
}

// question lists the source's fields that make the question.
func (s *Source) question(info connector.ObjectInfo, plan *mapping.Plan) []string {
	if len(s.said.Ask) > 0 {
		return sortedKeys(s.said.Ask)
	}
	for _, wanted := range identities[info.Model] {
		for _, f := range plan.Fields() {
			if plainName(f) == plainName(wanted) {
				return []string{plan.Native(f)}
			}
		}
	}
	return info.Key
}

func entityOf(plan *mapping.Plan, native string) string {
	for _, f := range plan.Fields() {
		if plan.Native(f) == native {
			return f
		}
	}
	return ""
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// fields are the entity's fields that any system has, each once.
func (c *Collection) fields() []string {
	known := map[string]bool{}
	for _, s := range c.Seats {
		for _, f := range s.Map.Fields() {
			known[f] = true
		}
	}
	return sortedKeys(known)
}

func (c *Collection) has(field string) bool { return slices.Contains(c.fields(), field) }

// fills says whether answers may fill the entity's field: never what records are recognised or asked by, what a rule computes, or
// what names another record.
func (l *Lookup) fills(field string) bool {
	c := l.Seat.Collection
	if slices.Contains(c.MatchFields, field) || c.computes(field) || slices.ContainsFunc(l.Ask, func(a Asked) bool { return a.Field == field }) ||
		len(l.allowed) > 0 && !slices.Contains(l.allowed, field) {
		return false
	}
	for _, s := range c.Seats {
		if slices.ContainsFunc(s.Refs, func(r Reference) bool { return r.Field == field }) {
			return false
		}
	}
	if len(l.said.Fill) == 0 {
		return true
	}
	for _, f := range l.said.Fill {
		if f == field {
			return true
		}
	}
	return false
}

// Query is the question about an entity in the source's terms, nil when the entity lacks a part of it.
func (l *Lookup) Query(fields record.Fields) record.Fields {
	out := make(record.Fields, len(l.Ask))
	for _, a := range l.Ask {
		v := fields[a.Field]
		if blank(v) {
			return nil
		}
		if a.Type != "" {
			native, err := mapping.Convert(v, a.Type)
			if err != nil {
				return nil
			}
			v = native
		}
		out[a.Native] = v
	}
	return out
}

// questionKey tells questions apart without saying what they are about; "" for none.
func questionKey(query record.Fields) string {
	if query == nil {
		return ""
	}
	sum := sha256.Sum256(record.AppendJSON(nil, map[string]any(query)))
	return hex.EncodeToString(sum[:16])
}

// Question is the key of the question about an entity, "" when it has none.
func (l *Lookup) Question(e *record.Entity) string { return questionKey(l.Query(e.Fields)) }

func blank(v record.Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// Wants says whether an answer could fill anything.
func (l *Lookup) Wants(e *record.Entity) bool {
	for _, f := range l.Fill {
		if l.open(e, f, nil) || l.said.Overwrite && !e.IsHeld(f) {
			return true
		}
	}
	return false
}

// open says whether the field may be filled: it is empty, or the source itself said what is there, or, where systems' values are
// replaced, it is as it was when the source was asked.
func (l *Lookup) open(e *record.Entity, field string, asked record.Fields) bool {
	present := e.Fields[field]
	switch {
	case e.IsHeld(field):
		return false
	case blank(present):
		return true
	case e.StampOf(field).System == l.Name:
		return true
	}
	return asked != nil && l.said.Overwrite && record.Equal(asked[field], present)
}

// LookedUp is what a source said of an entity.
type LookedUp struct {
	Entity *record.Entity // as it is now
	Asked  record.Fields  // the entity's fields when the source was asked
	Said   record.Fields  // in the entity's terms
}

// Enrich decides what answers mean for the entities, and which of them it filled a field of. It is a function of its arguments,
// like Apply.
func Enrich(l *Lookup, answers []LookedUp, acting []Acting, now time.Time, cause uuid.UUID) (out Outcome, filled map[record.EntityID]bool) {
	b := newBatch(l.Seat, Loaded{Acting: acting}, now, cause)
	filled = make(map[record.EntityID]bool)
	c := l.Seat.Collection
	for _, a := range answers {
		e := a.Entity
		if e.DeletedAt != nil || e.IsMerged() {
			continue
		}
		before, after := record.Fields{}, record.Fields{}
		for _, f := range l.Fill {
			v := a.Said[f]
			if c.CleanField != nil {
				v = c.CleanField(f, v)
			}
			if blank(v) || !l.open(e, f, a.Asked) || record.Equal(v, e.Fields[f]) {
				continue
			}
			if c.CheckField != nil && c.CheckField(f, v) != nil {
				continue // a bad answer is none
			}
			before[f], after[f] = e.Fields[f], v
		}
		if len(after) == 0 {
			continue
		}
		change := &record.Change{At: now}
		b.before(e)
		for _, f := range sortedKeys(after) {
			b.setField(e, nil, f, after[f], record.Stamp{System: l.Name, At: now})
		}
		b.journal(e, record.Updated, before, after)
		b.oweAll(e, change)
		filled[e.ID] = true
	}
	b.collect()
	return b.out, filled
}

// yields says whether the field's value is an answer of a source: what a system says goes before it, without a conflict.
func (b *batch) yields(e *record.Entity, field string) bool {
	return b.seat.Collection.sources[e.StampOf(field).System]
}

// LookupFigures are how a source does in a period.
type LookupFigures struct {
	Source    record.System
	Connector string
	LookupCount
	Waiting      int64     // records that it is to be asked about now
	Limit        int64     // 0 for none
	Since        time.Time // when the period began
	Until        time.Time // when the next one begins
	FailingSince *time.Time
	ErrorCode    string
	Error        string
}

// Left is how many lookups the period still allows; -1 for any number.
func (f *LookupFigures) Left() int64 {
	if f.Limit == 0 {
		return -1
	}
	return max(0, f.Limit-f.Asked)
}

// Lookups says how the lookup services of a service do, in the document's order.
func (r *Reader) Lookups(ctx context.Context, who auth.Principal, s service.ID) (list []LookupFigures, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) error {
		_, doc, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		for _, source := range sources(doc) {
			since := source.Period(tx.Now())
			f, err := tx.Lookups(ctx, s, source.Name, since)
			if err != nil {
				return err
			}
			f.Source, f.Connector, f.Limit, f.Since, f.Until = source.Name, source.said.Type, source.Limit, since, source.next(since)
			list = append(list, f)
		}
		return nil
	})
}
