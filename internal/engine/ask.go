// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

const (
	askBatch  = 50          // records that a source is asked about at once
	askEvery  = time.Minute // how often due lookups are looked for without a sign
	frozenFor = time.Hour   // when a frozen record is looked at again
)

// asking is a lookup service in motion. What it is to be asked is in the store, so that nothing is lost with a process, and a
// service whose source fails is synced all the same.
type asking struct {
	*Source
	flow    *flow
	wake    chan struct{}
	lookups atomic.Pointer[[]*Lookup] // nil until the source was opened

	wanted  atomic.Int64 // rises when something may be to ask
	asked   atomic.Int64 // what wanted was when nothing could be asked any more
	resting atomic.Bool  // its limit is reached, or it fails: those behind it need not wait
}

func newAsking(f *flow, s *Source) *asking {
	a := &asking{Source: s, flow: f, wake: make(chan struct{}, 1)}
	a.wanted.Store(1)
	return a
}

// idle says whether nothing is to be asked now.
func (a *asking) idle() bool { return a.asked.Load() == a.wanted.Load() }

// inquiries are what the sources are to be asked about a page: its new records, and those that changed.
func (f *flow) inquiries(c *Collection, o Outcome) (out []Inquiry) {
	for _, a := range f.asking {
		q := Inquiry{Source: a.Name, Collection: c.Name}
		var l *Lookup
		if known := a.lookups.Load(); known != nil {
			for _, k := range *known {
				if k.Seat.Collection == c {
					l = k
				}
			}
			if l == nil {
				continue // it is not asked about these
			}
		}
		add := func(e *record.Entity) {
			question := ""
			if l != nil {
				question = l.Question(e)
			}
			q.Entities, q.Questions = append(q.Entities, e.ID), append(q.Questions, question)
		}
		if a.New {
			for _, e := range o.New {
				add(e)
			}
		}
		if a.Source.Changed {
			for _, e := range o.Changed {
				if e.DeletedAt == nil && !e.IsMerged() {
					add(e)
				}
			}
		}
		if len(q.Entities) > 0 {
			out = append(out, q)
		}
	}
	return out
}

// Inquire is what the document's sources are to be asked about records that a person edited: the same as about those that systems change. Which
// question that is, and whether it was answered before, is found out when it is asked. It is a function of its arguments.
func Inquire(doc *service.Document, edited ...*record.Entity) (out []Inquiry) {
	for _, s := range sources(doc) {
		for _, e := range edited {
			if !s.Changed || e.DeletedAt != nil || e.IsMerged() || s.said.Collection != "" && s.said.Collection != e.Collection {
				continue
			}
			i := slices.IndexFunc(out, func(q Inquiry) bool { return q.Source == s.Name && q.Collection == e.Collection })
			if i < 0 {
				i, out = len(out), append(out, Inquiry{Source: s.Name, Collection: e.Collection})
			}
			out[i].Entities, out[i].Questions = append(out[i].Entities, e.ID), append(out[i].Questions, "")
		}
	}
	return out
}

// wakeSources lets the sources look for what a commit wants to know.
func (f *flow) wakeSources(o Outcome) {
	for _, a := range f.asking {
		if a.New && len(o.New) > 0 || a.Source.Changed && len(o.Changed) > 0 {
			a.look()
		}
	}
}

// look has the source look for what it is to be asked.
func (a *asking) look() {
	a.wanted.Add(1)
	signal(a.wake)
}

// ask asks what is due, for as long as the flow lives.
func (a *asking) ask(ctx context.Context, doc *service.Document) error {
	system, tries := connector.System(nil), 0
	defer func() {
		if system != nil {
			_ = system.Close()
		}
	}()
	for ctx.Err() == nil {
		wanted, rested := a.wanted.Load(), a.resting.Load()
		var wait time.Duration
		var did bool
		var err error
		if system == nil {
			system, err = a.openSource(ctx, doc)
		}
		if err == nil {
			did, wait, err = a.round(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil:
			a.resting.Store(true)
			if err := a.failed(ctx, err); isStop(err) {
				return err
			}
			tries++
			wait = backoff(tries)
			if c := connector.Classify(err); c.Class == connector.SlowDown {
				wait = max(wait, c.After)
			}
		default:
			tries = 0
		}
		if did || rested != a.resting.Load() {
			a.letOthers()
		}
		a.asked.Store(wanted)
		if err != nil {
			if !sleep(ctx, wait, nil) {
				return nil
			}
			a.wanted.Add(1)
			continue
		}
		if !sleep(ctx, wait, a.wake) {
			return nil
		}
	}
	return nil
}

// letOthers wakes the sources behind this one, which may have waited for it.
func (a *asking) letOthers() {
	behind := false
	for _, other := range a.flow.asking {
		if behind {
			other.look()
		}
		behind = behind || other == a
	}
}

// openSource connects the source and finds out what it is asked, and about which collections.
func (a *asking) openSource(ctx context.Context, doc *service.Document) (connector.System, error) {
	f := a.flow
	system, spec, err := f.engine.open.OpenSystem(ctx, f.tenant, f.guard.Service, doc, string(a.Name), f.guard.Service.Consumer(string(a.Name)))
	if err != nil {
		return nil, err
	}
	o := Opened{System: system, Spec: spec}
	if d, ok := system.(connector.Discoverer); ok {
		names := []record.Object{record.Object(a.said.Object)}
		if a.said.Object == "" {
			names, err = d.Objects(ctx)
		}
		if err == nil {
			o.Objects, err = d.Describe(ctx, names...)
		}
	}
	var lookups []*Lookup
	if err == nil {
		lookups, err = a.compile(doc, f.plan, o)
	}
	if err != nil {
		_ = system.Close()
		return nil, asConnectorError(err)
	}
	a.lookups.Store(&lookups)
	return system, nil
}

// failed writes that the source fails, where people look.
func (a *asking) failed(ctx context.Context, err error) error {
	c := connector.Classify(err)
	a.flow.log.Warn("a lookup service fails", "source", a.Name, "class", c.Class, "error", err)
	return a.flow.inTx(ctx, func(tx Tx) error {
		if err := tx.NoteSource(ctx, a.flow.guard, a.Source, LookupCount{}, c.Code, c.Message); err != nil {
			return err
		}
		return tx.Emit(ctx, "source.failing", uuid.UUID(a.flow.guard.Service), map[string]any{"source": a.Name, "code": c.Code, "message": c.Message})
	})
}

// round asks all that is due and may be asked, and says how long nothing will be due.
func (a *asking) round(ctx context.Context) (did bool, wait time.Duration, err error) {
	wait = askEvery
	for _, l := range *a.lookups.Load() {
		for more := true; more && ctx.Err() == nil; {
			var next time.Duration
			if more, next, err = a.step(ctx, l); err != nil {
				return did, 0, err
			}
			did = did || more
			if !more && next > 0 {
				wait = min(wait, next)
			}
		}
	}
	return did, wait, nil
}

// step asks about the next records. The lookups are counted by a commit before the source is asked, so that no crash lets it be
// asked more often than the document allows; what it says, and that it is paid for, is one commit afterwards.
func (a *asking) step(ctx context.Context, l *Lookup) (more bool, next time.Duration, err error) {
	f := a.flow
	var entities []*record.Entity
	var before []record.System
	for _, e := range f.asking {
		if e == a {
			break
		}
		if !e.resting.Load() {
			before = append(before, e.Name)
		}
	}
	batch := questions{lookup: l, index: make(map[string]int)}
	full := false
	// Pages write what is to be asked, too: one after the other.
	commit := f.commit[l.Seat.Collection.Name]
	commit.take(ctx)
	err = f.inTx(ctx, func(tx Tx) error {
		pending, err := tx.PendingLookups(ctx, f.guard.Service, l, before, askBatch)
		if err != nil {
			return err
		}
		now := tx.Now()
		if pending.Next != nil {
			next = max(pending.Next.Sub(now), time.Millisecond)
		}
		if more = len(pending.List) > 0; !more {
			return nil
		}
		left := int64(askBatch)
		if l.Limit > 0 {
			left = l.Limit - pending.Asked
		}
		ids := make([]record.EntityID, len(pending.List))
		for i, p := range pending.List {
			ids[i] = p.Entity
		}
		// Locked, so that what somebody edits meanwhile is not settled by what the record was before.
		if entities, err = tx.LoadEntities(ctx, f.guard, ids, true); err != nil {
			return err
		}
		byID := make(map[record.EntityID]*record.Entity, len(entities))
		for _, e := range entities {
			byID[e.ID] = e
		}
		var rows []LookupRow
		for _, p := range pending.List {
			if row, settled := batch.take(byID[p.Entity], p, now, left); settled {
				rows = append(rows, row)
			}
		}
		if full = batch.full; full {
			next = l.next(l.Period(now)).Sub(now)
		}
		return tx.SaveLookups(ctx, f.guard, l.Source, rows, LookupCount{Asked: int64(len(batch.queries))})
	})
	commit.release()
	if err != nil {
		return false, 0, err
	}
	a.resting.Store(full)
	if !more {
		return false, next, nil
	}
	f.engine.seam("lookups counted")
	if len(batch.queries) > 0 {
		if err := a.answer(ctx, &batch); err != nil {
			return false, 0, err
		}
	}
	return !full, next, nil
}

// questions are the different questions about a batch of records.
type questions struct {
	lookup  *Lookup
	index   map[string]int
	queries []record.Fields
	about   [][]*record.Entity
	full    bool // there are more than the period's limit allows
}

// take takes a record up, or says why it is not asked about.
func (q *questions) take(e *record.Entity, p Inquired, now time.Time, left int64) (row LookupRow, settled bool) {
	row = LookupRow{Entity: p.Entity, Question: p.Question}
	if e == nil || e.DeletedAt != nil || e.IsMerged() {
		row.Outcome, row.Question = LookupUnasked, "" // one that comes back is asked about again: it may come back without the answer
		return row, true
	}
	query := q.lookup.Query(e.Fields)
	key := questionKey(query)
	switch {
	case key == "":
		row.Outcome, row.Question = LookupUnasked, ""
		return row, true
	case e.IsFrozen():
		later := now.Add(frozenFor)
		row.Outcome, row.Due = p.Outcome, &later
		return row, true
	case p.Question == key && p.AskedAt != nil && !q.lookup.old(*p.AskedAt, now):
		row.Outcome, row.Due = p.Outcome, q.lookup.again(*p.AskedAt)
		return row, true
	case !q.lookup.Wants(e):
		row.Outcome, row.Question, row.Due = LookupComplete, "", q.lookup.again(now)
		return row, true
	}
	i, known := q.index[key]
	if !known {
		if int64(len(q.queries)) >= left {
			q.full = true
			return row, false
		}
		i = len(q.queries)
		q.index[key] = i
		q.queries, q.about = append(q.queries, query), append(q.about, nil)
	}
	q.about[i] = append(q.about[i], e)
	return row, false
}

// old says whether an answer of that time is too old.
func (s *Source) old(asked, now time.Time) bool {
	again := s.again(asked)
	return again != nil && !again.After(now)
}

// answer asks the source and commits what it says.
func (a *asking) answer(ctx context.Context, q *questions) error {
	l := q.lookup
	said, err := l.find(ctx, q.queries)
	if len(said) > 0 { // what was answered before it failed is paid for, too
		a.flow.engine.seam("lookups answered")
		if err := a.take(ctx, q, said); err != nil {
			return err
		}
	}
	if err != nil {
		give := a.flow.inTx(ctx, func(tx Tx) error {
			return tx.NoteSource(ctx, a.flow.guard, a.Source, LookupCount{Asked: int64(len(said) - len(q.queries))}, "", "")
		})
		if isStop(give) {
			return give
		}
	}
	return err
}

// found is what a source said to a question.
type found struct {
	fields  record.Fields // in the entity's terms; nil when it knows nothing
	refused bool
}

// find asks. A question that the source will not take does not spoil the others. With an error come the answers to the first
// questions that were given before it.
func (l *Lookup) find(ctx context.Context, queries []record.Fields) ([]found, error) {
	answers, err := l.finder.Find(ctx, l.Seat.Object, l.Seat.Map.Natives(), queries)
	if err != nil && connector.Classify(err).Class == connector.Reject {
		if len(queries) == 1 {
			return []found{{refused: true}}, nil
		}
		half := len(queries) / 2
		left, err := l.find(ctx, queries[:half])
		if err != nil {
			return left, err
		}
		right, err := l.find(ctx, queries[half:])
		return append(left, right...), err
	}
	if err != nil {
		return nil, err
	}
	out := make([]found, len(queries))
	for i, list := range answers {
		if len(list) == 1 && list[0].Op == record.Upsert {
			out[i].fields = l.Seat.Map.InLoose(list[0].Fields)
		}
	}
	return out, nil
}

// take commits the answers to the first questions: what they fill, what is owed for it, that they were given, and what they cost.
func (a *asking) take(ctx context.Context, q *questions, said []found) error {
	f, l := a.flow, q.lookup
	c := l.Seat.Collection
	var ids []record.EntityID
	asked := make(map[record.EntityID]int)
	then := make(map[record.EntityID]record.Fields)
	for i, list := range q.about[:len(said)] {
		for _, e := range list {
			ids = append(ids, e.ID)
			asked[e.ID], then[e.ID] = i, e.Fields
		}
	}
	commit := f.commit[c.Name]
	commit.take(ctx)
	defer commit.release()
	lanes := a.lanes(c)
	var outcome Outcome
	err := f.inTx(ctx, func(tx Tx) error {
		entities, err := tx.LoadEntities(ctx, f.guard, ids, true)
		if err != nil {
			return err
		}
		due, err := tx.LockLookups(ctx, f.guard, l, ids)
		if err != nil {
			return err
		}
		now := tx.Now()
		var rows []LookupRow
		var answers []LookedUp
		for _, e := range entities {
			i := asked[e.ID]
			key := questionKey(q.queries[i])
			if !due[e.ID] || l.Question(e) != key {
				continue // it was answered, or is another question by now
			}
			row := LookupRow{Entity: e.ID, Question: key, Outcome: LookupNothing, Asked: true, Due: l.again(now)}
			switch {
			case said[i].refused:
				row.Outcome = LookupRefused
			case said[i].fields == nil:
				row.Outcome = LookupUnknown
			default:
				answers = append(answers, LookedUp{Entity: e, Asked: then[e.ID], Said: said[i].fields})
			}
			rows = append(rows, row)
		}
		var acting []Acting
		if len(answers) > 0 && l.Seat.Collection.acts() {
			var may []record.EntityID
			for i := range answers {
				may = append(may, answers[i].Entity.ID)
			}
			if acting, err = tx.Acting(ctx, f.guard.Service, may); err != nil {
				return err
			}
		}
		var filled map[record.EntityID]bool
		outcome, filled = Enrich(l, answers, acting, now, uuid.UUID(f.runID()))
		for i := range rows {
			if filled[rows[i].Entity] {
				rows[i].Outcome = LookupFilled
			}
		}
		in := Intake{Seat: l.Seat, Outcome: outcome, Owed: outcome.Owed}
		if n := int64(len(filled)); n > 0 {
			in.Usage = []billing.UsageEvent{billing.Enriched(newID().String(), now, uuid.UUID(f.guard.Service), a.Name, record.Object(c.Name), c.Class, n)}
		}
		if err := tx.SaveIntake(ctx, f.guard, in); err != nil {
			return err
		}
		if err := tx.SaveLookups(ctx, f.guard, a.Source, rows, LookupCount{Known: int64(len(answers)), Filled: int64(len(filled))}); err != nil {
			return err
		}
		if err := f.tellActs(ctx, tx, outcome); err != nil {
			return err
		}
		f.engine.seam("lookups saved")
		return tx.Emit(ctx, "lookups", uuid.UUID(f.guard.Service), map[string]any{"source": a.Name, "asked": len(said), "filled": len(filled)})
	})
	if err != nil {
		return err
	}
	f.engine.seam("lookups committed")
	for i, lane := range lanes {
		if i == 0 {
			lane.outdate(outcome) // of all of them
		}
		if len(outcome.Owed[lane.System]) > 0 {
			signal(lane.duty)
		}
	}
	return nil
}

func (a *asking) lanes(c *Collection) (out []*lane) {
	for _, l := range a.flow.lanes {
		if l.Collection == c {
			out = append(out, l)
		}
	}
	return out
}
