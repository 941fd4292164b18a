// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
)

// refused says whether a system will not take the record as it is, and nothing is under way any more.
func refused(d engine.Detail) bool {
	if len(d.Owed) > 0 {
		return false // it may be of the state before
	}
	for _, l := range d.Links {
		if l.State == record.Rejected {
			return true
		}
	}
	return false
}

func (s *server) ChangeRecord(ctx context.Context, req spec.ChangeRecordRequestObject) (spec.ChangeRecordResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	version, err := wantedIfSaid(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	edit := safety.Edit{Service: req.Service, System: record.System(req.System), Record: req.Record, Version: version}
	for _, part := range []struct {
		raw []byte
		to  *record.Fields
		at  string
	}{{req.Body.Fields, &edit.Fields, "/fields"}, {req.Body.Expect, &edit.Expect, "/expect"}} {
		if len(part.raw) == 0 {
			continue
		}
		if err := part.to.UnmarshalJSON(part.raw); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "request.invalid", "A value cannot be read: %v.", err).At(fault.Field{Pointer: part.at, Message: "A value cannot be read."})
		}
	}
	if err := s.reach(ctx, req.Params.SynclineConsistencyToken, req.Params.Prefer, nil); err != nil {
		return nil, err
	}
	e, err := s.Editor.Change(ctx, who(ctx), edit)
	if err != nil {
		return nil, err
	}
	v, r, err := s.serviceOf(ctx, req.Service, auth.EditRecords)
	if err != nil || r.Document.Awaits(slices.Sorted(maps.Keys(edit.Fields))) {
		return s.awaited(ctx, v, r.Document, e, edit.Fields)
	}
	return spec.ChangeRecord200JSONResponse{Body: showRecord(e), Headers: spec.ChangeRecord200ResponseHeaders{ETag: etag(e.Version), SynclineConsistencyToken: s.tokenOf(ctx, v.ID, e)}}, nil
}

// awaited answers an edit when all systems have it, or when waiting longer changes nothing. The edit stands, so where it cannot be seen
// what became of it, the answer is that it is not settled.
func (s *server) awaited(ctx context.Context, v service.Service, doc *service.Document, e *record.Entity, wanted record.Fields) (spec.ChangeRecordResponseObject, error) {
	unseen := showRecord(e)
	unseen.Settled = new(false)
	token := s.tokenOf(ctx, v.ID, e)
	outstanding := spec.ChangeRecord202JSONResponse{Body: unseen, Headers: spec.ChangeRecord202ResponseHeaders{ETag: etag(e.Version), SynclineConsistencyToken: token}}
	if doc == nil || who(ctx).May(auth.ViewRecords) != nil {
		return outstanding, nil
	}
	taken := func(d engine.Detail) bool { // what was written is still what it is
		for f, v := range wanted {
			if !record.Equal(d.Fields[f], v) {
				return false
			}
		}
		return true
	}
	over := func(d engine.Detail) bool {
		return !taken(d) || doc.ConsistencyLevel() == service.Strong && refused(d)
	}
	d, err := s.Records.Record(ctx, who(ctx), v.ID, public(ident.Entity, e.ID))
	if err == nil {
		d, err = s.untilSettled(ctx, v, doc, d, over)
	}
	if err != nil {
		return outstanding, nil //nolint:nilerr // the edit is committed
	}
	if !taken(d) {
		last, err := s.Records.History(ctx, who(ctx), v.ID, d.ID, uuid.Nil, 20)
		if err != nil {
			return outstanding, nil //nolint:nilerr // the edit is committed
		}
		if slices.ContainsFunc(last, func(h record.Entry) bool { return h.Actor == engine.ByCompensation && !h.At.Before(e.ChangedAt) }) {
			return nil, fault.New(fault.Conflict, "record.compensated", "A system refused it, and what one system of %s refuses none keeps: the record is as it was, at version %d.", v.Name, d.Version)
		}
	}
	if d.Settled(doc) {
		return spec.ChangeRecord200JSONResponse{Body: showSettled(doc, d), Headers: spec.ChangeRecord200ResponseHeaders{ETag: etag(d.Version), SynclineConsistencyToken: token}}, nil
	}
	return spec.ChangeRecord202JSONResponse{Body: showSettled(doc, d), Headers: spec.ChangeRecord202ResponseHeaders{ETag: etag(d.Version), SynclineConsistencyToken: token}}, nil
}

// shownOfUndo is how many records of an undo are listed; the figures are of all.
const shownOfUndo = 100

func (s *server) UndoChanges(ctx context.Context, req spec.UndoChangesRequestObject) (spec.UndoChangesResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	sel := safety.Selection{Actor: word(req.Body.Actor), Rule: word(req.Body.Rule), System: record.System(word(req.Body.System))}
	if req.Body.Run != nil {
		id, err := named(ident.Run, *req.Body.Run)
		if err != nil {
			return nil, err
		}
		sel.Run = service.RunID(id)
	}
	if req.Body.Since != nil {
		sel.Since = *req.Body.Since
	}
	if req.Body.Until != nil {
		sel.Until = *req.Body.Until
	}
	u, err := s.Editor.Undo(ctx, who(ctx), req.Service, sel, req.Body.DryRun != nil && *req.Body.DryRun, word(req.Body.Hash))
	if err != nil {
		return nil, err
	}
	out := spec.Undo{Applied: u.Applied, Selected: u.Selected, Records: len(u.Reversals), Kept: len(u.Kept), Hash: u.Hash}
	out.Reversals = shown(u.Reversals[:min(len(u.Reversals), shownOfUndo)], func(r safety.Reversal) spec.Reversal {
		return spec.Reversal{Record: public(ident.Entity, r.Entity), Title: r.Title, Op: spec.ReversalOp(r.Op), Before: values(r.Before), After: values(r.After)}
	})
	out.Keeps = shown(u.Kept[:min(len(u.Kept), shownOfUndo)], func(k safety.Kept) spec.UndoKept {
		return spec.UndoKept{Record: public(ident.Entity, k.Entity), Title: k.Title, Field: k.Field, Why: k.Why}
	})
	answer := spec.UndoChanges200JSONResponse{Body: out}
	answer.Headers.SynclineConsistencyToken = s.tokenIfWrote(ctx, u.Service, u.Wrote)
	return answer, nil
}

func (s *server) FreezeRecord(ctx context.Context, req spec.FreezeRecordRequestObject) (spec.FreezeRecordResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	reason := ""
	if req.Body != nil {
		reason = word(req.Body.Reason)
	}
	f, err := s.Editor.Freeze(ctx, who(ctx), req.Service, req.Record, reason)
	if err != nil {
		return nil, err
	}
	return spec.FreezeRecord200JSONResponse(showFroze(f)), nil
}

func (s *server) ThawRecord(ctx context.Context, req spec.ThawRecordRequestObject) (spec.ThawRecordResponseObject, error) {
	if err := who(ctx).May(auth.EditRecords); err != nil {
		return nil, err
	}
	f, err := s.Editor.Thaw(ctx, who(ctx), req.Service, req.Record)
	if err != nil {
		return nil, err
	}
	return spec.ThawRecord200JSONResponse(showFroze(f)), nil
}

func showFroze(f safety.Froze) spec.FrozenRecord {
	return spec.FrozenRecord{Record: showDetail(f.Detail), UnderWay: texts(f.UnderWay)}
}
