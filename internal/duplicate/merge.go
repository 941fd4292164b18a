// SPDX-License-Identifier: Apache-2.0

package duplicate

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Wish is what a person says about a merge beyond the document.
type Wish struct {
	Records  []record.EntityID // of a group, those that are one; empty: all of it
	Survivor record.EntityID   // zero: the strategy chooses
	Strategy match.Strategy    // "": the document's
	Fields   record.Fields     // values that count, whoever has them; each must be one of theirs
	Losers   service.LoserFate
	Reason   string
	Version  int64  // of the pair that was looked at; 0 to take it as it is
	Stamp    string // of the group that was looked at; "" to take it as it is
}

// Merge is what a merge did, as its undoing needs it.
type Merge struct {
	Survivor record.EntityID         `json:"survivor"`
	Loser    record.EntityID         `json:"loser"`
	Strategy match.Strategy          `json:"strategy"`
	Fate     service.LoserFate       `json:"fate"`
	Before   record.Fields           `json:"before"` // of the survivor's fields that changed
	After    record.Fields           `json:"after"`
	Fields   record.Fields           `json:"fields"` // the loser's
	Stamps   map[string]record.Stamp `json:"stamps,omitempty"`
	MatchKey string                  `json:"matchKey,omitempty"` // the loser's
	Twin     bool                    `json:"twin,omitempty"`     // the loser was held back because of the pair
	Moved    []record.System         `json:"moved,omitempty"`    // systems whose record went over to the survivor
	Left     []record.System         `json:"left,omitempty"`     // systems in which both had one
	Archived record.Fields           `json:"archived,omitempty"` // the archive field as it was
	Steps    []Merge                 `json:"steps,omitempty"`    // of three records and more: one after the other, each into the survivor
	Undone   *time.Time              `json:"undone,omitempty"`
	By       string                  `json:"by,omitempty"`
}

// steps are the merges of two that it is made of.
func (m *Merge) steps() []Merge {
	if len(m.Steps) > 0 {
		return m.Steps
	}
	return []Merge{*m}
}

// Entities are the records that became one, who stayed first.
func (m *Merge) Entities() []record.EntityID {
	ids := []record.EntityID{m.Survivor}
	for _, step := range m.steps() {
		ids = append(ids, step.Loser)
	}
	return ids
}

// Join makes one record of the pair: by rule as the document says, else as the person wishes. Faults: duplicate.not_found,
// duplicate.not_open, duplicate.version_stale, duplicate.wish_invalid, duplicate.busy, duplicate.in_conflict.
func (m *Manager) Join(ctx context.Context, who auth.Principal, id uuid.UUID, w Wish) (Pair, error) {
	return m.decide(ctx, who, id, "merged", func(tx Tx, p *Pair, doc *service.Document) error { return m.join(ctx, tx, p, doc, w, who.Name) })
}

func (m *Manager) join(ctx context.Context, tx Tx, p *Pair, doc *service.Document, w Wish, by string) error {
	switch {
	case !p.State.waits():
		return notOpen(*p)
	case w.Version != 0 && w.Version != p.Version:
		return fault.New(fault.Stale, "duplicate.version_stale", "Somebody decided about this pair, or it was compared again, since you looked at it. Look again; nothing was merged.")
	}
	done, wrote, err := m.unify(ctx, tx, p.Service, doc, p.Records[:], w, p.ID, by)
	if err != nil {
		return err
	}
	p.State, p.Merge, p.Act, p.Reason, p.Wrote = Merged, &done, p.ID, w.Reason, wrote
	return m.handOver(ctx, tx, p, doc, by)
}

// handOver lets who stayed wait in the place of those that were merged into it. Who waited with one of these, and was told apart from
// the survivor before, waits for nothing any more.
func (m *Manager) handOver(ctx context.Context, tx Tx, p *Pair, doc *service.Document, by string) error {
	others, err := tx.HandOver(ctx, p.Service, p.Act, p.Merge.Survivor, p.Merge.Entities()[1:])
	if err != nil || len(others) == 0 {
		return err
	}
	list, err := tx.LockEntities(ctx, p.Service, others)
	if err != nil {
		return err
	}
	released, err := m.release(ctx, tx, p.Service, doc, list, p.Act, by)
	p.Wrote = p.Wrote.And(released)
	return err
}

// intent is what a merge is going to do.
type intent struct {
	match.Merged
	strategy match.Strategy
	fate     service.LoserFate
	archive  string // the field, where the service has one
	mark     record.Value
}

// intend finds what a merge of the records does as the document and the person say. It is a function of its arguments.
func intend(doc *service.Document, list []*record.Entity, w Wish) (intent, error) {
	out := intent{fate: doc.LoserFate()}
	choice := doc.MergeChoice()
	if w.Strategy != "" {
		if !slices.Contains(match.Strategies, w.Strategy) {
			return out, wishInvalid("/strategy", "There is no merge strategy %q.", w.Strategy)
		}
		choice.Strategy, choice.Fields = w.Strategy, nil
	}
	if !w.Survivor.IsZero() && !slices.ContainsFunc(list, func(e *record.Entity) bool { return e.ID == w.Survivor }) {
		return out, wishInvalid("/survivor", "The record that stays is one of those that are merged.")
	}
	choice.Survivor = w.Survivor
	out.Merged, out.strategy = match.Merge(list, choice), choice.Strategy
	for f, v := range w.Fields {
		i := slices.IndexFunc(list, func(e *record.Entity) bool { return record.Equal(v, e.Fields[f]) })
		if i < 0 {
			return out, wishInvalid("/fields", "%s is what none of the records holds. Merge them first, then edit the record.", f)
		}
		out.Fields[f], out.From[f] = v, list[i].ID
	}
	if w.Losers != "" {
		out.fate = w.Losers
	}
	if d := doc.SyncConfig.Deletes; d != nil && d.ArchiveField != "" {
		out.archive, out.mark = d.ArchiveField, true
		if d.ArchiveValue.Given {
			out.mark = d.ArchiveValue.Value
		}
	}
	if out.fate == service.LoserArchive && out.archive == "" {
		return out, wishInvalid("/losers", "The service names no archive field: set `deletes: {archiveField: ...}` in its document, or keep the second record.")
	}
	return out, nil
}

// unify makes one record of several, which are locked, and says what it did and which lines of the history it wrote.
func (m *Manager) unify(ctx context.Context, tx Tx, s service.ID, doc *service.Document, list []*record.Entity, w Wish, act uuid.UUID, by string) (done Merge, wrote record.Span, err error) {
	ids := make([]record.EntityID, len(list))
	for i, e := range list {
		switch {
		case e == nil || e.DeletedAt != nil:
			return done, wrote, fault.New(fault.Conflict, "duplicate.not_open", "One of the records is not there any more.")
		case slices.ContainsFunc(e.Held, func(f string) bool { return f != record.Twin }):
			return done, wrote, fault.New(fault.Conflict, "duplicate.in_conflict", "One of the records waits for another decision: a conflict, or an approval. Decide that first.")
		}
		ids[i] = e.ID
	}
	plan, err := intend(doc, list, w)
	if err != nil {
		return done, wrote, err
	}
	if busy, err := tx.Quiesce(ctx, s, ids); err != nil {
		return done, wrote, err
	} else if busy {
		return done, wrote, fault.New(fault.Conflict, "duplicate.busy", "A change of one of the records is being sent right now. Try again in a moment; nothing was merged.")
	}
	now := tx.Now()
	var steps []Merge
	var entries []record.Entry
	var usage []billing.UsageEvent
	for _, loser := range plan.Losers {
		step, lines := unite(plan.Survivor, loser, plan.Fields, plan.fate, plan.archive, plan.mark, doc.MatchFields(), now)
		step.Strategy, step.By = plan.strategy, by
		steps, entries = append(steps, step), append(entries, lines...)
		usage = append(usage, billing.RecordsDeleted(lines[len(lines)-1].ID.String(), now, uuid.UUID(s), record.Object(loser.Collection), classOf(doc, loser.Collection), 1))
	}
	done = steps[0]
	if len(steps) > 1 {
		done = Merge{Survivor: plan.Survivor.ID, Strategy: plan.strategy, Fate: plan.fate, By: by, Steps: steps}
	}
	if err := m.save(ctx, tx, s, doc, list, entries, act, by); err != nil {
		return done, wrote, err
	}
	return done, record.SpanOf(entries), tx.AddUsage(ctx, usage)
}

// save writes records whose copies moved between them, with the lines of their history.
func (m *Manager) save(ctx context.Context, tx Tx, s service.ID, doc *service.Document, list []*record.Entity, entries []record.Entry, act uuid.UUID, by string) error {
	for i := range entries {
		entries[i].Actor, entries[i].Cause = by, act
	}
	return tx.SaveMerged(ctx, s, list, entries, doc.SystemIDs())
}

func wishInvalid(pointer, format string, args ...any) error {
	f := fault.New(fault.Invalid, "duplicate.wish_invalid", format, args...)
	return f.At(fault.Field{Pointer: pointer, Message: fault.As(f).Message})
}

// classOf is the collection's data class: its model.
func classOf(doc *service.Document, collection string) string {
	for _, c := range doc.Collections() {
		if c.Name == collection {
			return c.Model
		}
	}
	return ""
}

// unite makes one record of two: the survivor gets the fields and the loser's records of systems in which it has none. Apart
// from ids of history lines it is a function of its arguments.
func unite(s, l *record.Entity, fields record.Fields, fate service.LoserFate, archive string, mark record.Value, matchFields []string, now time.Time) (m Merge, entries []record.Entry) {
	m = Merge{Survivor: s.ID, Loser: l.ID, Fate: fate, Before: record.Fields{}, After: record.Fields{}, Fields: l.Fields.Clone(), Stamps: maps.Clone(l.Stamps), MatchKey: l.MatchKey, Twin: holds(l, record.Twin)}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if v := fields[f]; !record.Equal(s.Fields[f], v) && !isKey(s, f) {
			m.Before[f], m.After[f] = s.Fields[f], v
			put(s, f, v, now)
		}
	}
	for _, system := range slices.Sorted(maps.Keys(l.Links)) {
		link := l.Links[system]
		if s.Links[system] == nil {
			move(l, s, link)
			m.Moved = append(m.Moved, system)
			continue
		}
		m.Left = append(m.Left, system)
		switch {
		case link.State == record.Frozen:
		case fate == service.LoserDelete:
			link.State, link.Behind = record.Pending, nil
		case fate == service.LoserArchive:
			held := link.Shadow(l, archive)
			if m.Archived == nil {
				m.Archived = record.Fields{}
			}
			m.Archived[string(system)] = held
			link.Behind, link.State = nil, record.Frozen
			if !record.Equal(held, mark) {
				link.SetBehind(archive, held)
				link.State = record.Pending
			}
		default:
			link.State = record.Frozen
		}
	}
	if fate == service.LoserArchive && len(m.Left) > 0 {
		if _, has := m.Fields[archive]; !has {
			m.Fields[archive] = nil // so that undoing takes the mark off
		}
		l.Fields[archive] = mark
		stamp(l, archive, now)
	}
	l.DeletedAt, l.MatchKey, l.Held = &now, "", []string{record.Merged}
	stamp(l, record.WholeRecord, now)
	l.Version++
	l.ChangedAt = now
	letGo(s, record.Twin)
	s.MatchKey = match.Key(s.Fields, matchFields)
	s.Version++
	s.ChangedAt = now
	return m, []record.Entry{
		{ID: newID(), Entity: s.ID, At: now, Kind: record.Decided, Op: record.Updated, System: record.Person, Before: m.Before, After: m.After},
		{ID: newID(), Entity: l.ID, At: now, Kind: record.Decided, Op: record.Deleted, System: record.Person, Before: m.Fields},
	}
}

// isKey says whether the field is the key of one of the entity's records.
func isKey(e *record.Entity, field string) bool {
	v, has := e.Fields[field]
	if !has || v == nil {
		return false
	}
	for _, l := range e.Links {
		if string(l.Key) == record.Text(v) {
			return true
		}
	}
	return false
}

// put gives the entity's field a value that goes to every system.
func put(e *record.Entity, field string, v record.Value, now time.Time) {
	for _, l := range e.Links {
		l.Holds(field, l.Shadow(e, field), v, false)
		if l.State == record.Synced && len(l.Behind) > 0 {
			l.State = record.Pending
		}
	}
	e.Fields[field] = v
	stamp(e, field, now)
}

func stamp(e *record.Entity, field string, now time.Time) {
	if e.Stamps == nil {
		e.Stamps = make(map[string]record.Stamp)
	}
	e.Stamps[field] = record.Stamp{System: record.Person, At: now}
}

// move makes a record of one entity the copy of another: what it holds stays as it is, so that it is behind where they differ.
func move(from, to *record.Entity, l *record.Link) {
	held := make(record.Fields, len(from.Fields))
	for f := range from.Fields {
		held[f] = l.Shadow(from, f)
	}
	own := l.OwnForm
	l.Behind, l.OwnForm = nil, nil
	for f, v := range held {
		_, form := own[f]
		l.Holds(f, v, to.Fields[f], itsOwn(l, v, form && record.Equal(from.Fields[f], to.Fields[f])))
		if _, behind := l.Behind[f]; behind {
			stampIfOld(to, f)
		}
	}
	if l.State != record.Frozen {
		l.State = record.Synced
		if len(l.Behind) > 0 {
			l.State = record.Pending
		}
	}
	delete(from.Links, l.System)
	to.Links[l.System] = l
}

// itsOwn says whether what the link's record holds in a field is its system's own form of what the entity holds. So is the record's
// key: it stays what it is there, whichever entity the record belongs to.
func itsOwn(l *record.Link, v record.Value, form bool) bool {
	return form || v != nil && record.Text(v) == string(l.Key)
}

// stampIfOld lets the value go to every system, whatever directions say: people, or the document, want the two to be one.
func stampIfOld(e *record.Entity, field string) {
	stamp(e, field, e.StampOf(field).At)
}

func holds(e *record.Entity, mark string) bool { return slices.Contains(e.Held, mark) }

// letGo takes the mark from what is held; what else is held stays.
func letGo(e *record.Entity, mark string) {
	if !holds(e, mark) {
		return
	}
	e.Held = slices.DeleteFunc(slices.Clone(e.Held), func(f string) bool { return f == mark })
	for _, l := range e.Links {
		if l.State == record.InDoubt && len(e.Held) == 0 {
			l.State = record.Synced
			if len(l.Behind) > 0 {
				l.State = record.Pending
			}
		}
	}
}

// Undo takes back the merge that decided about the pair, of all records that it made one: each second record lives again with what
// it held, and gets its copies back. What was changed of the survivor since stays. Two are remembered as two things; of three and
// more that is not said of each, so their pairs are put off: no rule merges them, and what is one can be merged. Faults:
// duplicate.not_found, duplicate.not_merged, duplicate.busy.
func (m *Manager) Undo(ctx context.Context, who auth.Principal, id uuid.UUID, reason string) (Pair, error) {
	g, err := m.act(ctx, who, id, "unmerged", func(tx Tx, g *Group, doc *service.Document) error {
		if g.State != Merged || g.Merge == nil {
			return fault.New(fault.Conflict, "duplicate.not_merged", "This pair is not merged, so there is nothing to undo.")
		}
		byID := make(map[record.EntityID]*record.Entity, len(g.Records))
		for _, e := range g.Records {
			byID[e.ID] = e
		}
		s, ids := byID[g.Merge.Survivor], g.Merge.Entities()
		if s == nil || s.DeletedAt != nil || slices.ContainsFunc(ids[1:], func(id record.EntityID) bool { return byID[id] == nil || !byID[id].IsMerged() }) {
			return fault.New(fault.Conflict, "duplicate.not_merged", "The record that stayed was deleted or merged again since. Undo that first.")
		}
		if busy, err := tx.Quiesce(ctx, g.Service, ids); err != nil {
			return err
		} else if busy {
			return fault.New(fault.Conflict, "duplicate.busy", "A change of one of the records is being sent right now. Try again in a moment; nothing was undone.")
		}
		now := tx.Now()
		steps, again := g.Merge.steps(), Dismissed
		if len(steps) > 1 {
			again = Later
		}
		var entries []record.Entry
		var usage []billing.UsageEvent
		for i := range slices.Backward(steps) {
			l := byID[steps[i].Loser]
			was := *l.DeletedAt
			lines := part(s, l, &steps[i], doc.MatchFields(), again == Later, now)
			entries = append(entries, lines...)
			usage = append(usage, billing.RecordRevived(lines[len(lines)-1].ID.String(), now, uuid.UUID(g.Service), record.Object(l.Collection), classOf(doc, l.Collection), l.ID, was))
		}
		g.Merge.Undone = &now
		if err := m.save(ctx, tx, g.Service, doc, g.Records, entries, g.Act, who.Name); err != nil {
			return err
		}
		if err := tx.TakeBack(ctx, g.Service, g.Act); err != nil {
			return err
		}
		for i := range g.Pairs {
			p := &g.Pairs[i]
			p.Merge = nil
			if p.ID == g.Act {
				p.Merge = g.Merge
			}
			p.State, p.Reason, p.Act, p.Wrote = again, reason, uuid.Nil, record.SpanOf(entries)
		}
		return tx.AddUsage(ctx, usage)
	})
	if err != nil {
		return Pair{}, err
	}
	return *g.lead(), nil
}

// part makes two records of what unite made one of; where their pair is undecided again, what was held back because of it is held
// back again. Apart from ids of history lines it is a function of its arguments.
func part(s, l *record.Entity, m *Merge, matchFields []string, undecided bool, now time.Time) []record.Entry {
	l.DeletedAt, l.Held = nil, nil
	delete(l.Stamps, record.WholeRecord)
	for _, system := range m.Left {
		link := l.Links[system]
		if link == nil {
			continue // it was deleted there, and is made again
		}
		for f, v := range m.Fields {
			_, form := link.OwnForm[f]
			held := link.Shadow(l, f)
			link.Holds(f, held, v, itsOwn(link, held, form && record.Equal(l.Fields[f], v)))
		}
	}
	l.Fields = m.Fields.Clone()
	l.Stamps = maps.Clone(m.Stamps)
	before, after := record.Fields{}, record.Fields{}
	for _, f := range slices.Sorted(maps.Keys(m.After)) {
		if record.Equal(s.Fields[f], m.After[f]) {
			before[f], after[f] = m.After[f], m.Before[f]
			put(s, f, m.Before[f], now)
		}
	}
	for _, system := range m.Moved {
		if link := s.Links[system]; link != nil && l.Links[system] == nil {
			move(s, l, link)
		}
	}
	for f := range l.Fields {
		stamp(l, f, now) // a person's wish: it goes to every system, whatever directions say
	}
	if undecided && m.Twin {
		l.Held = []string{record.Twin}
	}
	for _, link := range l.Links {
		switch {
		case len(l.Held) > 0:
			link.State = record.InDoubt
		case len(link.Behind) > 0:
			link.State = record.Pending
		default:
			link.State = record.Synced
		}
	}
	l.MatchKey, s.MatchKey = m.MatchKey, match.Key(s.Fields, matchFields)
	l.Version, s.Version = l.Version+1, s.Version+1
	l.ChangedAt, s.ChangedAt = now, now
	return []record.Entry{
		{ID: newID(), Entity: s.ID, At: now, Kind: record.Decided, Op: record.Updated, System: record.Person, Before: before, After: after},
		{ID: newID(), Entity: l.ID, At: now, Kind: record.Decided, Op: record.Created, System: record.Person, Before: record.Fields{}, After: l.Fields.Clone()},
	}
}

// Preview is what a merge would make of records.
type Preview struct {
	Survivor record.EntityID
	Fields   record.Fields                       // what it would hold
	From     map[string]record.EntityID          // who gives each value
	Fate     service.LoserFate                   // of a second record in one system
	Second   map[record.EntityID][]record.System // the systems in which a record would be a second one
}

// foresee says what a merge of the records would make of them.
func foresee(doc *service.Document, list []*record.Entity, w Wish) (Preview, error) {
	plan, err := intend(doc, list, w)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Survivor: plan.Survivor.ID, Fields: plan.Fields, From: plan.From, Fate: plan.fate, Second: make(map[record.EntityID][]record.System)}
	taken := maps.Clone(plan.Survivor.Links)
	for _, l := range plan.Losers {
		for _, system := range slices.Sorted(maps.Keys(l.Links)) {
			if taken[system] != nil {
				out.Second[l.ID] = append(out.Second[l.ID], system)
			} else {
				taken[system] = l.Links[system]
			}
		}
	}
	return out, nil
}

// Foresee says what a merge of the pair would make of it. Of a merged pair it says who stayed.
func (m *Manager) Foresee(ctx context.Context, who auth.Principal, p Pair) (out Preview, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		_, doc, err := tx.Loadable(ctx, p.Service)
		if err != nil {
			return err
		}
		out.Fate = doc.LoserFate()
		switch {
		case p.State == Merged && p.Merge != nil:
			out.Survivor, out.Fate = p.Merge.Survivor, p.Merge.Fate
		case p.Records[0] != nil && p.Records[1] != nil:
			out, err = foresee(doc, p.Records[:], Wish{})
		}
		return err
	})
	return out, err
}
