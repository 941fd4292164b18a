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
	Survivor record.EntityID // zero: the strategy chooses
	Strategy match.Strategy  // "": the document's
	Fields   record.Fields   // values that count, whoever has them; each must be one of the two's
	Losers   service.LoserFate
	Reason   string
	Version  int64 // of the pair that was looked at; 0 to take it as it is
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
	Moved    []record.System         `json:"moved,omitempty"`    // systems whose record went over to the survivor
	Left     []record.System         `json:"left,omitempty"`     // systems in which both had one
	Archived record.Fields           `json:"archived,omitempty"` // the archive field as it was
	Undone   *time.Time              `json:"undone,omitempty"`
	By       string                  `json:"by,omitempty"`
}

// Join makes one record of the pair: by rule as the document says, else as the person wishes. Faults: duplicate.not_found,
// duplicate.not_open, duplicate.version_stale, duplicate.wish_invalid, duplicate.busy, duplicate.in_conflict.
func (m *Manager) Join(ctx context.Context, who auth.Principal, id uuid.UUID, w Wish) (Pair, error) {
	return m.decide(ctx, who, id, "merged", func(tx Tx, p *Pair, doc *service.Document) error { return m.join(ctx, tx, p, doc, w, who.Name) })
}

func (m *Manager) join(ctx context.Context, tx Tx, p *Pair, doc *service.Document, w Wish, by string) error {
	switch {
	case p.State != Open && p.State != Later:
		return notOpen(*p)
	case w.Version != 0 && w.Version != p.Version:
		return fault.New(fault.Stale, "duplicate.version_stale", "Somebody decided about this pair, or it was compared again, since you looked at it. Look again; nothing was merged.")
	}
	a, b := p.Records[0], p.Records[1]
	if a == nil || b == nil || a.DeletedAt != nil || b.DeletedAt != nil {
		return fault.New(fault.Conflict, "duplicate.not_open", "One of the two records is not there any more.")
	}
	for _, e := range []*record.Entity{a, b} {
		if slices.ContainsFunc(e.Held, func(f string) bool { return f != record.Twin }) {
			return fault.New(fault.Conflict, "duplicate.in_conflict", "One of the two records waits for another decision: a conflict, or an approval. Decide that first.")
		}
	}
	choice := doc.MergeChoice()
	if w.Strategy != "" {
		if !slices.Contains(match.Strategies, w.Strategy) {
			return wishInvalid("/strategy", "There is no merge strategy %q.", w.Strategy)
		}
		choice.Strategy, choice.Fields = w.Strategy, nil
	}
	if !w.Survivor.IsZero() && w.Survivor != a.ID && w.Survivor != b.ID {
		return wishInvalid("/survivor", "The record that stays is one of the two.")
	}
	choice.Survivor = w.Survivor
	merged := match.Merge([]*record.Entity{a, b}, choice)
	for f, v := range w.Fields {
		if !record.Equal(v, a.Fields[f]) && !record.Equal(v, b.Fields[f]) {
			return wishInvalid("/fields", "%s is what neither of the two holds. Merge them first, then edit the record.", f)
		}
		merged.Fields[f] = v
	}
	fate := doc.LoserFate()
	if w.Losers != "" {
		fate = w.Losers
	}
	archive := ""
	var mark record.Value
	if d := doc.SyncConfig.Deletes; d != nil && d.ArchiveField != "" {
		archive, mark = d.ArchiveField, true
		if d.ArchiveValue.Given {
			mark = d.ArchiveValue.Value
		}
	}
	if fate == service.LoserArchive && archive == "" {
		return wishInvalid("/losers", "The service names no archive field: set `deletes: {archiveField: ...}` in its document, or keep the second record.")
	}
	busy, err := tx.Quiesce(ctx, p.Service, []record.EntityID{a.ID, b.ID})
	if err != nil {
		return err
	}
	if busy {
		return fault.New(fault.Conflict, "duplicate.busy", "A change of one of the two records is being sent right now. Try again in a moment; nothing was merged.")
	}
	survivor, loser := merged.Survivor, merged.Losers[0]
	done, entries := unite(survivor, loser, merged.Fields, fate, archive, mark, doc.MatchFields(), tx.Now())
	done.Strategy, done.By = choice.Strategy, by
	for i := range entries {
		entries[i].Actor, entries[i].Cause = by, p.ID
	}
	p.State, p.Merge, p.Reason = Merged, &done, w.Reason
	if err := tx.SaveMerged(ctx, p.Service, []*record.Entity{survivor, loser}, entries, doc.SystemIDs()); err != nil {
		return err
	}
	return tx.AddUsage(ctx, []billing.UsageEvent{billing.RecordsDeleted(entries[len(entries)-1].ID.String(), tx.Now(), uuid.UUID(p.Service), record.Object(loser.Collection), classOf(doc, loser.Collection), 1)})
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
	m = Merge{Survivor: s.ID, Loser: l.ID, Fate: fate, Before: record.Fields{}, After: record.Fields{}, Fields: l.Fields.Clone(), Stamps: maps.Clone(l.Stamps), MatchKey: l.MatchKey}
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
		// What is the record's key in its system stays what it is there.
		key := v != nil && record.Text(v) == string(l.Key)
		l.Holds(f, v, to.Fields[f], key || form && record.Equal(from.Fields[f], to.Fields[f]))
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

// Undo takes a merge back: the second record lives again with what it held, and gets its records back. What was changed of the
// survivor since stays. The two are remembered as two things. Faults: duplicate.not_found, duplicate.not_merged, duplicate.busy.
func (m *Manager) Undo(ctx context.Context, who auth.Principal, id uuid.UUID, reason string) (Pair, error) {
	return m.decide(ctx, who, id, "unmerged", func(tx Tx, p *Pair, doc *service.Document) error {
		if p.State != Merged || p.Merge == nil {
			return fault.New(fault.Conflict, "duplicate.not_merged", "This pair is not merged, so there is nothing to undo.")
		}
		var s, l *record.Entity
		for _, e := range p.Records {
			switch {
			case e == nil:
			case e.ID == p.Merge.Survivor:
				s = e
			case e.ID == p.Merge.Loser:
				l = e
			}
		}
		if s == nil || l == nil || s.DeletedAt != nil || !l.IsMerged() {
			return fault.New(fault.Conflict, "duplicate.not_merged", "The record that stayed was deleted or merged again since. Undo that first.")
		}
		busy, err := tx.Quiesce(ctx, p.Service, []record.EntityID{s.ID, l.ID})
		if err != nil {
			return err
		}
		if busy {
			return fault.New(fault.Conflict, "duplicate.busy", "A change of one of the two records is being sent right now. Try again in a moment; nothing was undone.")
		}
		now := tx.Now()
		was := *l.DeletedAt
		entries := part(s, l, p.Merge, doc.MatchFields(), now)
		for i := range entries {
			entries[i].Actor, entries[i].Cause = who.Name, p.ID
		}
		p.State, p.Reason, p.Merge.Undone = Dismissed, reason, &now
		if err := tx.SaveMerged(ctx, p.Service, []*record.Entity{s, l}, entries, doc.SystemIDs()); err != nil {
			return err
		}
		return tx.AddUsage(ctx, []billing.UsageEvent{billing.RecordRevived(entries[len(entries)-1].ID.String(), now, uuid.UUID(p.Service), record.Object(l.Collection), classOf(doc, l.Collection), l.ID, was)})
	})
}

// part makes two records of what unite made one of. Apart from ids of history lines it is a function of its arguments.
func part(s, l *record.Entity, m *Merge, matchFields []string, now time.Time) []record.Entry {
	l.DeletedAt, l.Held = nil, nil
	delete(l.Stamps, record.WholeRecord)
	for _, system := range m.Left {
		link := l.Links[system]
		if link == nil {
			continue // it was deleted there, and is made again
		}
		for f, v := range m.Fields {
			link.Holds(f, link.Shadow(l, f), v, false)
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
	for _, link := range l.Links {
		link.State = record.Synced
		if len(link.Behind) > 0 {
			link.State = record.Pending
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

// Foresee says what a merge of the pair would make of it: which record stays, who gives which value, and what becomes of a second
// record in one system. Of a merged pair it says who stayed.
func (m *Manager) Foresee(ctx context.Context, who auth.Principal, p Pair) (stays record.EntityID, from map[string]record.EntityID, fate service.LoserFate, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return stays, nil, fate, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		_, doc, err := tx.Loadable(ctx, p.Service)
		if err != nil {
			return err
		}
		fate = doc.LoserFate()
		switch {
		case p.State == Merged && p.Merge != nil:
			stays, fate = p.Merge.Survivor, p.Merge.Fate
		case p.Records[0] != nil && p.Records[1] != nil:
			merged := match.Merge(p.Records[:], doc.MergeChoice())
			stays, from = merged.Survivor.ID, merged.From
		}
		return nil
	})
	return stays, from, fate, err
}
