// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

func showDuplicate(p duplicate.Pair) spec.Duplicate {
	out := spec.Duplicate{ID: p.Public(), Service: p.Service.Public(), ServiceName: p.ServiceName, Collection: p.Collection, State: spec.DuplicateState(p.State),
		Outcome: spec.DuplicateOutcome(p.Verdict.Outcome), Score: p.Verdict.Score, Fields: []spec.DuplicateField{}, Records: []spec.DuplicateRecord{}, Survivor: nullable.NewNullNullable[string](), Act: nullable.NewNullNullable[string](),
		FoundAt: p.FoundAt.UTC(), DecidedAt: maybeTime(p.DecidedAt), DecidedBy: p.DecidedBy, Reason: p.Reason, Version: p.Version}
	for _, f := range p.Verdict.Fields {
		out.Fields = append(out.Fields, spec.DuplicateField(f))
	}
	for _, e := range p.Records {
		if e != nil {
			out.Records = append(out.Records, showTwin(e))
		}
	}
	if p.Merge != nil && p.State == duplicate.Merged {
		out.Survivor.Set(public(ident.Entity, p.Merge.Survivor))
		out.Act.Set(public(ident.Duplicate, p.Act))
	}
	return out
}

func showTwin(e *record.Entity) spec.DuplicateRecord {
	r := spec.DuplicateRecord{Record: public(ident.Entity, e.ID), Fields: values(e.Fields), Systems: map[string]string{}, ChangedAt: e.ChangedAt.UTC(), Alive: e.DeletedAt == nil}
	for system, l := range e.Links {
		r.Systems[string(system)] = string(l.Key)
	}
	return r
}

func showGroup(g *duplicate.Group, p *duplicate.Preview) spec.DuplicateGroupJSONResponse {
	pair := showDuplicate(g.Pair)
	out := spec.DuplicateGroup{Duplicate: pair.ID, Service: pair.Service, ServiceName: pair.ServiceName, Collection: pair.Collection, State: pair.State, Survivor: pair.Survivor, Act: pair.Act,
		Records: shown(g.Records, showTwin), Stamp: g.Stamp(), Preview: nullable.NewNullNullable[spec.DuplicatePreview](),
		Pairs: shown(g.Pairs, func(p duplicate.Pair) spec.DuplicateGroupPair {
			return spec.DuplicateGroupPair{Duplicate: p.Public(), State: spec.DuplicateState(p.State), Score: p.Verdict.Score, Records: []string{public(ident.Entity, p.A), public(ident.Entity, p.B)}}
		})}
	if p != nil {
		seen := spec.DuplicatePreview{Survivor: public(ident.Entity, p.Survivor), Fields: values(p.Fields), From: map[string]string{}, Losers: spec.DuplicatePreviewLosers(p.Fate), Second: map[string][]string{}}
		for f, id := range p.From {
			seen.From[f] = public(ident.Entity, id)
		}
		for id, systems := range p.Second {
			seen.Second[public(ident.Entity, id)] = shown(systems, func(s record.System) string { return string(s) })
		}
		out.Preview.Set(seen)
	}
	return spec.DuplicateGroupJSONResponse(out)
}

// pairNamed finds a pair of the service that the address names.
func (s *server) pairNamed(ctx context.Context, ref, pair string, needs auth.Permission) (service.ID, uuid.UUID, error) {
	sid, err := s.serviceNamed(ctx, &ref, needs)
	if err != nil {
		return sid, uuid.Nil, err
	}
	id, err := named(ident.Duplicate, pair)
	if err != nil {
		return sid, id, err
	}
	p, err := s.Duplicates.Get(ctx, who(ctx), id)
	if err == nil && p.Service != sid {
		err = fault.New(fault.NotFound, "duplicate.not_found", "There is no such pair of records.")
	}
	return sid, id, err
}

func (s *server) ListDuplicates(ctx context.Context, req spec.ListDuplicatesRequestObject) (spec.ListDuplicatesResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := duplicate.Query{State: duplicate.State(word(req.Params.FilterState)), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, &req.Service, auth.ViewRecords); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Duplicates.List(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showDuplicate, func(p duplicate.Pair) any { return p.ID })
	return spec.ListDuplicates200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetDuplicate(ctx context.Context, req spec.GetDuplicateRequestObject) (spec.GetDuplicateResponseObject, error) {
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	p, err := s.Duplicates.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetDuplicate200JSONResponse{DuplicateJSONResponse: spec.DuplicateJSONResponse(showDuplicate(p))}, nil
}

func (s *server) MergeDuplicate(ctx context.Context, req spec.MergeDuplicateRequestObject) (spec.MergeDuplicateResponseObject, error) {
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	w, err := wishOf(req.Body.Survivor, req.Body.Fields)
	if err != nil {
		return nil, err
	}
	w.Strategy, w.Losers, w.Reason = match.Strategy(word(req.Body.Strategy)), service.LoserFate(word(req.Body.Losers)), word(req.Body.Reason)
	if req.Body.Version != nil {
		w.Version = *req.Body.Version
	}
	p, err := s.Duplicates.Join(ctx, who(ctx), id, w)
	if err != nil {
		return nil, err
	}
	return spec.MergeDuplicate200JSONResponse{DecidedDuplicateJSONResponse: s.decidedPair(ctx, p)}, nil
}

// decidedPair answers an act that made one record of several, or took that back.
func (s *server) decidedPair(ctx context.Context, p duplicate.Pair) spec.DecidedDuplicateJSONResponse {
	return spec.DecidedDuplicateJSONResponse{Body: showDuplicate(p), Headers: spec.DecidedDuplicateResponseHeaders{SynclineConsistencyToken: s.tokenOfAct(ctx, p.Service, p.Wrote)}}
}

// wishOf reads what a person wishes of a merge: who stays, and whose values count.
func wishOf(survivor *string, fields *spec.Fields) (w duplicate.Wish, err error) {
	if ref := word(survivor); ref != "" {
		id, err := named(ident.Entity, ref)
		if err != nil {
			return w, err
		}
		w.Survivor = record.EntityID(id)
	}
	if fields != nil {
		raw, err := json.Marshal(*fields)
		if err == nil {
			err = w.Fields.UnmarshalJSON(raw)
		}
		if err != nil {
			return w, fault.Wrap(err, fault.Invalid, "request.invalid", "A value cannot be read: %v.", err).At(fault.Field{Pointer: "/fields", Message: "A value cannot be read."})
		}
	}
	return w, nil
}

func groupWish(body *spec.DuplicateGroupMerge) (duplicate.Wish, error) {
	w, err := wishOf(body.Survivor, body.Fields)
	if err != nil {
		return w, err
	}
	w.Strategy, w.Losers, w.Reason, w.Stamp = match.Strategy(word(body.Strategy)), service.LoserFate(word(body.Losers)), word(body.Reason), word(body.Stamp)
	if body.Records != nil {
		for _, ref := range *body.Records {
			id, err := named(ident.Entity, ref)
			if err != nil {
				return w, err
			}
			w.Records = append(w.Records, record.EntityID(id))
		}
	}
	return w, nil
}

func (s *server) groupNamed(ctx context.Context, ref, pair string, w duplicate.Wish) (out spec.DuplicateGroupJSONResponse, err error) {
	_, id, err := s.pairNamed(ctx, ref, pair, auth.ViewRecords)
	if err != nil {
		return out, err
	}
	g, preview, err := s.Duplicates.Group(ctx, who(ctx), id, w)
	if err != nil {
		return out, err
	}
	return showGroup(&g, preview), nil
}

func (s *server) GetDuplicateGroup(ctx context.Context, req spec.GetDuplicateGroupRequestObject) (spec.GetDuplicateGroupResponseObject, error) {
	out, err := s.groupNamed(ctx, req.Service, req.Duplicate, duplicate.Wish{})
	if err != nil {
		return nil, err
	}
	return spec.GetDuplicateGroup200JSONResponse{DuplicateGroupJSONResponse: out}, nil
}

func (s *server) PreviewDuplicateGroup(ctx context.Context, req spec.PreviewDuplicateGroupRequestObject) (spec.PreviewDuplicateGroupResponseObject, error) {
	w, err := groupWish(req.Body)
	if err != nil {
		return nil, err
	}
	out, err := s.groupNamed(ctx, req.Service, req.Duplicate, w)
	if err != nil {
		return nil, err
	}
	return spec.PreviewDuplicateGroup200JSONResponse{DuplicateGroupJSONResponse: out}, nil
}

func (s *server) MergeDuplicateGroup(ctx context.Context, req spec.MergeDuplicateGroupRequestObject) (spec.MergeDuplicateGroupResponseObject, error) {
	w, err := groupWish(req.Body)
	if err != nil {
		return nil, err
	}
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	g, err := s.Duplicates.JoinGroup(ctx, who(ctx), id, w)
	if err != nil {
		return nil, err
	}
	return spec.MergeDuplicateGroup200JSONResponse{DecidedDuplicateGroupJSONResponse: spec.DecidedDuplicateGroupJSONResponse{Body: spec.DuplicateGroup(showGroup(&g, nil)),
		Headers: spec.DecidedDuplicateGroupResponseHeaders{SynclineConsistencyToken: s.tokenOfAct(ctx, g.Service, g.Wrote)}}}, nil
}

func (s *server) DismissDuplicate(ctx context.Context, req spec.DismissDuplicateRequestObject) (spec.DismissDuplicateResponseObject, error) {
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	p, err := s.Duplicates.Dismiss(ctx, who(ctx), id, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	out := spec.DismissDuplicate200JSONResponse{Body: showDuplicate(p)}
	out.Headers.SynclineConsistencyToken = s.tokenIfWrote(ctx, p.Service, p.Wrote)
	return out, nil
}

func (s *server) PostponeDuplicate(ctx context.Context, req spec.PostponeDuplicateRequestObject) (spec.PostponeDuplicateResponseObject, error) {
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	p, err := s.Duplicates.Later(ctx, who(ctx), id, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.PostponeDuplicate200JSONResponse{DuplicateJSONResponse: spec.DuplicateJSONResponse(showDuplicate(p))}, nil
}

func (s *server) UndoDuplicate(ctx context.Context, req spec.UndoDuplicateRequestObject) (spec.UndoDuplicateResponseObject, error) {
	_, id, err := s.pairNamed(ctx, req.Service, req.Duplicate, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	p, err := s.Duplicates.Undo(ctx, who(ctx), id, word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	return spec.UndoDuplicate200JSONResponse{DecidedDuplicateJSONResponse: s.decidedPair(ctx, p)}, nil
}

func (s *server) DecideDuplicates(ctx context.Context, req spec.DecideDuplicatesRequestObject) (spec.DecideDuplicatesResponseObject, error) {
	sid, err := s.serviceNamed(ctx, &req.Service, auth.ResolveConflicts)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(req.Body.Duplicates))
	for i, ref := range req.Body.Duplicates {
		if ids[i], err = named(ident.Duplicate, ref); err != nil {
			return nil, err
		}
	}
	all, err := s.Duplicates.DecideAll(ctx, who(ctx), sid, ids, duplicate.Decision(req.Body.Decision), word(req.Body.Reason))
	if err != nil {
		return nil, err
	}
	out := spec.DecideDuplicates200JSONResponse{Body: spec.DuplicateDecided{Decided: all.Decided, Failed: []spec.DuplicateFailure{}}}
	out.Headers.SynclineConsistencyToken = s.tokenIfWrote(ctx, sid, all.Wrote)
	for _, f := range all.Failed {
		out.Body.Failed = append(out.Body.Failed, spec.DuplicateFailure{Duplicate: public(ident.Duplicate, f.ID), Code: f.Fault.Code, Message: f.Fault.Message})
	}
	return out, nil
}

func showScans(list []duplicate.Scan) spec.DuplicateScansJSONResponse {
	out := spec.DuplicateScansJSONResponse{Data: []spec.DuplicateScan{}}
	for _, c := range list {
		out.Data = append(out.Data, spec.DuplicateScan{Collection: c.Collection, Compared: c.Compared, Found: c.Found, StartedAt: c.StartedAt.UTC(), FinishedAt: maybeTime(c.FinishedAt)})
	}
	return out
}

func (s *server) FindDuplicates(ctx context.Context, req spec.FindDuplicatesRequestObject) (spec.FindDuplicatesResponseObject, error) {
	sid, err := s.serviceNamed(ctx, &req.Service, auth.RunServices)
	if err != nil {
		return nil, err
	}
	list, err := s.Duplicates.Find(ctx, who(ctx), sid)
	if err != nil {
		return nil, err
	}
	return spec.FindDuplicates200JSONResponse{DuplicateScansJSONResponse: showScans(list)}, nil
}

func (s *server) GetDuplicateScans(ctx context.Context, req spec.GetDuplicateScansRequestObject) (spec.GetDuplicateScansResponseObject, error) {
	sid, err := s.serviceNamed(ctx, &req.Service, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	list, err := s.Duplicates.Scans(ctx, who(ctx), sid)
	if err != nil {
		return nil, err
	}
	return spec.GetDuplicateScans200JSONResponse{DuplicateScansJSONResponse: showScans(list)}, nil
}
