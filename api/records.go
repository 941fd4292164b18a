// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// values are a record's fields; never nil, so that the answer has an object.
func values(f record.Fields) spec.Fields {
	if f == nil {
		return spec.Fields{}
	}
	return spec.Fields(f)
}

func maybeValues(f record.Fields) nullable.Nullable[spec.Fields] {
	if f == nil {
		return nullable.NewNullNullable[spec.Fields]()
	}
	return nullable.NewNullableWithValue(spec.Fields(f))
}

func showRecord(e *record.Entity) spec.Record {
	out := spec.Record{
		ID: public(ident.Entity, e.ID), Collection: e.Collection, MatchKey: e.MatchKey, Fields: values(e.Fields),
		Sources: map[string]spec.FieldSource{}, Held: texts(e.Held), Origin: string(e.Origin),
		CreatedAt: e.CreatedAt.UTC(), ChangedAt: e.ChangedAt.UTC(), DeletedAt: maybeTime(e.DeletedAt), Version: e.Version,
		Systems: []spec.Link{},
	}
	out.Frozen = e.IsFrozen()
	for field, stamp := range e.Stamps {
		out.Sources[field] = spec.FieldSource{System: string(stamp.System), At: stamp.At.UTC()}
	}
	for _, system := range slices.Sorted(maps.Keys(e.Links)) {
		l := standing(e, e.Links[system])
		out.Systems = append(out.Systems, spec.Link{
			System: string(l.System), Object: string(l.Object), Key: string(l.Key), State: spec.LinkState(l.State), Version: l.Version,
			SyncedAt: someTime(e.SyncedAt(l)), Behind: values(l.Behind), OwnForm: values(l.OwnForm),
		})
	}
	return out
}

// standing is the link as people are told of it: of a frozen record each copy is frozen.
func standing(e *record.Entity, l *record.Link) *record.Link {
	if !e.IsFrozen() {
		return l
	}
	frozen := *l
	frozen.State = record.Frozen
	return &frozen
}

func (s *server) ListRecords(ctx context.Context, req spec.ListRecordsRequestObject) (spec.ListRecordsResponseObject, error) {
	v, _, err := s.serviceOf(ctx, req.Service, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, nil); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	q := engine.RecordQuery{
		Search: word(req.Params.Search), Collection: word(req.Params.FilterCollection), State: record.LinkState(word(req.Params.FilterState)),
		Deleted: req.Params.FilterDeleted != nil && *req.Params.FilterDeleted, Limit: limit + 1,
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	if parent := word(req.Params.FilterParent); parent != "" {
		d, err := s.Records.Record(ctx, who(ctx), v.ID, parent)
		if err != nil {
			return nil, err
		}
		q.Parent = d.ID
	}
	list, err := s.Records.Records(ctx, who(ctx), v.ID, q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showRecord, func(e *record.Entity) any { return engine.RecordMark{ChangedAt: e.ChangedAt, ID: e.ID} })
	return spec.ListRecords200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

// recordOf finds the record that an address names, by id or any system's key.
func (s *server) recordOf(ctx context.Context, ref, idOrKey string) (service.Service, *service.Document, engine.Detail, error) {
	v, r, err := s.serviceOf(ctx, ref, auth.ViewRecords)
	if err != nil {
		return v, nil, engine.Detail{}, err
	}
	d, err := s.Records.Record(ctx, who(ctx), v.ID, idOrKey)
	return v, r.Document, d, err
}

func (s *server) GetRecord(ctx context.Context, req spec.GetRecordRequestObject) (spec.GetRecordResponseObject, error) {
	if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, nil); err != nil {
		return nil, err
	}
	v, doc, d, err := s.recordOf(ctx, req.Service, req.Record)
	if err != nil {
		return nil, err
	}
	if doc.ConsistencyLevel() == service.Strong && !d.Settled(doc) {
		if d, err = s.untilSettled(ctx, v, doc, d, nil); err != nil {
			return nil, err
		}
	}
	out := showSettled(doc, d)
	relatives, err := s.Records.Relatives(ctx, who(ctx), v.ID, d.Entity)
	if err != nil {
		return nil, err
	}
	out.References = showRelatives(relatives)
	return spec.GetRecord200JSONResponse(out), nil
}

// showSettled says also whether every system that takes the record has it.
func showSettled(doc *service.Document, d engine.Detail) spec.Record {
	out := showDetail(d)
	out.Settled = new(d.Settled(doc))
	return out
}

// showDetail is a record with what is only said of a single one.
func showDetail(d engine.Detail) spec.Record {
	out := showRecord(d.Entity)
	if f := d.Freeze; f != nil {
		out.Freeze = &spec.Freeze{At: f.At.UTC(), By: f.By, Reason: f.Reason}
	}
	if m := d.Reconciled; m != nil {
		out.Reconciled.Set(spec.Reconciled{Since: m.Since.UTC(), Rules: m.Rules})
	} else {
		out.Reconciled.SetNull()
	}
	owed, conflicts := map[string]time.Time{}, []string{}
	for system, since := range d.Owed {
		owed[string(system)] = since.UTC()
	}
	for _, c := range d.Conflicts {
		conflicts = append(conflicts, public(ident.Conflict, c.ID))
	}
	out.Owed, out.OpenConflicts = &owed, &conflicts
	return out
}

func showRelatives(r engine.Relatives) *spec.RecordReferences {
	out := spec.RecordReferences{Parents: []spec.ParentRecord{}, Children: []spec.ChildRecords{}, Counted: r.Counted}
	for _, p := range r.Parents {
		one := spec.ParentRecord{Field: p.Field, Record: nullable.NewNullNullable[string](), Title: "", State: spec.ParentUnknown}
		switch {
		case p.Record != nil:
			one.Record.Set(public(ident.Entity, p.Record.ID))
			one.Title, one.State = p.Record.MatchKey, spec.ParentKnown
			if p.Record.DeletedAt != nil {
				one.State = spec.ParentDeleted
			}
		case p.Entity.IsZero():
			one.Named = &spec.NamedRecord{System: string(p.System), Object: string(p.Object), Key: string(p.Key)}
		}
		out.Parents = append(out.Parents, one)
	}
	for _, c := range r.Children {
		out.Children = append(out.Children, spec.ChildRecords{Collection: c.Collection, Field: c.Field, Count: c.Count, Waiting: c.Waiting})
	}
	return &out
}

// causes are what an entry's cause names, by kind.
var causes = map[record.JournalKind]string{record.Changed: ident.Run, record.Delivered: ident.Attempt, record.Decided: ident.Conflict}

func (s *server) ListRecordHistory(ctx context.Context, req spec.ListRecordHistoryRequestObject) (spec.ListRecordHistoryResponseObject, error) {
	if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, nil); err != nil {
		return nil, err
	}
	v, _, d, err := s.recordOf(ctx, req.Service, req.Record)
	if err != nil {
		return nil, err
	}
	var before uuid.UUID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &before); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Records.History(ctx, who(ctx), v.ID, d.ID, before, limit+1)
	if err != nil {
		return nil, err
	}
	show := func(e record.Entry) spec.HistoryEntry {
		cause := nullable.NewNullNullable[string]()
		if e.Cause != uuid.Nil {
			cause.Set(public(causes[e.Kind], e.Cause))
			switch {
			case e.Actor == record.ByProof:
				cause.Set(public(ident.Proof, e.Cause))
			case e.Op == record.Reconciled, e.Op == record.Unreconciled:
				cause.Set(public(ident.RuleAction, e.Cause))
			}
		}
		return spec.HistoryEntry{
			ID: public(ident.Journal, e.ID), Record: public(ident.Entity, e.Entity), At: e.At.UTC(), Kind: spec.HistoryEntryKind(e.Kind), Op: spec.HistoryEntryOp(e.Op),
			System: string(e.System), Actor: actorOf(e), Cause: cause, Before: maybeValues(e.Before), After: maybeValues(e.After),
		}
	}
	data, next, more := page(ctx, s, list, limit, show, func(e record.Entry) any { return e.ID })
	return spec.ListRecordHistory200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetRecordStatus(ctx context.Context, req spec.GetRecordStatusRequestObject) (spec.GetRecordStatusResponseObject, error) {
	_, doc, d, err := s.recordOf(ctx, req.Service, req.Record)
	if err != nil {
		return nil, err
	}
	systems, err := chosen(req.Params.Systems, doc.SystemIDs())
	if err != nil {
		return nil, err
	}
	if word(req.Params.SynclineConsistencyToken) != "" {
		if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, systems); err != nil {
			return nil, err
		}
		if _, _, d, err = s.recordOf(ctx, req.Service, req.Record); err != nil {
			return nil, err
		}
	}
	return spec.GetRecordStatus200JSONResponse(recordStatus(d, systems)), nil
}

// recordStatus says where a record stands in the systems.
func recordStatus(d engine.Detail, systems []string) map[string]spec.SystemRecordStatus {
	out := map[string]spec.SystemRecordStatus{}
	for _, system := range systems {
		status := spec.SystemRecordStatus{LastSync: nullable.NewNullNullable[time.Time](), Status: spec.SystemRecordStatusStatusAbsent}
		l := d.Links[record.System(system)]
		_, owed := d.Owed[record.System(system)]
		switch {
		case l != nil:
			status.LastSync, status.Status = someTime(d.SyncedAt(l)), spec.SystemRecordStatusStatus(standing(d.Entity, l).State)
			if owed && !d.IsFrozen() && l.State == record.Synced {
				status.Status = spec.SystemRecordStatusStatusPending
			}
		case owed && d.IsFrozen():
			status.Status = spec.SystemRecordStatusStatusFrozen
		case owed:
			status.Status = spec.SystemRecordStatusStatusPending
		}
		if w, waits := d.WaitsFor(record.System(system)); waits {
			why := showWaiting(w)
			status.Waiting = &why
		}
		out[system] = status
	}
	return out
}

func showWaiting(w engine.Waiting) spec.RecordWaiting {
	out := spec.RecordWaiting{
		Reason: spec.RecordWaitingReason(w.Reason), Text: w.Why, Until: nullable.NewNullNullable[time.Time](), Record: nullable.NewNullNullable[string](), Hold: nullable.NewNullNullable[string](),
	}
	if !w.Until.IsZero() {
		out.Until.Set(w.Until.UTC())
	}
	if !w.For.IsZero() {
		out.Record.Set(public(ident.Entity, w.For))
	}
	if w.Hold != uuid.Nil {
		out.Hold.Set(public(ident.Hold, w.Hold))
	}
	return out
}

// chosen are the systems asked for: all of the service's when none is named, or `all`.
func chosen(asked *[]string, all []string) ([]string, error) {
	if asked == nil || slices.Equal(*asked, []string{"all"}) {
		return all, nil
	}
	for _, system := range *asked {
		if !slices.Contains(all, system) {
			return nil, systemUnknown(system, all)
		}
	}
	return *asked, nil
}

func systemUnknown(system string, all []string) error {
	f := fault.New(fault.Malformed, "request.system_unknown", "There is no system %q here.", system)
	return &httpError{cause: f, parameters: []problemField{{Parameter: "systems", Field: fault.Field{Code: f.Code, Message: f.Message, Remedy: "Systems are: " + joined(all) + "."}}}}
}

// actorOf is who changed a record: "proof" where no system told of the change.
func actorOf(e record.Entry) string {
	switch e.Actor {
	case record.ByProof:
		return "proof"
	case engine.ByCompensation:
		return "compensation"
	}
	return e.Actor
}

// untilSettled waits until all systems have the record, or over says so, or the time is over, and returns the record as it is then.
func (s *server) untilSettled(ctx context.Context, v service.Service, doc *service.Document, d engine.Detail, over func(engine.Detail) bool) (engine.Detail, error) {
	id := public(ident.Entity, d.ID)
	for until := time.Now().Add(syncWait); !d.Settled(doc) && !d.IsFrozen() && (over == nil || !over(d)) && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(syncLook):
		}
		var err error
		if d, err = s.Records.Record(ctx, who(ctx), v.ID, id); err != nil {
			return d, err
		}
	}
	return d, nil
}
